"""FUSE session: mounting, waiting until the mount answers, unmounting after an orderly end.

pyfuse3 has one session per process, in globals of its own; this is the only module that opens and
closes it. A mountpoint `/dev/fd/N` is a FUSE device that the caller has opened and mounted: the
caller chooses where and how, and unmounts it.
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
from cloudfs.fuse.operations import Operations
from cloudfs.system import mountpoints

log = logging.getLogger(__name__)


@asynccontextmanager
async def mounted(settings: MountSettings, operations: Operations) -> AsyncIterator[None]:
    """Mount, and unmount after an orderly end only: a crash must not look like an empty dataset."""
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


async def wait_answering(mountpoint: Path, initialised: trio.Event) -> tuple[int, int] | None:
    """Return the device (major, minor) of the mount, once it answers; None where it is unknown.

    `initialised` is set by the INIT request of the kernel.
    """
    descriptor = mountpoints.passed_descriptor(mountpoint)
    if descriptor is None:
        await trio.to_thread.run_sync(os.stat, mountpoint, abandon_on_cancel=True)
        return mountpoints.device_at(mountpoint)
    # The mount may be in another namespace: a request of our own could not reach it.
    await initialised.wait()
    return mountpoints.device_of(descriptor)


def control_socket(mountpoint: Path) -> Path:
    """Return the path of the control socket of this process.

    The mountpoint of a passed descriptor is not unique: two containers may each have a process 1
    with a /dev/fd/3 and share the folder of sockets.
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
