"""The status table: several mounts, a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cloudfs.cli.render import figures
from cloudfs.cli.render.figures import Paint
from cloudfs.errors import printable
from cloudfs.status.document import AnyDocument, UnansweredMount

_HEAD: Final = ("MOUNTPOINT", "HEALTH", "HITS", "READ NOW", "ON SSD", "WAITING", "URL")
_HEALTH: Final = 1


def lines(documents: Sequence[AnyDocument], paint: Paint = figures.plain) -> Iterator[str]:
    """Yield the table; health is the one column that may be coloured."""
    head, *rows = figures.padded([_HEAD, *map(_row, documents)], left=len(_HEAD))
    for row in rows:
        row[_HEALTH] = paint(row[_HEALTH], row[_HEALTH].rstrip())
    yield from ("  ".join(row).rstrip() for row in (head, *rows))


def _row(document: AnyDocument) -> tuple[str, ...]:
    mountpoint, url = printable(document.mountpoint), printable(document.url)
    if isinstance(document, UnansweredMount):
        return (mountpoint, document.health, "-", "-", "-", "-", url)
    disks = document.used_disks
    used, capacity = sum(d.used_bytes for d in disks), sum(d.capacity_bytes for d in disks)
    on_ssd = f"{figures.size(used)} of {figures.size(capacity)}" if disks else "-"
    return (
        mountpoint,
        document.health,
        figures.share(document.hit_ratio),
        figures.rate(document.now.read_bytes_per_s),
        on_ssd,
        str(document.waiting_count),
        url,
    )
