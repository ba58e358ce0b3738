"""Mounting, unmounting and asking, all through the public command line."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.demo.processes import Children, StageError, stop
from cloudfs_benchmarks.interpreter import python

_CLOUDFS = python("-m", "cloudfs")
_MOUNT_TIMEOUT_S = 45.0
_UMOUNT_TIMEOUT_S = 20.0
_STATUS_TIMEOUT_S = 20.0
_GONE_TIMEOUT_S = 5.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Counters:
    """What the mount has served since it started, in bytes by source, and its GET requests."""

    memory_bytes: int = 0
    disk_bytes: int = 0
    store_bytes: int = 0
    received_bytes: int = 0
    get_requests: int = 0

    @classmethod
    def of(cls, status: dict[str, Any]) -> Counters:
        """The counters in a document of `cloudfs status --json`."""
        sources, store = status["sources"], status["store"]
        return cls(
            memory_bytes=sources["memory_bytes"],
            disk_bytes=sources["disk_bytes"],
            store_bytes=sources["store_bytes"],
            received_bytes=store["received_bytes"],
            get_requests=store["requests"]["get"],
        )

    def since(self, earlier: Counters) -> Counters:
        """What was added after `earlier` was read."""
        return Counters(
            memory_bytes=self.memory_bytes - earlier.memory_bytes,
            disk_bytes=self.disk_bytes - earlier.disk_bytes,
            store_bytes=self.store_bytes - earlier.store_bytes,
            received_bytes=self.received_bytes - earlier.received_bytes,
            get_requests=self.get_requests - earlier.get_requests,
        )


def mount(children: Children, url: str, mountpoint: Path, *flags: str) -> None:
    """Mount `url` in the background; the children's stack unmounts it, even half mounted."""
    children.stack.callback(unmount, children, mountpoint)
    command = [*_CLOUDFS, "mount", url, str(mountpoint), "--background", *flags]
    children.run("mount", command, timeout_s=_MOUNT_TIMEOUT_S)
    if not is_mounted(mountpoint):
        raise children.failure("mount", f"succeeded, but nothing is mounted at {mountpoint}")


def read_counters(children: Children, mountpoint: Path) -> Counters:
    """The mount's counters now."""
    command = [*_CLOUDFS, "status", str(mountpoint), "--json"]
    output = children.read("status", command, timeout_s=_STATUS_TIMEOUT_S)
    try:
        return Counters.of(json.loads(output))
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"status printed something else than expected: {error!r}") from error


def unmount(children: Children, mountpoint: Path) -> None:
    """Unmount if mounted: `cloudfs umount`, and a lazy unmount where that did not help."""
    if not is_mounted(mountpoint):
        return
    with suppress(StageError):
        command = [*_CLOUDFS, "umount", str(mountpoint)]
        children.run("umount", command, timeout_s=_UMOUNT_TIMEOUT_S)
    if not _gone(mountpoint):
        detach(mountpoint)


def detach(mountpoint: Path) -> None:
    """Take a mount out of the tree though its daemon is stuck or dead: the last resort."""
    if not is_mounted(mountpoint):
        return
    for command in (["fusermount3", "-u", "-z"], ["umount", "-l"]):
        with suppress(OSError):
            lazy = subprocess.Popen([*command, str(mountpoint)], text=True, start_new_session=True)
            with suppress(subprocess.TimeoutExpired):
                lazy.wait(_GONE_TIMEOUT_S)
            stop(lazy)
        if _gone(mountpoint):
            return


def is_mounted(mountpoint: Path) -> bool:
    """Whether the kernel's table has a mount at this path; never touches the mount itself."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    # Temporary folders are named by us and hold no character that the table escapes.
    return any(line.split(" ")[4] == str(mountpoint) for line in table.splitlines())


def _gone(mountpoint: Path) -> bool:
    deadline_s = time.monotonic() + _GONE_TIMEOUT_S
    while is_mounted(mountpoint):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True
