"""Admin commands of a mount: handlers that check arguments and start long work as jobs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import trio
from msgspec import convert, structs

from cloudfs.admin import messages
from cloudfs.admin.evict import Evict
from cloudfs.admin.jobs import Job, Jobs, Work
from cloudfs.admin.messages import (
    CacheInfo,
    DirectoryInfo,
    Invalidated,
    JobKind,
    JobRequest,
    JobStatus,
    MorePaths,
    Paths,
    Unpinned,
    UsagePaths,
    WarmUpAdded,
    WarmUpRequest,
)
from cloudfs.admin.ports import Cache, Names
from cloudfs.admin.usage import UsageCount
from cloudfs.admin.verify import Verify
from cloudfs.admin.walk import is_hidden
from cloudfs.admin.warmup import WarmUp, require_disk
from cloudfs.config import globs
from cloudfs.config.path_policy import PathPolicies
from cloudfs.control.protocol import NoArguments, NoResult
from cloudfs.control.server import Route
from cloudfs.errors import ExitCode, UserError
from cloudfs_backends.api import ObjectStore
from cloudfs_cache.api import DiskStatistics, DiskUnusableError, DiskUsage, KeyRange

_PINS_SHOWN_MAX: Final = 1000
_PINS_CHARACTERS_MAX: Final = 100_000
"""A reply is one line of at most 1 MiB."""

_JOBS_SHOWN: Final = frozenset({JobKind.WARMUP, JobKind.VERIFY})
"""Counting and evicting are jobs only because they may take longer than a request."""

Result = TypeVar("Result")


def routes(
    store: ObjectStore, cache: Cache, policies: PathPolicies, names: Names, jobs: Jobs
) -> list[Route[Any, Any]]:
    """Return the admin commands of a mount made of these parts."""
    admin = _Handlers(store, cache, policies, names, jobs)
    return [
        Route(messages.USAGE, admin.usage),
        Route(messages.WARMUP, admin.warmup),
        Route(messages.WARMUP_ADD, admin.warmup_add),
        Route(messages.JOB, admin.job),
        Route(messages.CACHE_INFO, admin.info),
        Route(messages.CACHE_PIN, admin.pin),
        Route(messages.CACHE_UNPIN, admin.unpin),
        Route(messages.CACHE_EVICT, admin.evict),
        Route(messages.CACHE_INVALIDATE, admin.invalidate),
        Route(messages.CACHE_VERIFY, admin.verify),
    ]


@dataclass(frozen=True, slots=True)
class _Handlers:
    """The handlers. One that starts a job returns the job's status."""

    store: ObjectStore
    cache: Cache
    policies: PathPolicies
    names: Names
    jobs: Jobs

    async def usage(self, request: UsagePaths) -> JobStatus:
        """Count local bytes; the counts are complete once the job is done."""
        work = UsageCount(self.store, self.cache, self.policies, _checked(request.paths))
        return await self._start(JobKind.USAGE, work, messages.JOB_WAIT_S_MAX)

    async def warmup(self, request: WarmUpRequest) -> JobStatus:
        """Start a warm-up."""
        _checked(request.paths)
        _require_globs(request.globs)
        if not request.check:
            require_disk(self.cache)
        work = WarmUp(self.store, self.cache, self.policies, request)
        return await self._start(JobKind.WARMUP, work, 0)

    async def warmup_add(self, request: MorePaths) -> WarmUpAdded:
        """Add paths to a warm-up that was started with `more`."""
        job = self.jobs.get(request.job)
        if not isinstance(job.work, WarmUp):
            raise _wrong(f"job {job.id} is no warm-up")
        paths = _checked(request.paths)
        taken = not job.is_running or await job.work.add(paths, more=request.more)
        return WarmUpAdded(**structs.asdict(job.status()), taken=taken)

    async def job(self, request: JobRequest) -> JobStatus:
        """Return the status of a job, after having waited so long for its end."""
        job = self.jobs.get(request.job)
        if request.cancel:
            job.cancel()
        return await _status(job, request.wait_s)

    async def info(self, _: NoArguments) -> CacheInfo:
        """Return the content of the cache directories, the pins, the policies and the jobs."""
        usage: list[DiskUsage] = []
        pins: list[KeyRange] = []
        disks = self.cache.statistics().disks
        problem = ""
        try:
            if disks:
                usage, pins = await self.cache.disk_usage(), await self.cache.pins()
        except DiskUnusableError as error:
            problem = str(error)
        return CacheInfo(
            url=self.store.url,
            directories=tuple(_directory(disk, usage) for disk in disks),
            problem=problem,
            pins=_first_keys(pins),
            pins_total=len(pins),
            policies=tuple(map(str, self.policies.tables)),
            jobs=tuple(job.summary() for job in self.jobs.all() if job.kind in _JOBS_SHOWN),
        )

    async def pin(self, request: Paths) -> NoResult:
        """Pin each path with everything below."""
        ranges = _ranges(request)
        await _on_disk(lambda: self.cache.pin(ranges))
        return NoResult()

    async def unpin(self, request: Paths) -> Unpinned:
        """Undo the pins at and below each path."""
        ranges = _ranges(request)
        pins = await _on_disk(self.cache.pins)
        await _on_disk(lambda: self.cache.unpin(ranges))
        return Unpinned(
            tuple(keys.key for keys in ranges if not any(pin.key in keys for pin in pins))
        )

    async def evict(self, request: Paths) -> JobStatus:
        """Remove what is local of the paths and not pinned."""
        work = Evict(self.cache, _ranges(request))
        return await self._start(JobKind.EVICT, work, messages.JOB_WAIT_S_MAX)

    async def invalidate(self, request: Paths) -> Invalidated:
        """Invalidate names, sizes and listings, and so the contents of changed files."""
        return Invalidated(await self.names.invalidate(_ranges(request)))

    async def verify(self, _: NoArguments) -> JobStatus:
        """Start a verification of all that the SSD tier holds of this store."""
        return await self._start(JobKind.VERIFY, Verify(self.cache), 0)

    async def _start(self, kind: JobKind, work: Work, wait_s: float) -> JobStatus:
        return await _status(self.jobs.start(kind, work), wait_s)


