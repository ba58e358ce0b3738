"""Opening of cache directories at start-up. Blocks, in a worker thread."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sqlite3
from dataclasses import dataclass

from cloudfs_cache.api import BLOCK_BYTES, CacheSetupError
from cloudfs_cache.disk import layout as directories
from cloudfs_cache.disk.access_trace import AccessTrace
from cloudfs_cache.disk.capacity import Capacity, derive_limits
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.queries import IndexQueries
from cloudfs_cache.disk.io import files
from cloudfs_cache.disk.io.executor import DEFAULT_TIMEOUTS, Timeouts
from cloudfs_cache.disk.layout import CacheDirectory
from cloudfs_cache.disk.store import DiskStore
from cloudfs_cache.disk.tier import DiskTier
from cloudfs_cache.eviction.epoch import EpochAware
from cloudfs_cache.eviction.policy import EvictionPolicy, LeastRecentlyUsed

log = logging.getLogger(__name__)

_POLICIES: dict[str, type[EvictionPolicy]] = {"epoch": EpochAware, "lru": LeastRecentlyUsed}


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """How a cache directory is to be used; None means derived from the free space.

    `eviction` is `epoch` or `lru`; `recompress` allows cold blocks to be compressed; `threads` is
    how many may use the disk at once; accesses are recorded in the file at `trace_path`.
    """

    capacity_bytes: int | None = None
    min_free_bytes: int | None = None
    eviction: str = "epoch"
    recompress: bool = True
    threads: int = 8
    trace_path: str | None = None
    timeouts: Timeouts = DEFAULT_TIMEOUTS


def open_disk_tier(path: str, store_id: str, settings: DiskSettings) -> DiskTier:
    """Become one of the mounts that use a cache directory, and clear up after those that crashed.

    Takes as long for a million blocks as for none. Raises CacheSetupError when the directory cannot
    be used or its disk is full already.
    """
    directory = directories.claim(path)
    try:
        return _open(directory, store_id, settings)
    except (OSError, sqlite3.Error) as error:
        directory.close()
        raise CacheSetupError(
            f"cache directory {path} cannot be used ({error}): check its disk, or give another "
            "--cache-dir"
        ) from error
    except BaseException:
        directory.close()
        raise


def _open(directory: CacheDirectory, store_id: str, settings: DiskSettings) -> DiskTier:
    database = _open_database(directory)
    try:
        totals = IndexQueries(database).totals()
        limits = derive_limits(
            directory.path, settings.capacity_bytes, settings.min_free_bytes, totals.used_bytes
        )
        capacity = Capacity(directory.path, limits, recompression=settings.recompress)
        if totals.used_bytes == 0:
            _check_room(directory, capacity)
        policy = _POLICIES[settings.eviction]()
        policy.restore(_learnt(totals.policy))
        store = DiskStore(directory, database, capacity, policy)
        recovered = store.recover()
    except BaseException:
        database.close()
        raise
    if recovered:
        log.info("cache directory %s: cleared up after a crash (%d)", directory.path, recovered)
    trace = AccessTrace(settings.trace_path) if settings.trace_path is not None else None
    return DiskTier(
        store,
        store_id,
        threads=settings.threads,
        recompress=settings.recompress,
        timeouts=settings.timeouts,
        trace=trace,
    )


def _check_room(directory: CacheDirectory, capacity: Capacity) -> None:
    if capacity.excess(0, BLOCK_BYTES) > 0:
        raise CacheSetupError(
            f"cache directory {directory.path} has no room: {capacity.free_bytes() >> 20} MiB of "
            f"its disk are free, {capacity.limits.min_free_bytes >> 20} MiB must stay free, and it "
            f"may take {capacity.limits.capacity_bytes >> 20} MiB: free some space, lower "
            "--min-free-space or give another --cache-dir"
        )


def _open_database(directory: CacheDirectory) -> IndexDatabase:
    """Open the index. A damaged one is deleted, with its blocks, if no other mount uses it."""
    try:
        database = IndexDatabase(directory.index)
        try:
            if _is_trustworthy(directory, database):
                return database
        except BaseException:
            database.close()
            raise
        database.close()
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code not in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise
        # SQLite says so of a disk that cannot be read, too: that is no reason to give anything up.
        files.read_through(directory.index)
    if directories.others_alive(directory):
        raise CacheSetupError(
            f"the index of cache directory {directory.path} is damaged: unmount the mounts that "
            "use it, then mount again"
        )
    log.warning("cache directory %s: its index is damaged: starting empty", directory.path)
    for suffix in ("", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(directory.index + suffix)
    shutil.rmtree(directory.objects)
    os.mkdir(directory.objects, mode=0o700)
    return IndexDatabase(directory.index)


def _is_trustworthy(directory: CacheDirectory, database: IndexDatabase) -> bool:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    queries = IndexQueries(database)
    if queries.in_use_since() not in {"", boot_id}:
        # The machine went down meanwhile. Read in the order of the file first: the check jumps
        # about in it, which takes five times as long on a file that is not in memory.
        with open(directory.index, "rb", buffering=0) as file:
            while file.read(1 << 20):
                pass
        if not database.is_sound():
            return False
        database.recount()
    queries.begin(boot_id)
    return True


def _learnt(text: str) -> dict[str, object]:
    try:
        state = json.loads(text or "{}")
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}
