"""Large files from start to end: cold over the link, from the page cache, and from the SSD."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo.processes import StageError
from cloudfs_benchmarks.readpath.bench import CONNECTIONS, Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row, Series
from cloudfs_benchmarks.readpath.mounting import Mounted
from cloudfs_benchmarks.readpath.reader import Job

_COLD_BYTES = 2 << 30
_WARM_BYTES = 1 << 30
_BLOCK = 256 << 10
# Of the reads right after the one that fills the page cache.
_WARM_PASSES = 3
_TURNS = ("first", "second")


@dataclass(frozen=True, slots=True)
class _Access:
    """How a reader reads: a shape of `reader.Job` and its block size in bytes."""

    shape: str
    block: int

    @property
    def name(self) -> str:
        """For the report."""
        return f"{self.shape} {self.block >> 10} KiB"


_ACCESSES = (
    *(_Access("read", kib << 10) for kib in (8, 128, 256, 1024)),
    _Access("mmap", 256 << 10),
)


def cold_sequential(bench: Bench) -> list[Row]:
    """One reader, 256 KiB reads: nothing cached, against parallel GETs thrown away."""
    size = bench.options.size or _COLD_BYTES
    with bench.files("cold", [size]) as names:
        series = bench.rounds(lambda _number: _ceiling(bench, names, size) | _cold(bench, names))
        _verify(bench, names)
    ceiling = series["ceiling"]
    notes = (
        f"daemon CPU {series['cpu'].show(2)} s/GiB, first byte {series['first'].show(0)} ms, "
        f"peak RSS {series['rss'].show(0)} MB"
    )
    rate = series["mount"]
    return [
        Row("cold-sequential", f"mount, {size >> 20} MiB", "MB/s", rate, rate.over(ceiling),
            "ceiling", target=0.8, notes=notes),
        *(Row("cold-sequential", f"store, {count} connections", "MB/s", series[f"{count} conn"])
          for count in CONNECTIONS),
    ]  # fmt: skip


def page_cache(bench: Bench) -> list[Row]:
    """Re-reads right after a read: the kernel answers, the daemon is not asked."""
    size = bench.options.size or _WARM_BYTES
    rows: list[Row] = []
    with bench.files("warm", [size]) as names:
        bench.fill_cache(names)
        with bench.mount() as mount:
            for access in _ACCESSES:
                rows += _page_cache_rows(bench, mount, names, access)
    return rows


def ssd(bench: Bench) -> list[Row]:
    """Reads from the SSD tier by a fresh daemon, pages dropped, against the native file.

    Each is read twice in a row. The first may find the data in no cache at all; the second finds it
    where the disk or the hypervisor keeps what was just read.
    """
    size = bench.options.size or _WARM_BYTES
    rows: list[Row] = []
    with bench.files("ssd", [size]) as names:
        bench.fill_cache(names)
        for access in _ACCESSES[-3:]:
            # mypy cannot infer a lambda whose default binds the loop's variable.
            series = bench.rounds(lambda _number, access=access: _ssd_trial(bench, names, access))  # type: ignore[misc]
            for turn in _TURNS:
                rows += _ssd_rows(access, turn, series)
    return rows


def _ssd_rows(access: _Access, turn: str, series: dict[str, Series]) -> list[Row]:
    rate, native = series[f"mount {turn}"], series[f"native {turn}"]
    notes = f"daemon CPU {series[f'cpu {turn}'].show(2)} s/GiB"
    return [
        Row("ssd", f"{access.name}, {turn} read", "MB/s", rate, rate.over(native), "native",
            target=0.8, notes=notes),
        Row("ssd", f"native {access.name}, {turn} read", "MB/s", native),
    ]  # fmt: skip


def _ssd_trial(bench: Bench, names: Sequence[str], access: _Access) -> Figures:
    figures: Figures = {}
    for turn in _TURNS:
        figures[f"native {turn}"] = _native_dropped(bench, names, access)
    for turn in _TURNS:
        timed = bench.from_ssd(Job(access.shape, [bench.mounted_paths(names)], access.block))
        figures |= {f"mount {turn}": timed.done.rate, f"cpu {turn}": timed.cpu_per_gib}
    return figures


def _ceiling(bench: Bench, names: Sequence[str], size: int) -> Figures:
    rates = {count: size / 1e6 / s for count, s in bench.ceiling(names).items()}
    return {f"{count} conn": rate for count, rate in rates.items()} | {
        "ceiling": max(rates.values())
    }


def _cold(bench: Bench, names: Sequence[str]) -> Figures:
    with bench.cold_mount() as mount:
        timed = bench.timed(mount, Job("read", [bench.mounted_paths(names)], _BLOCK))
        rss = mount.peak_rss_bytes()
    return {
        "mount": timed.done.rate,
        "cpu": timed.cpu_per_gib,
        "first": timed.done.first_s * 1000,
        "rss": rss / 1e6,
    }


def _verify(bench: Bench, names: Sequence[str]) -> None:
    """What comes through the mount is what the store has."""
    with bench.cold_mount():
        through = bench.read(Job("digest", [bench.mounted_paths(names)], _BLOCK))[0]
    native = bench.read(Job("digest", [bench.native_paths(names)], _BLOCK))[0]
    if (through.digests, through.bytes) != (native.digests, native.bytes):
        raise StageError("the mount gave other bytes than the store has")


def _page_cache_rows(
    bench: Bench, mount: Mounted, names: Sequence[str], access: _Access
) -> list[Row]:
    places = {"mount": bench.mounted_paths(names), "native": bench.native_paths(names)}
    if _on_tmpfs(bench.bucket_folder):
        places["tmpfs"] = [str(bench.bucket_folder / name) for name in names]
    series = bench.rounds(lambda _number: _warm_trial(bench, mount, places, access))
    rate, native = series["mount"], series["native"]
    notes = f"the daemon was asked for {series['asked'].show(0)} MB in {_WARM_PASSES} passes"
    rows = [
        Row("page-cache", access.name, "MB/s", rate, rate.over(native), "native",
            target=0.9, notes=notes),
        Row("page-cache", f"native {access.name}", "MB/s", native),
    ]  # fmt: skip
    if "tmpfs" in series:
        rows.append(_tmpfs_row(access, rate, series["tmpfs"]))
    return rows


def _tmpfs_row(access: _Access, rate: Series, tmpfs: Series) -> Row:
    return Row("page-cache", f"tmpfs {access.name}", "MB/s", tmpfs, rate.over(tmpfs), "tmpfs")


def _warm_trial(
    bench: Bench, mount: Mounted, places: dict[str, list[str]], access: _Access
) -> Figures:
    """The best pass right after one that filled the page cache, for each place."""
    figures: Figures = {}
    for place, paths in places.items():
        before = mount.usage()
        passes = bench.read(Job(access.shape, [paths], access.block, passes=_WARM_PASSES))
        asked = mount.usage().since(before).requested_bytes
        figures[place] = max(done.rate for done in passes[1:])
        if place == "mount":
            figures["asked"] = asked / 1e6
    return figures


def _native_dropped(bench: Bench, names: Sequence[str], access: _Access) -> float:
    bench.drop_pages()
    return bench.read(Job(access.shape, [bench.native_paths(names)], access.block))[0].rate


def _on_tmpfs(folder: Path) -> bool:
    return os.path.ismount("/dev/shm") and folder.is_relative_to("/dev/shm")
