"""What a run of the benchmark leaves behind: frozen records, in memory as in results.json.

docs/benchmarking.md describes every field; `schema` reads and writes them. Nothing here computes.
Times are in seconds, sizes in bytes, rates in MB/s (10**6 bytes) or 1/s, unless a name says else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SCHEMA = 1
"""Raised when a field changes its meaning or goes; fields that are added leave it as it is."""


class CacheState(StrEnum):
    """Where the bytes were when a measurement began, as far as it could be proven.

    `COLD`: in no cache of this machine. `SSD_WARM`: in the mount's own cache and not in the page
    cache. `RAM_WARM`: in the page cache. `UNPROVEN`: the tool could not find out.
    """

    COLD = "cold"
    SSD_WARM = "ssd-warm"
    RAM_WARM = "ram-warm"
    UNPROVEN = "unproven"


class Kind(StrEnum):
    """What a target is, as far as the benchmark treats it differently."""

    CLOUDFS = "cloudfs"
    NFS = "nfs"  # mounted by the kernel
    LIBNFS = "libnfs"  # nfs:// URL, read from userspace
    LOCAL = "local"
    FUSE = "fuse"  # another FUSE filesystem
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Target:
    """A target as it was found before the first measurement.

    `filesystem`, `source` and `options` are the kernel's words (mountinfo), `options` those of the
    mount and of the superblock together. `settings` are those of the server of the mount: a cloudfs
    daemon's options, libnfs' protocol version. `tunings_missing` names the known NFS tunings
    that were not in use, each with what it would do; None for what is not NFS.
    """

    name: str
    location: str
    kind: Kind
    filesystem: str
    source: str
    options: str
    read_ahead_kb: int | None
    writable: bool
    free_bytes: int | None
    settings: Mapping[str, str] = field(default_factory=dict)
    tunings_missing: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one figure, one per trial, in the order they were measured."""

    unit: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies of single operations in microseconds, over all trials.

    `histogram` has the count of each bin by the bin's upper bound, ascending, none empty.
    """

    p50: float
    p95: float
    p99: float
    max: float
    histogram: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row: a shape of access on one target in one state, over all trials.

    `state` is the state that was set up before every trial, `proof` says in words how; where it
    could not be proven of every trial `proven` is False. `engine` is what did the reading, with its
    version ("fio 3.33", "libnfs reader"). `figures` by name: `throughput` MB/s, `iops` 1/s,
    `files` 1/s, `names` 1/s, `reader_cpu` and `serving_cpu` s/GB, `serving_rss` bytes,
    `memory_share`, `ssd_share` and `store_share` (of the bytes that a cloudfs mount handed out, 0
    to 1).
    `error` and `skipped` are one line each; with either, `figures` holds the trials that succeeded.
    """

    suite: str
    name: str
    target: str
    state: CacheState
    proof: str
    engine: str
    figures: Mapping[str, Series] = field(default_factory=dict)
    latency: Latency | None = None
    error: str | None = None
    skipped: str | None = None
    unstable: bool = False
    proven: bool = True


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the data. `step_s` and `wait_s` have a value per step: it is wait + compute.

    `first_batch_s`: from the epoch's start to the first batch in memory; in epoch 1 with listing
    the data. `started_s`: the epoch's start, since that of the first. `au`: accelerator
    utilisation as MLPerf Storage defines it, 0 to 1. `hit_ratio`, `store_bytes` and
    `store_requests` are the counters of a cloudfs mount over this epoch: the share of bytes that
    did not come from the store, and the bytes and requests that did.
    """

    number: int
    seconds: float
    first_batch_s: float
    samples: int
    bytes: int
    step_s: tuple[float, ...]
    wait_s: tuple[float, ...]
    au: float
    state: CacheState
    proof: str
    hit_ratio: float | None = None
    store_bytes: int | None = None
    store_requests: int | None = None
    started_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A loader's epochs on one target in one trial; `compute_s` is the accelerator's time per step.

    `hit_ratio_over_time`: (seconds since the run's start, share of the bytes handed out since the
    sample before that did not come from the store), of cloudfs mounts only.
    """

    target: str
    trial: int
    loader: str
    workers: int
    batch: int
    compute_s: float
    epochs: tuple[Epoch, ...]
    hit_ratio_over_time: tuple[tuple[float, float], ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class NodeRun:
    """Several reader nodes reading the same data at once: MB/s of each, per trial in order."""

    target: str
    nodes: int
    trial: int
    throughputs: tuple[float, ...]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Environment:
    """The machine and what ran on it. `page_cache_bytes` and `load` are (before, after) the run."""

    kernel: str
    distribution: str
    cpu: str
    cpus: int
    memory_bytes: int
    root: bool
    disks: Mapping[str, str]
    versions: Mapping[str, str]
    page_cache_bytes: tuple[int, int | None]
    load: tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What the run set out to do, as it was asked for.

    `dataset`: "" for data of the run's own. `cold_method` says how caches were emptied.
    """

    suite: str
    size_bytes: int
    dataset: str
    trials: int
    epochs: int
    workers: int
    batch: int
    compute_s: float
    seed: int
    cold_method: str


@dataclass(frozen=True, slots=True)
class Results:
    """Everything of one run. `finished` is False in what an interrupted run left."""

    tool: str
    started_at: str
    command: str
    finished: bool
    seconds: float
    environment: Environment
    plan: Plan
    targets: tuple[Target, ...]
    measurements: tuple[Measurement, ...] = ()
    training: tuple[TrainingRun, ...] = ()
    nodes: tuple[NodeRun, ...] = ()
    notes: tuple[str, ...] = ()
    schema: int = SCHEMA
