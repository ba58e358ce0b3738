"""Where a directory lies: its file system, its disk, and what a quick look says of either.

Nothing here writes. Everything may block for as long as the file system does.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from cloudfs.system import mountpoints


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of a directory. `rotates` and `discards` are None where nobody tells.

    `below` is the mountpoint of the file system.
    """

    fstype: str
    source: str
    below: Path
    rotates: bool | None
    discards: bool | None


def existing(path: Path) -> Path:
    """Return the directory itself, or the nearest one above that exists."""
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))


def disk_of(path: Path) -> Disk:
    """Return the disk of an existing directory."""
    real = Path(os.path.realpath(path))
    holding = [mount for mount in mountpoints.mounts() if real.is_relative_to(mount.path)]
    # Of several at one path the last one is on top.
    mount = max(reversed(holding), key=lambda mount: len(mount.path.parts))
    queue = _queue(os.stat(real).st_dev)
    rotates, discarded = _number(queue, "rotational"), _number(queue, "discard_max_bytes")
    return Disk(
        fstype=mount.fstype,
        source=mount.source,
        below=mount.path,
        rotates=None if rotates is None else rotates > 0,
        discards=None if discarded is None else discarded > 0,
    )


def free_bytes(path: Path) -> int:
    """Return what an ordinary user can still write to the file system of an existing directory."""
    state = os.statvfs(path)
    return state.f_bavail * state.f_frsize


def _queue(device: int) -> Path:
    """Return the folder of the settings of a device; a partition has them in its disk's."""
    folder = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    is_partition = (folder / "partition").exists()
    return (folder.parent if is_partition else folder) / "queue"


def _number(queue: Path, name: str) -> int | None:
    try:
        return int((queue / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def link_bytes_per_s(folder: Path = Path("/sys/class/net")) -> float | None:
    """Return the speed of the fastest network interface; None where no driver tells it."""
    speeds = []
    for interface in folder.iterdir() if folder.is_dir() else ():
        try:
            text = (interface / "speed").read_text(encoding="ascii").strip()
        except OSError:
            continue
        # Drivers of virtual machines say -1, which is "unknown".
        if re.fullmatch(r"[1-9][0-9]*", text):
            speeds.append(int(text) * 1_000_000 / 8)
    return max(speeds, default=None)
