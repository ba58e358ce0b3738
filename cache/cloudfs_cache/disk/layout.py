"""On-disk layout of a cache directory, and the mounts that share it.

    DIR/CACHEDIR.TAG             tells backup tools to skip it
    DIR/cloudfs-cache.json       {"format": 2}; another format is refused, never deleted
    DIR/index.sqlite             what is there and what was accessed when (see disk_index.py)
    DIR/mounts/N                 held (flock) by the mount that is owner N; empty
    DIR/objects/ab/abcd….raw     blocks of one object version, sparse, each at its own offset
    DIR/objects/ab/abcd….lz4     those of its blocks that were recompressed, at the same offsets
    DIR/catalog/                 attributes and listings (see catalog.py)

Directories are 0700, files 0600. Any number of mounts share a directory: the index serialises what
they do, and the locks tell who is alive. All functions block: worker threads or start-up only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from cloudfs_cache.api import CacheSetupError

FORMAT = 2
_OWNERS_MAX = 256
_MARKER = "cloudfs-cache.json"
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of cloudfs: safe to delete.\n"


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """A cache directory in use. The lock of `owner` lasts as long as `lock_fd` is open."""

    path: str
    owner: int
    lock_fd: int

    @property
    def objects(self) -> str:
        """Where the data files are."""
        return os.path.join(self.path, "objects")

    @property
    def index(self) -> str:
        """The database."""
        return os.path.join(self.path, "index.sqlite")

    def close(self) -> None:
        """Stop being an owner."""
        os.close(self.lock_fd)

    def dead_owners(self) -> Iterator[int]:
        """Yield the owners whose process is gone, each locked while the caller looks at it."""
        for name in os.listdir(os.path.join(self.path, "mounts")):
            if not name.isdigit() or int(name) == self.owner:
                continue
            fd = _lock(os.path.join(self.path, "mounts", name))
            if fd is not None:
                try:
                    yield int(name)
                finally:
                    os.close(fd)


def claim(path: str) -> CacheDirectory:
    """Create what is missing of the layout and become an owner of the directory.

    Raises CacheSetupError naming the directory and the fix.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        _check_format(path)
        for name in ("objects", "mounts"):
            os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
        return _become_owner(path)
    except OSError as error:
        raise CacheSetupError(
            f"cache directory {path} cannot be used ({error.strerror}): "
            "give a writable directory with --cache-dir"
        ) from error


def others_alive(directory: CacheDirectory) -> bool:
    """Whether another mount uses the directory now."""
    names = os.listdir(os.path.join(directory.path, "mounts"))
    known = {int(name) for name in names if name.isdigit()} - {directory.owner}
    return bool(known - set(directory.dead_owners()))


def is_cache(path: str) -> bool:
    """Whether the directory is a cache of some format."""
    return os.path.exists(os.path.join(path, _MARKER))


def problem_of(path: str) -> str | None:
    """Return why the existing directory cannot be used, None for a cache or what may become one.

    Nothing is written. May raise OSError.
    """
    if is_cache(path):
        found = _format_of(os.path.join(path, _MARKER))
        if found == FORMAT:
            return None
        return f"cache directory {path} has layout {found!r}, this version writes {FORMAT}"
    # Another mount may be writing the marker at this very point, or have crashed there.
    foreign = sorted(
        name for name in os.listdir(path) if name != "lost+found" and not name.startswith(_MARKER)
    )
    if not foreign or is_cache(path):
        return None
    return f"cache directory {path} holds something else ({foreign[0]})"


def _check_format(path: str) -> None:
    if not is_cache(path):
        if problem := problem_of(path):
            fix = "give an empty directory with --cache-dir"
            raise CacheSetupError(f"{problem}: {fix}")
        _write_private(os.path.join(path, _MARKER), json.dumps({"format": FORMAT}) + "\n")
        _write_private(os.path.join(path, "CACHEDIR.TAG"), _TAG)
    if problem := problem_of(path):
        fix = "give another --cache-dir or delete the directory"
        raise CacheSetupError(f"{problem}: {fix}")


def _format_of(marker: str) -> object:
    try:
        with open(marker, encoding="utf-8") as file:
            return json.load(file).get("format")
    except (ValueError, AttributeError):
        return None


def _write_private(path: str, text: str) -> None:
    # Two mounts may start at once: each writes the same text to a file of its own.
    folder, name = os.path.split(path)
    fd, temporary = tempfile.mkstemp(prefix=f"{_MARKER}.{name}.", dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(temporary, path)


def _become_owner(path: str) -> CacheDirectory:
    for number in range(_OWNERS_MAX):
        fd = _lock(os.path.join(path, "mounts", str(number)))
        if fd is not None:
            return CacheDirectory(path, number, fd)
    raise CacheSetupError(
        f"{_OWNERS_MAX} mounts use the cache directory {path} already: unmount one or give this "
        "mount its own --cache-dir"
    )


def _lock(path: str) -> int | None:
    """Open and lock a file; None when another process has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd
    os.close(fd)
    return None
