"""Interrupts of FUSE requests: detection of callers that are being killed.

The kernel sends the daemon FUSE_INTERRUPT, which pyfuse3 does not pass on, and a process waits for
a request that the daemon has read without regard to signals. So while a request waits, the pending
signals of its caller are read from /proc now and then, and a request whose caller has SIGKILL
pending is answered EINTR. (A fatal SIGTERM or SIGINT shows as SIGKILL there too.) Buffered reads
do not need this: the kernel lets a killed process leave a wait for the page cache.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_KILL_BIT: Final = 1 << (signal.SIGKILL - 1)


def is_dying(thread_id: int) -> bool:
    """Return whether a thread has SIGKILL pending or is gone; False when /proc does not show it."""
    try:
        with open(f"/proc/{thread_id}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith(("SigPnd:", "ShdPnd:")) and int(line.split()[1], 16) & _KILL_BIT:
                    return True
    except FileNotFoundError:
        return True
    except (OSError, ValueError, IndexError):
        return False
    return False


def dying_reader_of(ino: int, mount_device: tuple[int, int]) -> bool:
    """Return whether a dying process is blocked in a system call on a descriptor of this inode.

    A READ does not carry its caller, and several processes may share a descriptor, so all threads
    are checked. Expensive (a walk over /proc): only for requests that wait long.
    """
    device = os.makedev(*mount_device)
    return any(
        is_dying(thread) and _blocked_on(thread, ino, device) for thread in _blocked_threads()
    )


def _blocked_threads() -> list[int]:
    threads: list[int] = []
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                threads.extend(int(name) for name in os.listdir(f"/proc/{process}/task"))
            except OSError:
                continue
    return threads


def _blocked_on(thread_id: int, ino: int, device: int) -> bool:
    """Return whether a thread's current system call has a descriptor of the inode as its first
    argument."""
    try:
        with open(f"/proc/{thread_id}/syscall", encoding="ascii") as file:
            fields = file.read().split()
        found = _inode_of_descriptor(thread_id, int(fields[1], 16))
    except (OSError, ValueError, IndexError):
        return False
    return found == (device, ino)


def _inode_of_descriptor(thread_id: int, fd: int) -> tuple[int, int] | None:
    """Return (device, inode) of an open descriptor without a request to the mount itself."""
    with open(f"/proc/{thread_id}/fdinfo/{fd}", encoding="ascii") as file:
        info = dict(line.split(":", 1) for line in file if ":" in line)
    with open(f"/proc/{thread_id}/mountinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.split()
            if fields[0] == info["mnt_id"].strip():
                major, minor = fields[2].split(":")
                return os.makedev(int(major), int(minor)), int(info["ino"])
    return None
