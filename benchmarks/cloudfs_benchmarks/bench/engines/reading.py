"""`python -m cloudfs_benchmarks.bench.engines.reading`: one trial by readers in Python.

The job is JSON on standard input and the result JSON on standard output: an `Outcome`, or
`{"failure": ONE LINE}`. Each reader is a process of its own, forked before anything of the target
is open, and opens the target itself; they begin together.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from multiprocessing.synchronize import Barrier
from threading import BrokenBarrierError

from cloudfs_benchmarks.bench.engines.failures import failure_line
from cloudfs_benchmarks.bench.engines.job import Job, Outcome, Shape
from cloudfs_benchmarks.bench.engines.shapes import prepare
from cloudfs_benchmarks.bench.engines.tally import CLOCK, Latencies, Tally, latency_over
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.targets.opening import open_tree

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Task:
    """A job on a target; `engine` is what the outcome says that it was done by."""

    location: str
    engine: str
    job: Job

    def to_json(self) -> str:
        """For the standard input."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """What `to_json` made."""
        fields = json.loads(text)
        job = fields["job"]
        for name in ("files", "sizes"):
            job[name] = tuple(tuple(hand) for hand in job[name])
        return cls(
            fields["location"], fields["engine"], Job(**job | {"shape": Shape(job["shape"])})
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What one reader did: begin and end by `CLOCK`, and its own and its threads' CPU seconds."""

    began: float
    ended: float
    bytes: int
    operations: int
    files: int
    cpu_s: float
    latencies: Latencies


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a reader gave up, in one line."""

    line: str


def main() -> None:
    """Run the job; ends with status 1 after a failure."""
    task = Task.from_json(sys.stdin.read())
    found = _run(task)
    result = {"failure": found.line} if isinstance(found, Failure) else asdict(found)
    json.dump(result, sys.stdout)
    sys.stdout.flush()
    # Not through exit handlers: they wait for readers that a dead target may hold in the kernel.
    os._exit(1 if isinstance(found, Failure) else 0)


def _run(task: Task) -> Outcome | Failure:
    barrier = _FORK.Barrier(task.job.readers)
    processes: list[ForkProcess] = []
    waiting: list[Connection] = []
    for reader in range(task.job.readers):
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(
            target=_be_reader, args=(task, reader, barrier, theirs), daemon=True
        )
        process.start()
        # Only the reader has the other end now: the pipe ends when it does, however that comes.
        theirs.close()
        processes.append(process)
        waiting.append(ours)
    parts: list[Part] = []
    while waiting:
        for pipe in wait(waiting):
            assert isinstance(pipe, Connection)
            waiting.remove(pipe)
            found = _received(pipe)
            if isinstance(found, Part):
                parts.append(found)
            elif found is None:
                barrier.abort()
            else:
                for process in processes:
                    process.kill()
                return found
    if len(parts) < task.job.readers:
        return Failure(f"{task.location}: a reader was killed; was the memory exhausted?")
    return _together(task.engine, parts)


def _received(pipe: Connection) -> Part | Failure | None:
    """What a reader says; None when it ended without a word: killed, or because another failed."""
    try:
        found: Part | Failure = pipe.recv()
    except EOFError:
        return None
    return found


def _be_reader(task: Task, reader: int, barrier: Barrier, pipe: Connection) -> None:
    tally = Tally()
    try:
        with closing(open_tree(task.location)) as tree:
            work = prepare(tree, task.job, reader)
            barrier.wait()
            cpu_before, began = _cpu_s(), CLOCK()
            work(tally)
            ended, cpu_after = CLOCK(), _cpu_s()
    except BrokenBarrierError:
        return  # another reader has failed, and says why
    except Exception as error:
        barrier.abort()
        pipe.send(Failure(_line(error, task.location, tally.path)))
        return
    counts = (tally.bytes, tally.operations, tally.files)
    pipe.send(Part(began, ended, *counts, cpu_after - cpu_before, tally.latencies))


def _line(error: Exception, location: str, path: str) -> str:
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        # Before the first access only the error knows where it was.
        folder, below, where = str(error.filename or "").partition(f"{location}/")
        return failure_line(location, path or (where if below and not folder else ""), error.errno)
    return f"{location}/{path}: {type(error).__name__}: {error}"


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _together(engine: str, parts: Sequence[Part]) -> Outcome:
    return Outcome(
        engine=engine,
        bytes=sum(part.bytes for part in parts),
        operations=sum(part.operations for part in parts),
        files=sum(part.files for part in parts),
        seconds=max(part.ended for part in parts) - min(part.began for part in parts),
        cpu_s=sum(part.cpu_s for part in parts),
        latency=latency_over([part.latencies for part in parts]),
    )


if __name__ == "__main__":
    main()
