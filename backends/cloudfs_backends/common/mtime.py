"""Modification times of objects, as copying tools write them into user metadata.

rclone and s3fs write `mtime` as decimal seconds (rclone on some stores as RFC 3339), gcsfuse writes
`gcsfuse_mtime` as RFC 3339 with nanoseconds, gcloud and gsutil write `goog-reserved-file-mtime` in
whole seconds (rclone does, too, so it comes last). Everything is parsed as text: a float would
lose the last digits.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KEYS: Final = ("mtime", "gcsfuse_mtime", "goog-reserved-file-mtime")
_SECOND_NS: Final = 1_000_000_000
_MAX_NS: Final = 2**63 - 1
_DECIMAL: Final = re.compile(r"(-?)(\d{1,11})(?:\.(\d*))?", re.ASCII)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def metadata_mtime_ns(metadata: Mapping[str, str]) -> int | None:
    """Return the mtime in nanoseconds since the epoch, or None if no entry is valid."""
    lowered = {name.lower(): value for name, value in metadata.items()}
    for name in _KEYS:
        value = lowered.get(name, "").strip()
        nanoseconds = _from_decimal(value)
        if nanoseconds is None:
            nanoseconds = _from_rfc3339(value)
        if nanoseconds is not None and abs(nanoseconds) <= _MAX_NS:
            return nanoseconds
    return None


def seconds_ns(time: datetime) -> int:
    """Return a Last-Modified time in nanoseconds since the epoch, truncated to whole seconds.

    Some listings are more precise than a HEAD, and the two have to agree.
    """
    return (time - _EPOCH) // timedelta(seconds=1) * _SECOND_NS


def _from_decimal(text: str) -> int | None:
    match = _DECIMAL.fullmatch(text)
    if not match:
        return None
    sign, seconds, fraction = match.groups()
    nanoseconds = int(seconds) * _SECOND_NS + _fraction_ns(fraction)
    return -nanoseconds if sign else nanoseconds


def _from_rfc3339(text: str) -> int | None:
    match = _RFC3339.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, offset_hours, offset_minutes = match.groups()[6:]
    if not _is_calendar_time(year, month, day, hour, minute, second):
        return None
    seconds = calendar.timegm((year, month, day, hour, minute, second))
    if sign:
        offset = int(offset_hours) * 3600 + int(offset_minutes) * 60
        seconds += offset if sign == "-" else -offset
    return seconds * _SECOND_NS + _fraction_ns(fraction)


def _is_calendar_time(  # noqa: PLR0917 - the fields of a date, in their order
    year: int, month: int, day: int, hour: int, minute: int, second: int
) -> bool:
    if not (year >= 1 and 1 <= month <= 12 and hour < 24 and minute < 60 and second <= 60):
        return False
    return 1 <= day <= calendar.monthrange(year, month)[1]


def _fraction_ns(digits: str | None) -> int:
    """Return decimal fraction digits as nanoseconds; digits beyond those are truncated."""
    return int((digits or "")[:9].ljust(9, "0"))