def _directory(disk: DiskStatistics, usage: Sequence[DiskUsage]) -> DirectoryInfo:
    stores = [of for of in usage if of.directory == disk.directory]
    return convert({**asdict(disk), "stores": stores}, DirectoryInfo)


def _first_keys(ranges: Sequence[KeyRange]) -> tuple[str, ...]:
    """Return as many keys as a reply has room for."""
    keys = [range_.key for range_ in ranges[:_PINS_SHOWN_MAX]]
    while sum(map(len, keys)) > _PINS_CHARACTERS_MAX:
        del keys[len(keys) // 2 :]
    return tuple(keys)


async def _status(job: Job, wait_s: float) -> JobStatus:
    """Return the job's status once it has ended or the time is over."""
    with trio.move_on_after(wait_s):
        await job.finished.wait()
    return job.status()


async def _on_disk(call: Callable[[], Awaitable[Result]]) -> Result:
    """Call into the SSD tier; a directory that does not answer is the user's to fix."""
    try:
        return await call()
    except DiskUnusableError as error:
        raise UserError(ExitCode.CACHE, str(error)) from None


def _checked(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return the paths; `UserError` for one that the mount cannot have."""
    for path in paths:
        # The root is "", which has no part.
        if path and (path.endswith("/") or is_hidden(path)):
            raise _wrong(f"{path!r} is no path below the mount's root")
    return paths


def _ranges(request: Paths) -> list[KeyRange]:
    return [KeyRange(path, subtree=True) for path in _checked(request.paths)]


def _require_globs(patterns: Sequence[str]) -> None:
    """Raise `UserError` for a pattern that cannot be read."""
    for pattern in patterns:
        try:
            globs.compile_glob(pattern)
        except ValueError as error:
            raise _wrong(f"bad pattern {pattern!r}: {error}") from None


def _wrong(message: str) -> UserError:
    return UserError(ExitCode.USAGE, message)
