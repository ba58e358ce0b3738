"""One measurement over all trials and targets, in turn, each time in a state that was proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cloudfs_benchmarks.bench.caches import Proof, of_names
from cloudfs_benchmarks.bench.contestants import Bench, Contestant
from cloudfs_benchmarks.bench.data.files import DataSet
from cloudfs_benchmarks.bench.data.shares import portion
from cloudfs_benchmarks.bench.engines.choose import run_job
from cloudfs_benchmarks.bench.engines.job import Job, Outcome, Shape
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.plan import Step, job_paths, make_job, states_for, turns
from cloudfs_benchmarks.bench.results import (
    CacheState,
    Latency,
    Measurement,
    Series,
)
from cloudfs_benchmarks.bench.statistics import is_unstable, merge_latencies
from cloudfs_benchmarks.bench.targets.serving import Usage
from cloudfs_benchmarks.readpath import pages

READ_ONLY = "the target is read-only"
_GB = 1e9
# Below this CPU time is a few ticks of 10 ms each.
_CPU_BYTES_MIN = 16_000_000
_LED = ("throughput", "iops", "files", "names")
"""The figures that decide whether a measurement is unstable; the others explain it."""

_UNITS = {
    "throughput": "MB/s",
    "iops": "1/s",
    "files": "1/s",
    "names": "1/s",
    "reader_cpu": "s/GB",
    "serving_cpu": "s/GB",
    "serving_rss": "bytes",
    "memory_share": "",
    "ssd_share": "",
    "store_share": "",
}


@dataclass(slots=True)
class _Row:
    """A measurement on one target in one state while its trials come in."""

    state: CacheState
    proofs: list[Proof] = field(default_factory=list)
    engine: str = ""
    figures: dict[str, list[float]] = field(default_factory=dict)
    latencies: list[Latency] = field(default_factory=list)
    error: str | None = None

    def add(self, proof: Proof, job: Job, outcome: Outcome, used: Usage | None) -> None:
        self.proofs.append(proof)
        self.engine = outcome.engine
        for name, value in {**speeds(job.shape, outcome), **_costs(outcome, used)}.items():
            self.figures.setdefault(name, []).append(value)
        if outcome.latency is not None:
            self.latencies.append(outcome.latency)

    def measurement(self, step: Step, target: str) -> Measurement:
        series = {
            name: Series(_UNITS[name], tuple(values)) for name, values in self.figures.items()
        }
        proven = {proof.state for proof in self.proofs} <= {self.state}
        return Measurement(
            suite=step.suite.value,
            name=step.name,
            target=target,
            state=self.state,
            proof="; ".join(dict.fromkeys(proof.text for proof in self.proofs)),
            engine=self.engine,
            figures=series,
            latency=merge_latencies(self.latencies) if self.latencies else None,
            error=self.error,
            proven=proven,
            unstable=any(is_unstable(self.figures[name]) for name in _LED if name in self.figures),
        )


def measure(step: Step, contestants: Sequence[Contestant], bench: Bench) -> list[Measurement]:
    """All trials of one step on every target; errors are in the rows, none is raised.

    Main thread only. A target that failed once is tried again in the next trial unless it is lost.
    """
    rows = {
        contestant.name: {state: _Row(state) for state in states_for(step, contestant.target.kind)}
        for contestant in contestants
    }
    targets = [contestant.target for contestant in contestants]
    for trial in range(bench.options.trials):
        for index in turns(targets, trial):
            contestant = contestants[index]
            for state, row in rows[contestant.name].items():
                what = f"{step.name} {state.value}, {contestant.name}, trial {trial + 1}"
                bench.tracker.begin(what)
                if not _skipped(step, contestant):
                    _trial(step, contestant, row, bench, trial)
                bench.tracker.advance(what)
    return [
        skipped_row(step, contestant, row.state)
        if _skipped(step, contestant)
        else row.measurement(step, contestant.name)
        for contestant in contestants
        for row in rows[contestant.name].values()
    ]


def skipped_row(step: Step, contestant: Contestant, state: CacheState) -> Measurement:
    """The row of a measurement that the target does not allow."""
    return Measurement(
        suite=step.suite.value,
        name=step.name,
        target=contestant.name,
        state=state,
        proof="",
        engine="",
        skipped=READ_ONLY,
    )


def _skipped(step: Step, contestant: Contestant) -> bool:
    return step.shape is Shape.WRITE and contestant.folder is None


def _trial(step: Step, contestant: Contestant, row: _Row, bench: Bench, trial: int) -> None:
    """Prepare the state, run, and add what came out to the row, be it an error."""
    if contestant.lost is not None:
        row.error = row.error or contestant.lost
        return
    write_folder = contestant.folder.path if contestant.folder is not None else ""
    job: Job | None = None
    try:
        data = _share(contestant, row.state, trial, bench.options.trials)
        job = make_job(step, data, bench.options, trial, write_folder)
        proof = _prepare(contestant, row.state, job, job_paths(job, data))
        if data is not contestant.data:
            proof = Proof(proof.state, f"{proof.text}; files that no trial has read before")
        before = contestant.serving.usage()
        outcome = run_job(bench.children, contestant.target.location, job)
        used = _since(contestant.serving.usage(), before)
        row.add(proof, job, outcome, used)
    except TargetError as error:
        row.error = row.error or contestant.note_failure(error)
    finally:
        if job is not None and job.shape is Shape.WRITE:
            _remove_written(contestant, job)


def _share(contestant: Contestant, state: CacheState, trial: int, trials: int) -> DataSet:
    """The files of a trial: where caches cannot be emptied, some that no trial has read yet."""
    if state is not CacheState.COLD or contestant.caches.can_prove_cold():
        return contestant.data
    share = portion(contestant.data, trial, trials)
    # Of few files some share has nothing to measure with.
    return share if share.large and share.files else contestant.data


def _prepare(contestant: Contestant, state: CacheState, job: Job, paths: list[str]) -> Proof:
    if job.shape is Shape.WRITE:
        return Proof(CacheState.RAM_WARM, "what is written goes through the page cache to fsync")
    match state:
        case CacheState.COLD:
            proof = contestant.caches.make_cold(paths, contestant.data.root)
            if job.shape not in (Shape.WALK, Shape.OPEN):
                return proof
            return of_names(proof, contestant.target.kind, dropped=pages.may_drop_all())
        case CacheState.SSD_WARM:
            return contestant.caches.make_ssd_warm(paths)
        case _:
            return contestant.caches.make_ram_warm(paths)


def _remove_written(contestant: Contestant, job: Job) -> None:
    for path in (path for hand in job.files for path in hand):
        try:
            contestant.tree.remove(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            contestant.lost = contestant.lost or f"cannot remove {path}: {error.strerror}"


def _since(after: Usage | None, before: Usage | None) -> Usage | None:
    return after.since(before) if after is not None and before is not None else None


def speeds(shape: Shape, outcome: Outcome) -> dict[str, float]:
    """The figures by which targets are compared, for a shape of access."""
    seconds = max(outcome.seconds, 1e-9)
    found: dict[str, float] = {}
    if shape is not Shape.WALK and shape is not Shape.OPEN:
        found["throughput"] = outcome.bytes / seconds / 1e6
    if shape is Shape.RANDOM:
        found["iops"] = outcome.operations / seconds
    if shape in (Shape.SMALL, Shape.OPEN):
        found["files"] = outcome.files / seconds
    if shape is Shape.WALK:
        found["names"] = outcome.operations / seconds
    return found


def _costs(outcome: Outcome, used: Usage | None) -> dict[str, float]:
    """CPU, memory and sources of the bytes, as far as they are known."""
    found: dict[str, float] = {}
    if outcome.bytes >= _CPU_BYTES_MIN:
        found["reader_cpu"] = outcome.cpu_s / (outcome.bytes / _GB)
        if used is not None:
            found["serving_cpu"] = used.cpu_s / (outcome.bytes / _GB)
    if used is not None:
        found["serving_rss"] = float(used.rss_bytes)
        served = used.memory_bytes + used.disk_bytes + used.store_bytes
        if served:
            found["memory_share"] = used.memory_bytes / served
            found["ssd_share"] = used.disk_bytes / served
            found["store_share"] = used.store_bytes / served
    return found
