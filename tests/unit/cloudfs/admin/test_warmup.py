from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
from msgspec.structs import replace

from cloudfs.admin import warmup
from cloudfs.admin.messages import WarmUpFailure, WarmUpProgress, WarmUpRequest
from cloudfs.admin.warmup import WarmUp
from cloudfs.config.path_policy import PathPolicies, PolicyTable
from cloudfs.errors import ExitCode, UserError
from cloudfs_backends.errors import CredentialsError, UnavailableError
from cloudfs_cache.api import BLOCK_BYTES, ObjectVersion, Placement
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import Fail, MemoryStore, Stall
from tests.unit.cloudfs.admin.simple_cache import SimpleCache

BODY = bytes(range(256)) * (10 * BLOCK_BYTES // 1024)
"""Two blocks and a half."""


def dataset(count: int = 30) -> MemoryStore:
    store = MemoryStore()
    for number in range(count):
        store.put(f"train/{number:02}.h5", BODY)
    store.put("train/notes.txt", b"read me")
    store.put("train/empty.h5", b"")
    store.put("checkpoints/last.pt", BODY)
    return store


def work(
    store: MemoryStore,
    cache: SimpleCache,
    *paths: str,
    tables: tuple[PolicyTable, ...] = (),
    **request: object,
) -> WarmUp:
    asked = replace(WarmUpRequest(paths), **request)  # type: ignore[arg-type]
    return WarmUp(store, cache, PathPolicies(tables), asked)


async def warm(
    store: MemoryStore, cache: SimpleCache, *paths: str, **keywords: object
) -> WarmUpProgress:
    done = work(store, cache, *paths, **keywords)  # type: ignore[arg-type]
    await done.run()
    return done.progress()


@in_trio_autojump
async def test_a_tree_is_local_afterwards() -> None:
    store = dataset()
    cache = SimpleCache(store)
    progress = await warm(store, cache, "train")
    assert cache.used_bytes == 30 * len(BODY) + len(b"read me")
    assert cache.content("train/07.h5") == BODY
    assert progress == WarmUpProgress(
        check=False,
        counting=False,
        files_total=32,
        files_done=32,
        bytes_total=cache.used_bytes,
        bytes_done=cache.used_bytes,
        fetched_bytes=cache.used_bytes,
        left_out_files=0,
        left_out_bytes=0,
        refused_files=0,
        refused_bytes=0,
        failed=0,
        failures=(),
        notes=(),
    )


@in_trio_autojump
async def test_what_is_local_is_not_fetched_again() -> None:
    store = dataset()
    cache = SimpleCache(store)
    await warm(store, cache, "train/03.h5", "train/04.h5")
    gets = store.count("get")
    progress = await warm(store, cache, "train")
    assert progress.files_done == 32
    assert progress.fetched_bytes == 28 * len(BODY) + len(b"read me")
    assert progress.bytes_done == progress.bytes_total
    again = await warm(store, cache, "train")
    assert (again.files_done, again.fetched_bytes) == (32, 0)
    assert store.count("get") == gets + 28 * 3 + 1


@in_trio_autojump
async def test_a_check_fetches_nothing() -> None:
    store = dataset()
    cache = SimpleCache(store)
    await warm(store, cache, "train/03.h5")
    gets = store.count("get")
    progress = await warm(store, cache, "train", check=True)
    assert (progress.files_done, progress.files_total) == (2, 32)  # the empty file is local, too
    assert (progress.bytes_done, progress.fetched_bytes) == (len(BODY), 0)
    assert store.count("get") == gets


@in_trio_autojump
async def test_patterns_choose_files() -> None:
    store = dataset()
    cache = SimpleCache(store)
    progress = await warm(store, cache, "", globs=("*.txt", "checkpoints/**"))
    assert progress.files_total == 2
    assert sorted(cache.placements) == ["checkpoints/last.pt", "train/notes.txt"]


@in_trio_autojump
async def test_policies_leave_files_out_and_say_how_the_others_are_placed() -> None:
    store = dataset()
    cache = SimpleCache(store)
    tables = (
        PolicyTable("checkpoints/**", cache=False),
        PolicyTable("*.txt", pin=True, block_bytes=4 * BLOCK_BYTES),
    )
    progress = await warm(store, cache, "", tables=tables)
    assert "checkpoints/last.pt" not in cache.placements
    assert cache.placements["train/notes.txt"] == Placement(pinned=True, fetch_blocks=4)
    assert (progress.left_out_files, progress.left_out_bytes) == (1, len(BODY))
    assert progress.files_total == 32
    assert (progress.left_out_files, progress.left_out_bytes) == (1, len(BODY))
    assert len(progress.notes) == 1


@in_trio_autojump
async def test_errors_of_single_files_are_counted_and_the_first_are_named() -> None:
    store = dataset(40)
    store.script("get", *[Fail(UnavailableError("503"))] * 25)
    progress = await warm(store, SimpleCache(store), "train", "none")
    assert progress.failed == 26
    assert len(progress.failures) == warmup.FAILURES_NAMED
    assert WarmUpFailure("none", "no such file or directory") in progress.failures
    assert "train/00.h5" in {failure.path for failure in progress.failures}
    assert any(failure.reason.startswith("503: check the") for failure in progress.failures)
    assert progress.files_done == 42 - 25


@in_trio_autojump
async def test_without_credentials_the_other_files_are_not_tried() -> None:
    store = dataset()
    store.script("get", *[Fail(CredentialsError("token expired"))] * 40)
    job = work(store, SimpleCache(store), "train")
    with pytest.raises(UserError, match="token expired: set or renew") as caught:
        await job.run()
    assert caught.value.exit_code is ExitCode.CREDENTIALS
    assert store.count("get") <= warmup.FILES_AT_ONCE


@in_trio_autojump
async def test_objects_that_change_under_way_are_reported() -> None:
    store = dataset()
    store.latency_s = 0.1
    stall = Stall()
    store.script("get", stall)
    job = work(store, SimpleCache(store), "train")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.run)
        await stall.started.wait()
        store.put("train/00.h5", b"new")
        store.delete("train/29.h5")
        stall.released.set()
    assert set(job.progress().failures) == {
        WarmUpFailure("train/00.h5", "it was overwritten meanwhile: run the command again"),
        WarmUpFailure("train/29.h5", "it was deleted meanwhile"),
    }
    assert job.progress().files_done == 30


