"""The verbs of `cloudfs bench`, as the command line calls them: one function each.

Everything is undone on the way out, also after a signal; what is left is the output folder.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from cloudfs_benchmarks.bench import compare as comparing
from cloudfs_benchmarks.bench import run as running
from cloudfs_benchmarks.bench import schema
from cloudfs_benchmarks.bench.collecting import RESULTS_NAME, Collector
from cloudfs_benchmarks.bench.data.cleaning import clean_leftovers
from cloudfs_benchmarks.bench.data.own import write_own
from cloudfs_benchmarks.bench.demo.scene import Scene, show_all
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.options import options_of, resolve_size
from cloudfs_benchmarks.bench.progress import Progress, Show
from cloudfs_benchmarks.bench.report.markdown import render_markdown
from cloudfs_benchmarks.bench.report.page import write_page
from cloudfs_benchmarks.bench.report.plots import draw_all
from cloudfs_benchmarks.bench.report.table import render_table
from cloudfs_benchmarks.bench.report.verdict import verdict
from cloudfs_benchmarks.bench.results import Results
from cloudfs_benchmarks.bench.run import Output
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.spec import parse_targets
from cloudfs_benchmarks.demo.processes import MARK_NAME, Children, StageError, sweep
from cloudfs_benchmarks.demo.signals import SignalGate, Stopped

__all__ = [
    "BenchError",
    "StageError",
    "Stopped",
    "clean",
    "compare",
    "data",
    "demo",
    "report",
    "run",
]

PAGE_NAME = "report.html"
_WIDTH_MAX = 120


def run(values: Mapping[str, Any], show: Show) -> bool:
    """Measure targets and write the report; returns whether every target did all it was asked.

    `values` are the command line's, by name. `BenchError` when it cannot begin, `Stopped` after a
    signal: what was measured by then is saved and shown.
    """
    options = options_of(values)
    if values["dry_run"]:
        running.dry_run(options, _say)
        return True
    output = Output(_say, show, values["command"])
    with _children(options.out) as children, _reported(options.out) as collectors:
        collector, contestants = running.begin(options, children, output)
        collectors.append(collector)
        running.measure_all(options, children, collector, contestants, output)
        results = collector.save(finished=True)
    return _complete(results)


def demo(values: Mapping[str, Any], show: Show) -> bool:
    """Bring up a bucket, an NFS server and nodes, measure them, and take them away again.

    As `run`; `StageError` when a part of the surroundings does not start.
    """
    if os.geteuid() != 0:
        raise BenchError("the demo makes network namespaces and mounts: run it as root")
    scene = Scene(link_gbit=values["link_gbit"], nodes=values["nodes"])
    options = options_of({**values, "targets": (), "dataset": None})
    output = Output(_say, show, values["command"])
    with _children(options.out) as children, _reported(options.out) as collectors:
        results = show_all(scene, options, children, output, collectors)
    return _complete(results)


def data(folder: Path, size: int, seed: int, *, show: Show) -> None:
    """Write the benchmark's data set into the new folder `folder`."""
    size = resolve_size(size, ())

    def progress(count: int) -> None:
        show(Progress(count, size, f"{count / 1e6:.0f} of {size / 1e6:.0f} MB"))

    write_own(folder, size, seed, processes=min(4, os.cpu_count() or 1), progress=progress)
    _say(
        f"{folder}: copy this folder into the bucket and to the other targets, then: "
        f"cloudfs bench run --dataset {folder.name} --target ..."
    )


def report(path: Path, out: Path, *, markdown: bool) -> None:
    """Print the tables of a results.json and write its page and pictures into `out`."""
    results = schema.load(path)
    if markdown:
        print(render_markdown(results))
        return
    _show(results, out)


def compare(a: Path, b: Path) -> bool:
    """Print how the run B differs from A; returns whether anything got worse."""
    comparison = comparing.compare(schema.load(a), schema.load(b))
    print(comparing.render(comparison, _width()))
    return comparison.regressed


def clean(targets: Sequence[str]) -> None:
    """Remove from the targets what runs that are gone have left there."""
    for spec in parse_targets(targets):
        with closing(open_tree(spec.location)) as tree:
            try:
                removed = clean_leftovers(tree)
            except OSError as error:
                raise BenchError(f"{spec.location}: {error.strerror}") from error
        _say(f"{spec.location}: removed {', '.join(removed) or 'nothing'}")


@contextmanager
def _children(out: Path) -> Iterator[Children]:
    """What starts processes; on leaving everything they made is undone, and nobody cuts in."""
    gate = SignalGate()
    gate.install()
    mark = uuid.uuid4().hex
    try:
        (out / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"--out {out}: {error.strerror}") from error
    with ExitStack() as stack:
        stack.callback(_remove_empty, out)
        stack.callback(sweep, mark)
        try:
            yield Children({**os.environ, MARK_NAME: mark}, out / "logs", stack, gate)
        finally:
            gate.close()


def _remove_empty(out: Path) -> None:
    """Take the folder away again when nothing came into it."""
    with suppress(OSError):
        (out / "logs").rmdir()
        out.rmdir()


@contextmanager
def _reported(out: Path) -> Iterator[list[Collector]]:
    """Show what the collector has, when one is put into the list: also after a signal or an error.

    Runs while the children are still there, so that a report is written whatever cleaning up meets.
    """
    collectors: list[Collector] = []
    try:
        yield collectors
    except BaseException:
        if collectors and collectors[0].anything:
            _show(collectors[0].save(), out)
        raise
    _show(schema.load(out / RESULTS_NAME), out)


def _show(results: Results, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    pictures = draw_all(results, out)
    write_page(results, pictures, out / PAGE_NAME)
    print(render_table(results, _width()))
    print(verdict(results))
    _say(f"report: {out / PAGE_NAME}; figures: {out / RESULTS_NAME}")


def _complete(results: Results) -> bool:
    """Whether nothing failed; what a read-only target does not allow is no failure."""
    errors = [row.error for row in results.measurements]
    errors += [row.error for row in results.training]
    errors += [row.error for row in results.nodes]
    return results.finished and not any(errors)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _width() -> int:
    return min(_WIDTH_MAX, shutil.get_terminal_size((100, 24)).columns)
