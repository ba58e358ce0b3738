"""What `--kernel-read-ahead` does to the shapes of reads that training makes.

More read-ahead lets one sequential reader run faster; it also makes each random access to a mapping
ask for more than was wanted. Both are measured, cold and from the SSD tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row, Series
from cloudfs_benchmarks.readpath.reader import Job

_BYTES = 512 << 20
_READ_AHEAD_KIB = (128, 256, 512, 1024, 2048)
_READERS = 4
_VTK_BLOCK = 8191
_SLICE_BYTES = 24_000
_SLICES = 100
_ROW_BYTES = 44
_WINDOW_BYTES = 200_000 * _ROW_BYTES
_WINDOWS = 5


@dataclass(frozen=True, slots=True)
class _Shape:
    """A way to read its own files, so that no shape finds what another one fetched."""

    name: str
    files: slice
    job: str
    block: int
    count: int = 0
    parallel: bool = False

    def make(self, paths: Sequence[str], seed: int) -> Job:
        """The job on these files of the benchmark."""
        mine = list(paths[self.files])
        readers = [[path] for path in mine] if self.parallel else [mine]
        return Job(self.job, readers, self.block, count=self.count, seed=seed)


_SHAPES = (
    _Shape("sequential 256 KiB", slice(0, 1), "read", 256 << 10),
    _Shape("4 sequential", slice(1, 1 + _READERS), "read", 256 << 10, parallel=True),
    _Shape("8191-byte reads", slice(5, 6), "read", _VTK_BLOCK),
    _Shape("mmap random 24 KB", slice(6, 7), "mmap-random", _SLICE_BYTES, _SLICES),
    _Shape("mmap 200k rows", slice(7, 8), "mmap-window", _WINDOW_BYTES, _WINDOWS),
)


def kernel_read_ahead(bench: Bench) -> list[Row]:
    """Milliseconds and requested bytes of each shape, by read-ahead and state of the cache."""
    size = bench.options.size or _BYTES
    quarter = size // _READERS
    sizes = [size, *[quarter] * _READERS, quarter, size, size]
    rows: list[Row] = []
    with bench.files("kernel", sizes) as names:
        rows += _rows(bench, names, "cold")
        bench.fill_cache(names)
        rows += _rows(bench, names, "ssd")
    return rows


def _rows(bench: Bench, names: Sequence[str], state: str) -> list[Row]:
    series = bench.rounds(lambda number: _trial(bench, names, state, number))
    return [_row(series, shape, state, kib) for shape in _SHAPES for kib in _READ_AHEAD_KIB]


def _row(series: dict[str, Series], shape: _Shape, state: str, kib: int) -> Row:
    name = f"{shape.name} {kib}"
    asked, fetched = series[f"{name} x"], series[f"{name} fetched"]
    notes = f"kernel asked {asked.median:.1f} x, mount fetched {fetched.median:.1f} x what was read"
    what = f"{state}, {shape.name}, {kib} KiB"
    return Row("kernel-read-ahead", what, "ms", series[f"{name} ms"], notes=notes)


def _trial(bench: Bench, names: Sequence[str], state: str, number: int) -> Figures:
    """Every read-ahead on a mount of its own; the order turns round from trial to trial."""
    figures: Figures = {}
    for kib in _READ_AHEAD_KIB if number % 2 else _READ_AHEAD_KIB[::-1]:
        opened = bench.cold_mount if state == "cold" else bench.mount
        with opened("--kernel-read-ahead", f"{kib}KiB") as mount:
            bench.drop_pages()
            for shape in _SHAPES:
                before = mount.usage()
                done = bench.read(shape.make(bench.mounted_paths(names), number))[0]
                used = mount.usage().since(before)
                name = f"{shape.name} {kib}"
                figures[f"{name} ms"] = done.seconds * 1000
                figures[f"{name} x"] = used.requested_bytes / done.bytes
                figures[f"{name} fetched"] = (used.store_bytes + used.disk_bytes) / done.bytes
    return figures
