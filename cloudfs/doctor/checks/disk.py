"""The check of the cache disks' speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.settings import MountSettings
from cloudfs.daemon import resources
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, ok, skipped, warning
from cloudfs.doctor.probes import disk_speed, disks
from cloudfs.doctor.probes.disk_speed import DiskSpeed
from cloudfs.units import MIB, format_size

READ_USEFUL_BYTES_PER_S: Final = 200e6
"""A throughput that every cloud's object store gives one machine: a slower disk is a bottleneck."""

_FREE_BYTES_MIN: Final = 1024 * MIB
_FAST: Final = "give a directory on a local NVMe SSD with --cache-dir"
_DIRECT: Final = "use ext4 or xfs for it: without O_DIRECT the cache takes memory twice"


async def disk(context: Context) -> Sequence[Finding]:
    """Measure each cache disk once, however many directories are on it."""
    if context.quick:
        return [skipped("not measured, because of --quick")]
    findings = []
    for folder in await trio.to_thread.run_sync(_folders, context.settings, abandon_on_cancel=True):
        finding, speed = await trio.to_thread.run_sync(_measure, folder, abandon_on_cancel=True)
        findings.append(finding)
        if speed is not None:
            slowest = context.disk_read_bytes_per_s or speed.read_bytes_per_s
            context.disk_read_bytes_per_s = min(slowest, speed.read_bytes_per_s)
    return findings or [skipped("the disk cache is turned off")]


def _folders(settings: MountSettings) -> list[Path]:
    """Return a folder on each disk of the cache."""
    folders: dict[int, Path] = {}
    for directory in resources.cache_directories(settings):
        if directory.size_bytes != 0:
            folder = disks.nearest_existing(directory.path)
            folders.setdefault(folder.stat().st_dev, folder)
    return list(folders.values())


def _measure(folder: Path) -> tuple[Finding, DiskSpeed | None]:
    rotates = disks.disk_info(folder).rotates
    free = disks.free_bytes(folder)
    if free < _FREE_BYTES_MIN:
        return skipped(f"{folder}: not measured with only {format_size(free)} free"), None
    try:
        speed = disk_speed.measure(folder)
    except OSError as error:
        text = f"{folder} cannot be measured: {error.strerror}"
        return warning(text, "check the disk, 'dmesg' has more", directory=str(folder)), None
    return judge_speed(folder, speed, disks.link_bytes_per_s(), rotates=rotates), speed


def judge_speed(
    folder: Path, speed: DiskSpeed, link_bytes_per_s: float | None, *, rotates: bool | None
) -> Finding:
    """Return the finding for a disk of that speed, beside a network link of that speed."""
    read, write = speed.read_bytes_per_s, speed.write_bytes_per_s
    facts = {
        "directory": str(folder),
        "read_bytes_per_s": round(read),
        "write_bytes_per_s": round(write),
        "o_direct": speed.is_direct,
        "written_bytes": speed.written_bytes,
        "link_bytes_per_s": link_bytes_per_s,
    }
    text = f"{folder}: reads {format_rate(read)}, writes {format_rate(write)}"
    if link_bytes_per_s is not None and read < link_bytes_per_s:
        problem = f"{text}: slower than the network ({format_rate(link_bytes_per_s)})"
        return warning(problem, f"{_FAST}, or several, one on each disk", **facts)
    if read < READ_USEFUL_BYTES_PER_S:
        kind = ", and the disk rotates" if rotates else ""
        return warning(f"{text}: too slow to help{kind}", _FAST, **facts)
    if not speed.is_direct:
        return warning(f"{text}, without O_DIRECT", _DIRECT, **facts)
    return ok(text, **facts)


def format_rate(bytes_per_s: float) -> str:
    """Return a rate in powers of ten, as disks and networks are sold."""
    if bytes_per_s >= 1e9:
        return f"{bytes_per_s / 1e9:.1f} GB/s"
    return f"{bytes_per_s / 1e6:.3g} MB/s"
