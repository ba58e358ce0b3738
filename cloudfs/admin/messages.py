"""Admin commands of the control socket: names, arguments and results, for daemon and command line.

A `path` is relative to the mount's root, without `/` at its ends; "" is the root.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from cloudfs.control.protocol import Command, NoArguments, NoResult
from cloudfs.status.document import DiskStatus
from cloudfs_cache.api import DiskUsage, VerifyReport

JOB_WAIT_S_MAX: Final = 10.0
"""The longest that a request waits for the end of its job."""

USAGE_PATHS_MAX: Final = 100


class JobKind(StrEnum):
    """The kind of a job, which is the tag of its progress."""

    USAGE = "local"
    WARMUP = "warmup"
    EVICT = "evict"
    VERIFY = "verify"


class JobState(StrEnum):
    """The state of a job. All but `RUNNING` are final."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class PathUsage(Struct, frozen=True):
    """The files at or below one path, and how much of them a read would not fetch.

    `error` is what went wrong with the path; the counts are then what was found before that.
    """

    path: str
    files: int = 0
    bytes: int = 0
    local_files: int = 0
    local_bytes: int = 0
    pinned_bytes: int = 0
    error: str = ""


class UsageProgress(Struct, frozen=True, tag=JobKind.USAGE.value):
    """The counts so far, in the order in which the paths were given."""

    paths: tuple[PathUsage, ...]


class WarmUpFailure(Struct, frozen=True):
    """A path that could not be warmed up, and why."""

    path: str
    reason: str


class WarmUpProgress(Struct, kw_only=True, tag=JobKind.WARMUP.value):
    """The state of a warm-up, running or ended.

    While `counting` the totals still grow. A file is done when it was fetched or the SSD had it
    already; `fetched_bytes` are those that came from the store. `left_out` files have a policy of
    no caching and are not in the totals. `refused` ones were fetched and not kept. `failures` are
    the first of the `failed` ones; `notes` are sentences for the user.
    """

    check: bool
    counting: bool = True
    files_total: int = 0
    files_done: int = 0
    bytes_total: int = 0
    bytes_done: int = 0
    fetched_bytes: int = 0
    left_out_files: int = 0
    left_out_bytes: int = 0
    refused_files: int = 0
    refused_bytes: int = 0
    failed: int = 0
    failures: tuple[WarmUpFailure, ...] = ()
    notes: tuple[str, ...] = ()


class EvictProgress(Struct, frozen=True, tag=JobKind.EVICT.value):
    """`freed_bytes` on the SSDs, None until the job has ended."""

    freed_bytes: int | None = None


class VerificationProgress(Struct, frozen=True, tag=JobKind.VERIFY.value):
    """The blocks that were read so far; `report` is None until all were."""

    blocks_total: int = 0
    blocks_done: int = 0
    bytes_done: int = 0
    report: VerifyReport | None = None


Progress: TypeAlias = UsageProgress | WarmUpProgress | EvictProgress | VerificationProgress


class JobSummary(Struct, frozen=True, kw_only=True):
    """A job; `error` and `exit_code` say why it failed."""

    job: str
    kind: JobKind
    state: JobState
    elapsed_s: float
    error: str
    exit_code: int


class JobStatus(JobSummary, frozen=True, kw_only=True):
    """A job and its progress, whose type follows from its kind."""

    progress: Progress

    def as_values(self) -> dict[str, Any]:
        """Return it as JSON values in one object, as `--json` prints it."""
        values: dict[str, Any] = msgspec.to_builtins(self)
        progress = values.pop("progress")
        del progress["type"]
        values |= progress
        return values


class WarmUpAdded(JobStatus, frozen=True, kw_only=True):
    """The warm-up that paths were added to; without `taken` too many paths wait: send
    the same request again."""

    taken: bool


class DirectoryInfo(DiskStatus, frozen=True):
    """A cache directory and what it holds of each store."""

    stores: tuple[DiskUsage, ...]


class CacheInfo(Struct, frozen=True, kw_only=True):
    """The cache directories with their content, the first of the pins, the policies, the jobs.

    `problem` is why the content of the disks is not known, "" when it is.
    """

    url: str
    directories: tuple[DirectoryInfo, ...]
    problem: str
    pins: tuple[str, ...]
    pins_total: int
    policies: tuple[str, ...]
    jobs: tuple[JobSummary, ...]


class Unpinned(Struct, frozen=True):
    """`unknown` are the paths at and below which nothing was pinned."""

    unknown: tuple[str, ...]


class Invalidated(Struct, frozen=True):
    """The number of names that the kernel remembered of the paths."""

    names: int


class Paths(Struct, frozen=True):
    """Files and trees."""

    paths: tuple[str, ...]


class UsagePaths(Struct, frozen=True):
    """Files and trees to count."""

    paths: Annotated[tuple[str, ...], Meta(max_length=USAGE_PATHS_MAX)]


class WarmUpRequest(Struct, frozen=True):
    """The files to fetch. `check`: only count. `more`: further paths will be added."""

    paths: tuple[str, ...]
    globs: tuple[str, ...] = ()
    rate_bytes_s: Annotated[int, Meta(gt=0)] | None = None
    check: bool = False
    more: bool = False


class MorePaths(Struct, frozen=True):
    """Further paths for a warm-up that was started with `more`."""

    job: str
    paths: tuple[str, ...]
    more: bool


class JobRequest(Struct, frozen=True):
    """A job by its id: the reply waits up to `wait_s` for its end."""

    job: str
    cancel: bool = False
    wait_s: Annotated[float, Meta(ge=0, le=JOB_WAIT_S_MAX)] = 0.0


USAGE: Final = Command("local", UsagePaths, JobStatus)
WARMUP: Final = Command("warmup", WarmUpRequest, JobStatus)
WARMUP_ADD: Final = Command("warmup-add", MorePaths, WarmUpAdded)
JOB: Final = Command("job", JobRequest, JobStatus)
CACHE_INFO: Final = Command("cache-info", NoArguments, CacheInfo)
CACHE_PIN: Final = Command("cache-pin", Paths, NoResult)
CACHE_UNPIN: Final = Command("cache-unpin", Paths, Unpinned)
CACHE_EVICT: Final = Command("cache-evict", Paths, JobStatus)
CACHE_INVALIDATE: Final = Command("cache-invalidate", Paths, Invalidated)
CACHE_VERIFY: Final = Command("cache-verify", NoArguments, JobStatus)
