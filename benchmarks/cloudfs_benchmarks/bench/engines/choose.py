"""One trial of a measurement, by fio where fio can do it and by our own reader elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from cloudfs_benchmarks.bench.engines import fio_jobs
from cloudfs_benchmarks.bench.engines.fio import run_fio
from cloudfs_benchmarks.bench.engines.job import Job, Outcome
from cloudfs_benchmarks.bench.engines.reader import run_reader
from cloudfs_benchmarks.bench.targets.urls import SCHEME
from cloudfs_benchmarks.demo.processes import Children


def run_job(children: Children, location: str, job: Job) -> Outcome:
    """Do one trial and return what it did; caches are as the caller left them.

    `Outcome.engine` says what did it and, where fio might have been expected, why it was not fio.
    `TargetError` in one line when the target fails or the trial exceeds its time limit.
    """
    engine = _other_than_fio(children, location, job)
    if engine is None:
        return run_fio(children, location, job)
    return run_reader(children, location, job, engine)


def describe_job(children: Children, name: str, location: str, job: Job) -> Mapping[str, str]:
    """The files, by name and all in one folder, with which anybody repeats the job: `NAME.fio` and
    what it refers to. Empty where our own reader does it."""
    if _other_than_fio(children, location, job) is not None:
        return {}
    return fio_jobs.job_texts(name, location, job)


def _other_than_fio(children: Children, location: str, job: Job) -> str | None:
    """The name of the engine that does it; None for fio."""
    if location.startswith(SCHEME):
        return "libnfs reader"
    if job.shape not in fio_jobs.SHAPES:
        return "reader"
    if shutil.which("fio", path=children.environment.get("PATH", "")) is None:
        return "reader (fio is not installed)"
    obstacle = fio_jobs.obstacle(location, job)
    return f"reader ({obstacle})" if obstacle else None
