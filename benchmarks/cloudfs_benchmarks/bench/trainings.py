"""The training suite over all trials and targets, in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from cloudfs_benchmarks.bench.caches import Proof
from cloudfs_benchmarks.bench.contestants import Bench, Contestant
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.options import Options
from cloudfs_benchmarks.bench.plan import bounded, turns
from cloudfs_benchmarks.bench.results import CacheState, Kind, TrainingRun
from cloudfs_benchmarks.bench.targets import commandline
from cloudfs_benchmarks.bench.targets.serving import Usage
from cloudfs_benchmarks.bench.training.job import TrainingSettings
from cloudfs_benchmarks.bench.training.session import train

_WARMUP_STARTS_S = 60.0
_KEPT = Proof(CacheState.UNPROVEN, "the page cache was left as it was (--keep-pages)")


def train_all(
    contestants: Sequence[Contestant], bench: Bench, found: Callable[[TrainingRun], None]
) -> None:
    """Train on every target in every trial, and hand each run to `found`; failures are in the runs.

    Main thread only. Every trial starts cold on every target and goes through all its epochs.
    """
    targets = [contestant.target for contestant in contestants]
    tracker, epochs = bench.tracker, bench.options.training.epochs
    for trial in range(bench.options.trials):
        for index in turns(targets, trial):
            contestant = contestants[index]
            done_before = tracker.done
            found(_train_one(contestant, bench, trial))
            # Epochs that an error has cost are over, too.
            tracker.advance("training", done_before + epochs - tracker.done)


def _train_one(contestant: Contestant, bench: Bench, trial: int) -> TrainingRun:
    options, tracker = bench.options, bench.tracker
    settings = dataclasses.replace(options.training, seed=options.seed + trial, trial=trial + 1)
    if contestant.lost is not None:
        return _failed(contestant, settings, contestant.lost)
    data = bounded(contestant.data, options.size_bytes, options.seed)

    what = f"training on {contestant.name}, trial {trial + 1}"

    def between(epoch: int) -> Proof:
        tracker.advance(f"{what}, epoch {epoch}", int(epoch > 1))
        return _prepare(contestant, options, epoch, _paths(contestant, options))

    with contestant.serving.watched(bench.children, settings.sample_s) as running:
        run = train(
            bench.children,
            contestant.target,
            contestant.target.location,
            data,
            settings,
            between=between,
            counters=_counters(contestant.serving.usage),
            running=_counters(running),
            progress=lambda epoch, step, steps: tracker.begin(
                f"{what}, epoch {epoch}, step {step} of {steps}"
            ),
        )
    if run.error is not None:
        contestant.note_failure(TargetError(run.error))
    return run


def _prepare(contestant: Contestant, options: Options, epoch: int, paths: list[str]) -> Proof:
    """Before epoch 1 nothing is cached; later ones begin without pages, unless these are kept.

    So what answers an epoch after the first is the mount's own cache, the local disk, or the NFS
    server: as on a node whose memory is much smaller than the data set.
    """
    if epoch == 1:
        proof = contestant.caches.make_cold(paths, contestant.data.root)
        if options.warmup and contestant.target.kind is Kind.CLOUDFS:
            return _with_warmup(contestant, proof)
        return proof
    if options.keep_pages:
        return _KEPT
    if contestant.target.kind is Kind.CLOUDFS:
        return contestant.caches.make_ssd_warm(paths)
    return contestant.caches.make_cold(paths, contestant.data.root)


def _with_warmup(contestant: Contestant, proof: Proof) -> Proof:
    """Start fetching everything now, beside the epoch; the proof says so."""
    folder = f"{contestant.target.location}/{contestant.data.root}"
    commandline.run("warmup", folder, "--background", timeout_s=_WARMUP_STARTS_S)
    return Proof(proof.state, f"{proof.text}; 'cloudfs warmup' of the data began with the epoch")


def _paths(contestant: Contestant, options: Options) -> list[str]:
    """The files that an epoch reads: of a Zarr group all files below it."""
    samples = bounded(contestant.data, options.size_bytes, options.seed).samples
    wanted = {sample.path for sample in samples}
    folders = tuple(f"{path}/" for path in wanted)
    return [
        file.path
        for file in contestant.data.files
        if file.path in wanted or file.path.startswith(folders)
    ]


def _counters(usage_of: Callable[[], Usage | None]) -> Callable[[], tuple[int, int, int] | None]:
    """What a cloudfs mount has handed out, had from the store, and asked it, all since it began."""

    def read() -> tuple[int, int, int] | None:
        usage = usage_of()
        if usage is None:
            return None
        served = usage.memory_bytes + usage.disk_bytes + usage.store_bytes
        return served, usage.store_bytes, usage.store_requests

    return read


def _failed(contestant: Contestant, settings: TrainingSettings, why: str) -> TrainingRun:
    return TrainingRun(
        target=contestant.name,
        trial=settings.trial,
        loader="",
        workers=settings.workers,
        batch=settings.batch,
        compute_s=settings.compute_s,
        epochs=(),
        error=why,
    )
