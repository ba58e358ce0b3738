"""Peak memory of the daemon while it does everything that takes memory."""

from __future__ import annotations

from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row
from cloudfs_benchmarks.readpath.reader import Job

_BYTES = 2 << 30
_BLOCK = 256 << 10
_READERS = 16
_SLICES = 500
_SLICE_BYTES = 24 << 10
_ALLOWANCE_BYTES = 200_000_000


def memory(bench: Bench) -> list[Row]:
    """Cold reads of one file, random slices of it, then many files at once, in one daemon."""
    size = bench.options.size or _BYTES
    sizes = [size, *[size // _READERS] * _READERS]
    with bench.files("memory", sizes) as names:
        series = bench.rounds(lambda number: _trial(bench, names, number))
    most = (bench.options.memory_limit + _ALLOWANCE_BYTES) / 1e6
    return [
        Row("memory", f"after {after}", "MB", values, at_most=most,
            notes=f"limit {bench.options.memory_limit >> 20} MiB + 200 MB")
        for after, values in series.items()
    ]  # fmt: skip


def _trial(bench: Bench, names: list[str], number: int) -> Figures:
    paths = bench.mounted_paths(names)
    jobs = {
        "cold sequential": Job("read", [paths[:1]], _BLOCK),
        "random slices": Job("mmap-random", [paths[:1]], _SLICE_BYTES, count=_SLICES, seed=number),
        f"{_READERS} readers": Job("read", [[path] for path in paths[1:]], _BLOCK),
    }
    peaks = {}
    with bench.cold_mount() as mount:
        for name, job in jobs.items():
            bench.read(job)
            peaks[name] = mount.peak_rss_bytes() / 1e6
    return peaks
