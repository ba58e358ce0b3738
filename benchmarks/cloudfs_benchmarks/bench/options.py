"""What the user asked a run for, with the defaults of each suite filled in.

Pure values: the command line makes them, everything else reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.training.job import LoaderKind, Model, TrainingSettings

MIB = 1024**2
GIB = 1024**3
SIZE_MIN = 8 * MIB
TRIALS_DEFAULT = 3


class Suite(StrEnum):
    """A named set of measurements; a run does one or more of them."""

    QUICK = "quick"
    STANDARD = "standard"
    TRAINING = "training"


SIZES = {Suite.QUICK: 512 * MIB, Suite.STANDARD: 4 * GIB, Suite.TRAINING: 4 * GIB}
"""How much data of its own a run writes to each target unless it is told."""

EPOCHS = {Suite.QUICK: 2, Suite.STANDARD: 0, Suite.TRAINING: 3}
"""How often a suite's loader goes over the data."""


@dataclass(frozen=True, slots=True)
class Options:
    """One run. `dataset` is a folder relative to every target; None: the run writes its own data.

    `size_bytes` bounds what is read of the user's data, or says how much is written. `keep_pages`:
    between epochs the page cache is left as it is, as on a node whose memory holds the data set.
    `warmup`: with epoch 1 begins a warm-up of cloudfs targets, as a job's script may start one.
    """

    targets: tuple[str, ...]
    suites: tuple[Suite, ...]
    size_bytes: int
    out: Path
    dataset: str | None
    trials: int
    readers: int
    training: TrainingSettings
    seed: int
    keep_pages: bool = False
    warmup: bool = False


def options_of(values: Mapping[str, Any]) -> Options:
    """The options of a command line, by the names of its flags; `BenchError` for what cannot be."""
    suites = tuple(Suite(name) for name in values["suites"]) or (Suite.QUICK,)
    return Options(
        targets=tuple(values["targets"]),
        suites=suites,
        size_bytes=resolve_size(values["size"], suites),
        out=values["out"],
        dataset=check_dataset(values["dataset"]),
        trials=values["trials"] or TRIALS_DEFAULT,
        readers=values["readers"],
        training=TrainingSettings(
            workers=values["workers"],
            batch=values["batch"],
            compute_s=values["compute_time"],
            model=Model(values["model"]),
            loader=LoaderKind(values["loader"]),
            epochs=resolve_epochs(values["epochs"], suites),
        ),
        seed=values["seed"],
        keep_pages=values["keep_pages"],
        warmup=values["warmup"],
    )


def resolve_size(size_bytes: int | None, suites: Sequence[Suite]) -> int:
    """The size that was asked for, or the largest default of the suites."""
    if size_bytes is None:
        return max(SIZES[suite] for suite in suites)
    if size_bytes < SIZE_MIN:
        raise BenchError(f"--size {size_bytes} is too little to measure: give 8MiB or more")
    return size_bytes


def resolve_epochs(epochs: int | None, suites: Sequence[Suite]) -> int:
    """The epochs that were asked for, or the most that a suite has."""
    return max(EPOCHS[suite] for suite in suites) if epochs is None else epochs


def check_dataset(dataset: str | None) -> str | None:
    """The data set's folder without slashes at its ends; `BenchError` when it leads elsewhere.

    It is relative, because it is looked for in every target.
    """
    if dataset is None:
        return None
    parts = [part for part in dataset.split("/") if part not in ("", ".")]
    if ".." in parts or dataset.startswith("/"):
        raise BenchError(
            f"--dataset {dataset} must be a folder inside every target, such as 'cases', or '.'"
        )
    return "/".join(parts)
