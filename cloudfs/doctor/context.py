"""What is examined, and what the checks have found out about it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloudfs.config.settings import MountSettings, Resolution
from cloudfs.doctor.probes.network import Answer
from cloudfs_backends.api import ObjectInfo
from cloudfs_backends.common.introspection import BucketLocation, StoreInspector
from cloudfs_backends.url import parse_url


@dataclass(slots=True)
class Context:
    """One mount as it would be made. A check fills in what later checks build on.

    `environ` is the environment of this process; `quick` leaves out what moves many bytes. `answer`
    is what the endpoint has answered to an anonymous request, `sample` an object with bytes in it,
    `objects` are those of the first page, `listed_bytes` their sum if there are no others.
    `disk_read_bytes_per_s` is the speed of the slowest cache disk that was measured.
    """

    resolution: Resolution
    environ: Mapping[str, str]
    quick: bool = False
    opened: StoreInspector | None = None
    answer: Answer | None = None
    sample: ObjectInfo | None = None
    objects: tuple[ObjectInfo, ...] = ()
    listed_bytes: int | None = None
    disk_read_bytes_per_s: float | None = None
    _place: BucketLocation | None = None

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
        """The store, for checks that need the one that opens it."""
        if self.opened is None:
            raise AssertionError("a check that uses the store must need the one that opens it")
        return self.opened

    async def located(self) -> BucketLocation:
        """Where the bucket is, asked once. Raises `StoreError`."""
        if self._place is None:
            self._place = await self.store.locate()
        return self._place
