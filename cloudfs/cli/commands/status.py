"""`cloudfs status`: the mounts of this machine, asked over their control sockets.

No mountpoint is touched, so this works while a mount hangs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from cloudfs import units
from cloudfs.cli import query, usage
from cloudfs.cli.arguments import completion
from cloudfs.cli.arguments.mount_paths import MountPath, MountTable, require_path
from cloudfs.cli.errors import say
from cloudfs.cli.render import figures, json_text, options, page, table
from cloudfs.cli.render.figures import Paint
from cloudfs.errors import ExitCode, UserError
from cloudfs.status.document import AnyDocument, StatusDocument, UnansweredMount
from cloudfs.system import mountpoints

EVERY_S_MIN: Final = 0.1
EVERY_S_MAX: Final = 3600.0


@click.command("status", short_help="Show what the mounts do.")
@click.argument("path", metavar="[PATH]", required=False, shell_complete=completion.paths)
@click.option("--json", "as_json", is_flag=True, help="Print the document, or a list of them.")
@click.option("--options", "with_options", is_flag=True, help="Show the options of the mount, too.")
@click.option(
    "--watch",
    is_flag=False,
    flag_value="",
    metavar="[T]",
    help="Show it again every T (1s), on a terminal until q is pressed; else a line each time.",
)
def command(path: str | None, watch: str | None, *, as_json: bool, with_options: bool) -> int:
    """Show the mount at PATH, or every cloudfs mount of this machine.

    For a PATH below a mountpoint: how much of that file or tree is local. With --watch and no PATH
    there must be one mount.
    """
    if watch is not None:
        return _watch(*_watch_options(watch, path), as_json=as_json)
    if path is None:
        documents = query.all_documents()
        click.echo(json_text.text(documents) if as_json else _list_text(documents, with_options))
        return ExitCode.OK
    require_path(path)
    place = MountTable().find(path)
    if place is not None and place.key:
        document = usage.document_of(place)
        click.echo(json_text.text(document) if as_json else usage.as_text(document))
        return ExitCode.OK
    return _show_mount(path, place, as_json=as_json, with_options=with_options)


def paint() -> Paint:
    """Return colours for a terminal whose user has not refused them."""
    has_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return figures.coloured if has_colours and os.environ.get("TERM") != "dumb" else figures.plain


def _show_mount(path: str, place: MountPath | None, *, as_json: bool, with_options: bool) -> int:
    # A path that no mount of the table has may be one of another mount namespace.
    document = query.document_at(_mountpoint(path, place))
    click.echo(json_text.text(document) if as_json else _page_text(document, with_options))
    code = query.EXIT_CODES.get(document.health, ExitCode.OK)
    if code is not ExitCode.OK and isinstance(document, UnansweredMount):
        say(f"{document.mountpoint} is {document.health}: {document.fix}")
    return code


def _mountpoint(path: str, place: MountPath | None) -> Path:
    return mountpoints.canonical(path) if place is None else place.mountpoint


def _list_text(documents: Sequence[AnyDocument], with_options: bool) -> str:
    if not documents:
        return "no cloudfs mounts"
    if len(documents) > 1 and not with_options:
        return "\n".join(table.lines(documents, paint()))
    return "\n\n".join(_page_text(document, with_options) for document in documents)


def _page_text(document: AnyDocument, with_options: bool) -> str:
    return "\n".join(_page_lines(document, with_options))


def _page_lines(document: AnyDocument, with_options: bool) -> Iterator[str]:
    yield from page.lines(document, paint())
    if with_options and isinstance(document, StatusDocument):
        yield from options.lines(document.options)


def _watch_options(value: str, path: str | None) -> tuple[Path, float]:
    """Return the mountpoint and the interval in seconds.

    A word behind `--watch` that is no duration is the path.
    """
    try:
        every_s = units.parse_duration(value) if value else 1.0
    except ValueError:
        if path is not None:
            message = f"bad value {value!r} for --watch: write seconds or a duration such as 500ms"
            raise UserError(ExitCode.USAGE, message) from None
        every_s, path = 1.0, value
    if not EVERY_S_MIN <= every_s <= EVERY_S_MAX:
        message = f"bad value {value!r} for --watch: use a value between 100ms and 1h"
        raise UserError(ExitCode.USAGE, message)
    return _mount_to_watch(path), every_s


def _mount_to_watch(path: str | None) -> Path:
    if path is None:
        return _only_mount()
    require_path(path)
    mountpoint = _mountpoint(path, MountTable().find(path))
    query.require_mounted(mountpoint)
    return mountpoint


def _only_mount() -> Path:
    found = MountTable().mountpoints
    if len(found) != 1:
        count = units.format_count(len(found), "cloudfs mount") if found else "no cloudfs mounts"
        raise UserError(ExitCode.USAGE, f"there are {count}: name the one to watch")
    return found[0]


def _watch(mountpoint: Path, every_s: float, *, as_json: bool) -> int:
    from cloudfs.cli.watch import (  # noqa: PLC0415 - for watching only
        live,
        poll,
        stream,
    )

    with poll.PolledMount(mountpoint) as mount:
        if as_json:
            stream.documents(mount, every_s)
        elif sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
            live.show(mount, every_s)
        else:
            stream.rows(mount, every_s)
    return ExitCode.OK
