"""The file system and the disk of a directory, and the speed of the network interface.

Nothing is written. Everything may block for as long as the file system does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cloudfs.system import mountpoints


@dataclass(frozen=True, slots=True)
class DiskInfo:
    """The file system of a directory. `rotates` and `discards` are None where unknown."""

    fstype: str
    source: str
    rotates: bool | None
    discards: bool | None


def nearest_existing(path: Path) -> Path:
    """Return the directory itself, or the nearest one above that exists."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def disk_info(path: Path) -> DiskInfo:
    """Return the disk of an existing directory."""
    real = Path(os.path.realpath(path))
    holding = [mount for mount in mountpoints.mounts() if real.is_relative_to(mount.path)]
    # Of several at one path the last one is on top.
    mount = max(reversed(holding), key=lambda mount: len(mount.path.parts))
    queue = _queue(os.stat(real).st_dev)
    rotates, discarded = _number(queue, "rotational"), _number(queue, "discard_max_bytes")
    return DiskInfo(
        fstype=mount.fstype,
        source=mount.source,
        rotates=None if rotates is None else rotates > 0,
        discards=None if discarded is None else discarded > 0,
    )


def free_bytes(path: Path) -> int:
    """Return the free bytes for ordinary users on the file system of an existing directory."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def _queue(device: int) -> Path:
    """Return the folder of the queue settings of a device; for a partition that of its disk."""
    folder = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    is_partition = (folder / "partition").exists()
    return (folder.parent if is_partition else folder) / "queue"


def _number(queue: Path, name: str) -> int | None:
    try:
        return int((queue / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def link_bytes_per_s(folder: Path = Path("/sys/class/net")) -> float | None:
    """Return the speed of the fastest network interface; None where no driver reports one."""
    speeds = []
    for interface in folder.iterdir() if folder.is_dir() else ():
        try:
            text = (interface / "speed").read_text(encoding="ascii").strip()
        except OSError:
            continue
        # Drivers of virtual machines report -1 for unknown.
        if re.fullmatch(r"[1-9][0-9]*", text):
            speeds.append(int(text) * 1_000_000 / 8)
    return max(speeds, default=None)
