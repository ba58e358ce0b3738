"""The kernel's table of mounts, and asking a mount for something without hanging with it."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from cloudfs_benchmarks.bench.errors import TargetError

_ANSWER_S = 5.0
_ESCAPE = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of the table. `options` are those of the mount and of the superblock together.

    `source` is without the secrets that a URL may have.
    """

    path: str
    filesystem: str
    source: str
    options: str


def mount_of(path: str) -> Mount:
    """The mount that an absolute path without links lies on; the path itself is not touched."""
    found = None
    for mount in mounts():
        inside = path == mount.path or path.startswith(f"{mount.path.rstrip('/')}/")
        # Of mounts on one path the last hides the others.
        if inside and (found is None or len(mount.path) >= len(found.path)):
            found = mount
    if found is None:
        raise TargetError(f"{path} is on no mount of this process: name another directory")
    return found


def mounts() -> Iterator[Mount]:
    """Every mount, in the kernel's order."""
    table = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    for line in table.splitlines():
        left, _, right = line.partition(" - ")
        of_mount = left.split(" ")
        filesystem, source, of_superblock = right.split(" ")[:3]
        options = dict.fromkeys((*of_mount[5].split(","), *of_superblock.split(",")))
        if "ro" in options:  # whichever of the two says so
            options.pop("rw", None)
        yield Mount(
            path=_unescaped(of_mount[4]),
            filesystem=_unescaped(filesystem),
            source=without_secrets(_unescaped(source)),
            options=",".join(options),
        )


def read_ahead_kb(device: int) -> int | None:
    """How much the kernel reads ahead on a filesystem, by its `st_dev`; None where it has no say.

    Partitions have the setting of their disk.
    """
    number = f"{os.major(device)}:{os.minor(device)}"
    block = os.path.realpath(f"/sys/dev/block/{number}")
    for place in (
        f"/sys/class/bdi/{number}/read_ahead_kb",
        f"{block}/queue/read_ahead_kb",
        f"{os.path.dirname(block)}/queue/read_ahead_kb",
    ):
        with suppress(OSError, ValueError):
            return int(Path(place).read_text(encoding="ascii"))
    return None


def check_answers(path: str, limit_s: float = _ANSWER_S) -> None:
    """Have another process look at a path; `TargetError` when that takes longer than `limit_s`.

    What can be found out about the path is the caller's business: after this it does not hang.
    """
    command = ["stat", "--dereference", "--", path]
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        child.wait(limit_s)
    except subprocess.TimeoutExpired:
        child.kill()
        with suppress(subprocess.TimeoutExpired):
            child.wait(1.0)  # not longer: a call that hangs in the kernel ends with the mount
        child.returncode = child.returncode if child.returncode is not None else -9
        raise TargetError(
            f"{path} does not answer within {limit_s:g} s: bring its server back, or unmount it "
            f"with 'umount -l {path}' and mount it again"
        ) from None


def without_secrets(source: str) -> str:
    """A URL without user, password, query and fragment; what is none stays as it is."""
    if "://" not in source:
        return source
    parts = urlsplit(source)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 8)), text)
