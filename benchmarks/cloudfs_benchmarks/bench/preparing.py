"""Everything before the first measurement: the targets are looked at, and the data is there.

What goes wrong here ends the run before anything was measured; what was made is undone by the
stack of the children, also then.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cloudfs_benchmarks.bench.caches import Caches
from cloudfs_benchmarks.bench.contestants import Contestant
from cloudfs_benchmarks.bench.data.cleaning import RunFolder, leftovers
from cloudfs_benchmarks.bench.data.files import DataSet
from cloudfs_benchmarks.bench.data.own import copy_own, write_own
from cloudfs_benchmarks.bench.data.scan import read_data_set, same_everywhere
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.options import Options
from cloudfs_benchmarks.bench.progress import Progress, Show
from cloudfs_benchmarks.bench.results import Kind, Target
from cloudfs_benchmarks.bench.targets.inspection import inspect
from cloudfs_benchmarks.bench.targets.opening import open_tree
from cloudfs_benchmarks.bench.targets.serving import Serving
from cloudfs_benchmarks.bench.targets.spec import TargetSpec
from cloudfs_benchmarks.bench.targets.tree import Tree
from cloudfs_benchmarks.demo.processes import Children

_DATA = "data"
# A disk that is filled to the last block is slow, and somebody else's writes fail.
_SPACE_FACTOR = 1.1
_EMPTY = DataSet("", False, (), (), (), ())


def look_at(specs: Sequence[TargetSpec]) -> list[Target]:
    """Inspect every target. `BenchError` in one line for the first that cannot be used."""
    return [inspect(spec) for spec in specs]


def check_writable(targets: Sequence[Target], options: Options) -> None:
    """Check that data of the run's own can be written everywhere, where that is to be done."""
    if options.dataset is not None:
        return
    for target in targets:
        if not target.writable:
            raise BenchError(
                f"target {target.name} ({target.location}) is read-only: write the data with "
                "'cloudfs bench data DIR', copy DIR to where every target reads, and add "
                "--dataset DIR (a folder inside every target)"
            )
        needed = int(options.size_bytes * _SPACE_FACTOR)
        if target.free_bytes is not None and target.free_bytes < needed:
            raise BenchError(
                f"target {target.name} ({target.location}) has {target.free_bytes / 1e9:.1f} GB "
                f"free, the run writes {needed / 1e9:.1f} GB: give a smaller --size"
            )


def open_contestants(
    children: Children, specs: Sequence[TargetSpec], targets: Sequence[Target]
) -> list[Contestant]:
    """Open every target; one that can be written gets a folder of this run's.

    The folders go, and the trees are closed, with `children.stack`.
    """
    run = uuid.uuid4().hex[:12]
    opened = []
    for spec, target in zip(specs, targets, strict=True):
        tree = open_tree(spec.location)
        children.stack.callback(tree.close)
        folder = _make_folder(children, tree, run, target) if target.writable else None
        opened.append(
            Contestant(
                *(spec, target, tree, Caches(target, tree), Serving(target), folder),
                data=_EMPTY,
            )
        )
    return opened


def find_data(contestants: Sequence[Contestant], options: Options) -> None:
    """Give every contestant its data set: the user's, or what `write_data` wrote.

    `BenchError` when it is not there, or not alike everywhere.
    """
    for contestant in contestants:
        root = options.dataset
        if root is None:
            assert contestant.folder is not None  # see check_writable
            root = f"{contestant.folder.path}/{_DATA}"
        contestant.data = find_in(contestant.tree, root, contestant.name)
    same_everywhere({contestant.name: contestant.data for contestant in contestants})


def find_in(tree: Tree, root: str, name: str) -> DataSet:
    """The data set in a folder of the target `name`; `BenchError` when there is none."""
    try:
        return read_data_set(tree, root)
    except OSError as error:
        raise BenchError(f"target {name}: {error.strerror}: {root}") from error


def leftover_notes(contestants: Sequence[Contestant]) -> list[str]:
    """A line for each folder that an earlier run left in a target; this run's are none."""
    notes = []
    for contestant in contestants:
        own = contestant.folder.path if contestant.folder is not None else ""
        with suppress(OSError):
            notes += [
                f"{contestant.target.location} has {leftover.name} of a run that is "
                f"{leftover.state.value}: 'cloudfs bench clean {contestant.target.location}'"
                for leftover in leftovers(contestant.tree)
                if leftover.name != own
            ]
    return notes


def _make_folder(children: Children, tree: Tree, run: str, target: Target) -> RunFolder:
    with children.gate.deferred():
        try:
            folder = RunFolder.create(tree, run)
        except OSError as error:
            raise BenchError(
                f"target {target.name} ({target.location}): cannot write: {error.strerror}"
            ) from error
        children.stack.callback(_remove_folder, folder)
    return folder


def _remove_folder(folder: RunFolder) -> None:
    """Remove what the run made; on a target that was lost meanwhile nothing can be removed."""
    try:
        folder.remove()
    except (OSError, BenchError) as error:
        print(f"cannot remove {folder.tree.location}/{folder.path}: {error}")


def write_data(
    children: Children, contestants: Sequence[Contestant], options: Options, show: Show
) -> None:
    """Write the run's own data, once into the first mounted target, and copy it to the others.

    Every contestant can be written: see `check_writable`. `BenchError` when that fails.
    """
    total = options.size_bytes * len(contestants)
    first = next((one for one in contestants if one.target.kind is not Kind.LIBNFS), None)
    if first is None:
        made = tempfile.TemporaryDirectory(prefix="cloudfs-bench-", ignore_cleanup_errors=True)
        source = Path(children.stack.enter_context(made)) / _DATA
    else:
        assert first.folder is not None
        source = Path(first.target.location) / first.folder.path / _DATA

    def counting(name: str, before: int) -> Callable[[int], None]:
        return lambda count: show(Progress(before + count, total, f"writing to {name}"))

    write_own(
        source,
        options.size_bytes,
        options.seed,
        processes=min(4, os.cpu_count() or 1),
        progress=counting(first.name if first else str(source), 0),
    )
    others = [one for one in contestants if one is not first]
    for number, contestant in enumerate(others, 1):
        assert contestant.folder is not None
        root = f"{contestant.folder.path}/{_DATA}"
        progress = counting(contestant.name, options.size_bytes * number)
        try:
            copy_own(source, contestant.tree, root, progress=progress)
        except OSError as error:
            raise BenchError(
                f"target {contestant.name} ({contestant.target.location}): "
                f"cannot write the data: {error.strerror}"
            ) from error
