"""What a loader process does, as it is told on its command line, and how the suite runs it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from cloudfs_benchmarks.bench.data.files import Format, Sample
from cloudfs_benchmarks.interpreter import python

_WORKERS_DEFAULT = 2


class Model(StrEnum):
    """What happens to a batch."""

    NONE = "none"  # a sleep: the CPU is free for the workers, as an accelerator leaves it
    TORCH = "torch"  # a small PyTorch model, on a CUDA device if there is one


class LoaderKind(StrEnum):
    """What makes batches."""

    AUTO = "auto"  # PyTorch's where it is installed
    TORCH = "torch"
    POOL = "pool"


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How to train. `compute_s` is the accelerator's time per step without a model.

    `stall_s`: a loader that says nothing for so long has failed. `sample_s`: how often a mount's
    counters are read, at most.
    """

    workers: int = min(_WORKERS_DEFAULT, os.cpu_count() or 1)
    batch: int = 4
    compute_s: float = 0.05
    model: Model = Model.NONE
    loader: LoaderKind = LoaderKind.AUTO
    epochs: int = 3
    seed: int = 1
    trial: int = 1
    stall_s: float = 300.0
    sample_s: float = 1.0


@dataclass(frozen=True, slots=True)
class LoaderJob:
    """One loader process. `samples` is a file that `write_samples` wrote; `workers` 0: none."""

    location: str
    samples: str
    workers: int
    batch: int
    compute_s: float
    model: Model
    loader: LoaderKind
    epochs: int
    seed: int

    def command(self) -> list[str]:
        """The command that does it."""
        module = "cloudfs_benchmarks.bench.training.loader"
        return python("-m", module, json.dumps(asdict(self)))

    @classmethod
    def parse(cls, text: str) -> LoaderJob:
        """The job of a command line that `command` made."""
        fields = json.loads(text)
        model, loader = Model(fields.pop("model")), LoaderKind(fields.pop("loader"))
        return cls(model=model, loader=loader, **fields)


def write_samples(path: Path, samples: Sequence[Sample]) -> None:
    """Write the samples for a loader to read."""
    path.write_text(json.dumps([asdict(sample) for sample in samples]), encoding="utf-8")


def read_samples(path: Path) -> list[Sample]:
    """What `write_samples` wrote."""
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [Sample(**{**entry, "format": Format(entry["format"])}) for entry in entries]
