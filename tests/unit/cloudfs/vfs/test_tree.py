"""The directory tree: its requests to the store, and how long the responses are valid."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio

from cloudfs.vfs import tree as tree_module
from cloudfs.vfs.errors import NoSuchEntryError, NotADirectoryEntryError
from cloudfs.vfs.inode import Inode
from cloudfs.vfs.metadata import negative
from cloudfs.vfs.metadata.entries import DirectoryEntry, InodeKind
from cloudfs.vfs.metadata.ttl import TtlPolicy
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ListPage, ObjectInfo
from cloudfs_backends.errors import (
    AccessDeniedError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import Fail, MemoryStore, Stall

TTL_S = 60.0
NEGATIVE_S = 5.0


@dataclass
class Clock:
    """Seconds that pass when the test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Mount:
    """A tree over a scripted store, and the names that it invalidated in the kernel."""

    store: MemoryStore
    tree: Tree
    clock: Clock
    nursery: trio.Nursery
    invalidated: list[tuple[int, bytes]] = field(default_factory=list)

    async def lookup(self, path: str) -> Inode:
        """Walk down as the kernel does, counting its references."""
        inode = self.tree.inodes.root
        for part in path.split("/"):
            inode = await self.tree.lookup(inode, part.encode())
            inode.lookups += 1
        return inode

    async def listdir(self, path: str = "") -> list[bytes]:
        inode = await self.lookup(path) if path else self.tree.inodes.root
        return [entry.name for entry in (await self.tree.listing(inode)).entries]

    def requests(self) -> int:
        return len(self.store.requests)

    async def start(self, work: Callable[[], Awaitable[object]], stall: Stall) -> Outcome:
        """Start work in the background and return once it waits in the store."""
        outcome = Outcome()
        self.nursery.start_soon(outcome.of, work)
        await stall.started.wait()
        return outcome


