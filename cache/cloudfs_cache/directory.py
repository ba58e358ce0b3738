"""The cache directory on disk: its layout, its lock, and what it holds at start-up.

    DIR/CACHEDIR.TAG              tells backup tools to skip it
    DIR/cloudfs-cache.json        {"format": 1}; another format is refused, never deleted
    DIR/NAME-HASH/N/              one slot: NAME and HASH name the store, N counts from 0
        lock                      held (flock) by the mount that uses the slot
        objects/ab/abcd….data     blocks of one object version, sparse, each at its own offset
        objects/ab/abcd….index    which blocks are there (see disk_index.py)

Directories are 0700, files 0600. Mounts of one store take the first free slot, so a restart finds
its blocks again. All functions block: worker threads or start-up only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from dataclasses import dataclass

from cloudfs_cache import disk_index
from cloudfs_cache.api import BLOCK_BYTES, CacheSetupError
from cloudfs_cache.disk_object import EXTENT_BLOCKS, object_paths

_SLOTS_MAX = 64
_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# A cache of cloudfs: safe to delete.\n"


@dataclass(frozen=True, slots=True)
class Slot:
    """A locked slot. The lock lasts as long as `lock_fd` is open."""

    directory: str
    objects: str
    lock_fd: int


@dataclass(frozen=True, slots=True)
class FoundExtent:
    """An extent that was on disk at start-up, with its last use (seconds since the epoch)."""

    digest: str
    number: int
    size_bytes: int
    used_at: float


def claim_slot(directory: str, store_url: str) -> Slot:
    """Create what is missing of the layout and lock the first free slot of this store.

    Raises CacheSetupError naming the directory and the fix.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _check_format(directory)
        return _lock_free_slot(os.path.join(directory, _store_name(store_url)), store_url)
    except OSError as error:
        raise CacheSetupError(
            f"cache directory {directory} cannot be used ({error.strerror}): "
            "give a writable directory with --cache-dir"
        ) from error


def scan(slot: Slot) -> list[FoundExtent]:
    """Return what the slot holds, least recently used first."""
    found: list[FoundExtent] = []
    for shard in os.scandir(slot.objects):
        for entry in os.scandir(shard.path):
            digest, extension = os.path.splitext(entry.name)
            if extension == ".index":
                found.extend(_extents(slot.objects, digest, entry.stat().st_mtime))
    return sorted(found, key=lambda extent: extent.used_at)


def _extents(objects: str, digest: str, used_at: float) -> list[FoundExtent]:
    data_path, index_path = object_paths(objects, digest)
    try:
        allocated = os.stat(data_path).st_blocks * 512
        with open(index_path, "rb") as file:
            indices = disk_index.decode_indices(file.read())
    except FileNotFoundError:
        return []
    sizes: dict[int, int] = {}
    for index in indices:
        number = index // EXTENT_BLOCKS
        sizes[number] = sizes.get(number, 0) + BLOCK_BYTES
    # The last block may be short: what the file system allocated bounds the sum.
    return [
        FoundExtent(digest, number, min(size, allocated), used_at) for number, size in sizes.items()
    ]


def _check_format(directory: str) -> None:
    path = os.path.join(directory, "cloudfs-cache.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file).get("format")
    except FileNotFoundError:
        _write_private(path, json.dumps({"format": disk_index.FORMAT}) + "\n")
        _write_private(os.path.join(directory, "CACHEDIR.TAG"), _TAG)
        return
    except (ValueError, AttributeError):
        found = None
    if found != disk_index.FORMAT:
        raise CacheSetupError(
            f"cache directory {directory} has layout {found!r}, this version writes "
            f"{disk_index.FORMAT}: give another --cache-dir or delete the directory"
        )


def _write_private(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        file.write(text)


def _store_name(store_url: str) -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", store_url.split("://", 1)[-1]).strip("-.")[:40]
    return f"{readable}-{hashlib.blake2b(os.fsencode(store_url), digest_size=4).hexdigest()}"


def _lock_free_slot(store_directory: str, store_url: str) -> Slot:
    for number in range(_SLOTS_MAX):
        directory = os.path.join(store_directory, str(number))
        objects = os.path.join(directory, "objects")
        os.makedirs(objects, mode=0o700, exist_ok=True)
        lock_fd = os.open(
            os.path.join(directory, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock_fd)
            continue
        return Slot(directory, objects, lock_fd)
    raise CacheSetupError(
        f"all {_SLOTS_MAX} slots of {store_directory} are in use by mounts of {store_url}: "
        "unmount one or give this mount its own --cache-dir"
    )
