"""The warm-up job: fetches the files of some paths into the SSD tier, behind every reader.

What the SSD has already is counted as done, so a warm-up that was cut short is repeated at the cost
of a walk. An error of one file is counted and the others go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio
from msgspec.structs import replace

from cloudfs.admin.file_fetch import RateLimitedFetch
from cloudfs.admin.messages import WarmUpFailure, WarmUpProgress, WarmUpRequest
from cloudfs.admin.ports import VERSIONS_MAX, Cache
from cloudfs.admin.rate_limit import TokenBucket
from cloudfs.admin.usage import version_of
from cloudfs.admin.walk import Walk
from cloudfs.config import globs
from cloudfs.config.path_policy import PathPolicies
from cloudfs.errors import ExitCode, UserError
from cloudfs.units import format_count, format_size
from cloudfs_backends.api import ObjectInfo, ObjectStore
from cloudfs_backends.errors import (
    BucketNotFoundError,
    CredentialsError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
)
from cloudfs_cache.api import CacheClosedError, ObjectVersion, Placement

FILES_AT_ONCE: Final = 8
FAILURES_NAMED: Final = 20
PATHS_WAITING_MAX: Final = 65_536
FILES_WAITING_MAX: Final = 65_536
"""Files found and not fetched yet: the walk runs so far ahead, for totals are known early."""

ADD_S_MAX: Final = 10.0
MORE_PATHS_S_MAX: Final = 60.0

_CHECKED_AT_ONCE: Final = 200
_REASON_SHOWN_MAX: Final = 300


@dataclass(frozen=True, slots=True)
class _File:
    version: ObjectVersion
    placement: Placement
    local_bytes: int


class WarmUp:
    """The work of one warm-up; paths as in `Walk`."""

    def __init__(
        self,
        store: ObjectStore,
        cache: Cache,
        policies: PathPolicies,
        request: WarmUpRequest,
    ) -> None:
        self._store = store
        self._cache = cache
        self._policies = policies
        self._request = request
        self._walk = Walk(store, globs.any_of(request.globs), self)
        self._bucket = TokenBucket(request.rate_bytes_s)
        self._paths = list(request.paths)
        self._more = request.more
        self._paths_changed = trio.Event()
        self._send: trio.MemorySendChannel[_File] | None = None
        self._scope = trio.CancelScope()
        self._unchecked: list[ObjectVersion] = []
        self._problem: UserError | None = None
        self._hidden = 0
        self._progress = WarmUpProgress(check=request.check)

    async def add(self, paths: Sequence[str], *, more: bool) -> bool:
        """Take further paths; False when none was taken because too many wait."""
        with trio.move_on_after(ADD_S_MAX):
            while len(self._paths) >= PATHS_WAITING_MAX:
                await self._paths_changed.wait()
        if len(self._paths) >= PATHS_WAITING_MAX:
            return False
        self._paths += paths
        self._more = more
        self._wake_paths_waiters()
        return True

    async def run(self) -> None:
        """Walk the paths and fetch their files."""
        self._send, receive = trio.open_memory_channel[_File](FILES_WAITING_MAX)
        with self._scope:
            async with receive, trio.open_nursery() as nursery:
                for _ in range(FILES_AT_ONCE):
                    nursery.start_soon(self._fetch_files, receive)
                async with self._send:
                    await self._walk_paths()
                self._progress.counting = False
                self._require_matches()
            await self._check_kept()
        if self._problem is not None:
            raise self._problem

    def progress(self) -> WarmUpProgress:
        """Return the counts so far, with notes about files that are not in them."""
        return replace(self._progress, notes=tuple(self._notes()))

    async def found(self, path: str, files: Sequence[ObjectInfo]) -> None:
        """Plan the files that their policy lets onto the SSD."""
        kept: list[tuple[ObjectVersion, Placement]] = []
        for info in files:
            placement = self._policies.placement(info.key)
            if placement.keep_on_disk:
                kept.append((version_of(self._store, info), placement))
            else:
                self._progress.left_out_files += 1
                self._progress.left_out_bytes += info.size
        for start in range(0, len(kept), VERSIONS_MAX):
            await self._plan(kept[start : start + VERSIONS_MAX])

    def hidden(self, count: int) -> None:
        """Count keys that no path can name."""
        self._hidden += count

    def failed(self, path: str, reason: str) -> None:
        """Count a path that could not be walked, or a file that could not be fetched."""
        self._progress.failed += 1
        if len(self._progress.failures) < FAILURES_NAMED:
            self._progress.failures += (WarmUpFailure(path, reason[:_REASON_SHOWN_MAX]),)

    async def _walk_paths(self) -> None:
        while self._paths or self._more:
            if not self._paths and not await self._more_paths_came():
                message = "the list of paths broke off: run the command again"
                self._problem = UserError(ExitCode.TIMEOUT, message)
                return
            paths, self._paths = self._paths, []
            self._wake_paths_waiters()
            await self._walk.visit_all(paths)

    def _require_matches(self) -> None:
        """Fail the job when no file matches its patterns: that is a mistake of the user."""
        done = self._progress
        found = done.files_total or done.left_out_files or done.failed
        if self._request.globs and not found and self._problem is None:
            patterns = " or ".join(map(repr, self._request.globs))
            fix = "patterns are relative to PATH, * stays within a folder, ** crosses folders"
            self._problem = UserError(ExitCode.INCOMPLETE, f"no file matches {patterns}: {fix}")

    async def _more_paths_came(self) -> bool:
        with trio.move_on_after(MORE_PATHS_S_MAX) as scope:
            while self._more and not self._paths:
                await self._paths_changed.wait()
        return not scope.cancelled_caught

    def _wake_paths_waiters(self) -> None:
        self._paths_changed.set()
        self._paths_changed = trio.Event()

    async def _plan(self, files: Sequence[tuple[ObjectVersion, Placement]]) -> None:
        """Count files and hand over the incomplete ones."""
        local = await self._cache.disk_bytes([version for version, _ in files])
        missing: list[_File] = []
        for (version, placement), local_bytes in zip(files, local, strict=True):
            self._progress.files_total += 1
            self._progress.bytes_total += version.size
            self._progress.bytes_done += local_bytes
            if local_bytes >= version.size:
                self._progress.files_done += 1
            else:
                missing.append(_File(version, placement, local_bytes))
        if not self._request.check:
            assert self._send is not None
            for file in missing:
                await self._send.send(file)

    async def _fetch_files(self, files: trio.MemoryReceiveChannel[_File]) -> None:
        async for file in files:
            await self._fetch_or_fail(file)

    async def _fetch_or_fail(self, file: _File) -> None:
        key = file.version.key
        try:
            await self._fetch(file)
        except ObjectChangedError:
            self.failed(key, "it was overwritten meanwhile: run the command again")
        except ObjectNotFoundError:
            self.failed(key, "it was deleted meanwhile")
        except CredentialsError as error:
            self._stop(key, error, ExitCode.CREDENTIALS)
        except BucketNotFoundError as error:
            self._stop(key, error, ExitCode.BUCKET)
        except StoreError as error:
            self.failed(key, f"{error}: {error.advice}")
        except CacheClosedError as error:
            self.failed(key, str(error))
        else:
            self._progress.files_done += 1
            self._unchecked.append(file.version)
            if len(self._unchecked) >= _CHECKED_AT_ONCE:
                await self._check_kept()

    def _stop(self, key: str, error: StoreError, exit_code: ExitCode) -> None:
        """Fail the job on an error that all other files would have as well."""
        self.failed(key, str(error))
        self._problem = UserError(exit_code, f"{error}: {error.advice}")
        self._scope.cancel()

    async def _fetch(self, file: _File) -> None:
        """Fetch the missing blocks of a file, no faster than the rate allows."""
        fetch = RateLimitedFetch(
            self._cache, self._bucket, file.version, file.local_bytes, self._count_fetched
        )
        # Not in one expression: the counts change while it waits.
        rest = await fetch.run(file.placement)
        self._progress.bytes_done += rest

    def _count_fetched(self, count: int) -> None:
        self._progress.bytes_done += count
        self._progress.fetched_bytes += count

    async def _check_kept(self) -> None:
        """Count the fetched files that the cache has not kept."""
        versions, self._unchecked = self._unchecked, []
        if not versions:
            return
        local = await self._cache.disk_bytes(versions)
        for version, local_bytes in zip(versions, local, strict=True):
            if local_bytes < version.size:
                self._progress.refused_files += 1
                self._progress.refused_bytes += version.size - local_bytes

    def _notes(self) -> list[str]:
        done, found = self._progress, []
        disks = self._cache.statistics().disks
        capacity = sum(disk.capacity_bytes for disk in disks if disk.state != "bypassed")
        if done.bytes_total > capacity and not self._request.check:
            total, room = format_size(done.bytes_total), format_size(capacity)
            fix = "raise --max-cache-size, or warm up less"
            found.append(f"{total} to warm up and {room} of cache: {fix}")
        if done.left_out_files:
            files = format_count(done.left_out_files, "file")
            size = format_size(done.left_out_bytes)
            found.append(f"left out {files} ({size}): a [[policy]] says cache = false")
        if self._hidden:
            keys = format_count(self._hidden, "key")
            found.append(f"left out {keys} that no path can name")
        if done.refused_files:
            files = format_count(done.refused_files, "file")
            size = format_size(done.refused_bytes)
            why = "there is no room that other data needs less, or a disk takes no writes"
            found.append(f"{files} did not stay ({size} missing): {why}; see 'cloudfs cache info'")
        return found


def require_disk(cache: Cache) -> None:
    """Raise `UserError` unless there is an SSD tier that takes writes."""
    disks = cache.statistics().disks
    if not disks:
        fix = "mount it with a --max-cache-size above 0"
        raise UserError(ExitCode.CACHE, f"this mount has no disk cache: {fix}")
    if all(disk.state != "ok" for disk in disks):
        why = "; ".join(f"{disk.directory} is {disk.state} ({disk.reason})" for disk in disks)
        raise UserError(ExitCode.CACHE, f"the disk cache takes no writes: {why}")
