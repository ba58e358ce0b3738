"""Jobs: work that outlives its request, bounded in number, cancellable, and found by its id.

Owned by the trio loop. All jobs end with the nursery they run in, which is the mount's.
"""

from __future__ import annotations

import logging
import secrets
from typing import Any, Final, Protocol

import trio

from cloudfs.admin.messages import JobKind, JobState, JobStatus, JobSummary, Progress
from cloudfs.errors import ExitCode, UserError
from cloudfs_backends.errors import StoreError
from cloudfs_cache.api import DiskUnusableError

RUNNING_MAX: Final = 4
"""Most jobs of one kind at a time."""

KEPT_MAX: Final = 16
"""Most ended jobs of one kind that are kept."""

log = logging.getLogger(__name__)


class Work(Protocol):
    """The work of a job."""

    async def run(self) -> None:
        """Do it. A `UserError` or `StoreError` fails the job with its text."""

    def progress(self) -> Progress:
        """Return a snapshot, at any time. Cheap, synchronous."""


class Job:
    """One piece of work. Read it freely; only `Jobs` runs it."""

    def __init__(self, job_id: str, kind: JobKind, work: Work) -> None:
        self.id = job_id
        self.kind = kind
        self.work = work
        self.state = JobState.RUNNING
        self.error = ""
        self.exit_code = ExitCode.OK
        self.finished = trio.Event()
        self._scope = trio.CancelScope()
        self._started_at = trio.current_time()
        self._ended_at: float | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.state is JobState.RUNNING

    def cancel(self) -> None:
        """End it soon; a job that has ended stays as it is."""
        self._scope.cancel()

    def summary(self) -> JobSummary:
        """Return its state."""
        return JobSummary(**self._fields())

    def status(self) -> JobStatus:
        """Return its state and progress."""
        return JobStatus(**self._fields(), progress=self.work.progress())

    def _fields(self) -> dict[str, Any]:
        now = trio.current_time() if self._ended_at is None else self._ended_at
        return {
            "job": self.id,
            "kind": self.kind,
            "state": self.state,
            "elapsed_s": round(now - self._started_at, 3),
            "error": self.error,
            "exit_code": int(self.exit_code),
        }

    async def run(self) -> None:
        """Do the work; an error of it ends this job and nothing else."""
        # Stays when the work does not return: it was cancelled.
        state = JobState.CANCELLED
        try:
            with self._scope:
                state = await self._outcome()
        finally:
            self.state = state
            self._ended_at = trio.current_time()
            self.finished.set()

    async def _outcome(self) -> JobState:
        try:
            await self.work.run()
        except UserError as error:
            return self._failed(error.exit_code, error.message)
        except StoreError as error:
            return self._failed(ExitCode.UNREACHABLE, f"{error}: {error.advice}")
        except DiskUnusableError as error:
            return self._failed(ExitCode.CACHE, str(error))
        except Exception:
            log.exception("bug in job %s (%s)", self.id, self.kind)
            return self._failed(ExitCode.BUG, "internal error: see the daemon's log")
        return JobState.DONE

    def _failed(self, exit_code: ExitCode, error: str) -> JobState:
        self.exit_code, self.error = exit_code, error
        return JobState.FAILED


class Jobs:
    """The jobs of a mount, run in `nursery`."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._jobs: dict[str, Job] = {}

    def start(self, kind: JobKind, work: Work) -> Job:
        """Start a job, or raise `UserError` when too many of its kind are running."""
        running = [job.id for job in self._jobs.values() if job.kind == kind and job.is_running]
        if len(running) >= RUNNING_MAX:
            message = f"{len(running)} {kind} jobs are running ({', '.join(running)})"
            fix = "wait for one, or end one with 'cloudfs warmup --job ID --cancel PATH'"
            raise UserError(ExitCode.USAGE, f"{message}: {fix}")
        self._forget_oldest(kind)
        job = Job(secrets.token_hex(4), kind, work)
        self._jobs[job.id] = job
        log.debug("job %s (%s) starts", job.id, kind)
        self._nursery.start_soon(job.run)
        return job

    def get(self, job_id: str) -> Job:
        """Return a job, or raise `UserError` when none of this id is kept."""
        job = self._jobs.get(job_id)
        if job is None:
            running = [job.id for job in self._jobs.values() if job.is_running]
            hint = f"running are {', '.join(running)}" if running else "none is running"
            raise UserError(ExitCode.USAGE, f"this mount has no job {job_id!r}: {hint}")
        return job

    def all(self) -> list[Job]:
        """Return the jobs that are kept, the oldest first."""
        return list(self._jobs.values())

    def _forget_oldest(self, kind: JobKind) -> None:
        ended = [job.id for job in self._jobs.values() if job.kind == kind and not job.is_running]
        for job_id in ended[: max(0, len(ended) - KEPT_MAX)]:
            del self._jobs[job_id]
