"""Several reader nodes at once: does each keep its speed, or do they divide one server's?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from cloudfs_benchmarks.bench.caches import Caches
from cloudfs_benchmarks.bench.data.scan import read_data_set
from cloudfs_benchmarks.bench.engines.job import Job, Shape
from cloudfs_benchmarks.bench.engines.reader import run_readers
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.options import MIB
from cloudfs_benchmarks.bench.results import NodeRun
from cloudfs_benchmarks.bench.targets.inspection import inspect
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.spec import TargetSpec
from cloudfs_benchmarks.demo.processes import Children


@dataclass(frozen=True, slots=True)
class Fleet:
    """A target as several nodes see it: `locations` has a mountpoint, or a URL, per node."""

    name: str
    locations: tuple[str, ...]


def read_together(
    children: Children, fleet: Fleet, nodes: int, trial: int, data_root: str
) -> NodeRun:
    """Let the first `nodes` nodes read all large files at once, each with one reader, cold.

    A failure is in the record. Main thread only.
    """
    locations = fleet.locations[:nodes]
    try:
        jobs = [_cold_job(fleet.name, location, data_root) for location in locations]
        outcomes = run_readers(children, list(zip(locations, jobs, strict=True)))
    except TargetError as error:
        return NodeRun(fleet.name, nodes, trial, (), str(error))
    speeds = tuple(outcome.bytes / outcome.seconds / 1e6 for outcome in outcomes)
    return NodeRun(fleet.name, nodes, trial, speeds)


def _cold_job(name: str, location: str, data_root: str) -> Job:
    """What one node reads, after its caches were emptied."""
    target = inspect(TargetSpec(name, location))
    with closing(open_tree(location)) as tree:
        data = read_data_set(tree, data_root)
        paths = [file.path for file in data.large]
        Caches(target, tree).make_cold(paths, data.root)
    return Job(Shape.SEQUENTIAL, (tuple(paths),), MIB)
