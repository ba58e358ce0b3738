"""Recompression of cold extents with lz4, so that more fits before anything has to be evicted.

Blocking, for worker threads; one extent at a time. The compressed blocks go into a file of their
own, and the raw ones are freed once the index points to the new ones, so a reader finds either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.disk.format.checksums import block_seed, chunk_checksums
from cloudfs_cache.disk.format.codec import Codec, encode, probe
from cloudfs_cache.disk.format.records import EXTENT_BLOCKS, BlockRecord, ObjectFiles, object_files
from cloudfs_cache.disk.index.rows import ExtentRow, ReserveRefusal, allocated
from cloudfs_cache.disk.io import files as disk_files
from cloudfs_cache.disk.store import DiskStore
from cloudfs_cache.eviction.policy import AccessRecord

START_FRACTION: Final = 0.9
"""Recompression begins when this much of the capacity is used."""

_PROBES: Final = 3

Blocks: TypeAlias = list[tuple[int, BlockRecord]]


@dataclass(slots=True)
class Recompressed:
    """An extent that was examined (None: nothing to do), and its compressed blocks' new records."""

    extent: ExtentRow | None = None
    records: dict[int, BlockRecord] = field(default_factory=dict)
    saved_bytes: int = 0


class Recompressor:
    """Looks at the least worthy extents of one cache directory.

    One thread at a time, and not again after a stall: that thread may still use the buffer.
    """

    def __init__(self, store: DiskStore) -> None:
        self._store = store
        self._block = disk_files.scratch_block()

    def step(self, clock: int) -> Recompressed:
        """Recompress one extent that was not examined yet, if space is getting short."""
        store = self._store
        used = store.queries.totals().used_bytes
        if used < store.capacity.limits.capacity_bytes * START_FRACTION:
            return Recompressed()
        sample = [c for c in store.evictor.sample() if not c.key.recompressed]
        chosen = store.policy.least_worthy(sample, clock)
        return Recompressed() if chosen is None else self._recompress(chosen.key, chosen.record)

    def _recompress(self, extent: ExtentRow, access: AccessRecord) -> Recompressed:
        index = self._store.index
        loaded = index.load(extent.digest)
        if loaded is None:
            return Recompressed()
        numbers = range(extent.number * EXTENT_BLOCKS, (extent.number + 1) * EXTENT_BLOCKS)
        raw = [
            (number, record)
            for number in numbers
            if (record := loaded.records.get(number)) is not None and record.codec is Codec.RAW
        ]
        done = Recompressed(extent)
        if self._pays(extent, raw):
            step = max(1, self._store.capacity.spare_bytes // BLOCK_BYTES)
            for at in range(0, len(raw), step):
                if not self._recompress_some(done, extent, raw[at : at + step], access):
                    # No room, or another mount is at it: nothing to do now, unless some was done.
                    return done if done.records else Recompressed()
        index.mark_recompressed(extent)
        return done

    def _pays(self, extent: ExtentRow, raw: Blocks) -> bool:
        """Look at a few blocks: data of one extent is mostly of one kind."""
        looked_at = raw[:: max(1, len(raw) // _PROBES)]
        return any(
            self._read(extent, number, record)
            and probe(self._block[: record.stored]) is not Codec.RAW
            for number, record in looked_at
        )

    def _recompress_some(
        self, done: Recompressed, extent: ExtentRow, raw: Blocks, access: AccessRecord
    ) -> bool:
        store = self._store
        size = sum(allocated(record.stored) for _, record in raw)
        blocks = range(raw[0][0], raw[-1][0] + 1)
        intent = store.index.reserve_recompression(
            extent,
            blocks,
            size,
            lambda now: store.capacity.fits_with_spare(now.used_bytes, size, now.announced_bytes),
        )
        if isinstance(intent, ReserveRefusal):
            return False
        with store.rolled_back_on_error(intent):
            files = object_files(store.directory.objects, extent.digest)
            records = {}
            for number, record in raw:
                recompressed = self._recompress_block(files, extent, number, record)
                if recompressed is not None:
                    records[number] = recompressed
                    done.saved_bytes += allocated(record.stored) - allocated(recompressed.stored)
            store.index.commit(intent, records, {extent.number: access})
            store.finish(intent)
        done.records.update(records)
        return True

    def _recompress_block(
        self, files: ObjectFiles, extent: ExtentRow, number: int, record: BlockRecord
    ) -> BlockRecord | None:
        if not self._read(extent, number, record):
            return None
        block = self._block[: record.stored]
        codec = probe(block)
        stored = None if codec is Codec.RAW else encode(codec, block)
        if stored is None:
            return None
        disk_files.write_recompressed(files.recompressed, number, stored)
        checksums = chunk_checksums(stored, block_seed(extent.digest, number))
        return BlockRecord(len(stored), codec, checksums)

    def _read(self, extent: ExtentRow, number: int, record: BlockRecord) -> bool:
        files = object_files(self._store.directory.objects, extent.digest)
        read = disk_files.BlockRead(number, record, record.stored, self._block)
        return disk_files.read_blocks(files, extent.digest, [read]) == [True]
