"""Training runs over their trials: what each target did in each epoch, and on several nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from cloudfs_benchmarks.bench.report.rows import target_names
from cloudfs_benchmarks.bench.results import CacheState, Epoch, Results
from cloudfs_benchmarks.bench.statistics import data_wait_fraction, steady_step_s


@dataclass(frozen=True, slots=True)
class EpochSummary:
    """An epoch of one target; each tuple of floats has a value per trial, in order.

    `step_s` are the medians of the steps after the first, `mean_step_s` their means: a few slow
    steps show only in the latter. `states` are those it was begun in, each once. The figures of the
    mount's own counters are empty for what is no cloudfs mount.
    """

    target: str
    number: int
    states: tuple[CacheState, ...]
    proofs: tuple[str, ...]
    seconds: tuple[float, ...]
    first_batch_s: tuple[float, ...]
    samples_per_s: tuple[float, ...]
    data_wait: tuple[float, ...]
    au: tuple[float, ...]
    step_s: tuple[float, ...]
    mean_step_s: tuple[float, ...]
    hit_ratio: tuple[float, ...]
    store_bytes: tuple[float, ...]
    store_requests: tuple[float, ...]

    @property
    def counted(self) -> bool:
        """Whether a mount's own counters are known."""
        return bool(self.hit_ratio or self.store_bytes or self.store_requests)

    @property
    def state(self) -> str:
        """The states in words: one, unless trials began differently."""
        return "/".join(self.states)


@dataclass(frozen=True, slots=True)
class NodeSummary:
    """So many nodes on one target at once; `per_node` has the mean MB/s of a node for each trial.

    `slowest` and `fastest` are of single nodes over all trials.
    """

    target: str
    nodes: int
    per_node: tuple[float, ...]
    slowest: float
    fastest: float


def summarise_epochs(results: Results) -> list[EpochSummary]:
    """By target, then by epoch; complete epochs of runs that failed later count, too."""
    found: dict[tuple[str, int], list[Epoch]] = {}
    for run in results.training:
        for epoch in run.epochs:
            found.setdefault((run.target, epoch.number), []).append(epoch)
    order = target_names(results)
    keys = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    return [_summarise(target, number, found[target, number]) for target, number in keys]


def summarise_nodes(results: Results) -> list[NodeSummary]:
    """By target, then by the number of nodes; trials that failed are left out."""
    found: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for run in results.nodes:
        if run.error is None and run.throughputs:
            found.setdefault((run.target, run.nodes), []).append(run.throughputs)
    order = target_names(results)
    return [
        NodeSummary(
            target,
            nodes,
            tuple(fmean(trial) for trial in found[target, nodes]),
            min(min(trial) for trial in found[target, nodes]),
            max(max(trial) for trial in found[target, nodes]),
        )
        for target, nodes in sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    ]


def _summarise(target: str, number: int, epochs: Sequence[Epoch]) -> EpochSummary:
    def each(value: Callable[[Epoch], float | None]) -> tuple[float, ...]:
        return tuple(found for epoch in epochs if (found := value(epoch)) is not None)

    return EpochSummary(
        target,
        number,
        tuple(dict.fromkeys(epoch.state for epoch in epochs)),
        tuple(dict.fromkeys(epoch.proof for epoch in epochs)),
        each(lambda epoch: epoch.seconds),
        each(lambda epoch: epoch.first_batch_s),
        each(lambda epoch: epoch.samples / epoch.seconds if epoch.seconds else None),
        each(lambda epoch: data_wait_fraction(epoch.wait_s, epoch.step_s)),
        each(lambda epoch: epoch.au),
        each(lambda epoch: steady_step_s(epoch) if epoch.step_s else None),
        each(_mean_step_s),
        each(lambda epoch: epoch.hit_ratio),
        each(lambda epoch: epoch.store_bytes),
        each(lambda epoch: epoch.store_requests),
    )


def _mean_step_s(epoch: Epoch) -> float | None:
    """Of the steps after the first, as `steady_step_s` leaves it out, too."""
    steps = epoch.step_s[1:] or epoch.step_s
    return fmean(steps) if steps else None
