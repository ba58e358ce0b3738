"""Counts of kernel requests and the errors that programs got."""

from __future__ import annotations

import errno

from cloudfs.telemetry.counters import RecentErrors, RequestMetrics
from cloudfs_backends.histogram import BOUNDS_S


def test_requests_are_counted_by_errno_and_duration() -> None:
    metrics = RequestMetrics()
    metrics.record("read", BOUNDS_S[0], 0)
    metrics.record("read", BOUNDS_S[0] * 1.01, errno.EIO)
    metrics.record("read", 1e6, errno.EIO)
    metrics.record("open", 0.0, 0)
    read = metrics.statistics()["read"]
    assert (read.requests, read.errors, read.errnos) == (3, 2, {"EIO": 2})
    assert read.durations == (1, 1, *[0] * 14, 1)
    assert metrics.requests() == 4


def test_one_cause_is_one_record() -> None:
    now = iter(range(100))
    errors = RecentErrors(clock=lambda: next(now))
    errors.add("read", "a", errno.EIO, "down", "wait")
    errors.add("open", "a", errno.ENOENT, "gone", "look")
    errors.add("read", "b", errno.EIO, "down", "wait")
    opened, read = errors.records()
    assert (opened.operation, opened.count) == ("open", 1)
    assert (read.name, read.errno, read.count, read.time) == ("b", "EIO", 2, 2)


def test_request_ids_and_attempts_do_not_tell_causes_apart() -> None:
    errors = RecentErrors()
    for number in range(20):
        cause = f"SlowDown; HTTP 503; request id 4{number}F0C; {number + 2} attempts"
        errors.add("read", f"case_{number}", errno.EIO, cause, "wait")
    errors.add("read", "f", errno.EIO, "connection refused", "wait")
    slow, refused = errors.records()
    assert (slow.count, slow.name, refused.count) == (20, "case_19", 1)
    assert "request id 419F0C" in slow.cause


def test_records_are_few_and_short() -> None:
    errors = RecentErrors()
    for number in range(50):
        errors.add("read", "n" * 9999, 4242, chr(65 + number) * 9999, "a" * 9999)
    records = errors.records()
    assert len(records) == 10
    assert records[-1].cause.startswith(chr(65 + 49))
    assert records[-1].errno == "4242"
    assert max(len(text) for r in records for text in (r.name, r.cause, r.advice)) == 500


def test_no_secret_is_kept() -> None:
    errors = RecentErrors()
    url = "https://b.s3.amazonaws.com/k?X-Amz-Signature=0123456789abcdef&X-Amz-Security-Token=hush"
    errors.add("read", "k", errno.EIO, f"GET {url}: 403", f"look at {url}")
    (record,) = errors.records()
    assert "0123456789abcdef" not in record.cause + record.advice
    assert "hush" not in record.cause + record.advice
