"""The machine that a run was made on, and what ran on it."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from cloudfs import __version__
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import Environment
from cloudfs_benchmarks.bench.targets import libnfs
from cloudfs_benchmarks.bench.targets.mounts import mount_of

_PACKAGES = ("numpy", "h5py", "zarr", "torch", "pyvista")
_FIO_S = 10.0


def gather(paths: Iterable[str] = ()) -> Environment:
    """Look at this machine before a run; `disks` are those under `paths`, as far as they have any.

    Nothing is imported and no target is read: a package has the version that is installed.
    """
    return Environment(
        kernel=platform.release(),
        distribution=_distribution(),
        cpu=_cpu(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=_meminfo("MemTotal"),
        root=os.geteuid() == 0,
        disks=_disks(paths),
        versions=_versions(),
        page_cache_bytes=(_meminfo("Cached"), None),
        load=(os.getloadavg()[0], None),
    )


def finish(environment: Environment) -> Environment:
    """The same with the page cache and the load after the run."""
    return dataclasses.replace(
        environment,
        page_cache_bytes=(environment.page_cache_bytes[0], _meminfo("Cached")),
        load=(environment.load[0], os.getloadavg()[0]),
    )


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _meminfo(name: str) -> int:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = re.search(rf"^{name}:\s*([0-9]+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _versions() -> dict[str, str]:
    versions = {"cloudfs": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    others = {"fio": _fio(), "libnfs": libnfs.version()}
    return versions | {name: version for name, version in others.items() if version is not None}


def _fio() -> str | None:
    try:
        done = subprocess.run(
            ["fio", "--version"], capture_output=True, text=True, timeout=_FIO_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip().removeprefix("fio-") or None


def _disks(paths: Iterable[str]) -> dict[str, str]:
    """The disk under each path by the path, in words."""
    disks = {}
    for path in paths:
        with suppress(OSError, TargetError):
            disks[path] = _disk(path)
    return disks


def _disk(path: str) -> str:
    mount = mount_of(os.path.realpath(path))
    parts = [f"{mount.source} ({mount.filesystem})"]
    block = _block_device(os.stat(path).st_dev)
    if block is not None:
        parts += [_word(block / "device" / "model"), *_sizes(block)]
    return ", ".join(part for part in parts if part)


def _sizes(block: Path) -> list[str]:
    rotational = {"0": "not rotational", "1": "rotational, or a virtual disk that says so"}
    sectors = _word(block / "size")
    return [
        rotational.get(_word(block / "queue" / "rotational"), ""),
        f"{int(sectors) * 512 / 1e9:.0f} GB" if sectors.isdecimal() else "",
    ]


def _block_device(device: int) -> Path | None:
    """The whole disk that a filesystem lies on, in /sys; None for filesystems without one."""
    block = Path(os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    if not block.exists():
        return None
    return block.parent if (block / "partition").exists() else block


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
