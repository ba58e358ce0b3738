"""Health of a disk: a small state machine without clock or I/O.

    ok         reads and writes
    read-only  full, or mounted read-only: nothing is written until a probe succeeds, reads go on
    bypassed   several errors in a row, or one stall: nothing is asked until a probe succeeds

A bypassed disk whose probe says that it can only not be written is read-only from then on.
"""

from __future__ import annotations

import errno
from enum import Enum

FAILURES_MAX = 3
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class DiskState(Enum):
    """See the module's docstring."""

    OK = "ok"
    READ_ONLY = "read-only"
    BYPASSED = "bypassed"


class DiskHealth:
    """Counts what went wrong and decides what may be asked."""

    def __init__(self) -> None:
        self._failures = 0
        self.state = DiskState.OK
        self.reason = ""
        self.errors = 0
        self.stalls = 0

    @property
    def readable(self) -> bool:
        """The disk may be read."""
        return self.state is not DiskState.BYPASSED

    @property
    def writable(self) -> bool:
        """The disk may be written."""
        return self.state is DiskState.OK

    def succeeded(self) -> None:
        """An operation went well."""
        self._failures = 0

    def recovered(self) -> None:
        """A probe went well."""
        self._failures = 0
        self.state = DiskState.OK
        self.reason = ""

    def failed(self, number: int | None, text: str) -> bool:
        """An operation failed with an errno (None: unknown). True when the state changes."""
        before = self.state
        self.errors += 1
        self.reason = text
        if number in _UNWRITABLE:
            self._failures = 0
            self.state = DiskState.READ_ONLY
        else:
            self._failures += 1
            if self._failures >= FAILURES_MAX:
                self.state = DiskState.BYPASSED
        return self.state is not before

    def stalled(self, text: str) -> bool:
        """An operation did not end in time. True when the state changes."""
        before = self.state
        self.stalls += 1
        self.reason = text
        self.state = DiskState.BYPASSED
        return before is not DiskState.BYPASSED