@in_trio_autojump
async def test_what_did_not_stay_is_said_and_so_is_that_it_is_too_much() -> None:
    store = dataset()
    progress = await warm(store, SimpleCache(store, 10 * len(BODY)), "train")
    assert progress.files_done == 32
    assert progress.refused_files >= 20
    assert progress.refused_bytes == 20 * len(BODY) + len(b"read me")
    assert progress.notes[0] == (
        "75.0 MiB to warm up and 25 MiB of cache: raise --max-cache-size, or warm up less"
    )
    assert "did not stay (50.0 MiB missing)" in progress.notes[1]


@in_trio_autojump
async def test_some_files_are_fetched_at_once_and_not_all() -> None:
    store = dataset()
    stalls = [Stall() for _ in range(warmup.FILES_AT_ONCE)]
    store.script("get", *stalls)
    job = work(store, SimpleCache(store), "train")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.run)
        await trio.testing.wait_all_tasks_blocked()
        assert all(stall.started.is_set() for stall in stalls)
        assert store.count("get") == warmup.FILES_AT_ONCE
        assert job.progress().files_total == 32  # the walk runs ahead
        for stall in stalls:
            stall.released.set()
    assert job.progress().files_done == 32


@pytest.mark.parametrize("count", [1, 64])
def test_the_rate_holds_for_one_large_file_and_for_many(count: int) -> None:
    total = 64 * BLOCK_BYTES

    @in_trio_autojump
    async def run() -> None:
        store = MemoryStore()
        for number in range(count):
            store.put(f"d/{number}", bytes(total // count))
        progress = await warm(store, SimpleCache(store), "d", rate_bytes_s=4 * BLOCK_BYTES)
        assert progress.fetched_bytes == total
        # The first second's worth at once, and at the end at most what was under way.
        assert 16 - 1 - 2 <= trio.current_time() <= 16

    run()


@in_trio_autojump
async def test_what_comes_after_a_stop_is_held_against_the_rate() -> None:
    class Eager(SimpleCache):
        """Like the real one it finishes what is under way when its caller goes away."""

        async def warm(
            self, version: ObjectVersion, placement: Placement, note: Callable[[int], None]
        ) -> None:
            try:
                await super().warm(version, placement, note)
            except trio.Cancelled:
                for index in range(16):
                    self._blocks[version].setdefault(index, bytes(BLOCK_BYTES))
                raise

    store = MemoryStore()
    store.put("a", bytes(32 * BLOCK_BYTES))
    progress = await warm(store, Eager(store), "a", rate_bytes_s=BLOCK_BYTES)
    assert progress.fetched_bytes == progress.bytes_done == 32 * BLOCK_BYTES
    assert trio.current_time() >= 32 - 1 - 3


@in_trio_autojump
async def test_paths_may_come_in_pieces() -> None:
    store = dataset()
    cache = SimpleCache(store)
    job = work(store, cache, "train/00.h5", more=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.run)
        await trio.sleep(warmup.MORE_PATHS_S_MAX / 2)
        assert await job.add(["train/01.h5", "train/02.h5"], more=True)
        await trio.sleep(warmup.MORE_PATHS_S_MAX / 2)
        assert job.progress().counting
        assert await job.add([], more=False)
    assert sorted(cache.placements) == [f"train/0{number}.h5" for number in range(3)]
    assert not job.progress().counting


@in_trio_autojump
async def test_a_list_that_breaks_off_ends_the_job_after_what_came() -> None:
    store = dataset()
    job = work(store, SimpleCache(store), "train/00.h5", more=True)
    with pytest.raises(UserError, match="the list of paths broke off"):
        await job.run()
    assert job.progress().files_done == 1
    assert trio.current_time() == warmup.MORE_PATHS_S_MAX


@in_trio_autojump
async def test_more_paths_wait_until_there_is_room() -> None:
    store = dataset()
    stall = Stall()
    store.script("list", stall)
    job = work(store, SimpleCache(store), "train", more=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job.run)
        await stall.started.wait()
        assert await job.add(["checkpoints"] * warmup.PATHS_WAITING_MAX, more=True)
        assert not await job.add(["train/notes.txt"], more=False)
        assert trio.current_time() == warmup.ADD_S_MAX
        stall.released.set()
        assert await job.add(["train/notes.txt"], more=False)
    assert job.progress().files_done == 32 + 1 + 1


@pytest.mark.parametrize(
    ("state", "is_off", "said"),
    [
        ("ok", True, "no disk cache: mount it with a --max-cache-size above 0"),
        ("read-only", False, "takes no writes: /ssd is read-only"),
        ("bypassed", False, "takes no writes: /ssd is bypassed"),
    ],
)
def test_a_cache_that_takes_nothing_is_an_error_before_anything_is_fetched(
    state: str, is_off: bool, said: str
) -> None:
    cache = SimpleCache(MemoryStore())
    cache.state, cache.is_off = state, is_off
    with pytest.raises(UserError, match=said) as caught:
        warmup.require_disk(cache)
    assert caught.value.exit_code is ExitCode.CACHE
