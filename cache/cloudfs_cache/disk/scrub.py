"""Verification: reads every block of a store, drops the corrupt ones, deletes stray files.

Blocking, for worker threads: `begin`, then `step` until it returns False. Reads and evictions go on
meanwhile: a block that changes while it is read is no fault.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Final

from cloudfs_cache.api import ObjectVersion, VerifyProgress, VerifyReport
from cloudfs_cache.disk.format.records import BlockRecord, object_files
from cloudfs_cache.disk.io import files as disk_files
from cloudfs_cache.disk.store import DiskStore, Verdict

_STEP_BLOCKS: Final = 8
_PAGE_OBJECTS: Final = 256


class Scrubber:
    """One verification."""

    def __init__(self, store: DiskStore, store_id: str) -> None:
        self._store = store
        self._store_id = store_id
        self._shards: deque[str] = deque()
        self._block = disk_files.scratch_block()
        self._blocks = self._bytes = self._corrupt = self._missing = self._orphans = 0
        self._total = 0
        self._work: Iterator[None] = iter(())

    @property
    def progress(self) -> VerifyProgress:
        """How far it is."""
        return VerifyProgress(self._total, self._blocks, self._bytes)

    @property
    def report(self) -> VerifyReport:
        """What was found so far."""
        return VerifyReport(self._blocks, self._bytes, self._corrupt, self._missing, self._orphans)

    def begin(self) -> None:
        """Find out what there is to read."""
        self._total = self._store.queries.count_blocks(self._store_id)
        self._shards = deque(sorted(os.listdir(self._store.directory.objects)))
        self._work = self._all()

    def step(self) -> bool:
        """Do a little; False when all is done."""
        return sum(1 for _ in islice(self._work, _STEP_BLOCKS)) == _STEP_BLOCKS

    def _all(self) -> Iterator[None]:
        for version, digest in self._objects():
            loaded = self._store.index.load(digest)
            if loaded is not None:
                for index, record in sorted(loaded.records.items()):
                    self._check(loaded.object_id, digest, version, index, record)
                    yield
        while self._shards:
            self._delete_strays(self._shards.popleft())
            yield

    def _objects(self) -> Iterator[tuple[ObjectVersion, bytes]]:
        queries, last = self._store.queries, 0
        while found := queries.objects_after(self._store_id, last, _PAGE_OBJECTS):
            for _, version, digest in found:
                yield version, digest
            last = found[-1][0]

    def _check(
        self, object_id: int, digest: bytes, version: ObjectVersion, index: int, record: BlockRecord
    ) -> None:
        files = object_files(self._store.directory.objects, digest)
        read = disk_files.BlockRead(index, record, version.block_length(index), self._block)
        self._blocks += 1
        self._bytes += record.stored
        if disk_files.read_blocks(files, digest, [read]) == [True]:
            return
        there = os.path.exists(files.of(record.codec))
        verdict, _ = self._store.verdict(object_id, digest, index, record)
        if verdict is Verdict.WRONG:
            self._corrupt += there
            self._missing += not there

    def _delete_strays(self, shard: str) -> None:
        folder = os.path.join(self._store.directory.objects, shard)
        with contextlib.suppress(NotADirectoryError):
            for name in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError, ValueError):
                    digest = bytes.fromhex(os.path.splitext(name)[0])
                    self._orphans += self._store.queries.if_unknown(
                        digest, partial(os.unlink, os.path.join(folder, name))
                    )
