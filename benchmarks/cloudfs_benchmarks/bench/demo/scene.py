"""The demo from the empty folder to the last record."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.bench import run as running
from cloudfs_benchmarks.bench.collecting import Collector
from cloudfs_benchmarks.bench.data.own import write_own
from cloudfs_benchmarks.bench.demo.nodes import Fleet, read_together
from cloudfs_benchmarks.bench.demo.site import DATA, FRESHNESS, Site, bring_up
from cloudfs_benchmarks.bench.options import Options
from cloudfs_benchmarks.bench.progress import Progress, Show
from cloudfs_benchmarks.bench.results import NodeRun, Results
from cloudfs_benchmarks.bench.run import Output
from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.servers.link import Link


@dataclass(frozen=True, slots=True)
class Scene:
    """What is brought up: the rate of every link in Gbit/s, and how many nodes read at the end."""

    link_gbit: float
    nodes: int


def show_all(
    scene: Scene,
    options: Options,
    children: Children,
    output: Output,
    collectors: list[Collector],
) -> Results:
    """Bring everything up and measure it; the collector is put into `collectors` once there is one.

    What was made goes with `children.stack`. `StageError` when a part does not start.
    """
    with children.gate.deferred():
        work = Path(tempfile.mkdtemp(prefix="cloudfs-bench-demo-"))
        children.stack.callback(shutil.rmtree, work, ignore_errors=True)
    # The mounts and servers log into a folder that stays.
    (work / "logs").symlink_to(children.logs.resolve())
    _write(work, options, output)
    link = Link(total_gbit=scene.link_gbit)
    site = bring_up(children, work, link=link, nodes=scene.nodes, say=output.say)
    asked = dataclasses.replace(options, targets=_targets(site), dataset=DATA)
    collector, contestants = running.begin(asked, children, output)
    collectors.append(collector)
    for line in _conditions(site, scene):
        collector.note(line)
    running.measure_all(asked, children, collector, contestants, output)
    for run in _nodes(site, scene.nodes, options.trials, children, output.show):
        collector.add(nodes=[run])
    return collector.save(finished=True)


def _write(work: Path, options: Options, output: Output) -> None:
    folder = work / "bucket" / DATA
    output.say(f"writing {options.size_bytes / 1e6:.0f} MB of data")
    write_own(
        folder,
        options.size_bytes,
        options.seed,
        processes=min(4, os.cpu_count() or 1),
        progress=lambda count: output.show(
            Progress(count, options.size_bytes, "writing the data set")
        ),
    )


def _targets(site: Site) -> tuple[str, ...]:
    nfs = () if site.nfs_url is None else (f"nfs={site.nfs_url}",)
    return (f"cloudfs={site.mounts[0]}", *nfs, f"local={site.local}")


def _conditions(site: Site, scene: Scene) -> list[str]:
    lines = [
        f"cloudfs: the bucket of each node is an nginx behind a link of its own: {site.link}",
        f"cloudfs: mounted with {' '.join(FRESHNESS)}, as for data that do not change",
    ]
    if site.missing is not None:
        return [*lines, f"no NFS was measured: {site.missing}"]
    return [
        *lines,
        f"nfs: NFS-Ganesha behind one link of {scene.link_gbit:g} Gbit/s, without delay, read "
        "with libnfs, which keeps nothing and reads nothing ahead",
        "every server and client is on this one machine and shares its CPUs and its disk",
    ]


def _nodes(
    site: Site, nodes: int, trials: int, children: Children, show: Show
) -> Iterator[NodeRun]:
    """One node alone and all of them, in turns with the targets, trial by trial."""
    fleets = [Fleet("cloudfs", tuple(map(str, site.mounts)))]
    if site.nfs_url is not None:
        fleets.append(Fleet("nfs", (site.nfs_url,) * nodes))
    runs = list(itertools.product(range(1, trials + 1), sorted({1, nodes}), fleets))
    for done, (trial, count, fleet) in enumerate(runs):
        show(Progress(done, len(runs), f"{count} nodes on {fleet.name}, trial {trial}"))
        yield read_together(children, fleet, count, trial, DATA)
