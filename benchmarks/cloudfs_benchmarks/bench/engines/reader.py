"""Running our own reader for one trial: on NFS exports, and for what fio cannot do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cloudfs_benchmarks.bench.engines.failures import task_of
from cloudfs_benchmarks.bench.engines.job import Job, Outcome
from cloudfs_benchmarks.bench.engines.reading import Task
from cloudfs_benchmarks.bench.engines.supervised import Running, start_engine
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.results import Latency
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.interpreter import python

_MODULE = "cloudfs_benchmarks.bench.engines.reading"


def run_reader(children: Children, location: str, job: Job, engine: str = "reader") -> Outcome:
    """Do one trial on any target; `engine` is how the outcome names it.

    `TargetError` when the target fails or does not answer within the job's time limit.
    """
    return run_readers(children, [(location, job)], engine)[0]


def run_readers(
    children: Children, work: Sequence[tuple[str, Job]], engine: str = "reader"
) -> list[Outcome]:
    """Do several trials at once, each on a location of its own, in processes of their own.

    Each measures its own time; they start as close together as processes do. `TargetError` as of
    `run_reader`, for the first that failed; the others are ended then with the children's stack.
    """
    names = ["reader", *(f"reader-{number}" for number in range(1, len(work)))]
    started = [
        (_start(children, name, location, job, engine), location, job)
        for name, (location, job) in zip(names, work, strict=True)
    ]
    return [_outcome(running, location, job) for running, location, job in started]


def _start(children: Children, name: str, location: str, job: Job, engine: str) -> Running:
    return start_engine(
        children,
        name,
        python("-m", _MODULE),
        text=Task(location, engine, job).to_json(),
        task=task_of(location, job),
    )


def _outcome(running: Running, location: str, job: Job) -> Outcome:
    ended = running.end(job.time_limit_s)
    result: dict[str, Any] = json.loads(ended.output) if ended.output else {}
    if "failure" in result:
        raise TargetError(result["failure"])
    if ended.status != 0 or not result:
        log = running.children.log(running.name)
        raise TargetError(f"{location}: the reader ended with status {ended.status}; see {log}")
    latency = result.pop("latency")
    return Outcome(**result, latency=_latency(latency) if latency else None)


def _latency(fields: dict[str, Any]) -> Latency:
    histogram = tuple((bound, count) for bound, count in fields.pop("histogram"))
    return Latency(**fields, histogram=histogram)
