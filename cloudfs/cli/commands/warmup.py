"""`cloudfs warmup`: bring files into the cache before they are read.

The daemon does it, as a job; this side finds the mounts, sends lists of paths in chunks, and shows
the progress. No mount is touched.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import click
from msgspec.structs import replace

from cloudfs import units
from cloudfs.admin import messages
from cloudfs.admin.messages import JobRequest, WarmUpProgress, WarmUpRequest
from cloudfs.cli import jobs
from cloudfs.cli.arguments import completion
from cloudfs.cli.arguments.mount_paths import MountTable, above, by_mount, require_path, shown
from cloudfs.cli.client import Daemon
from cloudfs.cli.errors import say
from cloudfs.cli.jobs import RemoteJob
from cloudfs.cli.render import progress
from cloudfs.cli.render.progress import Row
from cloudfs.errors import ExitCode, UserError, printable
from cloudfs.units import format_count, format_duration, format_size

_CHUNK_PATHS_MAX: Final = 5000
_CHUNK_BYTES_MAX: Final = 512 * 1024
"""Half of what a line of the control socket may have."""

_Chunk = tuple[Path, list[str]]


@click.command("warmup", short_help="Bring files into the cache before they are read.")
@click.argument("paths", nargs=-1, metavar="[PATH]...", shell_complete=completion.paths)
@click.option(
    "-f",
    "list_file",
    type=click.File("r", errors="surrogateescape"),
    metavar="LIST",
    help="File with one path per line, - for stdin; relative ones are below PATH.",
)
@click.option(
    "--glob",
    "globs",
    multiple=True,
    metavar="G",
    help="Only files whose path below PATH matches, such as '*.h5' or 'train/**'. Repeatable.",
)
@click.option("--rate", metavar="SIZE", help="Most bytes to fetch per second, such as 200MiB.")
@click.option("--background", is_flag=True, help="Return at once; --job shows how far it is.")
@click.option("--check", is_flag=True, help="Fetch nothing: say how much is local.")
@click.option("--job", "job_id", metavar="ID", help="Show a job of the mount that has PATH.")
@click.option("--cancel", is_flag=True, help="With --job: end it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a document.")
def command(paths: tuple[str, ...], job_id: str | None, **options: Any) -> int:
    """Fetch the files and trees at each PATH into the cache, behind everything that is read.

    What is local already is skipped, so a warm-up that was cut short is simply run again.
    """
    if job_id is not None:
        return _show_job(paths, job_id, **options)
    if options["cancel"]:
        raise UserError(ExitCode.USAGE, "--cancel needs a job: give its id with --job")
    return _warm_up(paths, **options)


def _warm_up(
    paths: tuple[str, ...],
    list_file: TextIO | None,
    globs: tuple[str, ...],
    rate: str | None,
    *,
    background: bool,
    check: bool,
    as_json: bool,
    **_: Any,
) -> int:
    template = WarmUpRequest((), globs, _rate(rate), check=check, more=True)
    if list_file is None:
        chunks = _chunks_of_paths(paths, keep_nested=bool(globs))
    else:
        chunks = _chunks_of_list(paths, list_file)
    started: list[RemoteJob] = []
    with jobs.cancelling(started), progress.display() as show:
        for job in _start(chunks, template, started):
            show([describe(job) for job in started])
        if not background:
            jobs.follow(started, describe, show)
    if as_json:
        click.echo(jobs.as_json_text(started))
    if not background:
        return jobs.worst([_report(job, as_json) for job in started])
    for job in started if not as_json else []:
        known = f"'cloudfs warmup --job {job.id} {shlex.quote(str(job.mountpoint))}'"
        click.echo(f"{job.mountpoint}: job {job.id} warms up: {known} shows how far it is")
    return ExitCode.OK


def _start(
    chunks: Iterable[_Chunk], template: WarmUpRequest, started: list[RemoteJob]
) -> Iterator[RemoteJob]:
    """Start a job for each mount and hand over the paths as they come.

    Adds the jobs to `started`, and yields one whenever it may be a while until it takes more.
    """
    of_mount: dict[Path, RemoteJob] = {}
    for mountpoint, keys in chunks:
        job = of_mount.get(mountpoint)
        if job is None:
            request = replace(template, paths=tuple(keys))
            job = of_mount[mountpoint] = jobs.start(mountpoint, messages.WARMUP, request)
            started.append(job)
        else:
            while not job.add(keys, more=True):
                yield job
    for job in started:
        while not job.add([], more=False):
            yield job


def _chunks_of_paths(paths: Sequence[str], *, keep_nested: bool) -> Iterator[_Chunk]:
    """Yield the paths; those below another one too only where that makes a difference."""
    if not paths:
        raise UserError(ExitCode.USAGE, "no path given: give paths in a mount, or a list with -f")
    table = MountTable()
    for mountpoint, keys in by_mount(map(table.require, paths)).items():
        given = set(keys)
        yield from _cut(
            mountpoint,
            [key for key in keys if keep_nested or not any(up in given for up in above(key))],
        )


def _chunks_of_list(paths: Sequence[str], list_file: TextIO) -> Iterator[_Chunk]:
    """Yield the paths of a list in chunks, while it is being read."""
    if len(paths) > 1:
        fix = "give one PATH, the folder that the lines are relative to"
        raise UserError(ExitCode.USAGE, f"-f with several paths: {fix}")
    table = MountTable()
    folder = ""
    for folder in paths:
        require_path(folder)
    pending: dict[Path, list[str]] = {}
    is_empty = True
    for number, line in enumerate(list_file, start=1):
        path = line.rstrip("\r\n")
        if not path:
            continue
        is_empty = False
        place = table.find(os.path.join(folder, path))
        if place is None:
            fix = "write paths in a mount, or relative to PATH"
            where = f"{list_file.name} line {number}"
            raise UserError(
                ExitCode.NOT_MOUNTED, f"{where}: {path} lies in no cloudfs mount: {fix}"
            )
        keys = pending.setdefault(place.mountpoint, [])
        keys.append(place.key)
        if len(keys) >= _CHUNK_PATHS_MAX:
            yield from _cut(place.mountpoint, pending.pop(place.mountpoint))
    if is_empty:
        raise UserError(ExitCode.USAGE, f"{list_file.name} has no paths: write one per line")
    for mountpoint, keys in pending.items():
        yield from _cut(mountpoint, keys)


def _cut(mountpoint: Path, keys: Sequence[str]) -> Iterator[_Chunk]:
    """Yield the keys in chunks that fit into a line of the control socket."""
    chunk: list[str] = []
    room = _CHUNK_BYTES_MAX
    for key in keys:
        length = len(json.dumps(key)) + 2
        if chunk and length > room:
            yield mountpoint, chunk
            chunk, room = [], _CHUNK_BYTES_MAX
        chunk.append(key)
        room -= length
    yield mountpoint, chunk


def _rate(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        rate = units.parse_size(text.removesuffix("/s"))
    except ValueError as error:
        raise UserError(ExitCode.USAGE, f"bad value {text!r} for --rate: {error}") from None
    if rate == 0:
        raise UserError(ExitCode.USAGE, "bad value '0' for --rate: use more, or leave it out")
    return rate


def _show_job(paths: tuple[str, ...], job_id: str, *, cancel: bool, as_json: bool, **_: Any) -> int:
    if len(paths) != 1:
        raise UserError(ExitCode.USAGE, "--job needs one PATH: any path in the mount that runs it")
    daemon = Daemon(MountTable().require(paths[0]).mountpoint)
    job = RemoteJob(daemon, daemon.ask(messages.JOB, JobRequest(job_id)))
    was_running = job.is_running
    if cancel and was_running:
        job.cancel()
    if as_json:
        click.echo(jobs.as_json_text([job]))
    elif cancel and was_running:
        click.echo(f"{job.mountpoint}: cancelled job {job.id}: what is done stays")
    elif cancel:
        click.echo(f"{job.mountpoint}: job {job.id} has ended before: {job.status.state}")
    if cancel:
        return ExitCode.OK
    if not job.is_running:
        return _report(job, as_json)
    if not as_json:
        row = describe(job)
        elapsed = format_duration(job.status.elapsed_s)
        click.echo(printable(f"{row.title}: job {job.id} runs for {elapsed}: {row.text}"))
    return ExitCode.OK


def describe(job: RemoteJob) -> Row:
    """Return the progress of a warm-up."""
    progress = job.status.progress
    if not isinstance(progress, WarmUpProgress):
        return Row(str(job.mountpoint), 0, 0, f"a {job.status.kind} job")
    done, total = progress.bytes_done, progress.bytes_total
    text = _counts(progress)
    speed = job.speed.add(progress.fetched_bytes, time.monotonic())
    if progress.counting:
        text += ", still counting"
    if speed >= 1 and not progress.check:
        text += f", {format_size(int(speed))}/s"
        if not progress.counting:
            text += f", {format_duration(round((total - done) / speed))} left"
    if progress.failed:
        text += f", {progress.failed:,} failed"
    return Row(str(job.mountpoint), done, total, text)


def _counts(progress: WarmUpProgress) -> str:
    files = f"{progress.files_done:,} of {format_count(progress.files_total, 'file')}"
    done, total = format_size(progress.bytes_done), format_size(progress.bytes_total)
    return f"{files}, {done} of {total}"


def _report(job: RemoteJob, as_json: bool) -> ExitCode:
    """Print the outcome of a job, and return its exit code."""
    progress = job.status.progress
    if not isinstance(progress, WarmUpProgress):
        return jobs.outcome(job)
    if not as_json:
        click.echo(printable(f"{job.mountpoint}: {_summary(progress, job.status.elapsed_s)}"))
    for failure in progress.failures:
        say(f"{shown(job.mountpoint, failure.path)}: {failure.reason}")
    if progress.failed > len(progress.failures):
        count = format_count(progress.failed, "path")
        say(f"{job.mountpoint}: {count} failed, the first {len(progress.failures)} are above")
    for note in progress.notes:
        say(f"{job.mountpoint}: {note}")
    code = jobs.outcome(job)
    if code is ExitCode.OK and _is_incomplete(progress):
        return ExitCode.INCOMPLETE
    return code


def _summary(progress: WarmUpProgress, elapsed_s: float) -> str:
    summary = f"{_counts(progress)} local"
    fetched = progress.fetched_bytes
    if progress.check:
        return summary
    if not fetched:
        return f"{summary}; nothing was fetched"
    speed = f" ({format_size(int(fetched / elapsed_s))}/s)" if elapsed_s else ""
    return f"{summary}; fetched {format_size(fetched)} in {format_duration(elapsed_s)}{speed}"


def _is_incomplete(progress: WarmUpProgress) -> bool:
    missing = progress.files_done < progress.files_total
    return missing or progress.failed > 0 or progress.refused_files > 0
