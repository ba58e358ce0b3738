"""`cloudfs cache`: look at what the cache of a mount holds, and change it.

Everything is asked of the daemons; no mount and no cache directory is touched.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cloudfs.cli import jobs
from cloudfs.cli.arguments import completion
from cloudfs.cli.arguments.groups import Commands
from cloudfs.cli.arguments.mount_paths import MountTable, by_mount, shown
from cloudfs.cli.client import Daemon
from cloudfs.cli.errors import say
from cloudfs.cli.jobs import RemoteJob
from cloudfs.cli.render.progress import Row
from cloudfs.errors import ExitCode, printable
from cloudfs.units import format_count, format_duration, format_size

_PATHS = click.argument(
    "paths", nargs=-1, required=True, metavar="PATH...", shell_complete=completion.paths
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as a document.")


@click.group(
    "cache",
    cls=Commands,
    invoke_without_command=True,
    short_help="Show, pin, evict, refresh and verify what is cached.",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Show and change what the cache of a mount holds. A PATH is any path in a mount."""
    assert isinstance(context.command, Commands)
    context.command.require_verb(context)


def _by_mount(paths: tuple[str, ...]) -> dict[Path, list[str]]:
    table = MountTable()
    return by_mount(map(table.require, paths))


@command.command("info", short_help="Show directories, pins, policies and jobs.")
@_PATHS
@_JSON
def info(paths: tuple[str, ...], *, as_json: bool) -> None:
    """Show the cache directories, pins, policies and jobs of the mounts that have these paths."""
    documents = [
        {"mountpoint": str(mountpoint), **Daemon(mountpoint).ask("cache-info", {})}
        for mountpoint in _by_mount(paths)
    ]
    if as_json:
        click.echo(json.dumps({"schema": jobs.SCHEMA, "mounts": documents}, indent=2))
    else:
        texts = ("\n".join(map(printable, _info_lines(document))) for document in documents)
        click.echo("\n\n".join(texts))


def _info_lines(document: dict[str, Any]) -> Iterator[str]:
    mountpoint = Path(document["mountpoint"])
    yield f"mountpoint: {mountpoint}"
    yield f"url: {document['url']}"
    if not document["directories"]:
        yield "directory: none, the disk cache is off"
    for directory in document["directories"]:
        yield from _directory_lines(directory)
    if document["problem"]:
        yield f"problem: {document['problem']}"
    for key in document["pins"]:
        yield f"pinned: {shown(mountpoint, key)}"
    if document["pins_total"] > len(document["pins"]):
        yield f"pinned: {document['pins_total'] - len(document['pins']):,} more"
    for policy in document["policies"]:
        yield f"policy: {policy}"
    for job in document["jobs"]:
        elapsed = format_duration(job["elapsed_s"])
        yield f"job {job['job']}: {job['kind']}, {job['state']}, {elapsed}"


def _directory_lines(directory: dict[str, Any]) -> Iterator[str]:
    name = directory["directory"]
    state = directory["state"] + (f" ({directory['reason']})" if directory["reason"] else "")
    used, most = format_size(directory["used_bytes"]), format_size(directory["capacity_bytes"])
    free = format_size(directory["free_bytes"])
    yield f"directory {name}: {state}, {used} of {most} used, {free} free on its disk"
    for store in directory["stores"]:
        objects = format_count(store["objects"], "object")
        stored, pinned = format_size(store["stored_bytes"]), format_size(store["pinned_bytes"])
        packed, saved = format_size(store["compressed_bytes"]), format_size(store["saved_bytes"])
        parts = f"{objects}, {stored}, pinned {pinned}, compressed {packed}, saved {saved}"
        yield f"directory {name}, {store['store_id']}: {parts}"


@command.command("pin", short_help="Keep files and trees from being evicted.")
@_PATHS
def pin(paths: tuple[str, ...]) -> None:
    """Keep what is cached of these files and trees, and what will be, until it is unpinned.

    Pinning fetches nothing: `cloudfs warmup` does.
    """
    for mountpoint, keys in _by_mount(paths).items():
        Daemon(mountpoint).ask("cache-pin", {"paths": keys})
        for key in keys:
            click.echo(printable(f"pinned {shown(mountpoint, key)}"))


