"""A run from its first look at the targets to the last record: what happens in which order.

Errors of targets end up in the records; only what makes the whole run pointless is raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from cloudfs import __version__
from cloudfs_benchmarks.bench.collecting import Collector
from cloudfs_benchmarks.bench.contestants import Bench, Contestant
from cloudfs_benchmarks.bench.data.verify import altered, differing, digest_sample
from cloudfs_benchmarks.bench.engines.choose import describe_job
from cloudfs_benchmarks.bench.environment import gather
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.estimating import Estimate, estimate
from cloudfs_benchmarks.bench.measuring import measure
from cloudfs_benchmarks.bench.options import MIB, Options
from cloudfs_benchmarks.bench.plan import (
    make_job,
    states_for,
    steps_of,
    trains,
)
from cloudfs_benchmarks.bench.preparing import (
    check_writable,
    find_data,
    find_in,
    leftover_notes,
    look_at,
    open_contestants,
    write_data,
)
from cloudfs_benchmarks.bench.progress import Say, Show, Tracker
from cloudfs_benchmarks.bench.results import Plan, Target
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.spec import parse_targets
from cloudfs_benchmarks.bench.trainings import train_all
from cloudfs_benchmarks.demo.processes import Children

_CHECKED_BYTES = 256 * MIB
_FIO_FOLDER = "fio"


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run's words go, and the command line that its report repeats."""

    say: Say
    show: Show
    command: str


def dry_run(options: Options, say: Say) -> None:
    """Look at the targets and print the estimate; nothing is written or measured."""
    targets = look_at(parse_targets(options.targets))
    check_writable(targets, options)
    data = None
    if options.dataset is not None:
        with closing(open_tree(targets[0].location)) as tree:
            data = find_in(tree, options.dataset, targets[0].name)
    say(describe(estimate(options, targets, data), options))


def begin(
    options: Options, children: Children, output: Output
) -> tuple[Collector, list[Contestant]]:
    """Look at the targets, provide the data and say what it will cost.

    `BenchError` in one line when the run cannot begin.
    """
    specs = parse_targets(options.targets)
    targets = look_at(specs)
    check_writable(targets, options)
    contestants = open_contestants(children, specs, targets)
    if options.dataset is None:
        output.say(describe(estimate(options, targets, None), options))
        write_data(children, contestants, options, output.show)
    find_data(contestants, options)
    if options.dataset is not None:
        output.say(describe(estimate(options, targets, contestants[0].data), options))
    collector = Collector(
        out=options.out,
        tool=f"cloudfs bench {__version__}",
        command=output.command,
        environment=gather([target.location for target in targets]),
        plan=_plan(options, contestants),
        targets=tuple(targets),
    )
    for line in leftover_notes(contestants):
        collector.note(line)
        output.say(line)
    return collector, contestants


def measure_all(
    options: Options,
    children: Children,
    collector: Collector,
    contestants: Sequence[Contestant],
    output: Output,
) -> None:
    """Measure, train and check contents; everything is in the collector and saved as it comes."""
    tracker = Tracker(_actions(options, [one.target for one in contestants]), output.show)
    bench = Bench(options, children, tracker)
    _save_jobs(options, children, contestants)
    for step in steps_of(options.suites):
        collector.add(measurements=measure(step, contestants, bench))
    if trains(options.suites):
        train_all(contestants, bench, lambda run: collector.add(training=[run]))
    for line in check_contents(contestants, options.seed):
        collector.note(line)


def check_contents(contestants: Sequence[Contestant], seed: int) -> list[str]:
    """Read a part of the data back on every target; a line that says what was compared.

    `BenchError` when a target holds other bytes than were written, or than another target:
    then no figure of this run means anything.
    """
    digests = {}
    lines = []
    for one in contestants:
        if one.lost is not None:
            continue
        try:
            digests[one.name] = digest_sample(one.tree, one.data, _CHECKED_BYTES, seed)
        except OSError as error:
            lines.append(f"{one.name}: contents could not be checked: {error}")
            continue
        if one.data.own and (wrong := altered(one.data, digests[one.name])):
            raise BenchError(f"{one.name} holds other bytes than were written: {', '.join(wrong)}")
    if different := differing(digests):
        raise BenchError(f"the targets hold different bytes: {', '.join(different)}")
    if digests:
        count = len(next(iter(digests.values())))
        what = "what was written" if contestants[0].data.own else "each other"
        lines.append(
            f"contents: {count} files, up to {_CHECKED_BYTES // MIB} MiB, read back on "
            f"{', '.join(digests)} and compared with {what}: equal"
        )
    return lines


def describe(cost: Estimate, options: Options) -> str:
    """One line: what the run will take, before it begins."""
    low, high = (_minutes(seconds) for seconds in cost.seconds)
    trials = "1 trial" if options.trials == 1 else f"{options.trials} trials"
    parts = [f"{trials}: {low} to {high}", f"{_bytes(cost.read_bytes)} read"]
    if cost.written_bytes:
        parts.append(f"{_bytes(cost.written_bytes)} written")
    if cost.store_bytes:
        parts.append(
            f"at most {_bytes(cost.store_bytes)} and about {cost.store_requests:,} requests "
            "of the bucket"
        )
    return ", ".join(parts)


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _actions(options: Options, targets: Sequence[Target]) -> int:
    states = sum(
        len(states_for(step, target.kind))
        for step in steps_of(options.suites)
        for target in targets
    )
    epochs = options.training.epochs * len(targets) if trains(options.suites) else 0
    return options.trials * (states + epochs)


def _save_jobs(options: Options, children: Children, contestants: Sequence[Contestant]) -> None:
    """Write fio's job files of the first trial beside the results, for whoever wants to repeat."""
    for step in steps_of(options.suites):
        for one in contestants:
            write_folder = one.folder.path if one.folder is not None else ""
            job = make_job(step, one.data, options, 0, write_folder)
            texts = describe_job(children, f"{step.name}-{one.name}", one.target.location, job)
            for name, text in texts.items():
                path = options.out / _FIO_FOLDER / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")


def _plan(options: Options, contestants: Sequence[Contestant]) -> Plan:
    methods = {one.name: one.caches.cold_method() for one in contestants}
    settings = options.training
    return Plan(
        suite="+".join(suite.value for suite in options.suites),
        size_bytes=min(options.size_bytes, contestants[0].data.bytes),
        dataset="" if options.dataset is None else options.dataset or ".",
        trials=options.trials,
        epochs=settings.epochs if trains(options.suites) else 0,
        workers=settings.workers,
        batch=settings.batch,
        compute_s=settings.compute_s,
        seed=options.seed,
        cold_method="; ".join(f"{name}: {method}" for name, method in methods.items()),
    )
