"""`python -m cloudfs_benchmarks.bench.training.loader JOB`: an ordinary training loop.

JOB is a `LoaderJob` as JSON. Each step ends with one line of JSON on standard output, with `epoch`,
`step`, `wait_s` for its batch, `compute_s`, `samples`, `bytes` and `readers`; each epoch with a
line of `epoch`, `seconds` and `first_batch_s`, both from the epoch's start. The first line of all,
once everything is imported, is `loader`.

Before every epoch it waits for a line on standard input, with no workers and all files closed; the
target has not been touched before the first. The first epoch begins with a look for the files, as
scripts begin. A sample that cannot be read ends it with a line `error` and status 1.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cloudfs_benchmarks.bench.data import formats
from cloudfs_benchmarks.bench.data.files import Sample
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.training import epochs
from cloudfs_benchmarks.bench.training.accelerator import Accelerator, make_accelerator
from cloudfs_benchmarks.bench.training.collate import Batch, BatchReader, SampleError, reason
from cloudfs_benchmarks.bench.training.job import LoaderJob, LoaderKind, read_samples

_CLOCK = time.perf_counter


def say(**fields: Any) -> None:
    """Print one line for the parent."""
    print(json.dumps(fields), flush=True)


@dataclass(frozen=True, slots=True)
class Training:
    """Everything that stays the same from epoch to epoch."""

    job: LoaderJob
    kind: LoaderKind
    samples: list[Sample]
    reader: BatchReader
    accelerator: Accelerator

    def run_epoch(self, epoch: int) -> None:
        """One epoch; `SampleError` at the first sample that cannot be read."""
        groups = epochs.groups_of(len(self.reader), self.job.batch, self.job.seed, epoch)
        began = mark = _CLOCK()
        if epoch == 1:
            look_for(self.job.location, self.samples)
            mark = _CLOCK()
        first_batch_s = 0.0
        source = epochs.batches(self.kind, self.reader, groups, self.job.workers)
        # Both kinds are generators.
        with closing(cast("Any", source)):
            for step, batch in enumerate(source, 1):
                ready = _CLOCK()
                if batch.error:
                    raise SampleError(batch.error)
                first_batch_s = first_batch_s or ready - began
                self.accelerator.step(batch.features)
                done = _CLOCK()
                _say_step(epoch, step, ready - mark, done - ready, batch)
                mark = done
        say(epoch=epoch, seconds=mark - began, first_batch_s=first_batch_s)


def _say_step(epoch: int, step: int, wait_s: float, compute_s: float, batch: Batch) -> None:
    say(
        epoch=epoch,
        step=step,
        wait_s=wait_s,
        compute_s=compute_s,
        samples=batch.samples,
        bytes=batch.bytes,
        readers=batch.readers,
    )


def look_for(location: str, samples: list[Sample]) -> None:
    """List the folders of the samples, as a script does that looks for its files."""
    folders = {sample.path.rpartition("/")[0] for sample in samples}
    with closing(open_tree(location)) as tree:
        for folder in sorted(folders):
            try:
                tree.entries(folder)
            except OSError as error:
                raise SampleError(f"{folder or location}: {reason(error)}") from error


def epochs_in_lockstep(count: int) -> Iterator[int]:
    """The numbers of the epochs, each when the parent wants it; fewer when the parent is gone."""
    for epoch in range(1, count + 1):
        if not sys.stdin.readline():
            return
        yield epoch


def run(job: LoaderJob) -> None:
    """All epochs. `SampleError` and `BenchError` when they cannot be completed."""
    samples = read_samples(Path(job.samples))
    kind = epochs.choose_loader(job.loader)
    accelerator = make_accelerator(job.model, job.compute_s, job.seed)
    epochs.preload(kind)
    formats.preload({sample.format for sample in samples})
    say(loader=epochs.describe(kind))
    training = Training(job, kind, samples, BatchReader(job.location, samples), accelerator)
    for epoch in epochs_in_lockstep(job.epochs):
        training.run_epoch(epoch)


def main() -> int:
    """Run the job of the command line; returns the exit status."""
    try:
        run(LoaderJob.parse(sys.argv[1]))
    except (SampleError, BenchError) as error:
        say(error=str(error))
        return 1
    except BrokenPipeError:
        # The parent is gone; what is left in the buffer has no reader.
        with suppress(BrokenPipeError):
            sys.stdout.close()
        return 1
    except RuntimeError as error:
        # What both kinds of loader raise when a worker was killed.
        say(error=f"a worker of the loader died: {reason(error)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