@dataclass
class Outcome:
    """The result of work in the background."""

    value: object = None
    error: Exception | None = None
    done: trio.Event = field(default_factory=trio.Event)

    async def of(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            self.value = await work()
        except Exception as error:
            self.error = error
        self.done.set()

    async def result(self) -> object:
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value


@asynccontextmanager
async def mounted(
    *keys: str,
    store: MemoryStore | None = None,
    metadata_ttl: float = TTL_S,
    negative_ttl: float = NEGATIVE_S,
    ttl_of: Callable[[str], float | None] | None = None,
) -> AsyncIterator[Mount]:
    """A tree over a store that holds `keys`."""
    store = store or MemoryStore()
    for key in keys:
        store.put(key, b"data of " + os.fsencode(key))
    clock = Clock()
    async with trio.open_nursery() as nursery:
        policy = TtlPolicy(metadata_ttl, negative_ttl, ttl_of)
        invalidated: list[tuple[int, bytes]] = []
        tree = Tree(
            store,
            policy,
            nursery,
            on_invalidated=lambda parent_ino, name: invalidated.append((parent_ino, name)),
            clock=clock,
        )
        yield Mount(store, tree, clock, nursery, invalidated)
        nursery.cancel_scope.cancel()


def kernel_name(inode: Inode) -> tuple[int, bytes]:
    """The name of an inode as the kernel's cache has it: the directory's number, and the name."""
    assert inode.parent is not None
    return inode.parent.ino, inode.name


class PlainStore(MemoryStore):
    """A store whose listings tell no metadata, and whose objects have no mtime in theirs unless
    `with_mtime` names them."""

    def __init__(self, *with_mtime: str) -> None:
        super().__init__(metadata_in_list=False)
        self.with_mtime = set(with_mtime)

    async def head(self, key: str) -> ObjectInfo:
        found = await super().head(key)
        return replace(found, metadata_mtime=key in self.with_mtime)


class SlowAnswers(MemoryStore):
    """A store whose HEADs look at the object first and answer after `released`."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = trio.Event()
        self.released = trio.Event()

    async def head(self, key: str) -> ObjectInfo:
        found = await super().head(key)
        self.looked.set()
        await self.released.wait()
        return found


def only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one exception in nested groups."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        (leaf,) = leaf.exceptions
    return leaf


def in_trio(test: Callable[..., Coroutine[object, object, None]]) -> Callable[..., None]:
    """Run the test on a jumping clock, with its own error instead of the nursery's group."""
    run = in_trio_autojump(test)

    def bare(*args: object, **kwargs: object) -> None:
        try:
            run(*args, **kwargs)
        except BaseExceptionGroup as group:
            raise only(group) from None

    bare.__name__, bare.__doc__ = test.__name__, test.__doc__
    bare.__wrapped__ = test  # type: ignore[attr-defined]
    return bare


# --- lookups


@in_trio
async def test_a_file_and_a_directory() -> None:
    async with mounted("f", "d/inside") as mount:
        file, directory = await mount.lookup("f"), await mount.lookup("d")
        assert (file.key, file.is_directory) == ("f", False)
        assert file.info == await mount.store.head("f")
        assert (directory.key, directory.is_directory) == ("d/", True)
        assert (await mount.lookup("d/inside")).key == "d/inside"


@in_trio
async def test_a_marker_alone_is_a_directory() -> None:
    async with mounted("empty/") as mount:
        assert (await mount.lookup("empty")).is_directory
        assert await mount.listdir("empty") == []


def test_a_directory_wins_over_a_file_of_its_name(caplog: pytest.LogCaptureFixture) -> None:
    @in_trio
    async def look() -> None:
        async with mounted("both", "both/inside") as mount:
            assert (await mount.lookup("both")).is_directory
            assert await mount.listdir() == [b"both"]
            assert await mount.listdir("both") == [b"inside"]
            mount.clock.now += 2 * TTL_S
            await mount.lookup("both")
            assert mount.tree.hidden.count == 1

    look()
    assert len(caplog.records) == 1


@in_trio
async def test_a_missing_name() -> None:
    async with mounted("d/f") as mount:
        for path in ("nothing", "d/nothing", "d/f2", "d/f/x"):
            with pytest.raises((NoSuchEntryError, NotADirectoryEntryError)):
                await mount.lookup(path)
        with pytest.raises(NotADirectoryEntryError):
            await mount.lookup("d/f/x")


@in_trio
async def test_impossible_names_are_missing_without_a_request() -> None:
    async with mounted("a//b", "a/./b", "a/" + "x" * 256) as mount:
        root = mount.tree.inodes.root
        for name in (b"", b".", b"..", b"x" * 256):
            with pytest.raises(NoSuchEntryError):
                await mount.tree.lookup(root, name)
        assert mount.requests() == 0


@in_trio
async def test_names_that_are_not_utf8_survive() -> None:
    async with mounted("caf\udce9") as mount:
        inode = await mount.tree.lookup(mount.tree.inodes.root, b"caf\xe9")
        assert inode.key == "caf\udce9"


# --- single flight


@in_trio
async def test_lookups_of_one_name_share_one_request() -> None:
    async with mounted("f") as mount:
        stall = Stall()
        mount.store.script("head", stall)
        first = await mount.start(lambda: mount.lookup("f"), stall)
        others = [Outcome() for _ in range(20)]
        for other in others:
            mount.nursery.start_soon(other.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        stall.released.set()
        inode = await first.result()
        assert [await other.result() for other in others] == [inode] * 20
        assert (mount.store.count("head"), mount.store.count("list")) == (1, 1)
        assert mount.tree.inodes.get(2).lookups == 21


@in_trio
async def test_listings_of_one_directory_share_one_request() -> None:
    async with mounted("a", "b") as mount:
        stall = Stall()
        mount.store.script("list", stall)
        first = await mount.start(mount.listdir, stall)
        second = Outcome()
        mount.nursery.start_soon(second.of, mount.listdir)
        await trio.testing.wait_all_tasks_blocked()
        stall.released.set()
        assert await first.result() == await second.result() == [b"a", b"b"]
        assert mount.store.count("list") == 1


@in_trio
async def test_a_caller_that_gives_up_takes_nothing_from_the_others() -> None:
    async with mounted("f") as mount:
        stall = Stall()
        mount.store.script("head", stall)
        gone = trio.CancelScope()

        async def impatient() -> None:
            with gone:
                await mount.lookup("f")

        await mount.start(impatient, stall)
        patient = Outcome()
        mount.nursery.start_soon(patient.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        gone.cancel()
        await trio.testing.wait_all_tasks_blocked()
        stall.released.set()
        assert isinstance(await patient.result(), Inode)
        assert mount.store.count("head") == 1


@in_trio
async def test_an_error_goes_to_every_caller_and_is_not_cached() -> None:
    async with mounted("f") as mount:
        first_stall = Stall()
        mount.store.script("head", first_stall)
        mount.store.script("list", Fail(UnavailableError("503")))
        first = await mount.start(lambda: mount.lookup("f"), first_stall)
        second = Outcome()
        mount.nursery.start_soon(second.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        first_stall.released.set()
        for outcome in (first, second):
            with pytest.raises(UnavailableError):
                await outcome.result()
        assert (await mount.lookup("f")).key == "f"


# --- time to live


@in_trio
async def test_an_entry_is_valid_for_its_ttl_and_no_longer() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        asked = mount.requests()
        mount.clock.now += TTL_S - 1
        assert await mount.lookup("f") is inode
        assert mount.requests() == asked
        assert mount.tree.dentries.entry_valid_s(inode) == 1.0
        mount.clock.now += 1
        assert mount.tree.dentries.entry_valid_s(inode) == 0.0
        assert await mount.lookup("f") is inode
        assert mount.store.count("head") == 2
        assert mount.tree.dentries.entry_valid_s(inode) == TTL_S


@in_trio
async def test_a_ttl_of_zero_asks_every_time() -> None:
    async with mounted("f", metadata_ttl=0.0, negative_ttl=0.0) as mount:
        for count in range(1, 4):
            await mount.lookup("f")
            assert mount.store.count("head") == count
        for count in range(4, 7):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup("g")
            assert mount.store.count("head") == count


@in_trio
async def test_an_indefinite_ttl_never_asks_again() -> None:
    async with mounted("f", metadata_ttl=math.inf, negative_ttl=math.inf) as mount:
        await mount.lookup("f")
        await mount.listdir()
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("g")
        asked = mount.requests()
        mount.clock.now += 1e9
        await mount.lookup("f")
        await mount.listdir()
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("g")
        assert mount.requests() == asked


@in_trio
async def test_a_negative_entry_is_valid_for_the_negative_ttl() -> None:
    async with mounted() as mount:
        for _ in range(100):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup("new")
        assert (mount.store.count("head"), mount.store.count("list")) == (1, 1)
        mount.store.put("new", b"1")
        mount.clock.now += NEGATIVE_S - 0.1
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("new")
        mount.clock.now += 0.1
        assert (await mount.lookup("new")).key == "new"


@in_trio
async def test_negative_answers_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(negative, "_ENTRIES_MAX", 8)
    monkeypatch.setattr(tree_module, "_LOOKUPS_BEFORE_LISTING", 1000)
    async with mounted() as mount:
        for number in range(20):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup(f"missing-{number}")
        asked = mount.requests()
        for number in range(12, 20):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup(f"missing-{number}")
        assert mount.requests() == asked
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("missing-0")
        assert mount.requests() > asked


@in_trio
async def test_open_asks_again_only_after_the_ttl() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        await mount.tree.revalidate(inode)
        assert mount.store.count("head") == 1
        mount.store.put("f", b"new")
        mount.clock.now += TTL_S + 1
        await mount.tree.revalidate(inode)
        assert inode.is_stale
        assert mount.invalidated == [kernel_name(inode)]
        assert (await mount.lookup("f")).ino != inode.ino


# --- listings and lookups


@in_trio
async def test_a_listing_answers_lookups() -> None:
    async with mounted("d/a", "d/b/c") as mount:
        await mount.listdir("d")
        asked = mount.requests()
        assert not (await mount.lookup("d/a")).is_directory
        assert (await mount.lookup("d/b")).is_directory
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d/missing")
        assert mount.requests() == asked


@in_trio
async def test_a_listing_says_what_is_missing_for_the_negative_ttl_only() -> None:
    async with mounted("d/a") as mount:
        await mount.listdir("d")
        mount.store.put("d/new", b"1")
        mount.clock.now += NEGATIVE_S
        assert (await mount.lookup("d/new")).key == "d/new"
        assert await mount.listdir("d") == [b"a"]
        mount.clock.now += TTL_S
        assert await mount.listdir("d") == [b"a", b"new"]


@in_trio
async def test_a_listing_shows_what_changed_and_what_is_gone() -> None:
    async with mounted("d/changed", "d/deleted", "d/same") as mount:
        changed, deleted, same = [
            await mount.lookup(f"d/{name}") for name in ("changed", "deleted", "same")
        ]
        mount.store.put("d/changed", b"other")
        mount.store.delete("d/deleted")
        mount.clock.now += TTL_S
        assert await mount.listdir("d") == [b"changed", b"same"]
        assert (changed.is_stale, deleted.is_stale, same.is_stale) == (True, True, False)
        assert set(mount.invalidated) == {kernel_name(changed), kernel_name(deleted)}
        assert await mount.lookup("d/same") is same
        assert (await mount.lookup("d/changed")).info == await mount.store.head("d/changed")


@in_trio
async def test_a_later_lookup_beats_an_earlier_listing() -> None:
    async with mounted("f") as mount:
        await mount.listdir()
        old = (await mount.tree.listing(mount.tree.inodes.root)).by_name[b"f"]
        requested_at = mount.clock.now
        mount.clock.now += 10
        mount.store.put("f", b"new")
        inode = await mount.lookup("f")
        await mount.tree.refresh(inode)
        fresh = await mount.lookup("f")
        assert fresh is not inode
        # An open directory goes on showing the entry that it had.
        assert mount.tree.dentries.enter(mount.tree.inodes.root, old, requested_at) is fresh
        assert await mount.lookup("f") is fresh


@in_trio
async def test_an_open_directory_does_not_bring_back_what_is_known_to_be_gone() -> None:
    async with mounted("f", "g") as mount:
        root = mount.tree.inodes.root
        listing = await mount.tree.listing(root)
        inode = await mount.lookup("f")
        mount.store.delete("f")
        mount.clock.now += 10
        await mount.tree.refresh(inode)
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("f")
        mount.tree.dentries.enter(root, listing.by_name[b"f"], listing.requested_at)
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("f")


@in_trio
async def test_a_lookup_during_a_listing_is_not_undone_by_it() -> None:
    """The listing's first page is older than the file, its end is later than the lookup."""
    async with mounted(*(f"f{number:04}" for number in range(1500))) as mount:
        stall = Stall()
        pages = [Stall(), stall]
        pages[0].released.set()
        mount.store.script("list", *pages)
        listing = await mount.start(mount.listdir, stall)
        mount.store.put("f0000-new", b"1")
        mount.clock.now += 1
        inode = await mount.lookup("f0000-new")
        mount.clock.now += 1
        stall.released.set()
        await listing.result()
        assert not inode.is_stale
        assert await mount.lookup("f0000-new") is inode


@in_trio
async def test_an_answer_that_was_long_under_way_does_not_undo_a_later_one() -> None:
    """A HEAD sees the old version and arrives after a listing that saw the new one."""
    store = SlowAnswers()
    async with mounted("f", store=store) as mount:
        late = Outcome()
        mount.nursery.start_soon(late.of, lambda: mount.lookup("f"))
        await store.looked.wait()
        now = store.put("f", b"new")
        mount.clock.now += 1
        root = mount.tree.inodes.root
        listing = await mount.tree.listing(root)
        seen = mount.tree.dentries.enter(root, listing.by_name[b"f"], listing.requested_at)
        assert seen.info == now
        mount.clock.now += 1
        store.released.set()
        await late.result()
        assert not seen.is_stale
        assert (await mount.lookup("f")).info == now


@in_trio
async def test_a_directory_that_vanished() -> None:
    async with mounted("d/f", "other") as mount:
        directory = await mount.lookup("d")
        await mount.listdir("d")
        mount.store.delete("d/f")
        mount.clock.now += TTL_S
        with pytest.raises(NoSuchEntryError):
            await mount.tree.listing(directory)
        assert directory.is_stale
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d")


@in_trio
async def test_an_empty_root_is_a_directory() -> None:
    async with mounted() as mount:
        assert await mount.listdir() == []
        mount.store.put("f", b"1")
        mount.clock.now += TTL_S
        assert await mount.listdir() == [b"f"]


@in_trio
async def test_a_listing_of_many_pages_is_whole() -> None:
    async with mounted(*(f"d/{number:05}" for number in range(2500))) as mount:
        names = await mount.listdir("d")
        assert names == [b"%05d" % number for number in range(2500)]
        assert mount.store.count("list") == 1 + 3


@in_trio
async def test_listing_a_file_is_refused() -> None:
    async with mounted("f") as mount:
        with pytest.raises(NotADirectoryEntryError):
            await mount.tree.listing(await mount.lookup("f"))


# --- superseded inodes and references


@in_trio
async def test_a_file_becomes_a_directory_and_back() -> None:
    async with mounted("x", metadata_ttl=0.0, negative_ttl=0.0) as mount:
        file = await mount.lookup("x")
        mount.store.put("x/inside", b"1")
        mount.store.delete("x")
        directory = await mount.lookup("x")
        assert directory.is_directory
        assert file.is_stale
        inside = await mount.lookup("x/inside")
        mount.store.delete("x/inside")
        mount.store.put("x", b"again")
        again = await mount.lookup("x")
        assert not again.is_directory
        assert len({file.ino, directory.ino, inside.ino, again.ino}) == 4


@in_trio
async def test_a_store_that_says_changed_makes_the_next_lookup_ask() -> None:
    async with mounted("d/f") as mount:
        await mount.listdir("d")
        inode = await mount.lookup("d/f")
        now = mount.store.put("d/f", b"new")
        mount.tree.dentries.mark_changed(inode)
        mount.tree.dentries.mark_changed(inode)
        assert mount.invalidated == [kernel_name(inode)]
        assert mount.tree.dentries.entry_valid_s(inode) == 0.0
        assert (await mount.lookup("d/f")).info == now


@in_trio
async def test_a_name_that_the_kernel_does_not_reference_is_not_invalidated_there() -> None:
    async with mounted("f") as mount:
        inode = await mount.tree.lookup(mount.tree.inodes.root, b"f")
        mount.tree.dentries.mark_changed(inode)
        assert (inode.is_stale, mount.invalidated) == (True, [])


@in_trio
async def test_what_the_kernel_forgets_is_dropped() -> None:
    async with mounted(*(f"d/e/{number}" for number in range(50))) as mount:
        held = [await mount.lookup(f"d/e/{number}") for number in range(50)]
        for inode in held:
            mount.tree.inodes.forget(inode.ino, inode.lookups)
        for path in ("d/e", "d"):
            directory = await mount.lookup(path)
            mount.tree.inodes.forget(directory.ino, directory.lookups)
        outer = await mount.lookup("d")
        mount.tree.inodes.forget(outer.ino, outer.lookups)
        assert list(mount.tree.inodes) == [mount.tree.inodes.root]
        assert (await mount.lookup("d/e/7")).key == "d/e/7"


@in_trio
async def test_a_change_leaves_no_inode_without_a_reference() -> None:
    """Changes found by a listing or by open enter no inode that the kernel would never forget."""
    async with mounted("listed", "opened") as mount:
        listed, opened = await mount.lookup("listed"), await mount.lookup("opened")
        mount.store.put("listed", b"new")
        mount.store.put("opened", b"new")
        mount.clock.now += TTL_S + 1
        await mount.tree.revalidate(opened)
        await mount.listdir()
        assert (listed.is_stale, opened.is_stale) == (True, True)
        for inode in (listed, opened):
            mount.tree.inodes.forget(inode.ino, inode.lookups)
        assert list(mount.tree.inodes) == [mount.tree.inodes.root]


# --- errors of the store


@pytest.mark.parametrize("operation", ["head", "list"])
@pytest.mark.parametrize(
    "error", [UnavailableError("503"), ThrottledError("slow"), AccessDeniedError("403")], ids=repr
)
@pytest.mark.parametrize("path", ["f", "missing"])
@in_trio
async def test_an_error_is_never_a_missing_name(
    path: str, error: StoreError, operation: str
) -> None:
    async with mounted("f") as mount:
        mount.store.script(operation, Fail(error))
        with pytest.raises(type(error)):
            await mount.lookup(path)
        # Nothing came of it.
        if path == "f":
            assert (await mount.lookup("f")).key == "f"
        else:
            mount.store.put("missing", b"1")
            assert (await mount.lookup("missing")).key == "missing"


@in_trio
async def test_an_error_in_the_middle_of_a_listing_shows_no_part_of_it() -> None:
    async with mounted(*(f"{number:05}" for number in range(1200))) as mount:
        passed = Stall()
        passed.released.set()
        mount.store.script("list", passed, Fail(UnavailableError("503")))
        with pytest.raises(UnavailableError):
            await mount.listdir()
        assert len(await mount.listdir()) == 1200


@in_trio
async def test_an_error_does_not_supersede_what_is_known() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        mount.clock.now += TTL_S + 1
        mount.store.script("head", Fail(UnavailableError("503")))
        with pytest.raises(UnavailableError):
            await mount.tree.revalidate(inode)
        mount.store.script("list", Fail(UnavailableError("503")))
        with pytest.raises(UnavailableError):
            await mount.listdir()
        assert not inode.is_stale
        assert await mount.lookup("f") is inode


@in_trio
async def test_a_deleted_file_is_gone_at_the_next_question() -> None:
    async with mounted("f") as mount:
        inode = await mount.lookup("f")
        mount.store.delete("f")
        mount.clock.now += TTL_S + 1
        await mount.tree.revalidate(inode)
        assert inode.is_stale
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("f")


@in_trio
async def test_not_found_from_head_is_a_missing_file_not_an_error() -> None:
    async with mounted("d/f") as mount:
        mount.store.script("head", Fail(ObjectNotFoundError("404")))
        assert (await mount.lookup("d")).is_directory


# --- listing ahead


@in_trio
async def test_many_lookups_in_one_directory_are_answered_by_one_listing() -> None:
    async with mounted(*(f"d/{number}" for number in range(100))) as mount:
        for number in range(100):
            assert (await mount.lookup(f"d/{number}")).key == f"d/{number}"
            await trio.testing.wait_all_tasks_blocked()
        # One for `d`, and those before the listing was there.
        assert mount.store.count("head") == 1 + 8
        assert mount.store.count("list") == 1 + 8 + 1


@in_trio
async def test_a_directory_too_large_to_list_ahead_still_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_module, "_AHEAD_PAGES_MAX", 0)
    async with mounted(*(f"d/{number}" for number in range(30))) as mount:
        for number in range(30):
            assert (await mount.lookup(f"d/{number}")).key == f"d/{number}"
        assert mount.store.count("head") == 1 + 30


# --- mtimes in metadata


@in_trio
async def test_a_bucket_without_mtimes_costs_a_few_heads_in_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tree_module, "_LOOKUPS_BEFORE_LISTING", 1000)
    store = PlainStore()
    async with mounted(*(f"d{d}/{f}" for d in range(20) for f in range(5)), store=store) as mount:
        for number in range(20):
            await mount.listdir(f"d{number}")
        looked_up = 20
        assert store.count("head") - looked_up == 8
        inode = await mount.lookup("d3/1")
        assert mount.tree.has_final_attributes(inode)


@in_trio
async def test_a_bucket_with_mtimes_asks_for_each_listed_file() -> None:
    store = PlainStore("d/0", "d/1", "d/2")
    async with mounted("d/0", "d/1", "d/2", store=store) as mount:
        await mount.listdir("d")
        heads = store.count("head")
        inodes = [await mount.lookup(f"d/{number}") for number in range(3)]
        assert store.count("head") == heads
        assert [mount.tree.has_final_attributes(inode) for inode in inodes] == [False] * 3
        for inode in inodes:
            await mount.tree.refresh(inode)
            assert mount.tree.has_final_attributes(inode)
            assert not inode.is_stale
        # A later listing does not lose what the HEADs showed.
        mount.clock.now += TTL_S
        await mount.listdir("d")
        assert all(mount.tree.has_final_attributes(inode) for inode in inodes)


@in_trio
async def test_metadata_that_arrives_after_a_later_listing_is_not_lost() -> None:
    class Slow(SlowAnswers):
        async def list_page(
            self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
        ) -> ListPage:
            page = await super().list_page(prefix, delimiter=delimiter, token=token, limit=limit)
            objects = tuple(replace(info, has_metadata=False) for info in page.objects)
            return replace(page, objects=objects)

    store = Slow()
    async with mounted("f", store=store) as mount:
        head = Outcome()
        mount.nursery.start_soon(head.of, lambda: mount.lookup("f"))
        await store.looked.wait()
        mount.clock.now += 1
        root = mount.tree.inodes.root
        listing = await mount.tree.listing(root)
        listed = mount.tree.dentries.enter(root, listing.by_name[b"f"], listing.requested_at)
        listed.lookups += 1
        assert listed.info is not None
        assert not listed.info.has_metadata
        store.released.set()
        assert await head.result() is listed
        assert listed.info.has_metadata


@in_trio
async def test_a_looked_up_file_tells_of_mtimes_too() -> None:
    store = PlainStore("d/with")
    async with mounted("d/a", "d/with", store=store) as mount:
        await mount.listdir("d")
        listed = await mount.lookup("d/a")
        assert mount.tree.has_final_attributes(listed)
        mount.clock.now += TTL_S
        await mount.lookup("d/with")
        assert not mount.tree.has_final_attributes(listed)


@in_trio
async def test_listings_with_metadata_need_no_head() -> None:
    async with mounted("d/f") as mount:
        await mount.tree.listing(await mount.lookup("d"))
        assert [r.key for r in mount.store.requests if r.operation == "head"] == ["d"]


@pytest.mark.parametrize("error", [AccessDeniedError("403"), UnavailableError("503")], ids=repr)
@in_trio
async def test_a_failing_probe_does_not_fail_the_listing(error: StoreError) -> None:
    """The names are there; that one HEAD is refused is no reason to hide them all."""
    store = PlainStore()
    async with mounted("secret", "public", store=store) as mount:
        store.script("head", Fail(error))
        assert await mount.listdir() == [b"public", b"secret"]


@in_trio
async def test_a_file_deleted_before_its_probe_does_not_fail_the_listing() -> None:
    store = PlainStore()
    async with mounted("a", "b", store=store) as mount:
        store.script("head", Fail(ObjectNotFoundError("404")))
        assert await mount.listdir() == [b"a", b"b"]


@in_trio
async def test_the_pages_of_one_listing_are_asked_for_in_order() -> None:
    class Recording(MemoryStore):
        tokens: list[str | None]

        async def list_page(
            self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
        ) -> ListPage:
            self.tokens.append(token)
            return await super().list_page(prefix, delimiter=delimiter, token=token, limit=limit)

    store = Recording()
    store.tokens = []
    async with mounted(*(f"{number:05}" for number in range(2100)), store=store) as mount:
        await mount.listdir()
        assert store.tokens == [None, "00999", "01999"]


# --- a TTL for a path


@in_trio
async def test_a_path_without_ttl_is_asked_for_each_time() -> None:
    def ttl_of(key: str) -> float | None:
        return 0.0 if key.startswith("now/") else None

    async with mounted("now/f", "later/f", ttl_of=ttl_of) as mount:
        for _ in range(3):
            inode = await mount.lookup("now/f")
            await mount.lookup("later/f")
            assert mount.tree.dentries.entry_valid_s(inode) == 0.0
        asked = [request.key for request in mount.store.requests if request.operation == "head"]
        assert [asked.count(key) for key in ("now/f", "later/f")] == [3, 1]
        now, later = await mount.lookup("now"), await mount.lookup("later")
        before = mount.store.count("list")
        for _ in range(3):
            await mount.tree.listing(now)
            await mount.tree.listing(later)
        assert mount.store.count("list") - before == 4


@in_trio
async def test_a_listing_does_not_stretch_the_ttl_of_one_of_its_files() -> None:
    def ttl_of(key: str) -> float | None:
        return None if key in {"d/", "d/long"} else 1.0

    async with mounted("d/short", "d/unseen", "d/long", ttl_of=ttl_of) as mount:
        directory = await mount.lookup("d")
        await mount.tree.listing(directory)
        mount.store.requests.clear()
        for name in (b"short", b"long"):
            (await mount.tree.lookup(directory, name)).lookups += 1
        assert mount.requests() == 0
        mount.clock.now += 1
        for name in (b"short", b"long", b"unseen"):
            await mount.tree.lookup(directory, name)
        asked = [request.key for request in mount.store.requests if request.operation == "head"]
        assert asked == ["d/short", "d/unseen"]


@in_trio
async def test_a_file_newer_than_the_listing_stays_with_a_ttl_of_zero() -> None:
    """The listing shows it as missing, and is still valid for others."""
    async with mounted("d/a", ttl_of=lambda key: 0.0 if key == "d/new" else None) as mount:
        directory = await mount.lookup("d")
        await mount.tree.listing(directory)
        mount.clock.now += 1
        mount.store.put("d/new", b"1")
        info = await mount.store.head("d/new")
        entry = DirectoryEntry(b"new", InodeKind.FILE, info)
        mount.tree.dentries.enter(directory, entry, mount.clock.now).lookups += 1
        mount.clock.now += 1
        assert (await mount.lookup("d/new")).key == "d/new"


@in_trio
async def test_open_asks_again_after_the_paths_own_ttl() -> None:
    async with mounted("f", ttl_of=lambda _: 10.0) as mount:
        inode = await mount.lookup("f")
        mount.store.put("f", b"new")
        mount.clock.now += 9
        await mount.tree.revalidate(inode)
        assert not inode.is_stale
        mount.clock.now += 2
        await mount.tree.revalidate(inode)
        assert inode.is_stale


# --- invalidation


@in_trio
async def test_an_invalidated_file_is_asked_for_and_keeps_its_inode() -> None:
    async with mounted("d/f", "d/g", metadata_ttl=math.inf) as mount:
        await mount.listdir("d")
        same, other = await mount.lookup("d/f"), await mount.lookup("d/g")
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d/f", subtree=False)
        assert (
            mount.tree.dentries.entry_valid_s(same),
            mount.tree.dentries.entry_valid_s(other),
        ) == (0.0, math.inf)
        before = mount.requests()
        assert await mount.lookup("d/f") is same
        assert mount.requests() == before + 2
        assert await mount.lookup("d/f") is same
        assert await mount.lookup("d/g") is other
        assert mount.requests() == before + 2
        assert mount.invalidated == [kernel_name(same)]


@in_trio
async def test_an_invalidated_file_that_changed_is_seen() -> None:
    async with mounted("d/f", metadata_ttl=math.inf) as mount:
        await mount.listdir("d")
        inode = await mount.lookup("d/f")
        now = mount.store.put("d/f", b"new")
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d/f", subtree=False)
        await mount.tree.revalidate(inode)
        assert inode.is_stale
        assert (await mount.lookup("d/f")).info == now
        assert await mount.listdir("d") == [b"f"]


@in_trio
async def test_an_invalidated_tree_is_asked_for_again_and_nothing_beside_it() -> None:
    keys = ("d/f", "d/e/g", "dd/h", "k")
    async with mounted(*keys, metadata_ttl=math.inf, negative_ttl=math.inf) as mount:
        for path in ("d", "d/e", "dd", ""):
            await mount.listdir(path)
        held = [await mount.lookup(key) for key in keys]
        for path in ("d/new", "d/e/new", "dd/new"):
            with pytest.raises(NoSuchEntryError):
                await mount.lookup(path)
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d", subtree=True)
        for path in ("d/new", "d/e/new", "dd/new"):
            mount.store.put(path, b"1")
        mount.store.requests.clear()
        assert [await mount.lookup(key) for key in keys] == held
        assert await mount.listdir("d") == [b"e", b"f", b"new"]
        assert await mount.listdir("d/e") == [b"g", b"new"]
        assert (await mount.lookup("d/new")).key == "d/new"
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("dd/new")
        asked = {request.key for request in mount.store.requests}
        assert not any(key.startswith(("dd", "k")) for key in asked)


@in_trio
async def test_all_names_that_the_kernel_may_have_cached_are_invalidated_there() -> None:
    async with mounted("d/e/f", "g", negative_ttl=math.inf) as mount:
        await mount.lookup("g")
        inode = await mount.lookup("d/e/f")
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("missing")
        await mount.listdir()
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("unlisted")
        inode.opens += 1
        mount.tree.dentries.invalidate("", subtree=True)
        root, parent = mount.tree.inodes.root, inode.parent
        assert parent is not None
        assert parent.parent is not None
        # What is in use comes first: it does not go when its directory does.
        assert mount.invalidated[0] == (parent.ino, b"f")
        assert set(mount.invalidated[1:3]) == {(root.ino, b"missing"), (root.ino, b"unlisted")}
        assert set(mount.invalidated[3:]) == {
            (root.ino, b"d"), (root.ino, b"g"), (parent.parent.ino, b"e"),
        }  # fmt: skip
        mount.invalidated.clear()
        mount.tree.dentries.invalidate("new", subtree=True)
        assert mount.invalidated == [(root.ino, b"new")]
        mount.invalidated.clear()
        # What is above it may be in the negative cache.
        mount.tree.dentries.invalidate("unknown/above/below", subtree=True)
        assert mount.invalidated == [(root.ino, b"unknown")]


@in_trio
async def test_an_invalidated_file_in_a_directory_that_was_missing() -> None:
    async with mounted(negative_ttl=math.inf) as mount:
        with pytest.raises(NoSuchEntryError):
            await mount.lookup("d")
        mount.store.put("d/e/f", b"1")
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d/e/f", subtree=False)
        assert (await mount.lookup("d/e/f")).key == "d/e/f"


@in_trio
async def test_a_response_to_an_earlier_request_is_not_valid_after_an_invalidation() -> None:
    store = SlowAnswers()
    async with mounted("f", store=store, metadata_ttl=math.inf) as mount:
        early = Outcome()
        mount.nursery.start_soon(early.of, lambda: mount.lookup("f"))
        await store.looked.wait()
        mount.clock.now += 1
        mount.tree.dentries.invalidate("f", subtree=False)
        now = store.put("f", b"new")
        late = Outcome()
        mount.nursery.start_soon(late.of, lambda: mount.lookup("f"))
        await trio.testing.wait_all_tasks_blocked()
        store.released.set()
        await early.result()
        found = await late.result()
        assert isinstance(found, Inode)
        assert found.info == now
        assert (await mount.lookup("f")).info == now


@in_trio
async def test_a_listing_under_way_is_not_kept_after_an_invalidation() -> None:
    async with mounted("d/f", metadata_ttl=math.inf) as mount:
        directory = await mount.lookup("d")
        stall = Stall()
        mount.store.script("list", stall)
        early = await mount.start(lambda: mount.tree.listing(directory), stall)
        mount.clock.now += 1
        mount.tree.dentries.invalidate("d", subtree=True)
        stall.released.set()
        await early.result()
        before = mount.store.count("list")
        await mount.tree.listing(directory)
        assert mount.store.count("list") == before + 1


@in_trio
async def test_a_version_found_by_a_question_is_not_undone_by_the_listing() -> None:
    """Nobody holds the new inode yet, and the old listing is still within its TTL."""
    async with mounted("d/f") as mount:
        await mount.listdir("d")
        inode = await mount.lookup("d/f")
        mount.clock.now += 10
        now = mount.store.put("d/f", b"new")
        await mount.tree.refresh(inode)
        assert inode.is_stale
        assert (await mount.lookup("d/f")).info == now
