"""The object-store protocol: the values and capabilities that every backend shares.

A store is opened on one bucket and prefix; keys passed in and out are relative to that prefix.
Keys are `str` as the store spells them; a byte that is not UTF-8 (possible only in `file://`)
travels as a surrogate escape (PEP 383), so `os.fsencode(key)` always gives the path's bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

ReadBuffer: TypeAlias = bytes | bytearray | memoryview

Sink: TypeAlias = Callable[[ReadBuffer], None]
"""Takes the next bytes of a body, in order, from a worker thread.

The buffer is only valid during the call. Whatever the sink raises ends the request and is passed
on unchanged; it is never retried.
"""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What is known of one object at one moment.

    `etag` is the store's opaque content identity, spelled as the store wants it back in a
    conditional read. `mtime_ns` (nanoseconds since the epoch) is the mtime that rclone, s3fs or
    gcsfuse wrote into the metadata when `has_metadata` and one is there, else Last-Modified.
    `has_metadata` says whether user metadata was looked at: a LIST of S3 does not carry it.
    `metadata_mtime` says that `mtime_ns` came from user metadata.
    """

    key: str
    size: int
    etag: str
    mtime_ns: int
    has_metadata: bool = False
    metadata_mtime: bool = False


@dataclass(frozen=True, slots=True)
class ListPage:
    """One page of a listing, in the store's key order.

    With a delimiter, `prefixes` holds the common prefixes (each ends with the delimiter).
    `next_token` is None on the last page.
    """

    objects: tuple[ObjectInfo, ...]
    prefixes: tuple[str, ...]
    next_token: str | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the core asks instead of asking which cloud it is.

    What depends on the bucket (`atomic_rename`) is known once `probe` has succeeded.
    """

    metadata_in_list: bool
    """A listing already carries the metadata mtime: no HEAD is needed for it."""

    conditional_put: bool = False
    """A write can be refused by the store unless the object is the version that is named."""

    atomic_rename: bool = False
    """The bucket has a hierarchical namespace: a folder is renamed in one step."""

    append: bool = False
    """An object can grow without being written anew."""

    copy_bytes_max: int = 0
    """The largest object that the store copies by one request, in bytes; 0: none."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Everything a backend may need beside the URL. Credentials are not here, on purpose.

    Which scheme takes which is `registry`'s table.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    force_path_style: bool = False
    requester_pays: bool = False
    """Pay for the requests oneself, as some public S3 buckets demand."""
    sse_customer_key: Path | None = None
    """File with the 256-bit key (raw or base64) that S3 decrypts the objects with."""
    user_project: str | None = None
    """Google Cloud project that pays for the requests."""
    azure_account: str | None = None
    """Storage account of the container."""
    max_downloads: int = 32
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class OperationStatistics:
    """Counts and times of one kind of request since the store was opened.

    `errors_by_kind` is by `StoreError.kind`. `durations` and `first_byte` (the time until the first
    bytes of a body) are histograms over `durations.BOUNDS_S`.
    """

    requests: int
    errors: int
    retries: int
    received_bytes: int
    seconds: float
    first_byte_seconds: float
    errors_by_kind: Mapping[str, int] = field(default_factory=dict)
    durations: tuple[int, ...] = ()
    first_byte: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ThreadStatistics:
    """Worker threads that share a limit: how many there may be, work now, and are waited for."""

    limit: int
    busy: int
    waiting: int


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """A snapshot; keys of `operations` are `head`, `list` and `get`, those of `threads` `data` and
    `metadata`, by what they move."""

    operations: dict[str, OperationStatistics]
    last_error: str | None
    threads: Mapping[str, ThreadStatistics] = field(default_factory=dict)


class ObjectStore(Protocol):
    """One bucket and prefix. Methods may be called from the trio loop only.

    Each blocks in a worker thread, never on the loop, and raises `StoreError` subclasses only
    (beside cancellation and what a sink raises).
    """

    @property
    def url(self) -> str:
        """The canonical URL, without secrets: names the store in messages."""

    @property
    def identity(self) -> str:
        """What bytes and names of this store are filed under: no other bucket has the same.

        The URL, and where that is not unique the endpoint or account as well; without secrets.
        Final once `probe` has succeeded.
        """

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""

    async def probe(self) -> None:
        """Check reachability, credentials and that the bucket can be listed. Raises if not."""

    async def head(self, key: str) -> ObjectInfo:
        """Return what is known of `key`, user metadata included."""

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`."""

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        """Hand the bytes [start, stop) of the version `etag` to `sink`, in order.

        After return the sink has had exactly `stop - start` bytes (start < stop <= size). After an
        error it has had a prefix of them: they are valid, and a new call may ask for the rest.
        `ObjectChangedError` when the object is another version now. When cancelled the worker
        thread is abandoned: the sink may still be called and should raise to end it.
        """

    def statistics(self) -> StoreStatistics:
        """Return a snapshot. Cheap, synchronous."""

    async def aclose(self) -> None:
        """Release connections. The store must not be used afterwards."""
