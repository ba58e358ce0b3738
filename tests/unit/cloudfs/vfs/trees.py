"""A tree over a scripted store, with a clock that the test moves."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from cloudfs.vfs.inode import Inode
from cloudfs.vfs.metadata.ttl import TtlPolicy
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ObjectInfo
from tests.contract.in_trio import in_trio_autojump
from tests.support.memory_store import MemoryStore, Stall

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
