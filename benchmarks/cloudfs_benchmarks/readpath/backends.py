"""The same files through every backend: what each one's own code costs at the same link.

One nginx serves them all, so no store is faster than another; `file` reads the same files without a
link. What depends on the cache alone is measured too: there the backends must not differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from cloudfs_benchmarks.demo.processes import StageError
from cloudfs_benchmarks.readpath import small_files
from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row, Series, percentile
from cloudfs_benchmarks.readpath.reader import Job

SCHEMES = ("s3", "gs", "az", "file")
"""The first is what the others are compared with."""

_BYTES = 1 << 30
_BLOCK = 1 << 20
_SMALL_BYTES_MAX = 160 << 20
_SMALL_READERS = 8
_RANDOM_BYTES = 4096
_RANDOM_COUNT = 200
_FOLDERS = 4
_NAMES_MAX = 10_000
# Few names are enough for a run that only shows that everything works.
_BYTES_PER_NAME = 64 << 10
_MIB = 1 << 20

_MEASURES = {
    "cold read": "MiB/s",
    "daemon CPU": "s/GiB",
    "second read": "MiB/s",
    "SSD read": "MiB/s",
    "4 KiB cold p50": "ms",
    "small files cold": "files/s",
    "find": "names/s",
}
"""The columns of the table and their units."""


@dataclass(frozen=True, slots=True)
class _Data:
    """What is in the bucket, so that no measurement finds what another one fetched."""

    large: Sequence[str]
    random: Sequence[str]
    small: Sequence[str]
    folder: str
    """Of `names` files that are not read."""
    names: int


def backends(bench: Bench) -> list[Row]:
    """Reads, small files and names through s3://, gs://, az:// and file://, at the same link."""
    benches = {scheme: bench.on(scheme) for scheme in SCHEMES}
    with _data(bench) as data:
        paths = {scheme: one.byte_path() for scheme, one in benches.items()}
        series = bench.rounds(
            lambda number: {
                f"{scheme} {measure}": value
                for scheme, one in benches.items()
                for measure, value in _trial(one, data, number).items()
            }
        )
    return [
        _row(series, scheme, measure, paths[scheme]) for scheme in SCHEMES for measure in _MEASURES
    ]


def _row(series: dict[str, Series], scheme: str, measure: str, byte_path: str) -> Row:
    values, reference = series[f"{scheme} {measure}"], series[f"{SCHEMES[0]} {measure}"]
    ratio = values.over(reference)
    return Row("backends", measure, _MEASURES[measure], values, ratio, f"{SCHEMES[0]}://",
               notes=byte_path, backend=f"{scheme}://")  # fmt: skip


@contextmanager
def _data(bench: Bench) -> Iterator[_Data]:
    size = bench.options.size or _BYTES
    small = small_files.file_sizes(min(size, _SMALL_BYTES_MAX))
    count = min(_NAMES_MAX, size // _BYTES_PER_NAME)
    with (
        bench.files("large", [size]) as large,
        bench.files("random", [size]) as random,
        bench.files("small", small) as few,
        bench.names("names", _FOLDERS, count) as folder,
    ):
        yield _Data(large, random, few, folder, count)


def _trial(bench: Bench, data: _Data, number: int) -> Figures:
    figures = _large(bench, data) | _small(bench, data, number)
    shown = (f"{measure} {figures[measure]:.4g} {unit}" for measure, unit in _MEASURES.items())
    bench.say(f"{bench.scheme}: {', '.join(shown)}")
    return figures


def _large(bench: Bench, data: _Data) -> Figures:
    """One reader of one large file: over the link, from the page cache, from the SSD tier."""
    job = Job("read", [bench.mounted_paths(data.large)], _BLOCK)
    with bench.cold_mount() as mount:
        cold = bench.timed(mount, job)
        second = bench.read(job)[0]
    bench.complete_cache(data.large)
    ssd = bench.from_ssd(job)
    return {
        "cold read": cold.done.bytes / _MIB / cold.done.seconds,
        "daemon CPU": cold.cpu_per_gib,
        "second read": second.bytes / _MIB / second.seconds,
        "SSD read": ssd.done.bytes / _MIB / ssd.done.seconds,
    }


def _small(bench: Bench, data: _Data, number: int) -> Figures:
    """Names, then random reads, then small files of one fresh mount with nothing cached."""
    find = Job("find", [[str(bench.mountpoint / data.folder)]], 1)
    pread = Job("pread", [bench.mounted_paths(data.random)], _RANDOM_BYTES,
                count=_RANDOM_COUNT, seed=number)  # fmt: skip
    with bench.cold_mount():
        found = bench.read(find)[0]
        latencies = bench.read(pread)[0].latencies
        small = bench.mounted_paths(data.small)
        rates = small_files.files_per_second(bench, small, _SMALL_READERS, listed=True)
    if found.names != data.names:
        raise StageError(f"{bench.store.url} shows {found.names} of {data.names} names")
    return {
        "4 KiB cold p50": percentile(latencies, 50) * 1000,
        "small files cold": rates[0],
        "find": found.names / found.seconds,
    }
