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
    """The attributes of one object at one moment.

    `etag` is the store's opaque content identity, spelled as the store wants it back in a
    conditional read. `mtime_ns` (nanoseconds since the epoch) is the mtime that rclone, s3fs or
    gcsfuse wrote into the metadata when `has_metadata` and one is there, else Last-Modified.
    `has_metadata` says whether the response carried user metadata: a LIST of S3 does not.
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
    """What a store can do: callers check these instead of the cloud's name.

    What depends on the bucket (`atomic_rename`) is known once `probe` has succeeded.
    """

    metadata_in_list: bool
    """A listing already carries the metadata mtime: no HEAD is needed for it."""

    conditional_put: bool = False
    """A write can name the version it replaces, and fails when the object is another one."""

    atomic_rename: bool = False
    """The bucket has a hierarchical namespace: one request renames a folder."""

    append: bool = False
    """An object can grow without being rewritten."""

    copy_bytes_max: int = 0
    """The largest object that the store copies in one request, in bytes; 0: it does not copy."""


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """Settings of a store beside its URL. Credentials come from the environment only.

    `registry` lists the options of each scheme.
    """

    endpoint_url: str | None = None
    region: str | None = None
    profile: str | None = None
    no_sign_request: bool = False
    force_path_style: bool = False
    requester_pays: bool = False
    """Pay for the requests, as Requester Pays buckets of S3 demand."""
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
    bytes of a body) are histograms over `histogram.BOUNDS_S`.
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
    """Worker threads that share a limit: `busy` ones, and requests `waiting` for one."""

    limit: int
    busy: int
    waiting: int


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """A snapshot. Keys of `operations` are `head`, `list` and `get`; those of `threads` are `data`
    and `metadata`."""

    operations: dict[str, OperationStatistics]
    last_error: str | None
    threads: Mapping[str, ThreadStatistics] = field(default_factory=dict)


class ObjectStore(Protocol):
    """One bucket and prefix. Methods may be called from the trio loop only.

    Each raises `StoreError` subclasses only, beside cancellation and what a sink raises. Requests
    are made in worker threads, never on the loop.
    """

    @property
    def url(self) -> str:
        """The canonical URL, without secrets, for messages."""

    @property
    def identity(self) -> str:
        """The bucket's unique name, by which its data and metadata are cached.

        The URL, and where that is not unique the endpoint or account as well; without secrets.
        Final once `probe` has succeeded.
        """

    @property
    def capabilities(self) -> Capabilities:
        """What this store can do."""

    async def probe(self) -> None:
        """Check reachability, credentials and that the bucket can be listed. Raises if not."""

    async def head(self, key: str) -> ObjectInfo:
        """Return the attributes of `key`, user metadata included."""

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """Return one page of the keys that start with `prefix`, of `limit` entries at most."""

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        """Hand the bytes [start, stop) of the version `etag` to `sink`, in order.

        After return the sink has had exactly `stop - start` bytes (start < stop <= size). After an
        error it has had a prefix of them: they are valid, and a new call may ask for the rest.
        Raises `ObjectChangedError` when the object is another version now. When cancelled, the
        worker thread is abandoned: it may still call the sink, which should raise to end it.
        """

    def statistics(self) -> StoreStatistics:
        """Return a snapshot. Cheap, synchronous."""

    async def aclose(self) -> None:
        """Release connections. The store must not be used afterwards."""
