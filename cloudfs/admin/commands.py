"""The commands of the control socket that steer the cache of a mount.

`handlers` maps their names to what answers them: arguments are checked here, long work becomes a
job. A `path` is relative to the mount's root, without `/` at its ends; "" is the root. It does not
know the socket, nor who asks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import trio

from cloudfs.admin.jobs import Job, Jobs, Work
from cloudfs.admin.maintenance import Evict, Verify
from cloudfs.admin.ports import Cache, Names
from cloudfs.admin.usage import Survey
from cloudfs.admin.walk import is_hidden
from cloudfs.admin.warmup import WarmUp, WarmUpRequest, require_disk
from cloudfs.config import globs
from cloudfs.config.path_policy import PathPolicies
from cloudfs.control.server import Handler
from cloudfs.errors import ExitCode, UserError
from cloudfs_backends.api import ObjectStore
from cloudfs_cache.api import DiskUnusableError, DiskUsage, KeyRange

WAIT_S_MAX: Final = 10.0
"""How long a request waits for its job before it answers how far that is."""

SURVEY_PATHS_MAX: Final = 100

_PINS_SHOWN_MAX: Final = 1000
_PINS_CHARACTERS_MAX: Final = 100_000
"""An answer is one line of at most 1 MiB."""


def handlers(
    store: ObjectStore, cache: Cache, policies: PathPolicies, names: Names, jobs: Jobs
) -> dict[str, Handler]:
    """Return the commands of a mount made of these parts, for `control.serve`."""
    admin = _Commands(store, cache, policies, names, jobs)
    return {
        "local": admin.local,
        "warmup": admin.warmup,
        "warmup-add": admin.warmup_add,
        "job": admin.job,
        "cache-info": admin.info,
        "cache-pin": admin.pin,
        "cache-unpin": admin.unpin,
        "cache-evict": admin.evict,
        "cache-invalidate": admin.invalidate,
        "cache-verify": admin.verify,
    }


_JOBS_SHOWN: Final = frozenset({"warmup", "verify"})
"""Counting and evicting are jobs only because they may take longer than a request."""

Result = TypeVar("Result")

_Arguments = Mapping[str, object]
_Result = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class _Commands:
    """The handlers. Whatever starts a job answers with the job's document."""

    store: ObjectStore
    cache: Cache
    policies: PathPolicies
    names: Names
    jobs: Jobs

    async def local(self, arguments: _Arguments) -> _Result:
        """`paths`: count what is local. The answer has `paths`, complete once it is done."""
        paths = _paths(arguments)
        if len(paths) > SURVEY_PATHS_MAX:
            raise _wrong(f"at most {SURVEY_PATHS_MAX} paths at once")
        work = Survey(self.store, self.cache, self.policies, paths)
        return await self._started("local", work, WAIT_S_MAX)

    async def warmup(self, arguments: _Arguments) -> _Result:
        """`paths`, `globs`, `rate_bytes_s`, `check`, `more`: start a warm-up."""
        request = WarmUpRequest(
            paths=_paths(arguments),
            globs=_globs(arguments),
            rate_bytes_s=_rate(arguments),
            check=_switch(arguments, "check"),
            more=_switch(arguments, "more"),
        )
        if not request.check:
            require_disk(self.cache)
        work = WarmUp(self.store, self.cache, self.policies, request)
        return await self._started("warmup", work, 0)

    async def warmup_add(self, arguments: _Arguments) -> _Result:
        """`job`, `paths`, `more`: add paths to a warm-up that was started with `more`.

        `taken` is false when so many wait already that the same request must be sent again.
        """
        job = self._job(arguments)
        if not isinstance(job.work, WarmUp):
            raise _wrong(f"job {job.id} is no warm-up")
        paths, more = _paths(arguments), _switch(arguments, "more")
        taken = not job.is_running or await job.work.add(paths, more=more)
        return {"taken": taken, **job.document()}

    async def job(self, arguments: _Arguments) -> _Result:
        """`job`, `cancel`, `wait_s`: how far a job is, after having waited so long for its end."""
        job = self._job(arguments)
        if _switch(arguments, "cancel"):
            job.cancel()
        wait_s = arguments.get("wait_s", 0)
        if not isinstance(wait_s, int | float) or not 0 <= wait_s <= WAIT_S_MAX:
            raise _wrong(f"wait_s is a number from 0 to {WAIT_S_MAX:g}")
        return await _document(job, wait_s)

    async def info(self, _arguments: _Arguments) -> _Result:
        """What the cache directories hold, the pins, the policies and the jobs.

        `problem` is why what is on the disks is not known, "" when it is.
        """
        usage: list[DiskUsage] = []
        pins: list[KeyRange] = []
        disks = self.cache.statistics().disks
        problem = ""
        try:
            if disks:
                usage, pins = await self.cache.disk_usage(), await self.cache.pins()
        except DiskUnusableError as error:
            problem = str(error)
        return {
            "url": self.store.url,
            "directories": [
                {
                    **asdict(disk),
                    "stores": [asdict(of) for of in usage if of.directory == disk.directory],
                }
                for disk in disks
            ],
            "problem": problem,
            "pins": _first_keys(pins),
            "pins_total": len(pins),
            "policies": [str(table) for table in self.policies.tables],
            "jobs": [job.summary() for job in self.jobs.all() if job.kind in _JOBS_SHOWN],
        }

    async def pin(self, arguments: _Arguments) -> _Result:
        """`paths`: pin each with everything below."""
        ranges = _ranges(arguments)
        await _on_disk(lambda: self.cache.pin(ranges))
        return {}

    async def unpin(self, arguments: _Arguments) -> _Result:
        """`paths`: undo the pins at and below each; `unknown` are paths that have none."""
        ranges = _ranges(arguments)
        pins = await _on_disk(self.cache.pins)
        await _on_disk(lambda: self.cache.unpin(ranges))
        unknown = [keys.key for keys in ranges if not any(pin.key in keys for pin in pins)]
        return {"unknown": unknown}

    async def evict(self, arguments: _Arguments) -> _Result:
        """`paths`: remove what is local of them. The answer has `freed_bytes` once it is done."""
        work = Evict(self.cache, _ranges(arguments))
        return await self._started("evict", work, WAIT_S_MAX)

    async def invalidate(self, arguments: _Arguments) -> _Result:
        """`paths`: ask the store again about names, sizes and listings, and so about contents."""
        return {"names": await self.names.invalidate(_ranges(arguments))}

    async def verify(self, _arguments: _Arguments) -> _Result:
        """Start a verification of all that the SSD tier holds of this store."""
        return await self._started("verify", Verify(self.cache), 0)

    async def _started(self, kind: str, work: Work, wait_s: float) -> _Result:
        return await _document(self.jobs.start(kind, work), wait_s)

    def _job(self, arguments: _Arguments) -> Job:
        return self.jobs.get(str(arguments.get("job", "")))


