"""`cloudfs cache`: show, pin, evict, invalidate and verify the cache of a mount.

The daemons do all of it; no mount and no cache directory is touched.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import structs

from cloudfs.admin import messages
from cloudfs.admin.messages import (
    CacheInfo,
    DirectoryInfo,
    EvictProgress,
    Paths,
    VerificationProgress,
)
from cloudfs.cli import jobs
from cloudfs.cli.arguments import completion
from cloudfs.cli.arguments.groups import Commands
from cloudfs.cli.arguments.mount_paths import MountTable, by_mount, shown
from cloudfs.cli.client import Daemon
from cloudfs.cli.errors import say
from cloudfs.cli.jobs import RemoteJob
from cloudfs.cli.render import json_text
from cloudfs.cli.render.progress import Row
from cloudfs.control.protocol import NoArguments
from cloudfs.errors import ExitCode, printable
from cloudfs.units import format_count, format_duration, format_size
from cloudfs_cache.api import VerifyReport

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
    found = {
        mountpoint: Daemon(mountpoint).ask(messages.CACHE_INFO, NoArguments())
        for mountpoint in _by_mount(paths)
    }
    if as_json:
        mounts = [
            {"mountpoint": str(mountpoint), **structs.asdict(info)}
            for mountpoint, info in found.items()
        ]
        click.echo(json_text.text({"schema": jobs.SCHEMA, "mounts": mounts}))
    else:
        texts = ("\n".join(map(printable, _info_lines(*item))) for item in found.items())
        click.echo("\n\n".join(texts))


def _info_lines(mountpoint: Path, info: CacheInfo) -> Iterator[str]:
    yield f"mountpoint: {mountpoint}"
    yield f"url: {info.url}"
    if not info.directories:
        yield "directory: none, the disk cache is off"
    for directory in info.directories:
        yield from _directory_lines(directory)
    if info.problem:
        yield f"problem: {info.problem}"
    for key in info.pins:
        yield f"pinned: {shown(mountpoint, key)}"
    if info.pins_total > len(info.pins):
        yield f"pinned: {info.pins_total - len(info.pins):,} more"
    for policy in info.policies:
        yield f"policy: {policy}"
    for job in info.jobs:
        yield f"job {job.job}: {job.kind}, {job.state}, {format_duration(job.elapsed_s)}"


def _directory_lines(of: DirectoryInfo) -> Iterator[str]:
    state = of.state + (f" ({of.reason})" if of.reason else "")
    used, capacity = format_size(of.used_bytes), format_size(of.capacity_bytes)
    free = format_size(of.free_bytes)
    yield f"directory {of.directory}: {state}, {used} of {capacity} used, {free} free on its disk"
    for store in of.stores:
        parts = (
            format_count(store.objects, "object"),
            format_size(store.stored_bytes),
            f"pinned {format_size(store.pinned_bytes)}",
            f"compressed {format_size(store.compressed_bytes)}",
            f"saved {format_size(store.saved_bytes)}",
        )
        yield f"directory {of.directory}, {store.store_id}: {', '.join(parts)}"


@command.command("pin", short_help="Keep files and trees from being evicted.")
@_PATHS
def pin(paths: tuple[str, ...]) -> None:
    """Keep what is cached of these files and trees, and what will be, until it is unpinned.

    Pinning fetches nothing: `cloudfs warmup` does.
    """
    for mountpoint, keys in _by_mount(paths).items():
        Daemon(mountpoint).ask(messages.CACHE_PIN, Paths(tuple(keys)))
        for key in keys:
            click.echo(printable(f"pinned {shown(mountpoint, key)}"))


@command.command("unpin", short_help="Let files and trees be evicted again.")
@_PATHS
def unpin(paths: tuple[str, ...]) -> None:
    """Undo every pin of these files and trees and of what is in them."""
    for mountpoint, keys in _by_mount(paths).items():
        unknown = Daemon(mountpoint).ask(messages.CACHE_UNPIN, Paths(tuple(keys))).unknown
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
        jobs.start(mountpoint, messages.CACHE_EVICT, Paths(tuple(keys)))
        for mountpoint, keys in _by_mount(paths).items()
    ]
    jobs.wait(started, lambda job: Row(str(job.mountpoint), 0, 0, "evicting"))
    for job in started:
        if (freed := job.progress_as(EvictProgress).freed_bytes) is not None:
            click.echo(f"{printable(str(job.mountpoint))}: freed {format_size(freed)}")
    return jobs.worst([jobs.outcome(job) for job in started])


@command.command("invalidate", short_help="Ask the store again about files and trees.")
@_PATHS
def invalidate(paths: tuple[str, ...]) -> None:
    """Ask the store again about these files and trees when they are used next.

    What is cached of files that have not changed stays.
    """
    for mountpoint, keys in _by_mount(paths).items():
        Daemon(mountpoint).ask(messages.CACHE_INVALIDATE, Paths(tuple(keys)))
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
            started.append(jobs.start(mountpoint, messages.CACHE_VERIFY, NoArguments()))
    jobs.wait(started, _describe_verify)
    if as_json:
        click.echo(jobs.as_json_text(started))
    return jobs.worst([_report_verify(job, as_json=as_json) for job in started])


def _describe_verify(job: RemoteJob) -> Row:
    progress = job.progress_as(VerificationProgress)
    done, total = progress.blocks_done, progress.blocks_total
    speed = job.speed.add(progress.bytes_done, time.monotonic())
    text = f"{done:,} of {format_count(total, 'block')}, {format_size(int(speed))}/s"
    return Row(str(job.mountpoint), done, total, text)


def _report_verify(job: RemoteJob, *, as_json: bool) -> ExitCode:
    """Print the outcome of a verification, and return its exit code."""
    code = jobs.outcome(job)
    report = job.progress_as(VerificationProgress).report
    if code is not ExitCode.OK or report is None:
        return code
    blocks, size = format_count(report.blocks, "block"), format_size(report.bytes)
    if not as_json:
        click.echo(printable(f"{job.mountpoint}: read {blocks} ({size}): {_findings(report)}"))
    return ExitCode.INCOMPLETE if report.corrupt else ExitCode.OK


def _findings(report: VerifyReport) -> str:
    found = []
    if report.corrupt:
        found.append(f"{report.corrupt:,} corrupt, dropped and fetched again when read")
    if report.missing:
        found.append(f"{report.missing:,} without bytes, dropped")
    if report.orphans:
        found.append(f"{format_count(report.orphans, 'file')} that no index knew, deleted")
    return "; ".join(found) or "nothing wrong"
