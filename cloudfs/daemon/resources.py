"""Resources of a mount, opened from its settings: the store, the cache directories, the catalog.

What is wrong with the user's input or machine is found here, as UserError, before anything is
mounted. The doctor uses it without FUSE.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import trio

from cloudfs.config.settings import MountSettings
from cloudfs.config.types import CacheDirSpec
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults
from cloudfs.vfs.metadata.persistent import PersistentMetadata
from cloudfs_backends import api as backends
from cloudfs_backends import errors as store_errors
from cloudfs_backends.registry import open_store as open_backend
from cloudfs_backends.wrappers.retry import RetryPolicy
from cloudfs_cache.api import CacheSetupError
from cloudfs_cache.disk.capacity import derive_limits
from cloudfs_cache.disk.open import DiskSettings, open_disk_tier
from cloudfs_cache.metadata.database import Catalog
from cloudfs_cache.tiers.api import Tier
from cloudfs_cache.tiers.sharded import ShardedTier

log = logging.getLogger(__name__)

_PROBE_BUDGET_S: Final = 10.0
_STORE_EXIT_CODES: Final[tuple[tuple[type[store_errors.StoreError], ExitCode], ...]] = (
    (store_errors.BucketNotFoundError, ExitCode.BUCKET),
    (store_errors.CredentialsError, ExitCode.CREDENTIALS),
    (store_errors.AccessDeniedError, ExitCode.CREDENTIALS),
    (store_errors.StoreError, ExitCode.UNREACHABLE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a mount has opened. `disk` is None when the disk cache is turned off."""

    store: backends.ObjectStore
    disk: Tier | None
    disks_left_out: Mapping[str, str]
    """Cache directories that could not be used, with the reasons."""
    catalog: PersistentMetadata


async def open_resources(settings: MountSettings) -> Resources:
    """Open the store, which must answer, and the cache directories in use.

    Of several cache directories, those that cannot be used are left out.
    """
    store = await _open_store(settings)
    disk, left_out = await _open_disks(settings, store.identity)
    catalog = _catalog(settings, disk, store.identity)
    return Resources(store=store, disk=disk, disks_left_out=left_out, catalog=catalog)


async def _open_store(settings: MountSettings) -> backends.ObjectStore:
    policy = RetryPolicy(budget_s=settings.retry_budget)
    try:
        store = open_backend(settings.url, store_options(settings), policy)
        await _probe(store, settings.endpoint_url or settings.url)
    except store_errors.StoreError as error:
        cause = str(error).rstrip(".")
        raise UserError(exit_code(error), f"{settings.url}: {cause}: {error.advice}") from error
    return store


def exit_code(error: store_errors.StoreError) -> ExitCode:
    """Return the exit code of a command that cannot use the store."""
    if isinstance(error, store_errors.InvalidRequestError) and not error.operation:
        return ExitCode.USAGE  # nothing was asked yet: an option, or a package, is wrong
    return next(code for kind, code in _STORE_EXIT_CODES if isinstance(error, kind))


def store_options(settings: MountSettings) -> backends.StoreOptions:
    """Return the settings of a mount that its backend needs."""
    return backends.StoreOptions(
        endpoint_url=settings.endpoint_url,
        region=settings.region,
        profile=settings.profile,
        no_sign_request=settings.no_sign_request,
        force_path_style=settings.force_path_style,
        requester_pays=settings.requester_pays,
        sse_customer_key=settings.sse_customer_key,
        user_project=settings.user_project,
        azure_account=settings.azure_account,
        max_downloads=settings.max_downloads,
    )


async def _open_disks(
    settings: MountSettings, identity: str
) -> tuple[Tier | None, Mapping[str, str]]:
    """Return the usable cache directories as one tier, and why others were left out."""
    directories = [each for each in cache_directories(settings) if each.size_bytes != 0]
    tiers: list[Tier] = []
    failures: dict[str, CacheSetupError] = {}
    for directory in directories:
        try:
            tiers.append(await _open_disk(settings, directory, identity))
        except CacheSetupError as error:
            failures[str(directory.path)] = error
    if failures and not tiers:
        first = next(iter(failures.values()))
        raise UserError(ExitCode.CACHE, str(first)) from first
    for failure in failures.values():
        log.warning("%s; going on with the other cache directories", failure)
    left_out = {path: str(failure) for path, failure in failures.items()}
    if not tiers:
        return None, left_out
    return tiers[0] if len(tiers) == 1 else ShardedTier(tiers), left_out


def cache_directories(settings: MountSettings) -> Sequence[CacheDirSpec]:
    """Return the directories that were given, or the default one, each with its limit."""
    given = settings.cache_dirs or (CacheDirSpec(defaults.cache_directory()),)
    return [
        replace(each, size_bytes=settings.max_cache_size) if each.size_bytes is None else each
        for each in given
    ]


def _catalog(settings: MountSettings, disk: Tier | None, identity: str) -> PersistentMetadata:
    """Return the persistent metadata cache, kept in the first cache directory in use."""
    if disk is None:
        return PersistentMetadata(None, identity)
    directory = disk.statistics()[0].directory
    limits = derive_limits(directory, 0, settings.min_free_space, 0)
    opened = partial(Catalog, directory, min_free_bytes=limits.min_free_bytes)
    return PersistentMetadata(opened, identity)


async def _open_disk(settings: MountSettings, directory: CacheDirSpec, identity: str) -> Tier:
    disk_settings = DiskSettings(
        capacity_bytes=directory.size_bytes,
        min_free_bytes=settings.min_free_space,
        eviction=settings.eviction,
        recompress=settings.compress != "off",
        trace_path=None if settings.record_visits is None else str(settings.record_visits),
    )
    opened = partial(open_disk_tier, str(directory.path), identity, disk_settings)
    return await trio.to_thread.run_sync(opened)


async def _probe(store: backends.ObjectStore, address: str) -> None:
    """Probe within a bound that suits a user who waits for the command."""
    with trio.move_on_after(_PROBE_BUDGET_S) as scope:
        await store.probe()
    if scope.cancelled_caught:
        raise store_errors.UnavailableError(
            f"no answer from {address} within {_PROBE_BUDGET_S:.0f} s"
        )
