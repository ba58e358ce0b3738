"""The targets of a run with all that measuring them needs, and when one of them is lost."""

from __future__ import annotations

from dataclasses import dataclass

from cloudfs_benchmarks.bench.caches import Caches
from cloudfs_benchmarks.bench.data.cleaning import RunFolder
from cloudfs_benchmarks.bench.data.files import DataSet
from cloudfs_benchmarks.bench.errors import BenchError, TargetError
from cloudfs_benchmarks.bench.options import Options
from cloudfs_benchmarks.bench.progress import Tracker
from cloudfs_benchmarks.bench.results import Target
from cloudfs_benchmarks.bench.targets.inspection import inspect
from cloudfs_benchmarks.bench.targets.serving import Serving
from cloudfs_benchmarks.bench.targets.spec import TargetSpec
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.demo.processes import Children


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement of a run is done with. Main thread only."""

    options: Options
    children: Children
    tracker: Tracker


@dataclass(slots=True)
class Contestant:
    """One target in a run. `folder` is where the run may write, None on a read-only target.

    `lost` says why nothing is tried on it any more: everything of it is reported with that reason.
    """

    spec: TargetSpec
    target: Target
    tree: Tree
    caches: Caches
    serving: Serving
    folder: RunFolder | None
    data: DataSet
    lost: str | None = None

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.target.name

    def note_failure(self, error: TargetError) -> str:
        """Return the error's line, after having looked whether the target is there at all."""
        try:
            inspect(self.spec)
        except (BenchError, OSError) as gone:
            self.lost = f"lost during the run: {gone}"
        return str(error)
