"""The one-line form of a status document, as a service manager shows it."""

from __future__ import annotations

from cloudfs.status.document import Health, StatusDocument
from cloudfs.units import format_count


def status_line(document: StatusDocument) -> str:
    """Return the document in one line for the operator."""
    facts = []
    if document.health is not Health.OK:
        facts.append(str(document.health))
    if document.hit_ratio is not None:
        facts.append(f"{100 * document.hit_ratio:.0f} % cache hits")
    facts.append(f"{document.now.read_bytes_per_s / 1e6:.0f} MB/s")
    if document.waiting_count:
        facts.append(f"{format_count(document.waiting_count, 'request')} waiting")
    return f"{document.url} on {document.mountpoint}: {', '.join(facts)}"
