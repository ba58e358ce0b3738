"""The life of a mount: what is started in which order, what ends it, and what is left behind.

Everything that can be wrong with the user's input or surroundings is found before the mount is
made, so a failed start leaves nothing mounted. An orderly end (umount, SIGTERM, SIGINT) leaves an
empty mountpoint; a crash leaves the mountpoint with an error (ENOTCONN), because an empty directory
would look like an empty dataset. SIGHUP makes it ask the bucket again about everything it knows.
"""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyfuse3
import trio

from cloudfs.admin.commands import routes as admin_routes
from cloudfs.admin.jobs import Jobs
from cloudfs.admin.usage import count_local
from cloudfs.config.path_policy import PathPolicies
from cloudfs.config.settings import MountSettings
from cloudfs.control import server
from cloudfs.control.server import Route
from cloudfs.daemon import assembly
from cloudfs.errors import UserError
from cloudfs.fuse import session, tuning
from cloudfs.fuse.deadlines import RequestWatch
from cloudfs.fuse.invalidation import EntryInvalidator
from cloudfs.fuse.operations import Operations, Ownership
from cloudfs.status.prometheus import server as prometheus
from cloudfs.status.snapshot import MountState
from cloudfs.system.malloc import keep_freed_memory
from cloudfs.system.systemd import ServiceManager
from cloudfs.telemetry.counters import RequestMetrics
from cloudfs.vfs.filesystem import FileSystem
from cloudfs.vfs.metadata.freshness import FreshnessPolicy
from cloudfs.vfs.tree import Tree
from cloudfs_backends import api as backends
from cloudfs_cache.api import ChunkSink, KeyRange, ObjectVersion
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.memory.lru import MemoryCache

log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S = 0.001
_REQUEST_TASKS_MIN = 8
_REQUEST_TASKS_MAX = 512
_DEADLINE_MARGIN_S = 60.0
_STOP_GRACE_S = 2.0
_STOP_REPLY_S = 0.5
_DRAIN_S = 3.0
_CLOSE_S = 20.0
_STOP_S_MAX = _STOP_GRACE_S + _STOP_REPLY_S + _DRAIN_S + _CLOSE_S
"""What an orderly end may take; a disk that hangs is let go of within its own limits."""

_TERMINAL = "/dev/tty"


@dataclass(slots=True)
class _Mount:
    """The parts of one mount while it is served."""

    state: MountState
    filesystem: FileSystem
    cache: TieredCache
    operations: Operations
    watch: RequestWatch
    manager: ServiceManager
    is_drained: bool = False

    async def drain(self) -> None:
        """Let the SSD have what memory holds, within a bound. Only the first call does anything."""
        if self.is_drained:
            return
        self.is_drained = True
        with trio.move_on_after(_DRAIN_S):
            await self.cache.drain()


def run(settings: MountSettings, *, on_ready: Callable[[], None]) -> None:
    """Mount and serve until the mount is ended; `on_ready` is called once it answers.

    Raises UserError for what the user can mend; then nothing is mounted.
    """
    keep_freed_memory()
    # Threads that copy chunks hold the interpreter for microseconds at a time; the loop, which
    # answers every reader, should not have to wait for the default 5 ms to get it back.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    manager = ServiceManager.taken_from(os.environ)
    if manager.watchdog_s is not None:
        # The watchdog's SIGABRT then leaves in the journal what the loop was stuck in.
        faulthandler.enable()
    try:
        trio.run(_serve, settings, on_ready, manager)
    except BaseExceptionGroup as group:
        only = _only_error(group)
        if isinstance(only, UserError):
            raise only from None
        raise


