"""Several mounts at one glance, a line for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from cloudfs.cli.render import figures
from cloudfs.cli.render.figures import Paint
from cloudfs.cli.render.page import Document, health_of
from cloudfs.errors import printable

_HEAD: Final = ("MOUNTPOINT", "HEALTH", "HITS", "READ NOW", "ON SSD", "WAITING", "URL")
_HEALTH: Final = 1


def lines(documents: Sequence[Document], paint: Paint = figures.plain) -> Iterator[str]:
    """Yield the table; health is the one column that may be coloured."""
    rows = [_HEAD, *(_row(document) for document in documents)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if row is not _HEAD:
            cells[_HEALTH] = paint(cells[_HEALTH], row[_HEALTH])
        yield "  ".join(cells).rstrip()


def _row(document: Document) -> tuple[str, ...]:
    disks = [disk for disk in document.get("disks", {}).values() if "used_bytes" in disk]
    used = sum(disk["used_bytes"] for disk in disks)
    capacity = sum(disk["capacity_bytes"] for disk in disks)
    on_ssd = f"{figures.size(used)} of {figures.size(capacity)}" if disks else "-"
    return (
        printable(str(document.get("mountpoint"))),
        health_of(document),
        figures.share(document.get("hit_ratio")),
        _now(document.get("now")),
        on_ssd,
        str(document.get("waiting_count", "-")),
        printable(str(document.get("url"))),
    )


def _now(now: dict[str, Any] | None) -> str:
    return "-" if now is None else figures.rate(now["read_bytes_per_s"])
