"""Mount lifecycle: start order, readiness, reload, drain and unmounting.

User errors are found before the mount is made, so a failed start leaves nothing mounted. An orderly
end (umount, SIGTERM, SIGINT) leaves an empty mountpoint; a crash leaves a mountpoint that answers
ENOTCONN, because an empty directory would look like an empty dataset.
"""

from __future__ import annotations

import errno
import faulthandler
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Final

import pyfuse3
import trio

from cloudfs.config.settings import MountSettings
from cloudfs.control import server
from cloudfs.daemon import assembly, signals
from cloudfs.daemon.resources import open_resources
from cloudfs.errors import UserError
from cloudfs.fuse import session, tuning
from cloudfs.status.prometheus import server as prometheus
from cloudfs.system.malloc import tune_malloc
from cloudfs.system.systemd import ServiceManager
from cloudfs_cache.api import KeyRange

log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S: Final = 0.001
_REQUEST_TASKS_MIN: Final = 8
_REQUEST_TASKS_MAX: Final = 512
_STOP_GRACE_S: Final = 2.0
_STOP_REPLY_S: Final = 0.5
_DRAIN_S: Final = 3.0
_CLOSE_S: Final = 20.0
"""For closing the parts; a disk that hangs is given up within its own limits."""

_STOP_S_MAX: Final = _STOP_GRACE_S + _STOP_REPLY_S + _DRAIN_S + _CLOSE_S


def run(settings: MountSettings, *, on_ready: Callable[[], None]) -> None:
    """Mount and serve until the mount is ended; `on_ready` is called once it answers.

    Raises UserError for what the user can fix; then nothing is mounted.
    """
    tune_malloc()
    # Threads that copy chunks hold the interpreter for microseconds at a time; the loop, which
    # answers every reader, should not have to wait for the default 5 ms to get it back.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    manager = ServiceManager.from_environment(os.environ)
    if manager.watchdog_s is not None:
        # The watchdog's SIGABRT then leaves in the journal what the loop was stuck in.
        faulthandler.enable()
    try:
        trio.run(_mount, settings, on_ready, manager)
    except BaseExceptionGroup as group:
        only = _only_error(group)
        if isinstance(only, UserError):
            raise only from None
        raise


async def _mount(
    settings: MountSettings, on_ready: Callable[[], None], manager: ServiceManager
) -> None:
    """Build, serve and end one mount."""
    started_at = time.monotonic()
    resources = await open_resources(settings)
    async with trio.open_nursery() as services:
        mount = assembly.build(settings, resources, services, started_at=started_at)
        daemon = _Daemon(mount, manager)
        await daemon.start_services(services)
        async with session.mounted(settings, mount.operations):
            services.start_soon(daemon.announce, on_ready)
            services.start_soon(daemon.obey_signals)
            await pyfuse3.main(_REQUEST_TASKS_MIN, _REQUEST_TASKS_MAX)
        await daemon.end()
        services.cancel_scope.cancel()
    await mount.cache.aclose()
    await mount.store.aclose()


class _Daemon:
    """The running of one mount: its services, and what the manager and signals ask of it."""

    def __init__(self, mount: assembly.MountParts, manager: ServiceManager) -> None:
        self._mount = mount
        self._manager = manager
        self._is_drained = False

    async def start_services(self, services: trio.Nursery) -> None:
        """Start what must run before the mountpoint appears; return once all of it does."""
        mount = self._mount
        await services.start(mount.cache.serve)
        services.start_soon(mount.watch.watch_forever)
        services.start_soon(mount.invalidator.send_forever)
        services.start_soon(mount.catalog.serve)
        path = session.control_socket(mount.settings.mountpoint)
        await services.start(server.serve, path, mount.routes)
        address = await services.start(
            prometheus.serve, mount.settings.metrics_address, mount.state.document
        )
        mount.state.metrics_bound(address)
        services.start_soon(mount.state.sample_forever)

    async def announce(self, on_ready: Callable[[], None]) -> None:
        """Tune the kernel and report readiness; then keep the manager informed. Never returns."""
        mount, settings = self._mount, self._mount.settings
        device = await session.wait_answering(settings.mountpoint, mount.operations.initialised)
        if device is not None:
            mount.operations.mounted_as(device)
            read_ahead = settings.kernel_read_ahead
            mount.state.kernel_tuned(await trio.to_thread.run_sync(tuning.tune, device, read_ahead))
        log.info("mounted %s on %s", settings.url, settings.mountpoint)
        on_ready()
        self._manager.ready(mount.state.line())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._manager.keep_alive)
            nursery.start_soon(self._manager.show_status, mount.state.line)

    async def obey_signals(self) -> None:
        """Reload and end the mount as signals ask for it."""
        await signals.reload_until_ended(self._reload, background=self._mount.settings.background)
        await self._stop()

    async def end(self) -> None:
        """Save what memory and the catalog hold, once nothing is mounted any more."""
        mountpoint = self._mount.settings.mountpoint
        log.info("unmounted %s", mountpoint)
        self._manager.stopping(_STOP_S_MAX, f"unmounted {mountpoint}, ending")
        await self._drain()
        await self._mount.catalog.aclose()

    async def _reload(self) -> None:
        """Invalidate all metadata; cached blocks stay, and open files go on."""
        self._manager.reloading()
        names = await self._mount.filesystem.invalidate([KeyRange("", subtree=True)])
        log.info("SIGHUP: invalidated all metadata, the kernel had cached %d names", names)
        self._manager.ready(self._mount.state.line())

    async def _stop(self) -> None:
        """End the mount: requests in flight get a moment, then EIO; memory is saved to the SSD.

        Unmounted last: until then a reader gets an error, and no empty directory.
        """
        watch = self._mount.watch
        self._manager.stopping(
            _STOP_S_MAX, f"ending the mount at {self._mount.settings.mountpoint}"
        )
        with trio.move_on_after(_STOP_GRACE_S):
            await watch.wait_idle()
        watch.close(errno.EIO)
        with trio.move_on_after(_STOP_REPLY_S):
            await watch.wait_idle()
        await self._drain()
        pyfuse3.terminate()
        await trio.sleep_forever()

    async def _drain(self) -> None:
        """Write blocks that only memory holds to the SSD, within a bound. Acts once."""
        if self._is_drained:
            return
        self._is_drained = True
        with trio.move_on_after(_DRAIN_S):
            await self._mount.cache.drain()


def _only_error(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """Return the single leaf of nested groups, or None when there are several."""
    leaf: BaseException = group
    while isinstance(leaf, BaseExceptionGroup):
        if len(leaf.exceptions) != 1:
            return None
        leaf = leaf.exceptions[0]
    return leaf
