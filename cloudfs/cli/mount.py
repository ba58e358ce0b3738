"""`cloudfs mount`: settle the settings, check the mountpoint, and serve the mount.

The flags come from the table in `cloudfs.options`. This module does not know how a mount works:
that is `cloudfs.daemon`, imported only when the serving process is on its own.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable
from typing import Any

import click

from cloudfs import control, derive, logs, mountpoints, options
from cloudfs.cli import background, flags
from cloudfs.cli.errors import say
from cloudfs.config import MountSettings, resolve
from cloudfs.errors import ExitCode, UserError
from cloudfs.options import Heading

log = logging.getLogger(__name__)


@click.pass_context
def _mount(context: click.Context, /, **parameters: Any) -> None:
    """Mount the bucket or prefix URL (s3://bucket/prefix, file:///folder) at MOUNTPOINT.

    Every option can also be set by a CLOUDFS_* variable, in the TOML file of --config, or with -o;
    docs/options.md has them all. `cloudfs umount MOUNTPOINT` ends the mount.
    """
    settings = resolve(
        parameters["url"],
        parameters["mountpoint"],
        flags=flags.given(context),
        words=parameters["words"],
        environ=os.environ,
    ).settings
    check(settings)
    if settings.background:
        log_file = settings.log_file or derive.background_log_file(settings.mountpoint)
        background.serve(dataclasses.replace(settings, log_file=log_file), serve)
    else:
        _serve_in_foreground(settings)


def check(settings: MountSettings) -> None:
    """Raise `UserError` unless a mount can be made; clear what a dead daemon left there."""
    path = settings.mountpoint
    mountpoints.check_fuse(allow_other=settings.allow_other)
    mount = mountpoints.mount_at(path)
    # A served mount is not looked at: it may hang.
    if mount is not None and mount.is_cloudfs and (pid := control.daemon_pid(path)):
        fix = f"unmount it with 'cloudfs umount {path}' or choose another directory"
        message = f"{path} is already mounted by cloudfs process {pid}, from {mount.source}: {fix}"
        raise UserError(ExitCode.MOUNTPOINT, message)
    if mountpoints.clear_dead(path):
        say(f"{path} was a mount whose process is gone: cleared it")
    mountpoints.check_mountpoint(path)


def _serve_in_foreground(settings: MountSettings) -> None:
    logs.setup(debug=settings.debug, log_file=settings.log_file)
    try:
        serve(settings, lambda: None)
    except UserError as error:
        # On stderr the line comes from the error itself; a log file would lack it.
        if settings.log_file is not None:
            log.error("%s", error.message)  # noqa: TRY400 - what the user did is no traceback
        raise


def serve(settings: MountSettings, on_ready: Callable[[], None]) -> None:
    """Serve the mount until it is unmounted; `on_ready` is called once it answers."""
    from cloudfs import daemon  # noqa: PLC0415 - heavy, and only for the serving process

    daemon.run(settings, on_ready=on_ready)


command = flags.GroupedCommand(
    "mount",
    callback=_mount,
    params=[
        click.Argument(["url"], metavar="URL"),
        click.Argument(["mountpoint"], metavar="MOUNTPOINT"),
        *map(flags.flag, options.OPTIONS),
        flags.GroupedOption(
            ["-o", "words"],
            heading=Heading.MOUNT,
            multiple=True,
            metavar="OPT[,OPT...]",
            help="Options as mount(8) and fstab spell them, such as ro,max_downloads=16.",
        ),
    ],
    help=_mount.__doc__,
    short_help="Mount a bucket at a directory.",
)
