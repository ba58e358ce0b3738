"""The life of a mount: what is started in which order, what ends it, and what is left behind.

Everything that can be wrong with the user's input or surroundings is found before the mount is
made, so a failed start leaves nothing mounted. An orderly end (umount, SIGTERM, SIGINT) leaves an
empty mountpoint; a crash leaves the mountpoint with an error (ENOTCONN), because an empty directory
would look like an empty dataset.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pyfuse3
import trio

from cloudfs import control, mountpoints, opening
from cloudfs.config import MountSettings
from cloudfs.errors import ExitCode, UserError
from cloudfs.fuse import kernel
from cloudfs.fuse.notify import EntryInvalidator
from cloudfs.fuse.operations import Operations, Ownership
from cloudfs.fuse.watch import RequestWatch
from cloudfs.malloc import keep_freed_memory
from cloudfs.metrics import RequestMetrics
from cloudfs.policy import PathPolicies
from cloudfs.status import MountState
from cloudfs.steering.commands import handlers as steering_handlers
from cloudfs.steering.jobs import Jobs
from cloudfs.steering.survey import count_local
from cloudfs.vfs.filesystem import FileSystem
from cloudfs.vfs.freshness import FreshnessPolicy
from cloudfs.vfs.tree import Tree
from cloudfs_backends import api as backends
from cloudfs_cache.api import ChunkSink, ObjectVersion
from cloudfs_cache.memory import MemoryTier
from cloudfs_cache.tiered import TieredCache

log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S = 0.001
_REQUEST_TASKS_MIN = 8
_REQUEST_TASKS_MAX = 512
_DEADLINE_MARGIN_S = 60.0
_STOP_GRACE_S = 2.0
_STOP_REPLY_S = 0.5
_DRAIN_S = 3.0


@dataclass(slots=True)
class _Mount:
    """The parts of one mount while it is served."""

    state: MountState
    operations: Operations
    watch: RequestWatch
    metrics: RequestMetrics


def run(settings: MountSettings, *, on_ready: Callable[[], None]) -> None:
    """Mount and serve until the mount is ended; `on_ready` is called once it answers.

    Raises UserError for what the user can mend; then nothing is mounted.
    """
    keep_freed_memory()
    # Threads that copy chunks hold the interpreter for microseconds at a time; the loop, which
    # answers every reader, should not have to wait for the default 5 ms to get it back.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    try:
        trio.run(_serve, settings, on_ready)
    except BaseExceptionGroup as group:
        only = _only_error(group)
        if isinstance(only, UserError):
            raise only from None
        raise


async def _serve(settings: MountSettings, on_ready: Callable[[], None]) -> None:
    started_at = time.monotonic()
    store = await opening.open_store(settings)
    disks = await opening.open_disks(settings, store.identity)
    disk = disks.tier
    memory = MemoryTier(settings.memory_limit, staging=disk is not None)
    cache = TieredCache(partial(_fetch, store), memory, disk, max_downloads=settings.max_downloads)
    policies = PathPolicies(settings.policies)
    metrics = RequestMetrics()
    watch = RequestWatch(settings.retry_budget + _DEADLINE_MARGIN_S)
    invalidator = EntryInvalidator()
    remembered = opening.open_catalog(settings, disk, store.identity)
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
            count_local=partial(count_local, store, cache.steering, policies),
        )
        operations = Operations(filesystem, _ownership(settings), metrics, watch)
        untuned = kernel.KernelSettings(None, None)
        state = MountState(
            settings, store, tree, cache, metrics, untuned, started_at, disks.left_out
        )
        mount = _Mount(state, operations, watch, metrics)
        await services.start(cache.serve)
        services.start_soon(watch.watch_forever)
        services.start_soon(invalidator.send_forever)
        services.start_soon(remembered.serve)
        commands = steering_handlers(store, cache.steering, policies, filesystem, Jobs(services))
        await services.start(_serve_control, mount, commands)
        async with _mounted(settings, operations):
            services.start_soon(_announce, mount, on_ready)
            services.start_soon(_stop_on_signal, mount)
            await pyfuse3.main(_REQUEST_TASKS_MIN, _REQUEST_TASKS_MAX)
        log.info("unmounted %s", settings.mountpoint)
        with trio.move_on_after(_DRAIN_S):
            await cache.drain()
        await remembered.aclose()
        services.cancel_scope.cancel()
    await cache.aclose()
    await store.aclose()


@asynccontextmanager
async def _mounted(settings: MountSettings, operations: Operations) -> AsyncIterator[None]:
    """Mount; unmount after an orderly end only (see the module's docstring)."""
    try:
        pyfuse3.init(operations, str(settings.mountpoint), _mount_options(settings))
    except RuntimeError as error:
        raise UserError(
            ExitCode.FUSE,
            f"cannot mount on {settings.mountpoint} ({error}): see the line above; check that "
            "/dev/fuse is accessible and that fuse3 is installed",
        ) from error
    yield
    pyfuse3.close(unmount=True)


def _mount_options(settings: MountSettings) -> set[str]:
    name = settings.url.replace("\\", "\\\\").replace(",", "\\,")
    options = {f"fsname={name}", "subtype=cloudfs", "ro", "default_permissions"}
    if settings.allow_other:
        options.add("allow_other")
    return options


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
    steering: Mapping[str, control.Handler],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    async def status(_arguments: Mapping[str, object]) -> Mapping[str, object]:
        return mount.state.document()

    path = control.socket_path(mount.state.settings.mountpoint)
    await control.serve(path, {"status": status, **steering}, task_status=task_status)


async def _announce(mount: _Mount, on_ready: Callable[[], None]) -> None:
    """Tune the kernel's side and call `on_ready` once the mount answers."""
    settings = mount.state.settings
    await trio.to_thread.run_sync(os.stat, settings.mountpoint, abandon_on_cancel=True)
    found = mountpoints.mount_at(settings.mountpoint)
    if found is not None:
        major, _, minor = found.device.partition(":")
        device = int(major), int(minor)
        mount.operations.mount_device = device
        mount.state.kernel = await trio.to_thread.run_sync(
            kernel.tune, device, settings.kernel_read_ahead
        )
    log.info("mounted %s on %s", settings.url, settings.mountpoint)
    on_ready()


async def _stop_on_signal(mount: _Mount) -> None:
    """End the mount on SIGTERM or SIGINT: requests in flight get a moment, then EIO."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            log.info("%s: ending the mount", signal.Signals(number).name)
            break
        with trio.move_on_after(_STOP_GRACE_S):
            await mount.watch.wait_idle()
        mount.watch.close(errno.EIO)
        with trio.move_on_after(_STOP_REPLY_S):
            await mount.watch.wait_idle()
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