async def _serve(
    settings: MountSettings, on_ready: Callable[[], None], manager: ServiceManager
) -> None:
    started_at = time.monotonic()
    store = await assembly.open_store(settings)
    disks = await assembly.open_disks(settings, store.identity)
    disk = disks.tier
    memory = MemoryCache(settings.memory_limit, staging=disk is not None)
    cache = TieredCache(partial(_fetch, store), memory, disk, max_downloads=settings.max_downloads)
    policies = PathPolicies(settings.policies)
    metrics = RequestMetrics()
    watch = RequestWatch(settings.retry_budget + _DEADLINE_MARGIN_S)
    invalidator = EntryInvalidator()
    remembered = assembly.open_catalog(settings, disk, store.identity)
    async with trio.open_nursery() as services:
        freshness = FreshnessPolicy(settings.metadata_ttl, settings.negative_ttl, policies.ttl)
        tree = Tree(
            store,
            freshness,
            services,
            on_superseded=invalidator.superseded,
            on_doubted=invalidator.doubted,
            remembered=remembered,
        )
        filesystem = FileSystem(
            store,
            tree,
            cache,
            read_ahead_bytes=settings.read_ahead,
            placement_of=policies.placement,
            count_local=partial(count_local, store, cache.admin, policies),
        )
        operations = Operations(filesystem, _ownership(settings), metrics, watch)
        untuned = tuning.KernelSettings(None, None)
        jobs = Jobs(services)
        state = MountState(
            settings,
            store,
            tree,
            cache,
            metrics,
            watch,
            jobs,
            untuned,
            started_at,
            disks.left_out,
        )
        mount = _Mount(state, filesystem, cache, operations, watch, manager)
        await services.start(cache.serve)
        services.start_soon(watch.watch_forever)
        services.start_soon(invalidator.send_forever)
        services.start_soon(remembered.serve)
        routes = admin_routes(store, cache.admin, policies, filesystem, jobs)
        await services.start(_serve_control, mount, routes)
        state.metrics_address = await services.start(
            prometheus.serve, settings.metrics_address, state.document
        )
        services.start_soon(state.sample_forever)
        async with session.mounted(settings, operations):
            services.start_soon(_announce, mount, on_ready)
            services.start_soon(_obey_signals, mount)
            await pyfuse3.main(_REQUEST_TASKS_MIN, _REQUEST_TASKS_MAX)
        log.info("unmounted %s", settings.mountpoint)
        manager.stopping(_STOP_S_MAX, f"unmounted {settings.mountpoint}, ending")
        await mount.drain()
        await remembered.aclose()
        services.cancel_scope.cancel()
    await cache.aclose()
    await store.aclose()


def _ownership(settings: MountSettings) -> Ownership:
    return Ownership(
        uid=os.getuid() if settings.uid is None else settings.uid,
        gid=os.getgid() if settings.gid is None else settings.gid,
        file_mode=settings.file_mode & ~settings.umask,
        dir_mode=settings.dir_mode & ~settings.umask,
    )


async def _fetch(
    store: backends.ObjectStore, version: ObjectVersion, start: int, stop: int, sink: ChunkSink
) -> None:
    await store.get_range(version.key, start, stop, etag=version.etag, sink=sink)


async def _serve_control(
    mount: _Mount,
    admin: Sequence[Route[Any, Any]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    path = session.control_socket(mount.state.settings.mountpoint)
    await server.serve(path, [mount.state.route(), *admin], task_status=task_status)


async def _announce(mount: _Mount, on_ready: Callable[[], None]) -> None:
    """Tune the kernel's side and say that the mount answers; then keep the manager informed."""
    settings = mount.state.settings
    mount.state.kernel = await session.answering(settings, mount.operations)
    log.info("mounted %s on %s", settings.url, settings.mountpoint)
    on_ready()
    mount.manager.ready(mount.state.line())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mount.manager.keep_alive)
        nursery.start_soon(mount.manager.show_status, mount.state.line)


async def _obey_signals(mount: _Mount) -> None:
    """Drop what is known of the bucket on SIGHUP; end the mount on SIGTERM and SIGINT."""
    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    ends = {signal.SIGTERM, signal.SIGINT}
    if not mount.state.settings.background and _has_terminal():
        ends.add(signal.SIGHUP)
    with trio.open_signal_receiver(*numbers) as signals:
        async for number in signals:
            if number in ends:
                log.info("%s: ending the mount", signal.Signals(number).name)
                break
            await _reload(mount)
    await _stop(mount)


def _has_terminal() -> bool:
    """A terminal started this process: its closing, which is a SIGHUP, is to end the mount."""
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


async def _reload(mount: _Mount) -> None:
    """Ask the bucket again about every name; blocks stay, and open files go on."""
    mount.manager.reloading()
    names = await mount.filesystem.invalidate([KeyRange("", subtree=True)])
    log.info("SIGHUP: names and attributes are asked for again, %d were known", names)
    mount.manager.ready(mount.state.line())


async def _stop(mount: _Mount) -> None:
    """End the mount: requests in flight get a moment, then EIO; blocks in memory go to the SSD.

    Unmounted last: until then a reader gets an error, and no empty directory.
    """
    mount.manager.stopping(_STOP_S_MAX, f"ending the mount at {mount.state.settings.mountpoint}")
    with trio.move_on_after(_STOP_GRACE_S):
        await mount.watch.wait_idle()
    mount.watch.close(errno.EIO)
    with trio.move_on_after(_STOP_REPLY_S):
        await mount.watch.wait_idle()
    await mount.drain()
    pyfuse3.terminate()
    await trio.sleep_forever()


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """The single leaf of nested groups, or None when there are several."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        if len(leaf.exceptions) != 1:
            return None
        leaf = leaf.exceptions[0]
    return leaf
