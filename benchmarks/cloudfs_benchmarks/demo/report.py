"""What the demo prints: the table of epochs and the closing text."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs_benchmarks.demo.rounds import Epoch

_HEAD = (
    "epoch",
    "samples",
    "median step",
    "data wait",
    "first batch",
    "bucket",
    "SSD cache",
    "memory",
    "page cache",
    "GETs",
    "loss",
)

LEGEND = """\
bucket, SSD cache, memory: MB that the mount answered from each. page cache: the rest of what the
script read, which the kernel kept and never asked the mount for. Before epoch 2 the demo drops the
page cache, to show the SSD cache at work (the mount may keep only 64 MiB in memory); epoch 3 finds
whatever the kernel still has."""

CLOSING = """\
Next, your own data:
    .venv/bin/cloudfs mount s3://YOUR-BUCKET/PREFIX /mnt/data
    python train.py /mnt/data
    .venv/bin/cloudfs umount /mnt/data
`.venv/bin/cloudfs mount --help` lists the options, README.md the rest."""


def format_table(epochs: Sequence[Epoch]) -> str:
    """One line per epoch under a head, columns aligned to the right."""
    rows = [_HEAD, *(_row(epoch) for epoch in epochs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = (
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(lines)


def page_cache_bytes(epoch: Epoch) -> int | None:
    """What the script read and the mount was not asked for; None without a mount.

    Never negative: read-ahead may ask the mount for more than the script reads.
    """
    served = epoch.served
    if served is None:
        return None
    asked = served.memory_bytes + served.disk_bytes + served.store_bytes
    return max(0, epoch.bytes_read - asked)


def _row(epoch: Epoch) -> tuple[str, ...]:
    served = epoch.served
    sources = (
        (served.store_bytes, served.disk_bytes, served.memory_bytes)
        if served
        else (None, None, None)
    )
    return (
        str(epoch.number),
        str(epoch.cases),
        f"{epoch.step_median_s * 1e3:.1f} ms",
        f"{epoch.wait_fraction:.0%}",
        f"{epoch.first_batch_s:.2f} s",
        *(_megabytes(count) for count in (*sources, page_cache_bytes(epoch))),
        str(served.get_requests) if served else "-",
        f"{epoch.loss:.4f}",
    )


def _megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1e6:.1f}"
