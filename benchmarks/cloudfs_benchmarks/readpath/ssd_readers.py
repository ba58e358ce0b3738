"""The SSD tier read by one and by eight readers at once, each a file of its own."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row, Series
from cloudfs_benchmarks.readpath.reader import Job

_BYTES = 1 << 30
_FILES = 8
_READERS = (1, 8)
_BLOCKS = (128 << 10, 1 << 20)
_TARGETS = {1 << 20: 0.9}


def ssd_readers(bench: Bench) -> list[Row]:
    """A fresh daemon on a full SSD tier, pages dropped, against native files of the same disk."""
    size = (bench.options.size or _BYTES) // _FILES
    rows: list[Row] = []
    with bench.files("ssd", [size] * _FILES) as names:
        bench.fill_cache(names)
        for readers in _READERS:
            for block in _BLOCKS:
                series = bench.rounds(
                    # mypy cannot infer a lambda whose default binds the loop's variable.
                    lambda _number, readers=readers, block=block: _trial(  # type: ignore[misc]
                        bench, names, readers, block
                    )
                )
                rows += _rows(readers, block, series)
    return rows


def _rows(readers: int, block: int, series: dict[str, Series]) -> list[Row]:
    who = "1 reader" if readers == 1 else f"{readers} readers"
    what = f"{who}, {block >> 10} KiB reads"
    rate, native = series["mount"], series["native"]
    notes = f"daemon CPU {series['cpu'].show(2)} s/GiB"
    return [
        Row("ssd-readers", what, "MB/s", rate, rate.over(native), "native",
            target=_TARGETS.get(block), notes=notes),
        Row("ssd-readers", f"native {what}", "MB/s", native),
    ]  # fmt: skip


def _trial(bench: Bench, names: Sequence[str], readers: int, block: int) -> Figures:
    native = _split(bench.native_paths(names), readers)
    mounted = _split(bench.mounted_paths(names), readers)
    bench.drop_pages()
    figures: Figures = {"native": bench.read(Job("read", native, block))[0].rate}
    timed = bench.from_ssd(Job("read", mounted, block))
    return figures | {"mount": timed.done.rate, "cpu": timed.cpu_per_gib}


def _split(paths: list[str], readers: int) -> list[list[str]]:
    """The files of each reader."""
    return [paths[number::readers] for number in range(readers)]
