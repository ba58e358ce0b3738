"""Following the jobs of daemons to their end: polling, showing how far they are, cancelling.

It does not know what a job does: who follows says how its document reads.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from cloudfs.cli.client import Daemon
from cloudfs.cli.errors import say
from cloudfs.cli.render import progress
from cloudfs.cli.render.progress import Display, Row
from cloudfs.errors import ExitCode, UserError

SCHEMA: Final = 1

Describe: TypeAlias = Callable[["RemoteJob"], Row]


class RemoteJob:
    """A job of the daemon at `mountpoint`; `document` is what was last heard of it."""

    def __init__(self, daemon: Daemon, document: dict[str, Any]) -> None:
        self._daemon = daemon
        self.document = document
        self.speed = progress.Speed(time.monotonic() - document["elapsed_s"])

    @property
    def mountpoint(self) -> Path:
        """The mount it belongs to."""
        return self._daemon.mountpoint

    @property
    def id(self) -> str:
        """What its daemon calls it."""
        return str(self.document["job"])

    @property
    def is_running(self) -> bool:
        """Whether it had not ended when last heard of."""
        return bool(self.document["state"] == "running")

    def poll(self, wait_s: float = 0.0) -> None:
        """Ask how far it is; the answer comes when it ends, or after `wait_s`."""
        arguments = {"job": self.id, "wait_s": wait_s}
        self.document = self._daemon.ask("job", arguments, work_s=wait_s)

    def cancel(self) -> None:
        """End it, and wait a moment for its end."""
        arguments = {"job": self.id, "cancel": True, "wait_s": 1.0}
        self.document = self._daemon.ask("job", arguments, work_s=1.0)

    def add(self, paths: Sequence[str], *, more: bool) -> bool:
        """Hand further paths to a warm-up; False when it has no room for them yet."""
        arguments = {"job": self.id, "paths": list(paths), "more": more}
        self.document = self._daemon.ask("warmup-add", arguments)
        return bool(self.document["taken"])

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints of it."""
        return {"mountpoint": str(self.mountpoint), **self.document}


def start(mountpoint: Path, command: str, arguments: dict[str, object]) -> RemoteJob:
    """Ask the daemon of a mount for something that is a job."""
    daemon = Daemon(mountpoint)
    return RemoteJob(daemon, daemon.ask(command, arguments))


def wait(jobs: Sequence[RemoteJob], describe: Describe) -> None:
    """Show how far the jobs are until all have ended; cancel them when interrupted."""
    with cancelling(jobs), progress.display() as show:
        follow(jobs, describe, show)


def follow(jobs: Sequence[RemoteJob], describe: Describe, show: Display) -> None:
    """Show how far the jobs are until all have ended."""
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
                _cancel(job, tell=isinstance(error, KeyboardInterrupt))
        raise


def _cancel(job: RemoteJob, *, tell: bool) -> None:
    kind = job.document["kind"]
    try:
        job.cancel()
    except UserError as error:
        if tell:
            say(f"cannot cancel the {kind} job {job.id}: {error.message}")
    else:
        if tell:
            say(f"cancelled the {kind} job {job.id} of {job.mountpoint}: what is done stays")


def outcome(job: RemoteJob) -> ExitCode:
    """Return the exit code of a job that has ended, after having said why it is not 0."""
    document = job.document
    if document["state"] == "failed":
        say(f"{job.mountpoint}: {document['error']}")
        return ExitCode(document["exit_code"])
    if document["state"] == "cancelled":
        say(f"{job.mountpoint}: somebody cancelled the {document['kind']} job {job.id}")
        return ExitCode.INCOMPLETE
    return ExitCode.OK


def worst(codes: Sequence[ExitCode]) -> ExitCode:
    """Return the exit code for several jobs: of the first that is not well."""
    return next((code for code in codes if code is not ExitCode.OK), ExitCode.OK)


def as_json_text(jobs: Sequence[RemoteJob]) -> str:
    """Return the document that `--json` prints, schema 1."""
    return json.dumps({"schema": SCHEMA, "jobs": [job.as_json() for job in jobs]}, indent=2)
