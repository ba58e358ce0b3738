"""Index and data files together: space is announced, written, counted and given back in step."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cloudfs_cache.api import BLOCK_BYTES, KeyRange, ObjectVersion
from cloudfs_cache.disk.format.checksums import block_seed, chunk_checksums
from cloudfs_cache.disk.format.records import BlockRecord, object_files
from cloudfs_cache.disk.index.rows import Intent
from cloudfs_cache.disk.io import files as disk_files
from cloudfs_cache.disk.store import DiskStore, Outcome, Verdict, WriteResult
from tests.support.tiers import STORE, audit, job, opened_store, version
from tests.unit.cache.source import content


def digest_of(wanted: ObjectVersion) -> bytes:
    return bytes.fromhex(wanted.digest())


def held(store: DiskStore, wanted: ObjectVersion) -> set[int]:
    return set(store.index.local_blocks([digest_of(wanted)]).get(digest_of(wanted), ()))


def read(store: DiskStore, wanted: ObjectVersion, index: int) -> bytes | None:
    """A block as the disk has it; None when it is not sound."""
    loaded = store.index.load(digest_of(wanted))
    assert loaded is not None
    length = wanted.block_length(index)
    buffer = memoryview(bytearray(BLOCK_BYTES))
    asked = disk_files.BlockRead(index, loaded.records[index], length, buffer)
    files = object_files(store.directory.objects, digest_of(wanted))
    sound = disk_files.read_blocks(files, digest_of(wanted), [asked])
    return bytes(buffer[:length]) if sound == [True] else None


def data_file(directory: Path) -> Path:
    (found,) = directory.rglob("*.raw")
    return found


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("blocks", [0.00001, 0.5, 1, 3.3, 70])
def test_what_is_written_is_read_and_takes_what_is_counted(blocks: float, tmp_path: Path) -> None:
    wanted = version(blocks=blocks)
    with opened_store(tmp_path) as store:
        result = store.write(job(wanted))
        assert result.outcome is Outcome.WRITTEN
        assert set(result.records) == set(range(wanted.block_count))
        for index in range(wanted.block_count):
            start = index * BLOCK_BYTES
            expected = content(wanted, start, start + wanted.block_length(index))
            assert read(store, wanted, index) == expected
        assert result.used_bytes == store.queries.totals().used_bytes
    left = audit(tmp_path)
    assert left.used_bytes == -(-wanted.size // 4096) * 4096
    assert left.used_bytes <= left.allocated_bytes <= left.used_bytes + 8192


def test_space_is_announced_before_a_byte_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    genuine = disk_files.write_blocks

    def watched(path: str, *arguments: object) -> None:
        assert not os.path.exists(path)
        seen.append(store.queries.totals().announced_bytes)
        genuine(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(disk_files, "write_blocks", watched)
    with opened_store(tmp_path) as store:
        store.write(job(version(blocks=2.5)))
        assert seen == [int(2.5 * BLOCK_BYTES)]
        assert store.queries.totals().announced_bytes == 0


def test_writes_evict_and_the_limit_holds(tmp_path: Path) -> None:
    with opened_store(tmp_path, capacity_bytes=10 * BLOCK_BYTES) as store:
        for clock in range(1, 8):
            result = store.write(job(version(f"k{clock}", 3), clock=clock))
            assert result.outcome is Outcome.WRITTEN
            assert result.used_bytes <= 10 * BLOCK_BYTES
            assert audit(tmp_path).allocated_bytes <= 10 * BLOCK_BYTES + 65_536
        assert held(store, version("k7", 3)) == {0, 1, 2}
        assert held(store, version("k1", 3)) == set()
    assert audit(tmp_path).intents == 0


def test_nothing_pinned_goes_for_anybody(tmp_path: Path) -> None:
    with opened_store(tmp_path, capacity_bytes=10 * BLOCK_BYTES) as store:
        store.pins.add(STORE, [KeyRange("kept", subtree=True)])
        for clock in range(4):
            wanted = version(f"kept/{clock}", 2.5)
            assert store.write(job(wanted, clock=clock)).outcome is Outcome.WRITTEN
        for wanted in (version("other", 2), version("kept/more", 2)):
            assert store.write(job(wanted, clock=9, forced=True)).outcome is Outcome.REJECTED
        assert store.evict([1, 2, 3, 4]).extents == []
        for number in range(4):
            assert held(store, version(f"kept/{number}", 2.5)) == {0, 1, 2}


def test_a_write_that_fails_gives_everything_back(tmp_path: Path) -> None:
    with opened_store(tmp_path) as store:
        (tmp_path / "objects").rmdir()
        (tmp_path / "objects").touch()
        with pytest.raises(OSError, match=r"Not a directory|File exists"):
            store.write(job(version()))
        assert store.queries.totals().used_bytes > 0
        (tmp_path / "objects").unlink()
        (tmp_path / "objects").mkdir()
        assert store.tidy() == 0
        assert store.queries.totals().used_bytes == 0
        assert store.write(job(version())).outcome is Outcome.WRITTEN


def test_blocks_that_somebody_is_at_are_left_to_them(tmp_path: Path) -> None:
    with opened_store(tmp_path) as one, opened_store(tmp_path) as other:
        intent = one._reserve(job(version()), 4 * BLOCK_BYTES, WriteResult(Outcome.SKIPPED))
        assert isinstance(intent, Intent)
        assert other.write(job(version())).outcome is Outcome.SKIPPED
        one.finish(intent)
        assert other.write(job(version())).outcome is Outcome.WRITTEN
    assert audit(tmp_path).intents == 0


@pytest.mark.parametrize("tidied_by", ["the next mount", "another mount"])
def test_what_the_dead_had_begun_is_ended(tidied_by: str, tmp_path: Path) -> None:
    half, old = version("half", 6), version("old", 3)
    with opened_store(tmp_path) as survivor:
        with opened_store(tmp_path) as dead:
            dead.write(job(old))
            write = job(half)
            assert isinstance(
                dead._reserve(write, 6 * BLOCK_BYTES, WriteResult(Outcome.SKIPPED)), Intent
            )
            dead._write(write)
            (row,) = [c.key for c in dead.evictor.sample()]
            (taken,) = dead.index.take([row])
            assert taken.intent.whole_object
        assert audit(tmp_path).intents == 2
        assert survivor.queries.totals().used_bytes == 9 * BLOCK_BYTES
        if tidied_by == "another mount":
            assert survivor.tidy() == 2
        else:
            with opened_store(tmp_path):
                pass
        assert survivor.queries.totals().used_bytes == 0
    left = audit(tmp_path)
    assert (left.intents, left.files, left.allocated_bytes) == (0, 0, 0)


def test_the_living_keep_what_they_have_begun(tmp_path: Path) -> None:
    with opened_store(tmp_path) as one:
        intent = one._reserve(job(version()), 4 * BLOCK_BYTES, WriteResult(Outcome.SKIPPED))
        with opened_store(tmp_path) as other:
            assert other.tidy() == 0
            assert one.index.intents_of(one.directory.owner) == [intent]


def test_wrong_bytes_are_to_blame_and_dropped(tmp_path: Path) -> None:
    wanted = version()
    with opened_store(tmp_path) as store:
        result = store.write(job(wanted))
        assert result.object_id is not None
        place = (result.object_id, digest_of(wanted), 2)
        flip(data_file(tmp_path), 2 * BLOCK_BYTES + 77)
        assert read(store, wanted, 2) is None
        assert read(store, wanted, 1) is not None
        assert store.verdict(*place, result.records[2]) == (Verdict.WRONG, None)
        assert held(store, wanted) == {0, 1, 3}
        assert store.verdict(*place, result.records[2]) == (Verdict.GONE, None)
    assert audit(tmp_path).used_bytes == 3 * BLOCK_BYTES


def test_a_block_that_was_evicted_and_written_again_is_not_to_blame(tmp_path: Path) -> None:
    """The reader saw the hole in between; its record is right again."""
    wanted = version()
    with opened_store(tmp_path) as one, opened_store(tmp_path) as other:
        seen = one.write(job(wanted))
        other.evict([1])
        other.write(job(wanted))
        assert seen.object_id is not None
        place = (seen.object_id, digest_of(wanted), 2)
        assert one.verdict(*place, seen.records[2]) == (Verdict.GONE, seen.records[2])
        assert held(one, wanted) == {0, 1, 2, 3}
        elsewhere = BlockRecord(77, seen.records[2].codec, b"")
        assert one.verdict(*place, elsewhere) == (Verdict.GONE, seen.records[2])


def test_nobody_is_blamed_while_a_block_changes(tmp_path: Path) -> None:
    wanted = version()
    with opened_store(tmp_path) as one:
        result = one.write(job(wanted))
        assert result.object_id is not None
        assert isinstance(
            one._reserve(job(wanted, 2, 1), BLOCK_BYTES, WriteResult(Outcome.SKIPPED)), Intent
        )
        verdict = one.verdict(result.object_id, digest_of(wanted), 2, result.records[2])
        assert verdict == (Verdict.BUSY, None)


def test_descriptors_that_run_out_cost_no_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the disk's fault: the block stays."""
    wanted = version()

    def no_more(*_arguments: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with opened_store(tmp_path) as store:
        result = store.write(job(wanted))
        assert result.object_id is not None
        with monkeypatch.context() as patch:
            patch.setattr(disk_files, "_read_into", no_more)
            with pytest.raises(OSError, match="Too many"):
                store.verdict(result.object_id, digest_of(wanted), 2, result.records[2])
        assert held(store, wanted) == {0, 1, 2, 3}
    assert audit(tmp_path).intents == 0


def test_a_disk_without_direct_io_works_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class WithoutDirect:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def open(self, path: str, flags: int, mode: int = 0o777) -> int:
            fd = os.open(path, flags & ~os.O_DIRECT, mode)
            if flags & os.O_DIRECT:
                os.close(fd)
                raise OSError(errno.EINVAL, "no O_DIRECT")
            return fd

    monkeypatch.setattr(disk_files, "os", WithoutDirect())
    wanted = version(blocks=2.3)
    with opened_store(tmp_path) as store:
        store.write(job(wanted))
        for index in range(3):
            assert read(store, wanted, index) is not None
    assert audit(tmp_path).blocks == 3


def test_checksums_are_tied_to_the_place_of_a_block() -> None:
    seeds = [block_seed(digest_of(version(key)), index) for key in "ab" for index in (0, 1)]
    assert len({chunk_checksums(bytes(70_000), seed) for seed in seeds}) == 4


def test_pieces_are_read_and_checked_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = version(blocks=1.7)
    asked: list[int] = []
    genuine = os.preadv

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def preadv(self, fd: int, views: list[memoryview], offset: int) -> int:
            asked.append(sum(map(len, views)))
            return genuine(fd, views, offset)

    with opened_store(tmp_path) as store:
        result = store.write(job(wanted))
        files = object_files(store.directory.objects, digest_of(wanted))
        monkeypatch.setattr(disk_files, "os", Counting())

        def piece(index: int, start: int, stop: int) -> bytes:
            place = disk_files.StoredBlock(files, digest_of(wanted), index, result.records[index])
            return disk_files.read_range(place, start, stop)

        def true(index: int, start: int, stop: int) -> bytes:
            return content(wanted, index * BLOCK_BYTES + start, index * BLOCK_BYTES + stop)

        assert piece(0, 70_000, 74_096) == true(0, 70_000, 74_096)
        assert asked == [65_536]
        asked.clear()
        assert piece(0, 131_000, 132_000) == true(0, 131_000, 132_000)
        assert asked == [131_072]
        last = wanted.block_length(1)
        assert piece(1, last - 10, last) == true(1, last - 10, last)
        flip(data_file(tmp_path), 3 * 65_536 + 5)
        assert piece(0, 3 * 65_536 + 4096, 3 * 65_536 + 8192) == b""
        assert piece(0, 2 * 65_536, 3 * 65_536) == true(0, 2 * 65_536, 3 * 65_536)
        assert piece(0, 3 * 65_536 - 1, 3 * 65_536 + 1) == b""
        assert piece(0, 4 * 65_536, 4 * 65_536 + 1) == true(0, 4 * 65_536, 4 * 65_536 + 1)


def test_what_could_not_be_ended_is_ended_by_the_next_write_there(tmp_path: Path) -> None:
    wanted = version(blocks=2)

    def fails(*_arguments: object) -> None:
        raise OSError(errno.EIO, "bad")

    with opened_store(tmp_path) as store:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(disk_files, "write_blocks", fails)
            patch.setattr(disk_files, "clear", fails)
            with pytest.raises(OSError, match="bad"):
                store.write(job(wanted))
            # While the disk fails, that is what a write of these blocks is told.
            with pytest.raises(OSError, match="bad"):
                store.write(job(wanted))
        assert audit(tmp_path).intents == 1
        assert store.write(job(wanted)).outcome is Outcome.WRITTEN
    assert audit(tmp_path).intents == 0
