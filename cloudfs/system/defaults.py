"""Defaults from the machine: the memory limit, and the folders of sockets, logs and the cache.

Reads /proc, the control groups and the environment; creates nothing.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import platformdirs

from cloudfs.units import GIB, MIB

MEMORY_LIMIT_MIN: Final = 64 * MIB
MEMORY_LIMIT_MAX: Final = 1 * GIB
MEMORY_SHARE: Final = 8

_ROOT_RUNTIME_DIRECTORY: Final = Path("/run/cloudfs")
_ROOT_CACHE_DIRECTORY: Final = Path("/var/cache/cloudfs")
_ROOT_LOG_DIRECTORY: Final = Path("/var/log/cloudfs")


def memory_limit(root: Path = Path("/")) -> int:
    """Return 1/8 of the memory that this process may use, within 64 MiB and 1 GiB."""
    share = usable_memory(root) // MEMORY_SHARE
    return max(MEMORY_LIMIT_MIN, min(MEMORY_LIMIT_MAX, share))


def usable_memory(root: Path = Path("/")) -> int:
    """Return the bytes of RAM, or the smallest limit of the control groups above this process."""
    ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([ram, *_cgroup_limits(root)])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Yield the memory limits of this process's group and of every group above it."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if controllers == "":
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # In a container the path may be the host's, of which only `base` is visible.
        folder = base / group.lstrip("/")
        for file in (level / name for level in (folder, *folder.parents)):
            text = _read(file).strip() if base in file.parents else ""
            if text.isdigit():
                yield int(text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def runtime_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the control sockets of mounts started with this environment."""
    given = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    return _ROOT_RUNTIME_DIRECTORY if os.geteuid() == 0 else _user_runtime_directory()


def _user_runtime_directory() -> Path:
    with warnings.catch_warnings():
        # Its warning that it falls back to a private folder below /tmp is of no use here.
        warnings.simplefilter("ignore")
        return Path(platformdirs.user_runtime_dir("cloudfs"))


def runtime_directories(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """Return the folders where mounts of this machine may have sockets, the likeliest first.

    A mount started by systemd and a command typed by its owner have different environments, and
    root administers the mounts of all users.
    """
    found = [runtime_directory(environ), _ROOT_RUNTIME_DIRECTORY]
    found += sorted(path for path in _ROOT_RUNTIME_DIRECTORY.glob("*") if path.is_dir())
    if os.geteuid() == 0:
        found += sorted(Path("/run/user").glob("*/cloudfs"))
    else:
        found.append(_user_runtime_directory())
    return list(dict.fromkeys(found))


def mountpoint_digest(mountpoint: Path) -> str:
    """Return 16 hexadecimal digits that identify a canonical mountpoint in file names."""
    return hashlib.sha256(os.fsencode(mountpoint)).hexdigest()[:16]


def background_log_file(mountpoint: Path, environ: Mapping[str, str] = os.environ) -> Path:
    """Return where a mount in the background logs to when no file was given."""
    given = environ.get("LOGS_DIRECTORY") or environ.get("STATE_DIRECTORY", "")
    if given:
        folder = Path(given.split(":")[0])
    elif os.geteuid() == 0:
        folder = _ROOT_LOG_DIRECTORY
    else:
        folder = Path(platformdirs.user_log_dir("cloudfs"))
    name = re.sub(r"[^A-Za-z0-9._-]", "_", mountpoint.name)[:64] or "root"
    return folder / f"{name}-{mountpoint_digest(mountpoint)[:8]}.log"


def cache_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the SSD tier is kept when `--cache-dir` is not given."""
    if given := environ.get("CACHE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return _ROOT_CACHE_DIRECTORY
    return Path(platformdirs.user_cache_dir("cloudfs"))
