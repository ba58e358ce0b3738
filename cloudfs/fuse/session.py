"""One FUSE session: mounting, waiting until the mount answers, and unmounting after an orderly end.

pyfuse3 has one session per process, in globals of its own; this is the only module that opens and
closes it. A mountpoint `/dev/fd/N` is a FUSE device that the caller has opened and mounted: where
and how is the caller's matter, as is unmounting it. It does not know what is served.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pyfuse3
import trio

from cloudfs.config.settings import MountSettings
from cloudfs.control import sockets
from cloudfs.errors import ExitCode, UserError
from cloudfs.fuse import tuning
from cloudfs.fuse.operations import Operations
from cloudfs.system import mountpoints

log = logging.getLogger(__name__)


@asynccontextmanager
async def mounted(settings: MountSettings, operations: Operations) -> AsyncIterator[None]:
    """Mount; unmount after an orderly end only: a crash must not look like an empty dataset."""
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


async def answering(settings: MountSettings, operations: Operations) -> tuning.KernelSettings:
    """Return once the mount answers, with the kernel's side of it tuned."""
    descriptor = mountpoints.passed_descriptor(settings.mountpoint)
    if descriptor is None:
        await trio.to_thread.run_sync(os.stat, settings.mountpoint, abandon_on_cancel=True)
        device = mountpoints.device_at(settings.mountpoint)
    else:
        # Where it is mounted may be out of sight: a request of our own could not reach it.
        await operations.initialised.wait()
        device = mountpoints.device_of(descriptor)
    if device is None:
        return tuning.KernelSettings(None, None)
    operations.mount_device = device
    return await trio.to_thread.run_sync(tuning.tune, device, settings.kernel_read_ahead)


def control_socket(mountpoint: Path) -> Path:
    """Return where the daemon of this process listens.

    Nobody finds the socket of a passed descriptor by its mountpoint, and two containers may each
    have a process 1 with a /dev/fd/3 and share the folder of sockets.
    """
    if mountpoints.passed_descriptor(mountpoint) is None:
        return sockets.socket_path(mountpoint)
    namespace = os.stat("/proc/self/ns/pid").st_ino
    return sockets.socket_path(mountpoint / str(namespace) / str(os.getpid()))


def _mount_options(settings: MountSettings) -> set[str]:
    name = settings.url.replace("\\", "\\\\").replace(",", "\\,")
    options = {f"fsname={name}", "subtype=cloudfs", "ro", "default_permissions"}
    if settings.allow_other:
        options.add("allow_other")
    return options
