"""The subject of the checks, and the facts that later checks build on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloudfs.config.settings import MountSettings, Resolution
from cloudfs.doctor.probes.network import HeadResponse
from cloudfs_backends.api import ObjectInfo
from cloudfs_backends.common.introspection import BucketLocation, StoreInspector
from cloudfs_backends.url import parse_url


@dataclass(slots=True)
class Context:
    """One mount as it would be made. A check fills in what later checks build on.

    `environ` is the environment of this process; `quick` leaves out what moves many bytes.
    `response` is that of the endpoint to an anonymous HEAD, `sample` an object that is not empty,
    `objects` are those of the first page, `listed_bytes` their sum if there are no others.
    `disk_read_bytes_per_s` is the speed of the slowest cache disk that was measured.
    """

    resolution: Resolution
    environ: Mapping[str, str]
    quick: bool = False
    opened_store: StoreInspector | None = None
    response: HeadResponse | None = None
    sample: ObjectInfo | None = None
    objects: tuple[ObjectInfo, ...] = ()
    listed_bytes: int | None = None
    disk_read_bytes_per_s: float | None = None
    _location: BucketLocation | None = None

    @property
    def settings(self) -> MountSettings:
        """The settings of the mount."""
        return self.resolution.settings

    @property
    def scheme(self) -> str:
        """The scheme of the URL."""
        return parse_url(self.settings.url).scheme

    @property
    def store(self) -> StoreInspector:
        """The store, for checks that need the check `setup`, which opens it."""
        if self.opened_store is None:
            raise AssertionError("a check that uses the store must need 'setup'")
        return self.opened_store

    async def bucket_location(self) -> BucketLocation:
        """Return where the bucket is, requested once. Raises `StoreError`."""
        if self._location is None:
            self._location = await self.store.locate()
        return self._location
