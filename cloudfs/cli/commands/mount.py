"""`cloudfs mount`: resolve the settings, check the mountpoint, and serve the mount.

`cloudfs.daemon.lifecycle` is imported only in the process that serves.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from typing import Any

import click

from cloudfs.cli import background
from cloudfs.cli.arguments import flags
from cloudfs.cli.errors import say
from cloudfs.config.settings import MountSettings, resolve
from cloudfs.control import sockets
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults, mountpoints
from cloudfs.telemetry import logs

log = logging.getLogger(__name__)


@click.pass_context
def _mount(context: click.Context, /, **parameters: Any) -> None:
    """Mount the bucket or prefix URL (s3://bucket/prefix, file:///folder) at MOUNTPOINT.

    Every option can also be set by a CLOUDFS_* variable, in the TOML file of --config, or with -o;
    docs/configuration.md has them all. URL and MOUNTPOINT may be left out when they are set there.
    `cloudfs umount MOUNTPOINT` ends the mount. A MOUNTPOINT /dev/fd/N is a FUSE device that the
    caller has opened and mounted.
    """
    flags.warn_of_unknown_variables(os.environ)
    settings = resolve(
        parameters["url"],
        parameters["mountpoint"],
        flags=flags.given(context),
        words=parameters["words"],
        environ=os.environ,
    ).settings
    check(settings)
    if settings.background:
        serve_in_background(settings)
    else:
        _serve_in_foreground(settings)


def check(settings: MountSettings) -> None:
    """Raise `UserError` unless a mount can be made; clear the mount of a dead daemon."""
    path = settings.mountpoint
    descriptor = mountpoints.passed_descriptor(path)
    if descriptor is not None:
        _check_passed(settings, descriptor)
        return
    mountpoints.check_fuse(allow_other=settings.allow_other)
    mount = mountpoints.mount_at(path)
    # A served mount is not accessed: it may hang.
    if mount is not None and mount.is_cloudfs and (pid := sockets.daemon_pid(path)):
        fix = f"unmount it with 'cloudfs umount {path}' or choose another directory"
        message = f"{path} is already mounted by cloudfs process {pid}, from {mount.source}: {fix}"
        raise UserError(ExitCode.MOUNTPOINT, message)
    if mountpoints.clear_dead(path):
        say(f"{path} was a mount whose process is gone: cleared it")
    mountpoints.check_mountpoint(path)


def _check_passed(settings: MountSettings, descriptor: int) -> None:
    """Check a FUSE device that the caller has opened and mounted, with its own mount options."""
    path = settings.mountpoint
    if settings.background:
        fix = "leave out --background, and let who mounted it run the process"
        raise UserError(ExitCode.USAGE, f"{path} is served in the foreground only: {fix}")
    mountpoints.check_passed(descriptor)
    if settings.allow_other:
        say(f"--allow-other does nothing for {path}: give mount(2) the option allow_other")


def serve_in_background(
    settings: MountSettings, *, start_s: float = background.START_S
) -> MountSettings:
    """Serve in another process; return the settings with the log file once the mount responds."""
    log_file = settings.log_file or defaults.background_log_file(settings.mountpoint)
    if not log_file.is_absolute():
        message = "there is no home directory to keep the log in: give a file with --log-file"
        raise UserError(ExitCode.USAGE, message)
    settings = dataclasses.replace(settings, log_file=log_file)
    background.serve(settings, serve, start_s=start_s)
    return settings


def _serve_in_foreground(settings: MountSettings) -> None:
    logs.setup(settings.log_file, settings.log_format, debug=settings.debug)
    try:
        serve(settings, lambda: None)
    except UserError as error:
        # stderr gets the error itself; a log file would lack it.
        if settings.log_file is not None:
            log.error("%s", error.message)  # noqa: TRY400 - what the user did is no traceback
        raise


def serve(settings: MountSettings, on_ready: Callable[[], None]) -> None:
    """Serve the mount until it is unmounted; `on_ready` is called once it responds."""
    from cloudfs.daemon import lifecycle  # noqa: PLC0415 - heavy, and only for the serving process

    lifecycle.run(settings, on_ready=on_ready)


command = flags.GroupedCommand(
    "mount",
    callback=_mount,
    params=[
        *flags.mount_parameters(),
    ],
    help=_mount.__doc__,
    short_help="Mount a bucket at a directory.",
)
