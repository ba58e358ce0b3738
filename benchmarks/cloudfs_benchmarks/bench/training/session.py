"""One training run on one target: a loader process, epoch by epoch, and what came of it.

The loader is told to go on after each epoch, so that caches can be brought into the state that the
next one is to begin in while nothing reads.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

from cloudfs_benchmarks.bench.data.files import DataSet
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.results import CacheState, Epoch, Target, TrainingRun
from cloudfs_benchmarks.bench.statistics import accelerator_utilisation
from cloudfs_benchmarks.bench.training.hits import Counters, HitRatio
from cloudfs_benchmarks.bench.training.job import (
    LoaderJob,
    Model,
    TrainingSettings,
    write_samples,
)
from cloudfs_benchmarks.bench.training.talk import LoaderError, LoaderTalk
from cloudfs_benchmarks.demo.processes import Children, StageError

Progress = Callable[[int, int, int], None]
"""Called after every step with the epoch, the step, and the steps of an epoch."""


class Proof(Protocol):
    """The state that caches are in, and how that is known."""

    @property
    def state(self) -> CacheState:
        """The state."""

    @property
    def text(self) -> str:
        """How it is known, in words."""


def train(
    children: Children,
    target: Target,
    tree_location: str,
    data_set: DataSet,
    settings: TrainingSettings,
    *,
    between: Callable[[int], Proof],
    counters: Counters,
    progress: Progress,
    running: Counters | None = None,
) -> TrainingRun:
    """Train on the data set's samples at `tree_location`; `between` is called before each epoch.

    `counters` is asked when epochs begin and end; `running`, where given, in between.

    Whatever fails, of the loader, of `between` or of `counters` (`OSError`, `BenchError`, a loader
    that dies or is silent for `stall_s`), ends up in `error`, with the epochs that were completed.
    On return, and on any exception such as a signal's, the loader is gone.
    """
    hits = HitRatio(counters, settings, running)
    session = _Session(target, data_set, settings, between, hits, progress)
    error = None
    with ExitStack() as stack:
        try:
            session.run(dataclasses.replace(children, stack=stack), tree_location)
        except (BenchError, OSError, LoaderError, StageError) as failure:
            # Below the first line a `StageError` has the end of a log.
            error = str(failure).partition("\n")[0]
    return session.result(error)


@dataclass(slots=True)
class _Session:
    """What has come of one run so far."""

    target: Target
    data_set: DataSet
    settings: TrainingSettings
    between: Callable[[int], Proof]
    hits: HitRatio
    progress: Progress
    epochs: list[Epoch] = field(default_factory=list)
    compute_s: list[float] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)
    loader: str = ""

    def run(self, children: Children, location: str) -> None:
        """Start the loader and go through all epochs."""
        if not self.data_set.samples:
            raise BenchError(
                f"{location}/{self.data_set.root} has no samples to train on: "
                "name a folder with data files by --dataset"
            )
        name = f"training-{self.target.name}-{self.settings.trial}"
        samples = children.logs / f"{name}.json"
        write_samples(samples, self.data_set.samples)
        job = LoaderJob(
            location=location,
            samples=str(samples),
            workers=self.settings.workers,
            batch=self.settings.batch,
            compute_s=self.settings.compute_s,
            model=self.settings.model,
            loader=self.settings.loader,
            epochs=self.settings.epochs,
            seed=self.settings.seed,
        )
        # What the loader imports comes from the local disk and is in memory before caches are
        # emptied: it is no part of any target.
        talk = LoaderTalk.start(children, name, job, self.settings.stall_s)
        self.loader = str(self._next(talk)["loader"])
        for number in range(1, self.settings.epochs + 1):
            proof = self.between(number)
            self.hits.begin_epoch()
            talk.go_on()
            self.epochs.append(self._read_epoch(talk, number, proof))
        talk.finish()

    def result(self, error: str | None) -> TrainingRun:
        """The run as far as it got."""
        settings = self.settings
        read_by = f"; read by {', '.join(sorted(self.readers))}" if self.readers else ""
        compute_s = settings.compute_s
        if settings.model is not Model.NONE:
            compute_s = statistics.fmean(self.compute_s or [0.0])
        return TrainingRun(
            target=self.target.name,
            trial=settings.trial,
            loader=self.loader + read_by,
            workers=settings.workers,
            batch=settings.batch,
            compute_s=compute_s,
            epochs=tuple(self.epochs),
            hit_ratio_over_time=self.hits.over_time,
            error=error,
        )

    def _read_epoch(self, talk: LoaderTalk, number: int, proof: Proof) -> Epoch:
        """Everything until the loader says that the epoch is over."""
        steps: list[Mapping[str, Any]] = []
        of_epoch = -(-len(self.data_set.samples) // self.settings.batch)
        while "step" in (line := self._next(talk)):
            steps.append(line)
            self.readers.update(line["readers"])
            self.compute_s.append(line["compute_s"])
            self.progress(number, len(steps), of_epoch)
        wait_s = tuple(step["wait_s"] for step in steps)
        step_s = tuple(step["wait_s"] + step["compute_s"] for step in steps)
        # A model takes as long as it takes; a sleep no longer than it was asked for.
        known = self.settings.compute_s if self.settings.model is Model.NONE else None
        served = self.hits.end_epoch()
        return Epoch(
            number=number,
            started_s=self.hits.epoch_started_s,
            seconds=line["seconds"],
            first_batch_s=line["first_batch_s"],
            samples=sum(step["samples"] for step in steps),
            bytes=sum(step["bytes"] for step in steps),
            step_s=step_s,
            wait_s=wait_s,
            au=accelerator_utilisation(wait_s, step_s, known),
            state=proof.state,
            proof=proof.text,
            hit_ratio=served.hit_ratio if served else None,
            store_bytes=served.store_bytes if served else None,
            store_requests=served.store_requests if served else None,
        )

    def _next(self, talk: LoaderTalk) -> Mapping[str, Any]:
        return talk.next(self.hits)
