from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest
import trio

from cloudfs.admin import jobs
from cloudfs.admin.jobs import Jobs
from cloudfs.admin.messages import EvictProgress, JobKind, JobState, JobStatus
from cloudfs.errors import ExitCode, UserError
from cloudfs_backends.errors import UnavailableError
from tests.contract.in_trio import in_trio_autojump


class Steps:
    """Work that does what the test gives it."""

    def __init__(self, call: Callable[[], Awaitable[None]] = trio.sleep_forever) -> None:
        self._call = call
        self.steps = 0

    async def run(self) -> None:
        self.steps += 1
        await self._call()
        self.steps += 1

    def progress(self) -> EvictProgress:
        return EvictProgress(self.steps)


@in_trio_autojump
async def test_a_job_runs_to_its_end_and_can_be_asked_about_afterwards() -> None:
    async with trio.open_nursery() as nursery:
        known = Jobs(nursery)
        job = known.start(JobKind.WARMUP, Steps(partial(trio.sleep, 7)))
        assert known.get(job.id).status().state is JobState.RUNNING
        await job.finished.wait()
        await trio.sleep(100)
    assert known.get(job.id).status() == JobStatus(
        job=job.id,
        kind=JobKind.WARMUP,
        state=JobState.DONE,
        elapsed_s=7.0,
        error="",
        exit_code=0,
        progress=EvictProgress(2),
    )


@in_trio_autojump
async def test_cancelling_ends_one_job_and_nothing_else() -> None:
    async with trio.open_nursery() as nursery:
        known = Jobs(nursery)
        one, other = known.start(JobKind.EVICT, Steps()), known.start(JobKind.EVICT, Steps())
        await trio.testing.wait_all_tasks_blocked()
        one.cancel()
        await one.finished.wait()
        assert (one.state, one.work.progress()) == (JobState.CANCELLED, EvictProgress(1))
        assert other.is_running
        one.cancel()
        nursery.cancel_scope.cancel()
    assert other.state is JobState.CANCELLED


@in_trio_autojump
async def test_cancelling_a_job_that_has_ended_changes_nothing() -> None:
    async with trio.open_nursery() as nursery:
        job = Jobs(nursery).start(JobKind.EVICT, Steps(trio.lowlevel.checkpoint))
        await job.finished.wait()
        job.cancel()
    assert job.state is JobState.DONE


@in_trio_autojump
async def test_a_failed_job_says_why_with_the_exit_code() -> None:
    async def refuse() -> None:
        raise UserError(ExitCode.CACHE, "the disk is full: free some space")

    async def unreachable() -> None:
        raise UnavailableError("503")

    async with trio.open_nursery() as nursery:
        known = Jobs(nursery)
        refused, unreached = (
            known.start(JobKind.EVICT, Steps(refuse)),
            known.start(JobKind.EVICT, Steps(unreachable)),
        )
    assert (refused.state, refused.exit_code) == (JobState.FAILED, ExitCode.CACHE)
    assert refused.error == "the disk is full: free some space"
    assert unreached.exit_code is ExitCode.UNREACHABLE
    assert unreached.error.startswith("503: check the network")


def test_a_bug_in_a_job_is_logged_and_ends_only_the_job(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def buggy() -> None:
        raise KeyError("the bug")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            job = Jobs(nursery).start(JobKind.EVICT, Steps(buggy))
        assert (job.state, job.exit_code) == (JobState.FAILED, ExitCode.BUG)

    trio.run(main)
    assert "the bug" in caplog.text


@in_trio_autojump
async def test_only_so_many_jobs_of_a_kind_run_at_once() -> None:
    async with trio.open_nursery() as nursery:
        known = Jobs(nursery)
        running = [known.start(JobKind.WARMUP, Steps()) for _ in range(jobs.RUNNING_MAX)]
        with pytest.raises(UserError, match=f"warmup.*{running[0].id}"):
            known.start(JobKind.WARMUP, Steps())
        known.start(JobKind.USAGE, Steps())
        running[0].cancel()
        await running[0].finished.wait()
        known.start(JobKind.WARMUP, Steps())
        nursery.cancel_scope.cancel()


@in_trio_autojump
async def test_the_oldest_that_ended_are_forgotten_and_running_ones_never() -> None:
    async with trio.open_nursery() as nursery:
        known = Jobs(nursery)
        running = known.start(JobKind.EVICT, Steps())
        ended = []
        for _ in range(jobs.KEPT_MAX + 2):
            ended.append(known.start(JobKind.VERIFY, Steps(trio.lowlevel.checkpoint)))
            await ended[-1].finished.wait()
        newest = known.start(JobKind.VERIFY, Steps())
        other = known.start(JobKind.EVICT, Steps())
        assert known.all() == [running, *ended[2:], newest, other]
        with pytest.raises(UserError, match=f"{ended[0].id}.*{running.id}"):
            known.get(ended[0].id)
        nursery.cancel_scope.cancel()
