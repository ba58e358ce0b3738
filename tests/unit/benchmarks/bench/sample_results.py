"""Made-up results with everything in them that a report must show; small pieces to vary them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from cloudfs_benchmarks.bench.results import (
    CacheState,
    Environment,
    Epoch,
    Kind,
    Measurement,
    NodeRun,
    Plan,
    Results,
    Series,
    Target,
    TrainingRun,
)
from cloudfs_benchmarks.bench.statistics import (
    accelerator_utilisation,
    is_unstable,
    latency_of,
)

COMPUTE_S = 0.05
COLD, SSD, RAM = CacheState.COLD, CacheState.SSD_WARM, CacheState.RAM_WARM
_PROOFS = {
    COLD: "caches dropped (root), then 0.0 % of the pages of 64 files resident",
    SSD: "100 % of the bytes in the mount's cache, page cache dropped",
    RAM: "read once before, 100 % of the pages of 64 files resident",
    CacheState.UNPROVEN: "12 % of the pages of 64 files were still resident",
}


def targets() -> tuple[Target, ...]:
    """A mount, an NFS server that is read from userspace, and a local folder."""
    return (
        Target(
            *("cloudfs", "/data", Kind.CLOUDFS, "fuse.cloudfs", "s3://bucket/cases"),
            *("ro,nosuid,nodev,relatime,user_id=0,group_id=0,max_read=1048576", 1024, False, None),
            settings={"memory_limit": "64 MiB", "cache": "/var/cache/cloudfs, 20 GiB"},
        ),
        Target(
            *("nfs", "nfs://127.0.0.1/export/?version=4&nfsport=2049", Kind.LIBNFS, "libnfs"),
            *("127.0.0.1:/export", "", None, True, 40_000_000_000),
            settings={"protocol": "NFSv4"},
            tunings_missing=(
                "nconnect: libnfs uses one connection; the kernel's client can use up to 16",
                "read_ahead_kb: libnfs reads ahead nothing",
            ),
        ),
        Target(
            *("local", "/scratch", Kind.LOCAL, "ext4", "/dev/nvme0n1p1", "rw,relatime"),
            *(128, True, 200_000_000_000),
        ),
    )


def environment() -> Environment:
    return Environment(
        *("6.1.0-28-amd64", "Debian GNU/Linux 12 (bookworm)", "AMD EPYC 7B13", 8),
        *(33_554_432_000, True),
        disks={"/scratch": "nvme0n1: Example SSD, 512 GB, ext4"},
        versions={"cloudfs": "0.1.0", "fio": "3.33", "python": "3.11.7"},
        page_cache_bytes=(2_000_000_000, 9_000_000_000),
        load=(0.2, 3.1),
    )


def plan() -> Plan:
    return Plan(
        "standard,training", 536_870_912, "", 3, 3, 4, 4, COMPUTE_S, 1, "drop_caches (root)"
    )


def measurement(
    target: str,
    name: str = "sequential-1",
    state: CacheState = COLD,
    values: Sequence[float] = (490.0, 518.0, 540.0),
    *,
    figure: str = "throughput",
    latencies: Sequence[float] = (),
) -> Measurement:
    unit = {"throughput": "MB/s"}.get(figure, "1/s")
    figures = {figure: Series(unit, tuple(values))} if values else {}
    return Measurement(
        *("standard", name, target, state, _PROOFS[state]),
        "libnfs reader" if target == "nfs" else "fio 3.33",
        figures,
        latency_of(latencies) if latencies else None,
        unstable=is_unstable(values),
    )


def failed(target: str, name: str, error: str, state: CacheState = COLD) -> Measurement:
    return replace(measurement(target, name, state, ()), error=error)


def skipped(target: str, name: str, reason: str, state: CacheState = COLD) -> Measurement:
    return replace(measurement(target, name, state, ()), skipped=reason)


def epoch(
    number: int,
    step_s: Sequence[float],
    state: CacheState = COLD,
    seconds: float | None = None,
    hit_ratio: float | None = None,
) -> Epoch:
    steps = tuple(step_s)
    wait = tuple(max(0.0, step - COMPUTE_S) for step in steps)
    return Epoch(
        *(number, sum(steps) if seconds is None else seconds, steps[0], 4 * len(steps)),
        *(len(steps) * 6_000_000, steps, wait),
        *(accelerator_utilisation(wait, steps, COMPUTE_S), state, _PROOFS[state]),
        hit_ratio=hit_ratio,
        store_bytes=None if hit_ratio is None else round((1 - hit_ratio) * 6e6 * len(steps)),
        store_requests=None if hit_ratio is None else round((1 - hit_ratio) * 9 * len(steps)),
    )


def training_run(target: str, epochs: Sequence[Epoch], trial: int = 1) -> TrainingRun:
    return TrainingRun(target, trial, "torch", 4, 4, COMPUTE_S, tuple(epochs))


def results(
    *,
    measurements: Sequence[Measurement] = (),
    training: Sequence[TrainingRun] = (),
    nodes: Sequence[NodeRun] = (),
    finished: bool = True,
    of: Sequence[Target] | None = None,
) -> Results:
    return Results(
        *("cloudfs bench 0.1.0", "2025-06-01T12:00:00+00:00"),
        "cloudfs bench run --target cloudfs=/data --target nfs=nfs://127.0.0.1/export",
        *(finished, 754.0, environment(), plan(), targets() if of is None else tuple(of)),
        *(tuple(measurements), tuple(training), tuple(nodes)),
        notes=("1 leftover folder of a killed run in /scratch: cloudfs bench clean /scratch",),
    )


def steps(chance: random.Random, count: int, wait_s: float, slow: float = 0.0) -> list[float]:
    """Step times: the first fills the pipeline, `slow` of the rest wait ten times as long."""
    times = [COMPUTE_S + 8 * wait_s]
    for _ in range(count - 1):
        factor = 10 if chance.random() < slow else 1
        times.append(COMPUTE_S + wait_s * factor * chance.uniform(0.6, 1.6))
    return times


def trained(seed: int = 1, count: int = 40, trials: int = 3) -> list[TrainingRun]:
    """Three epochs on each of the three targets: the mount is cold, then as fast as the disk."""
    chance = random.Random(seed)
    runs = []
    for trial in range(1, trials + 1):
        mount = [
            epoch(1, steps(chance, count, 0.02, slow=0.2), COLD, hit_ratio=0.04),
            epoch(2, steps(chance, count, 0.0005), SSD, hit_ratio=1.0),
            epoch(3, steps(chance, count, 0.0004), SSD, hit_ratio=1.0),
        ]
        cloudfs = training_run("cloudfs", mount, trial)
        ratios = [(second * 0.7, min(1.0, second / 8)) for second in range(12)]
        runs.append(replace(cloudfs, hit_ratio_over_time=tuple(ratios)))
        for name, wait in (("nfs", 0.025), ("local", 0.0005)):
            epochs = [epoch(number, steps(chance, count, wait)) for number in (1, 2, 3)]
            runs.append(training_run(name, epochs, trial))
    return runs


def node_runs(nfs_crowd: float = 29.0, mount_crowd: float = 101.0) -> list[NodeRun]:
    """One node, then four at once, MB/s of each."""
    return [
        NodeRun("cloudfs", 1, 1, (104.0,)),
        NodeRun("cloudfs", 4, 1, tuple(mount_crowd + i for i in range(4))),
        NodeRun("nfs", 1, 1, (112.0,)),
        NodeRun("nfs", 4, 1, tuple(nfs_crowd + i for i in range(4))),
    ]


def rich(seed: int = 1, count: int = 40) -> Results:
    """Everything at once: states, errors, skips, unstable figures, training and reader nodes."""
    chance = random.Random(seed)

    def trials(value: float, noise: float = 0.04) -> tuple[float, ...]:
        return tuple(value * chance.uniform(1 - noise, 1 + noise) for _ in range(3))

    def waits(typical_us: float) -> list[float]:
        return [chance.lognormvariate(0, 0.6) * typical_us for _ in range(2000)]

    rows = []
    for name, factor in (("sequential-1", 1.0), ("sequential-many", 2.6)):
        rows += [
            measurement("cloudfs", name, COLD, trials(104 * factor), latencies=waits(9000)),
            measurement("nfs", name, COLD, trials(110), latencies=waits(8000)),
            measurement("local", name, COLD, trials(1210 * factor), latencies=waits(700)),
            measurement("cloudfs", name, SSD, trials(890 * factor), latencies=waits(900)),
            measurement("cloudfs", name, RAM, trials(4300 * factor), latencies=waits(180)),
            measurement("local", name, RAM, trials(5200 * factor), latencies=waits(140)),
        ]
    rows += [
        measurement(
            "cloudfs",
            "random-128k",
            COLD,
            (14.0, 31.0, 33.0),
            figure="iops",
            latencies=waits(30_000),
        ),
        failed("nfs", "random-128k", "nfs://127.0.0.1/export: EIO while reading large/large_2.bin"),
        measurement(
            "local", "random-128k", COLD, trials(4100), figure="iops", latencies=waits(240)
        ),
        measurement(
            "cloudfs", "small-files", COLD, trials(140), figure="files", latencies=waits(26_000)
        ),
        measurement("nfs", "small-files", COLD, trials(410), figure="files", latencies=waits(4100)),
        measurement(
            "local", "small-files", COLD, trials(6100), figure="files", latencies=waits(160)
        ),
        skipped("cloudfs", "write-fsync", "read-only", RAM),
        measurement("nfs", "write-fsync", RAM, trials(96)),
        measurement("local", "write-fsync", RAM, trials(410)),
        measurement("cloudfs", "walk", COLD, trials(18_000), figure="names"),
        measurement("nfs", "walk", COLD, trials(9_100), figure="names"),
        measurement("local", "walk", COLD, trials(61_000), figure="names"),
    ]
    serving = {
        "serving_cpu": Series("s/GB", (0.41, 0.43, 0.40)),
        "serving_rss": Series("bytes", (2.1e8, 2.2e8, 2.2e8)),
        "store_share": Series("", (1.0, 0.99, 1.0)),
    }
    rows[0] = replace(rows[0], figures={**rows[0].figures, **serving})
    broken = replace(
        training_run("nfs", [epoch(1, steps(chance, count, 0.03))], 4),
        error="fields_3.h5: the NFS server does not answer any more (ETIMEDOUT)",
    )
    return results(measurements=rows, training=[*trained(seed, count), broken], nodes=node_runs())
