"""The state machine of a disk: what it is asked after what went wrong."""

from __future__ import annotations

import errno

import pytest

from cloudfs_cache.disk.io.health import DiskHealth, DiskState


def broken(times: int = 3) -> DiskHealth:
    health = DiskHealth()
    for _ in range(times):
        health.failed(errno.EIO, "cannot read")
    return health


def test_a_new_disk_is_used() -> None:
    health = DiskHealth()
    assert (health.state, health.readable, health.writable) == (DiskState.OK, True, True)


def test_three_errors_in_a_row_bypass_it() -> None:
    health = broken(2)
    assert health.state is DiskState.OK
    assert health.failed(None, "cannot write")
    assert (health.state, health.readable, health.writable) == (DiskState.BYPASSED, False, False)
    assert not health.failed(errno.EIO, "again")
    assert (health.errors, health.reason) == (4, "again")


def test_errors_between_successes_do_not() -> None:
    health = DiskHealth()
    for _ in range(10):
        assert not health.failed(errno.EIO, "cannot read")
        health.succeeded()
    assert health.state is DiskState.OK


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_one_that_cannot_be_written_is_still_read(number: int) -> None:
    health = DiskHealth()
    assert health.failed(number, "cannot write")
    assert (health.state, health.readable, health.writable) == (DiskState.READ_ONLY, True, False)
    # A read that goes well says nothing about writing.
    health.succeeded()
    assert health.state is DiskState.READ_ONLY
    assert not health.failed(number, "cannot write")
    health.recovered()
    assert (health.state, health.reason) == (DiskState.OK, "")


def test_a_read_only_disk_that_fails_is_bypassed() -> None:
    health = DiskHealth()
    health.failed(errno.EROFS, "cannot write")
    assert [health.failed(errno.EIO, "cannot read") for _ in range(3)] == [False, False, True]
    assert health.state is DiskState.BYPASSED


def test_a_probe_may_find_that_it_can_be_read() -> None:
    health = broken()
    assert health.failed(errno.EROFS, "cannot try out")
    assert health.state is DiskState.READ_ONLY


def test_one_stall_bypasses_it() -> None:
    health = DiskHealth()
    assert health.stalled("no answer")
    assert not health.stalled("no answer")
    assert (health.state, health.stalls, health.reason) == (DiskState.BYPASSED, 2, "no answer")
    health.recovered()
    assert health.state is DiskState.OK
    assert not health.failed(errno.EIO, "cannot read")