def _first_keys(ranges: Sequence[KeyRange]) -> list[str]:
    """Return as many keys as an answer has room for."""
    keys = [range_.key for range_ in ranges[:_PINS_SHOWN_MAX]]
    while sum(map(len, keys)) > _PINS_CHARACTERS_MAX:
        del keys[len(keys) // 2 :]
    return keys


async def _document(job: Job, wait_s: float) -> dict[str, Any]:
    """Return the job's document once it has ended or the time is over."""
    with trio.move_on_after(wait_s):
        await job.finished.wait()
    return job.document()


async def _on_disk(call: Callable[[], Awaitable[Result]]) -> Result:
    """Call what asks the SSD tier's directories; one that does not answer is the user's to mend."""
    try:
        return await call()
    except DiskUnusableError as error:
        raise UserError(ExitCode.CACHE, str(error)) from None


def _paths(arguments: _Arguments) -> tuple[str, ...]:
    paths = _strings(arguments, "paths")
    for path in paths:
        # The root is "", which has no part.
        if path and (path.endswith("/") or is_hidden(path)):
            raise _wrong(f"{path!r} is no path below the mount's root")
    return paths


def _ranges(arguments: _Arguments) -> list[KeyRange]:
    return [KeyRange(path, subtree=True) for path in _paths(arguments)]


def _globs(arguments: _Arguments) -> tuple[str, ...]:
    patterns = _strings(arguments, "globs")
    for pattern in patterns:
        try:
            globs.compile_glob(pattern)
        except ValueError as error:
            raise _wrong(f"bad pattern {pattern!r}: {error}") from None
    return patterns


def _strings(arguments: _Arguments, name: str) -> tuple[str, ...]:
    values = arguments.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _wrong(f"{name} is a list of strings")
    return tuple(values)


def _rate(arguments: _Arguments) -> int | None:
    rate = arguments.get("rate_bytes_s")
    if rate is not None and (type(rate) is not int or rate <= 0):
        raise _wrong("rate_bytes_s is a whole number above 0")
    return rate


def _switch(arguments: _Arguments, name: str) -> bool:
    value = arguments.get(name, False)
    if not isinstance(value, bool):
        raise _wrong(f"{name} is true or false")
    return value


def _wrong(message: str) -> UserError:
    return UserError(ExitCode.USAGE, message)
