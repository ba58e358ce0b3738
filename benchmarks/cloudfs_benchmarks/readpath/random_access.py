"""Latency of small random reads: over the link, from the SSD tier, and from the page cache."""

from __future__ import annotations

from collections.abc import Sequence

from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row, Series, percentile
from cloudfs_benchmarks.readpath.passes import Pass
from cloudfs_benchmarks.readpath.reader import Job

_BYTES = 1 << 30
_ACCESSES = {"mmap 24 KB": ("mmap-random", 24_000), "pread 4 KiB": ("pread", 4096)}
_COUNT = 200
_PERCENTILES = (50, 95, 99)


def random_access(bench: Bench) -> list[Row]:
    """p50, p95 and p99 in microseconds, by state, beside the native file in the same state."""
    size = bench.options.size or _BYTES
    rows: list[Row] = []
    with bench.files("random", [size]) as names:
        for access in _ACCESSES:
            series = bench.rounds(
                # mypy cannot infer a lambda whose default binds the loop's variable.
                lambda number, access=access: _trial(bench, names, access, number)  # type: ignore[misc]
            )
            rows += _rows(access, series)
    return rows


def _rows(access: str, series: dict[str, Series]) -> list[Row]:
    rows = []
    for state in ("cold", "ssd", "page cache", "native disk", "native page cache"):
        middle, high, highest = (series[f"{state} p{p}"] for p in _PERCENTILES)
        notes = f"p95 {high.show(0)}, p99 {highest.show(0)} us"
        rows.append(Row("random", f"{access}, {state}, p50", "us", middle, notes=notes))
    return rows


def _trial(bench: Bench, names: Sequence[str], access: str, number: int) -> Figures:
    shape, block = _ACCESSES[access]

    def read(paths: list[str], passes: int = 1) -> list[Pass]:
        return bench.read(Job(shape, [paths], block, passes=passes, count=_COUNT, seed=number))

    figures: Figures = {}
    with bench.cold_mount():
        bench.drop_pages()
        figures |= _latencies("cold", read(bench.mounted_paths(names))[0])
    # A daemon that has nothing in memory, and the blocks just read on the SSD.
    with bench.mount():
        bench.drop_pages()
        first, second = read(bench.mounted_paths(names), passes=2)
        figures |= _latencies("ssd", first) | _latencies("page cache", second)
    bench.drop_pages()
    first, second = read(bench.native_paths(names), passes=2)
    return figures | _latencies("native disk", first) | _latencies("native page cache", second)


def _latencies(state: str, done: Pass) -> Figures:
    return {f"{state} p{p}": percentile(done.latencies, p) * 1e6 for p in _PERCENTILES}
