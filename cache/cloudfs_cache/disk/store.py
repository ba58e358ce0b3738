"""The block store of one cache directory: index and data files kept in step.

Worker threads only; any number at a time. Errors are OSError or sqlite3.Error, and leave an intent
behind at worst, which is cleared at once or when this mount is gone. What the loop knows of objects
is not touched here: results say what changed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cloudfs_cache.api import ObjectVersion
from cloudfs_cache.disk import layout
from cloudfs_cache.disk.capacity import Capacity
from cloudfs_cache.disk.evictor import Evicted, Evictor, SharedPolicy
from cloudfs_cache.disk.format.checksums import block_seed, chunk_checksums
from cloudfs_cache.disk.format.codec import Codec
from cloudfs_cache.disk.format.records import BlockRecord, object_files
from cloudfs_cache.disk.index.blocks import DiskIndex
from cloudfs_cache.disk.index.database import IndexDatabase
from cloudfs_cache.disk.index.pins import Pins
from cloudfs_cache.disk.index.queries import IndexQueries
from cloudfs_cache.disk.index.rows import IndexTotals, Intent, ReserveRefusal, allocated
from cloudfs_cache.disk.io import files as disk_files
from cloudfs_cache.disk.layout import CacheDirectory
from cloudfs_cache.eviction.policy import AccessRecord, EvictionPolicy


@dataclass(frozen=True, slots=True)
class WriteJob:
    """Adjacent full blocks of a version: those of `buffers`, from block `first` on.

    `accesses` has the record of each of their extents; the newcomer's is `accesses` of the first.
    `forced` blocks are written whatever has to go for them.
    """

    version: ObjectVersion
    digest: bytes
    first: int
    buffers: Sequence[memoryview]
    lengths: Sequence[int]
    accesses: Mapping[int, AccessRecord]
    newcomer: AccessRecord
    pinned: bool
    forced: bool
    clock: int


_ROOM_ATTEMPTS = 4


class Outcome(Enum):
    """What became of a write. SKIPPED: another mount changes these blocks, or takes the space."""

    WRITTEN = "written"
    REJECTED = "rejected"
    SKIPPED = "skipped"


@dataclass(slots=True)
class WriteResult:
    """The blocks that are on the disk now, and what was evicted for them."""

    outcome: Outcome
    object_id: int | None = None
    records: dict[int, BlockRecord] = field(default_factory=dict)
    evicted: Evicted = field(default_factory=Evicted)
    used_bytes: int = 0


class Verdict(Enum):
    """Why a block that the in-memory record lists failed validation on disk."""

    GONE = "evicted, recompressed or written by another mount"
    BUSY = "being changed"
    WRONG = "missing or corrupt"


class DiskStore:
    """One cache directory, opened."""

    def __init__(
        self,
        claimed: CacheDirectory,
        database: IndexDatabase,
        capacity: Capacity,
        policy: EvictionPolicy,
    ) -> None:
        self.directory = claimed
        self.capacity = capacity
        self.policy = SharedPolicy(policy)
        self.index = DiskIndex(database, claimed.owner)
        self.queries = IndexQueries(database)
        self.pins = Pins(database)
        self.evictor = Evictor(self.index, self.queries, capacity, self.policy, self.finish)
        self._database = database
        self._unfinished: deque[Intent] = deque()

    def close(self) -> None:
        """Close the index and give the directory up; no thread may be inside."""
        try:
            if not layout.others_alive(self.directory):
                self.queries.end()
        finally:
            self._database.close()
            self.directory.close()

    def write(self, job: WriteJob) -> WriteResult:
        """Put blocks on the disk, making room if need be."""
        result = WriteResult(Outcome.SKIPPED)
        intent = self._make_room_and_reserve(job, result)
        if intent is not None:
            with self.rolled_back_on_error(intent):
                result.records = self._write(job)
                if not self.index.commit(intent, result.records, job.accesses):
                    self.finish(intent)
            result.outcome = Outcome.WRITTEN
            result.object_id = intent.object_id
        return result

    def verdict(
        self, object_id: int, digest: bytes, index: int, record: BlockRecord
    ) -> tuple[Verdict, BlockRecord | None]:
        """Find out why a block was not readable, and how it is stored now if it is.

        One that is wrong is dropped.
        """
        known, busy = self.index.record(object_id, index)
        if busy:
            return Verdict.BUSY, None
        if known != record:
            return Verdict.GONE, known
        intent = self.index.claim(object_id, digest, index, record)
        if intent is None:
            return Verdict.BUSY, None
        with self.rolled_back_on_error(intent):
            # It may have been evicted when it was read, and written again since.
            files = object_files(self.directory.objects, digest)
            sound = disk_files.is_sound(disk_files.StoredBlock(files, digest, index, record))
            if not sound:
                self.index.drop(intent)
            self.finish(intent)
        return (Verdict.GONE, record) if sound else (Verdict.WRONG, None)

    def evict(self, extent_ids: Sequence[int]) -> Evicted:
        """Evict the extents of these rows, less those in use or pinned."""
        evicted = Evicted()
        self.evictor.remove(self.queries.extents(extent_ids), evicted)
        return evicted

    def finish(self, intent: Intent) -> None:
        """Bring the files in line with the rows and end the intent, now or when `tidy` can."""
        try:
            self._bring_in_line(intent)
            self.index.settle([intent])
        except (OSError, sqlite3.Error):
            self._unfinished.append(intent)
            raise

    def recover(self) -> int:
        """At the start: end what mounts that are gone had begun; returns how many things that
        were. An earlier mount with this mount's number is gone, too."""
        return self._recover(self.directory.owner) + self.tidy()

    def tidy(self) -> int:
        """End what the disk has not let this mount end, and what mounts that are gone had begun."""
        self._end_unfinished()
        return sum(map(self._recover, self.directory.dead_owners()))

    def probe(self) -> bool:
        """Use the disk in every way, to see whether it works again.

        Not only statvfs or open: those may answer for a disk that is dead.
        """
        disk_files.try_reading(self.directory.index)
        disk_files.try_out(os.path.join(self.directory.path, "mounts", str(self.directory.owner)))
        self.queries.note_accesses([], 0, None)
        self.tidy()
        return True

    def _end_unfinished(self) -> bool:
        """End what the disk has not let this mount end; True when there was anything."""
        ended = False
        while True:
            try:
                intent = self._unfinished.popleft()
            except IndexError:  # not asked before: several threads may be at it
                return ended
            self.finish(intent)
            ended = True

    def _recover(self, owner: int) -> int:
        intents = self.index.intents_of(owner)
        for intent in intents:
            self.finish(intent)
        return len(intents)

    def _bring_in_line(self, intent: Intent) -> None:
        present = self.index.present(intent)
        files = object_files(self.directory.objects, intent.digest)
        if not intent.whole_object:
            disk_files.clear(files, range(intent.first, intent.first + intent.count), present)
            if present or not self.index.widen(intent):
                return
        disk_files.remove(files)

    def _make_room_and_reserve(self, job: WriteJob, result: WriteResult) -> Intent | None:
        size = sum(map(allocated, job.lengths))
        for _ in range(_ROOM_ATTEMPTS):
            intent = self._reserve(job, size, result)
            if intent is ReserveRefusal.BUSY:
                # Perhaps by what a failed write of our own left, and not by another mount.
                if not self._end_unfinished():
                    return None
                continue
            if isinstance(intent, Intent):
                return intent
            # Other writers may take the room that was made: then it is made again.
            newcomer = None if job.forced or job.pinned else job.newcomer
            evicted = self.evictor.make(size, newcomer, job.clock)
            result.evicted.extents += evicted.extents
            if not evicted.enough:
                result.outcome = Outcome.REJECTED
                return None
        return None

    def _reserve(self, job: WriteJob, size: int, result: WriteResult) -> Intent | ReserveRefusal:
        def fits(now: IndexTotals) -> bool:
            fitting = self.capacity.excess(now.used_bytes, size, now.announced_bytes) == 0
            result.used_bytes = now.used_bytes + (size if fitting else 0)
            return fitting

        return self.index.reserve(
            job.version,
            job.digest,
            range(job.first, job.first + len(job.lengths)),
            size,
            pinned=job.pinned,
            fits=fits,
        )

    def _write(self, job: WriteJob) -> dict[int, BlockRecord]:
        files = object_files(self.directory.objects, job.digest)
        # Before the bytes are written: should the buffer change meanwhile, the block is wrong and
        # not silently another one.
        records = {
            index: BlockRecord(
                length, Codec.RAW, chunk_checksums(buffer[:length], block_seed(job.digest, index))
            )
            for index, (buffer, length) in enumerate(
                zip(job.buffers, job.lengths, strict=True), job.first
            )
        }
        disk_files.write_blocks(files.raw, job.first, job.buffers, job.lengths)
        return records

    @contextlib.contextmanager
    def rolled_back_on_error(self, intent: Intent) -> Iterator[None]:
        """Undo what an intent's body did to the files when the disk fails in it."""
        try:
            yield
        except (OSError, sqlite3.Error):
            # If that fails too, the intent is ended later, at the latest by the next mount.
            with contextlib.suppress(OSError, sqlite3.Error):
                self.finish(intent)
            raise
