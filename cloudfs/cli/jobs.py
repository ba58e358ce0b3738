"""Jobs of daemons, followed to their end: polling, progress display, cancelling."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from cloudfs.admin import messages
from cloudfs.admin.messages import JobRequest, JobState, JobStatus, MorePaths, Progress
from cloudfs.cli.client import Daemon
from cloudfs.cli.errors import say
from cloudfs.cli.render import progress
from cloudfs.cli.render.progress import Display, Row
from cloudfs.control.protocol import ArgumentsT, Command
from cloudfs.errors import ExitCode, UserError

SCHEMA: Final = 1

ProgressT = TypeVar("ProgressT", bound=Progress)

Describe: TypeAlias = Callable[["RemoteJob"], Row]


class RemoteJob:
    """A job of the daemon at `mountpoint`; `status` is the last one that it sent."""

    def __init__(self, daemon: Daemon, status: JobStatus) -> None:
        self._daemon = daemon
        self.status = status
        self.speed = progress.Speed(time.monotonic() - status.elapsed_s)

    @property
    def mountpoint(self) -> Path:
        """The mount that runs it."""
        return self._daemon.mountpoint

    @property
    def id(self) -> str:
        """The daemon's name for it."""
        return self.status.job

    @property
    def is_running(self) -> bool:
        """False once it has ended."""
        return self.status.state is JobState.RUNNING

    def progress_as(self, kind: type[ProgressT]) -> ProgressT:
        """Return its progress, which a job of this kind has."""
        assert isinstance(self.status.progress, kind)
        return self.status.progress

    def poll(self, wait_s: float = 0.0) -> None:
        """Ask for its status; the reply comes when it ends, or after `wait_s`."""
        request = JobRequest(self.id, wait_s=wait_s)
        self.status = self._daemon.ask(messages.JOB, request, work_s=wait_s)

    def cancel(self) -> None:
        """End it, and wait a moment for its end."""
        request = JobRequest(self.id, cancel=True, wait_s=1.0)
        self.status = self._daemon.ask(messages.JOB, request, work_s=1.0)

    def add(self, paths: Sequence[str], *, more: bool) -> bool:
        """Hand further paths to a warm-up; False when it has no room for them yet."""
        request = MorePaths(self.id, tuple(paths), more)
        added = self._daemon.ask(messages.WARMUP_ADD, request)
        self.status = added
        return added.taken

    def as_values(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        return {"mountpoint": str(self.mountpoint), **self.status.as_values()}


def start(
    mountpoint: Path, command: Command[ArgumentsT, JobStatus], arguments: ArgumentsT
) -> RemoteJob:
    """Ask the daemon of a mount for something that is a job."""
    daemon = Daemon(mountpoint)
    return RemoteJob(daemon, daemon.ask(command, arguments))


def wait(jobs: Sequence[RemoteJob], describe: Describe) -> None:
    """Show the progress of the jobs until all have ended; cancel them when interrupted."""
    with cancelling(jobs), progress.display() as show:
        follow(jobs, describe, show)


def follow(jobs: Sequence[RemoteJob], describe: Describe, show: Display) -> None:
    """Show the progress of the jobs until all have ended."""
    while running := [job for job in jobs if job.is_running]:
        for job in running:
            job.poll(show.interval_s / len(running))
        show([describe(job) for job in jobs])


@contextmanager
def cancelling(jobs: Sequence[RemoteJob]) -> Iterator[None]:
    """Cancel what is still running when the block is left by an exception; `jobs` may grow.

    Says so when it was an interrupt.
    """
    try:
        yield
    except BaseException as error:
        for job in jobs:
            if job.is_running:
                _cancel(job, report=isinstance(error, KeyboardInterrupt))
        raise


def _cancel(job: RemoteJob, *, report: bool) -> None:
    kind = job.status.kind
    try:
        job.cancel()
    except UserError as error:
        if report:
            say(f"cannot cancel the {kind} job {job.id}: {error.message}")
    else:
        if report:
            say(f"cancelled the {kind} job {job.id} of {job.mountpoint}: what is done stays")


def outcome(job: RemoteJob) -> ExitCode:
    """Return the exit code of a job that has ended; a reason for another than 0 is printed."""
    status = job.status
    if status.state is JobState.FAILED:
        say(f"{job.mountpoint}: {status.error}")
        return ExitCode(status.exit_code)
    if status.state is JobState.CANCELLED:
        say(f"{job.mountpoint}: the {status.kind} job {job.id} was cancelled")
        return ExitCode.INCOMPLETE
    return ExitCode.OK


def worst(codes: Sequence[ExitCode]) -> ExitCode:
    """Return the exit code for several jobs: of the first that failed."""
    return next((code for code in codes if code is not ExitCode.OK), ExitCode.OK)


def as_json_text(jobs: Sequence[RemoteJob]) -> str:
    """Return the document that `--json` prints, schema 1."""
    return json.dumps({"schema": SCHEMA, "jobs": [job.as_values() for job in jobs]}, indent=2)