@command.command("unpin", short_help="Let files and trees be evicted again.")
@_PATHS
def unpin(paths: tuple[str, ...]) -> None:
    """Undo every pin of these files and trees and of what is in them."""
    for mountpoint, keys in _by_mount(paths).items():
        unknown = Daemon(mountpoint).ask("cache-unpin", {"paths": keys})["unknown"]
        for key in keys:
            if key in unknown:
                fix = f"'cloudfs cache info {shlex.quote(str(mountpoint))}' lists the pins"
                say(f"nothing is pinned at or below {shown(mountpoint, key)}: {fix}")
            else:
                click.echo(printable(f"unpinned {shown(mountpoint, key)}"))


@command.command("evict", short_help="Remove what is cached of files and trees.")
@_PATHS
def evict(paths: tuple[str, ...]) -> int:
    """Remove what is cached of these files and trees, except for what is pinned.

    They can still be read.
    """
    started = [
        jobs.start(mountpoint, "cache-evict", {"paths": keys})
        for mountpoint, keys in _by_mount(paths).items()
    ]
    jobs.wait(started, lambda job: Row(str(job.mountpoint), 0, 0, "evicting"))
    for job in started:
        if (freed := job.document["freed_bytes"]) is not None:
            click.echo(f"{printable(str(job.mountpoint))}: freed {format_size(freed)}")
    return jobs.worst([jobs.outcome(job) for job in started])


@command.command("invalidate", short_help="Ask the store again about files and trees.")
@_PATHS
def invalidate(paths: tuple[str, ...]) -> None:
    """Ask the store again about these files and trees when they are used next.

    What is cached of files that have not changed stays.
    """
    for mountpoint, keys in _by_mount(paths).items():
        Daemon(mountpoint).ask("cache-invalidate", {"paths": keys})
        for key in keys:
            click.echo(printable(f"invalidated {shown(mountpoint, key)}"))


@command.command("verify", short_help="Read everything on the SSDs, drop what is wrong.")
@_PATHS
@_JSON
def verify(paths: tuple[str, ...], *, as_json: bool) -> int:
    """Read everything on the SSDs of the mounts that have these paths; drop what is wrong.

    Ends with code 11 when wrong blocks were found. They are fetched again when they are read.
    """
    started: list[RemoteJob] = []
    with jobs.cancelling(started):
        for mountpoint in _by_mount(paths):
            started.append(jobs.start(mountpoint, "cache-verify", {}))
    jobs.wait(started, _describe_verify)
    if as_json:
        click.echo(jobs.as_json_text(started))
    return jobs.worst([_report_verify(job, as_json=as_json) for job in started])


def _describe_verify(job: RemoteJob) -> Row:
    document = job.document
    done, total = document["blocks_done"], document["blocks_total"]
    speed = job.speed.note(document["bytes_done"], time.monotonic())
    text = f"{done:,} of {format_count(total, 'block')}, {format_size(int(speed))}/s"
    return Row(str(job.mountpoint), done, total, text)


def _report_verify(job: RemoteJob, *, as_json: bool) -> ExitCode:
    """Say how a verification has ended, and return its exit code."""
    code = jobs.outcome(job)
    report = job.document["report"]
    if code is not ExitCode.OK or report is None:
        return code
    blocks, size = format_count(report["blocks"], "block"), format_size(report["bytes"])
    if not as_json:
        click.echo(printable(f"{job.mountpoint}: read {blocks} ({size}): {_findings(report)}"))
    return ExitCode.INCOMPLETE if report["corrupt"] else ExitCode.OK


def _findings(report: dict[str, Any]) -> str:
    found = []
    if report["corrupt"]:
        found.append(f"{report['corrupt']:,} wrong, dropped and fetched again when read")
    if report["missing"]:
        found.append(f"{report['missing']:,} without bytes, forgotten")
    if report["orphans"]:
        found.append(f"{format_count(report['orphans'], 'file')} of no use, deleted")
    return "; ".join(found) or "all right"
