"""The claims that the mount is judged by: held, refuted or not measured."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from cloudfs_benchmarks.bench.report.epochs import (
    EpochSummary,
    NodeSummary,
    summarise_epochs,
    summarise_nodes,
)
from cloudfs_benchmarks.bench.report.numbers import change, number, percent
from cloudfs_benchmarks.bench.report.rows import of_kind
from cloudfs_benchmarks.bench.results import CacheState, Kind, Results
from cloudfs_benchmarks.bench.statistics import median

TOLERANCE = 0.03
"""Step times further apart than this are different ones."""

KEEPS = 0.8
"""A node that gets this part of what it had alone, or more, still has its bandwidth."""

DIVIDES = 1.25
"""All nodes together get less than so many times what one gets alone: they share one pipe."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, the numbers for or against it, and whether it held; None: not measured.

    `figure` says with `held` None what is missing.
    """

    text: str
    figure: str
    held: bool | None

    @property
    def outcome(self) -> str:
        """In words."""
        if self.held is None:
            return "not measured"
        return "held" if self.held else "REFUTED"


def story(results: Results) -> list[Claim]:
    """What the mount promises against NFS and the local disk, each shown, refuted or not measured.

    The mount is the first cloudfs target; every NFS target (libnfs, too) must bear a claim out.
    """
    return [_first_epoch(results), _later_epochs(results), _reader_nodes(results)]


def _first_epoch(results: Results) -> Claim:
    text = "Epoch 1 over the mount takes no longer than over NFS (3 % allowed)."
    mounts, servers = of_kind(results, Kind.CLOUDFS), of_kind(results, Kind.NFS, Kind.LIBNFS)
    epochs = {epoch.target: epoch for epoch in summarise_epochs(results) if epoch.number == 1}
    missing = _missing(epochs, mounts[:1], "cloudfs") or _missing(epochs, servers, "NFS")
    if missing:
        return Claim(text, missing, None)
    compared = [epochs[mounts[0]], *(epochs[name] for name in servers)]
    warm = [epoch for epoch in compared if epoch.states != (CacheState.COLD,)]
    if warm:
        found = ", ".join(f"{epoch.target} {epoch.state}" for epoch in warm)
        return Claim(text, f"not every epoch 1 began proven cold: {found}", None)
    mount, *others = compared
    ratios = [median(mount.seconds) / median(other.seconds) for other in others]
    figure = f"{mount.target} {number(median(mount.seconds))} s; " + "; ".join(
        f"{other.target} {number(median(other.seconds))} s (mount {change(ratio)})"
        for other, ratio in zip(others, ratios, strict=True)
    )
    return Claim(text, figure, max(ratios) <= 1 + TOLERANCE)


def _later_epochs(results: Results) -> Claim:
    """Median and mean must both hold: a few long stalls leave the median as it is."""
    text = "From epoch 2 on, steps over the mount take as long as from the local disk (within 3 %)."
    mounts, disks = of_kind(results, Kind.CLOUDFS), of_kind(results, Kind.LOCAL)
    epochs = {
        (epoch.target, epoch.number): epoch
        for epoch in summarise_epochs(results)
        if epoch.number > 1 and epoch.step_s
    }
    later = {target: epoch for (target, _), epoch in epochs.items()}
    missing = _missing(later, mounts[:1], "cloudfs") or _missing(later, disks[:1], "local")
    if missing:
        return Claim(text, missing, None)
    pairs = [
        (epoch, epochs[disks[0], number])
        for (target, number), epoch in epochs.items()
        if target == mounts[0] and (disks[0], number) in epochs
    ]
    if not pairs:
        return Claim(text, f"{mounts[0]} and {disks[0]} have no later epoch in common", None)
    ratios = [
        median(ours) / median(theirs)
        for mount, disk in pairs
        for ours, theirs in ((mount.step_s, disk.step_s), (mount.mean_step_s, disk.mean_step_s))
    ]
    figure = "; ".join(_step_figure(mount, disk) for mount, disk in pairs)
    return Claim(text, figure, max(ratios) <= 1 + TOLERANCE)


def _step_figure(mount: EpochSummary, disk: EpochSummary) -> str:
    step, reference = median(mount.step_s), median(disk.step_s)
    mean, mean_reference = median(mount.mean_step_s), median(disk.mean_step_s)
    return (
        f"epoch {mount.number}: median {number(step * 1e3)} ms {mount.target} ({mount.state}), "
        f"{number(reference * 1e3)} ms {disk.target} ({disk.state}): {change(step / reference)}; "
        f"mean {number(mean * 1e3)} and {number(mean_reference * 1e3)} ms: "
        f"{change(mean / mean_reference)}"
    )


def _reader_nodes(results: Results) -> Claim:
    summaries = summarise_nodes(results)
    most = max((one.nodes for one in summaries), default=1)
    count = str(most) if most > 1 else "several"
    text = f"With {count} reader nodes NFS divides its bandwidth and the bucket does not."
    mounts, servers = of_kind(results, Kind.CLOUDFS), of_kind(results, Kind.NFS, Kind.LIBNFS)
    pairs = {
        name: (alone, crowd)
        for name in (*mounts[:1], *servers)
        if (alone := _nodes(summaries, name, 1)) and (crowd := _nodes(summaries, name, most))
    }
    missing = _missing(pairs, mounts[:1], "cloudfs") or _missing(pairs, servers, "NFS")
    if most == 1:
        missing = "no run with more than one node"
    if missing:
        return Claim(text, missing, None)
    kept = {
        name: median(crowd.per_node) / median(alone.per_node)
        for name, (alone, crowd) in pairs.items()
    }
    figure = "; ".join(
        f"{name} {number(median(alone.per_node))} MB/s for one node, "
        f"{number(median(crowd.per_node))} for each of {most} ({percent(kept[name])})"
        for name, (alone, crowd) in pairs.items()
    )
    divided = all(kept[name] * most <= DIVIDES for name in servers)
    return Claim(text, figure, kept[mounts[0]] >= KEEPS and divided)


def _nodes(summaries: Sequence[NodeSummary], target: str, nodes: int) -> NodeSummary | None:
    return next((one for one in summaries if (one.target, one.nodes) == (target, nodes)), None)


def _missing(found: Container[str], names: Sequence[str], kind: str) -> str:
    """Why a comparison cannot be made, "" if it can."""
    if not names:
        return f"no {kind} target"
    absent = [name for name in names if name not in found]
    return f"not measured on {', '.join(absent)}" if absent else ""
