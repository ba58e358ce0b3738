"""Verification finds what is wrong, drops it, and leaves everything else alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from cloudfs_cache.api import BLOCK_BYTES, KeyRange, VerifyProgress, VerifyReport
from cloudfs_cache.disk.scrub import Scrubber
from cloudfs_cache.disk.store import DiskStore, Outcome, WriteResult
from tests.support.tiers import (
    STORE,
    audit,
    job,
    open_tier,
    opened_store,
    serving,
    stored,
    version,
)
from tests.unit.cache.disk.test_store import flip, held
from tests.unit.cache.source import Source


def verified(store: DiskStore, url: str = STORE) -> VerifyReport:
    verifier = Scrubber(store, url)
    verifier.begin()
    while verifier.step():
        pass
    return verifier.report


def test_sound_blocks_are_counted(tmp_path: Path) -> None:
    with opened_store(tmp_path) as store:
        for number in range(12):
            store.write(job(version(f"k{number}", 1.5)))
        assert verified(store) == VerifyReport(24, 18 * BLOCK_BYTES, 0, 0, 0)
        assert verified(store, "other://") == VerifyReport(0, 0, 0, 0, 0)


def test_a_flipped_byte_and_a_missing_file(tmp_path: Path) -> None:
    flipped, missing, sound = version("flipped"), version("missing", 2), version("sound")
    with opened_store(tmp_path) as store:
        for wanted in (flipped, missing, sound):
            store.write(job(wanted))
        flip(tmp_path / "objects" / flipped.digest()[:2] / f"{flipped.digest()}.raw", 3 << 20)
        (tmp_path / "objects" / missing.digest()[:2] / f"{missing.digest()}.raw").unlink()
        report = verified(store)
        assert (report.blocks, report.corrupt, report.missing, report.orphans) == (10, 1, 2, 0)
        assert held(store, flipped) == {0, 1, 2}
        assert held(store, missing) == set()
        assert held(store, sound) == {0, 1, 2, 3}
        assert verified(store) == VerifyReport(7, 7 * BLOCK_BYTES, 0, 0, 0)
    assert audit(tmp_path).blocks == 7


def test_files_that_nobody_knows_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    with opened_store(tmp_path) as store, opened_store(tmp_path) as other:
        store.write(job(version()))
        shard = tmp_path / "objects" / "ab"
        shard.mkdir(mode=0o700, exist_ok=True)
        (shard / ("ab" * 16 + ".raw")).write_bytes(b"stray")
        (shard / ("ab" * 16 + ".lz4")).write_bytes(b"stray")
        (shard / "notes.txt").write_text("not a name of ours")
        (tmp_path / "objects" / "readme").write_text("not a folder")
        begun = version("begun")
        assert other._reserve(job(begun), BLOCK_BYTES, WriteResult(Outcome.SKIPPED))
        other._write(job(begun))
        assert verified(store).orphans == 2
        left = {path.name for path in tmp_path.rglob("objects/**/*") if path.is_file()}
        names = {f"{version().digest()}.raw", f"{begun.digest()}.raw"}
        assert left == names | {"notes.txt", "readme"}


def test_progress_goes_up_to_the_total(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            for number in range(3):
                await stored(cache, version(f"k{number}", 9))
            seen: list[VerifyProgress] = []
            report = await cache.admin.verify(seen.append)
            assert [one.blocks_total for one in seen] == [27] * len(seen)
            done = [one.blocks_done for one in seen]
            assert done == sorted(done)
            assert done[-1] >= 24
            assert report.blocks == 27

    trio.run(test)


def test_what_is_evicted_meanwhile_is_nobodys_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        async with serving(Source(), open_tier(tmp_path)) as cache:
            for number in range(6):
                await stored(cache, version(f"k{number}", 4))
            async with trio.open_nursery() as nursery:
                reports: list[VerifyReport] = []

                async def verify() -> None:
                    reports.append(await cache.admin.verify(lambda _progress: None))

                nursery.start_soon(verify)
                for number in range(6):
                    await cache.admin.evict([KeyRange(f"k{number}", subtree=False)])
            assert (reports[0].corrupt, reports[0].missing) == (0, 0)

    trio.run(test)
    assert caplog.records == [] or all(r.levelname == "INFO" for r in caplog.records)
