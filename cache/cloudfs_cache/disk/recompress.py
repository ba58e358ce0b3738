"""Recodes cold extents with lz4, so that more fits before anything has to be evicted.

Blocking, for worker threads; one extent at a time. The recoded bytes go into a file of their own
and the raw ones are given back after the index points to the new ones, so a reader finds either.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.disk import files as disk_io
from cloudfs_cache.disk.format.checksums import block_seed, piece_sums
from cloudfs_cache.disk.format.codec import Codec, encode, probe
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, BlockRecord, ObjectFiles, object_files
from cloudfs_cache.disk.index.rows import ExtentRow, Refusal, allocated
from cloudfs_cache.disk.store import DiskStorage
from cloudfs_cache.eviction.policy import VisitRecord

START_FRACTION: Final = 0.9
"""Recoding begins when this much of the capacity is used."""

_PROBES: Final = 3

Blocks: TypeAlias = list[tuple[int, BlockRecord]]


@dataclass(slots=True)
class Recoded:
    """An extent that was looked at (None: there was nothing to do), and how its recoded blocks are
    stored now."""

    extent: ExtentRow | None = None
    records: dict[int, BlockRecord] = field(default_factory=dict)
    saved_bytes: int = 0


class Recoder:
    """Looks at the least worthy extents of one cache directory.

    One thread at a time, and not again after a stall: that thread may still use the buffer.
    """

    def __init__(self, storage: DiskStorage) -> None:
        self._storage = storage
        self._block = memoryview(mmap.mmap(-1, BLOCK_BYTES, mmap.MAP_PRIVATE))

    def step(self, clock: int) -> Recoded:
        """Recode one extent that was not looked at yet, if room is getting short."""
        storage = self._storage
        used = storage.survey.totals().used_bytes
        if used < storage.space.limits.capacity_bytes * START_FRACTION:
            return Recoded()
        sample = [c for c in storage.room.sample() if not c.key.recoded]
        chosen = storage.policy.least_worthy(sample, clock)
        return Recoded() if chosen is None else self._recode(chosen.key, chosen.record)

    def _recode(self, extent: ExtentRow, visit: VisitRecord) -> Recoded:
        index = self._storage.index
        loaded = index.load(extent.digest)
        if loaded is None:
            return Recoded()
        numbers = range(extent.number * EXTENT_BLOCKS, (extent.number + 1) * EXTENT_BLOCKS)
        raw = [
            (number, record)
            for number in numbers
            if (record := loaded.records.get(number)) is not None and record.codec is Codec.RAW
        ]
        done = Recoded(extent)
        if self._pays(extent, raw):
            step = max(1, self._storage.space.spare_bytes // BLOCK_BYTES)
            for at in range(0, len(raw), step):
                if not self._recode_some(done, extent, raw[at : at + step], visit):
                    # No room, or another mount is at it: nothing to do now, unless some was done.
                    return done if done.records else Recoded()
        index.mark_recoded(extent)
        return done

    def _pays(self, extent: ExtentRow, raw: Blocks) -> bool:
        """Look at a few blocks: data of one extent is mostly of one kind."""
        looked_at = raw[:: max(1, len(raw) // _PROBES)]
        return any(
            self._read(extent, number, record)
            and probe(self._block[: record.stored]) is not Codec.RAW
            for number, record in looked_at
        )

    def _recode_some(
        self, done: Recoded, extent: ExtentRow, raw: Blocks, visit: VisitRecord
    ) -> bool:
        storage = self._storage
        size = sum(allocated(record.stored) for _, record in raw)
        blocks = range(raw[0][0], raw[-1][0] + 1)
        intent = storage.index.reserve_recoding(
            extent,
            blocks,
            size,
            lambda now: storage.space.fits_with_spare(now.used_bytes, size, now.announced_bytes),
        )
        if isinstance(intent, Refusal):
            return False
        with storage.rolled_back_on_error(intent):
            files = object_files(storage.directory.objects, extent.digest)
            records = {}
            for number, record in raw:
                recoded = self._recode_block(files, extent, number, record)
                if recoded is not None:
                    records[number] = recoded
                    done.saved_bytes += allocated(record.stored) - allocated(recoded.stored)
            storage.index.commit(intent, records, {extent.number: visit})
            storage.finish(intent)
        done.records.update(records)
        return True

    def _recode_block(
        self, files: ObjectFiles, extent: ExtentRow, number: int, record: BlockRecord
    ) -> BlockRecord | None:
        if not self._read(extent, number, record):
            return None
        block = self._block[: record.stored]
        codec = probe(block)
        stored = None if codec is Codec.RAW else encode(codec, block)
        if stored is None:
            return None
        disk_io.write_recoded(files.recoded, number, stored)
        sums = piece_sums(stored, block_seed(extent.digest, number))
        return BlockRecord(len(stored), codec, sums)

    def _read(self, extent: ExtentRow, number: int, record: BlockRecord) -> bool:
        files = object_files(self._storage.directory.objects, extent.digest)
        wanted = disk_io.Wanted(number, record, record.stored, self._block)
        return disk_io.read_blocks(files, extent.digest, [wanted]) == [True]
