"""The checks of reads: the first bytes of an object, conditional reads and the byte path."""

from __future__ import annotations

import re
import statistics
import time
from typing import Final

from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, skipped, warning
from cloudfs.errors import ExitCode
from cloudfs.units import format_duration
from cloudfs_backends.api import ObjectInfo, ReadBuffer
from cloudfs_backends.errors import ObjectChangedError, ObjectNotFoundError, StoreError
from cloudfs_backends.url import FILE

READS: Final = 5

_BYTES: Final = 4096
NO_SAMPLE: Final = "there is no object with bytes to read"
_LAST_CHARACTER: Final = re.compile(r"[0-9A-Za-z](?=[^0-9A-Za-z]*$)")
_SDK: Final = "SDK"


class _FirstByte:
    """A sink that measures the time to the first byte, from its construction, and discards data."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds = 0.0

    def __call__(self, _: ReadBuffer) -> None:
        self.seconds = self.seconds or time.perf_counter() - self._started


async def read(context: Context) -> Finding:
    """Read the first bytes of an object: once as a test, then several times for the latency."""
    sample = context.sample
    if sample is None:
        return skipped(NO_SAMPLE)
    first = await first_byte_s(context, sample, sample.etag)
    more = [await first_byte_s(context, sample, sample.etag) for _ in range(READS)]
    median = statistics.median(more)
    return ok(
        f"{sample.key!r}, the first byte after {format_duration(median)} (median of {READS})",
        key=sample.key,
        first_byte_s=round(median, 6),
        first_read_s=round(first, 6),
    )


async def first_byte_s(context: Context, sample: ObjectInfo, etag: str) -> float:
    """Return the seconds to the first byte of an object."""
    sink = _FirstByte()
    stop = min(sample.size, _BYTES)
    await context.store.get_range(sample.key, 0, stop, etag=etag, sink=sink)
    return sink.seconds


async def versions(context: Context) -> Finding:
    """Read a version that does not exist, which must be refused."""
    sample = context.sample
    if sample is None:
        return skipped(NO_SAMPLE)
    try:
        await first_byte_s(context, sample, another_version(sample.etag))
    except (ObjectChangedError, ObjectNotFoundError) as error:
        # Without an HTTP status cloudfs compared the versions itself, as it does for any folder.
        if error.http_code is None and context.scheme != FILE:
            return warning(
                "the store sends whatever version there is; cloudfs notices by its name",
                "use a release of the store that honours If-Match: it saves wasted transfers",
                refused_by="cloudfs",
            )
        by = "cloudfs" if error.http_code is None else "store"
        return ok("a read of another version is refused", refused_by=by)
    return failure(
        ExitCode.UNREACHABLE,
        "bytes of two versions could mix: the store sends whatever version there is, unnamed",
        "use a store that honours conditional reads (If-Match), or never overwrite an object while"
        " it is mounted",
        refused_by=None,
    )


def another_version(etag: str) -> str:
    """Return an etag of the same form with another last character."""
    return _LAST_CHARACTER.sub(lambda match: "2" if match[0] == "1" else "1", etag)


async def byte_path(context: Context) -> Finding:
    """Report the library of the byte path, which the earlier reads have chosen."""
    if context.sample is None:
        return skipped(NO_SAMPLE)
    try:
        path = (await context.bucket_location()).byte_path
    except StoreError:
        return skipped("the store could not be asked")
    library, _, reason = path.partition(": ")
    if library != _SDK:
        return ok(f"through {path}", byte_path=path)
    return warning(
        f"through the cloud's SDK, which is slower, because {reason}",
        "nothing is wrong with the data; a store whose answers are complete is read faster",
        byte_path=path,
    )
