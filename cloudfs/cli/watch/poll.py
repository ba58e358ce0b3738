"""Polling of one mount: its last document, the age of that, and why there is no newer one."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloudfs.cli import query
from cloudfs.control import sockets
from cloudfs.control.client import ControlConnection
from cloudfs.control.protocol import ControlError, NoArguments, NotAnsweringError
from cloudfs.status.document import STATUS, AnyDocument, Health, StatusDocument, UnansweredMount


@dataclass(frozen=True, slots=True)
class Poll:
    """The outcome of one poll. `document` is the daemon's last one, None before there was any, and
    `age_s` the seconds since it came. `absent` is None when it came with this poll."""

    document: StatusDocument | None
    age_s: float
    absent: UnansweredMount | None

    @property
    def is_silent(self) -> bool:
        """True when the daemon runs and has not replied in time."""
        return self.absent is not None and self.absent.health is Health.NOT_ANSWERING

    @property
    def latest(self) -> AnyDocument:
        """The document of this poll, also when the daemon gave none."""
        found = self.document if self.absent is None else self.absent
        assert found is not None
        return found


class PolledMount:
    """The mount at a canonical mountpoint. It may end and be mounted again."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._connection = ControlConnection(
            lambda: sockets.find_socket(mountpoint), STATUS, NoArguments()
        )
        self._document: StatusDocument | None = None
        self._answered_at = time.monotonic()
        self._silent: UnansweredMount | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def poll(self, timeout_s: float) -> Poll:
        """Ask; a reply that is not there after `timeout_s` is waited for by the next poll."""
        absent = None
        try:
            self._document = self._connection.request(timeout_s=timeout_s)
            self._answered_at = time.monotonic()
            self._silent = None
        except ControlError as error:
            absent = self._why_absent(error)
        return Poll(self._document, time.monotonic() - self._answered_at, absent)

    def _why_absent(self, error: ControlError) -> UnansweredMount:
        if not isinstance(error, NotAnsweringError):
            self._silent = None
            return query.without_answer(self.mountpoint, error)
        # Once: it connects to the daemon, which takes no more connections while it hangs.
        if self._silent is None:
            self._silent = query.without_answer(self.mountpoint, error)
        return self._silent
