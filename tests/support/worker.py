"""Isolation of a test worker: a mount table and a /run/cloudfs of its own.

`cloudfs status` without a path shows every mount of the machine, and a mount's socket lies in
/run/cloudfs: tests of two workers would see each other's.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_SOCKETS = Path("/run/cloudfs")


def is_worker() -> bool:
    """Return whether this process runs a share of the tests beside others."""
    return "PYTEST_XDIST_WORKER" in os.environ


def have_mounts_of_its_own() -> None:
    """Put this process and all it starts into a mount namespace. Without root nothing is done."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    _SOCKETS.mkdir(mode=0o700, exist_ok=True)
    # Private, or mounts made here would appear in the namespaces of all other processes.
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0700", "cloudfs", _SOCKETS], check=True)


def group_of(path: str) -> str:
    """Return the group of the tests of a file: a group stays with one worker.

    A file's fixtures are made once then; and what empties the machine's page cache must not run
    beside what looks at it.
    """
    of_the_page_cache = ("tests/demo/", "tests/fuse/", "tests/unit/benchmarks/bench/")
    return "page cache" if path.startswith(of_the_page_cache) else path
