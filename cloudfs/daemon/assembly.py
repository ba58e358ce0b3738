"""The parts of one mount, wired from its settings and the resources that were opened for it.

Nothing runs, is mounted or waits here: `cloudfs.daemon.lifecycle` starts and ends the parts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import trio

from cloudfs.admin.commands import routes as admin_routes
from cloudfs.admin.jobs import Jobs
from cloudfs.admin.usage import count_local
from cloudfs.config.path_policy import PathPolicies
from cloudfs.config.settings import MountSettings
from cloudfs.control.server import Route
from cloudfs.daemon.resources import Resources
from cloudfs.fuse.attributes import Ownership
from cloudfs.fuse.deadlines import RequestWatch
from cloudfs.fuse.invalidation import EntryInvalidator
from cloudfs.fuse.operations import Operations
from cloudfs.fuse.tuning import KernelSettings
from cloudfs.status.snapshot import MountState
from cloudfs.telemetry.counters import RequestMetrics
from cloudfs.vfs.filesystem import FileSystem
from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs.vfs.metadata.ttl import TtlPolicy
from cloudfs.vfs.tree import Tree
from cloudfs_backends.api import ObjectStore
from cloudfs_cache.api import ChunkSink, ObjectVersion
from cloudfs_cache.cache import TieredCache
from cloudfs_cache.memory.lru import MemoryCache

_DEADLINE_MARGIN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MountParts:
    """The parts of one mount. All of them belong to the trio loop."""

    settings: MountSettings
    store: ObjectStore
    cache: TieredCache
    catalog: PersistentMetadata
    filesystem: FileSystem
    invalidator: EntryInvalidator
    watch: RequestWatch
    operations: Operations
    state: MountState
    routes: Sequence[Route[Any, Any]]
    """The commands of the control socket."""


def build(
    settings: MountSettings, resources: Resources, background: trio.Nursery, *, started_at: float
) -> MountParts:
    """Wire the parts of a mount.

    `background` runs the jobs of its users and the refreshes of its metadata; `started_at` is
    monotonic, in seconds.
    """
    store, disk = resources.store, resources.disk
    policies = PathPolicies(settings.policies)
    cache = TieredCache(
        partial(_fetch, store),
        MemoryCache(settings.memory_limit, staging=disk is not None),
        () if disk is None else (disk,),
        max_downloads=settings.max_downloads,
    )
    invalidator = EntryInvalidator()
    tree = Tree(
        store,
        TtlPolicy(settings.metadata_ttl, settings.negative_ttl, policies.ttl),
        background,
        on_invalidated=invalidator.invalidate,
        persistent=resources.catalog,
    )
    filesystem = FileSystem(
        store,
        tree,
        cache,
        read_ahead_bytes=settings.read_ahead,
        placement_of=policies.placement,
        count_local=partial(count_local, store, cache.admin, policies),
    )
    metrics = RequestMetrics()
    watch = RequestWatch(settings.retry_budget + _DEADLINE_MARGIN_S)
    jobs = Jobs(background)
    state = MountState(
        settings=settings,
        store=store,
        tree=tree,
        cache=cache,
        metrics=metrics,
        watch=watch,
        jobs=jobs,
        kernel=KernelSettings(None, None),
        started_at=started_at,
        disks_left_out=resources.disks_left_out,
    )
    return MountParts(
        settings=settings,
        store=store,
        cache=cache,
        catalog=resources.catalog,
        filesystem=filesystem,
        invalidator=invalidator,
        watch=watch,
        operations=Operations(filesystem, _ownership(settings), metrics, watch),
        state=state,
        routes=[state.route(), *admin_routes(store, cache.admin, policies, filesystem, jobs)],
    )


def _ownership(settings: MountSettings) -> Ownership:
    return Ownership(
        uid=os.getuid() if settings.uid is None else settings.uid,
        gid=os.getgid() if settings.gid is None else settings.gid,
        file_mode=settings.file_mode & ~settings.umask,
        dir_mode=settings.dir_mode & ~settings.umask,
    )


async def _fetch(
    store: ObjectStore, version: ObjectVersion, start: int, stop: int, sink: ChunkSink
) -> None:
    await store.get_range(version.key, start, stop, etag=version.etag, sink=sink)
