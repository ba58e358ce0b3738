"""Looking at one mount again and again: its last document, how old that is, and what keeps newer
ones away. It does not know how they are shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from cloudfs.cli import query
from cloudfs.control import server
from cloudfs.control.client import Conversation
from cloudfs.control.server import ControlError, NotAnsweringError


@dataclass(frozen=True, slots=True)
class Look:
    """What was found. `document` is the daemon's last one, None before there was any, and `age_s`
    the seconds since it came. `absent` is None when it came now, else what is known without it."""

    document: dict[str, Any] | None
    age_s: float
    absent: dict[str, Any] | None

    @property
    def latest(self) -> dict[str, Any]:
        """What is true now: the document, or what is known without one."""
        found = self.document if self.absent is None else self.absent
        assert found is not None
        return found


class Watched:
    """The mount at a canonical mountpoint. It may end and be mounted again."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._conversation = Conversation(lambda: server.find_socket(mountpoint), "status")
        self._document: dict[str, Any] | None = None
        self._answered_at = time.monotonic()
        self._silent: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._conversation.close()

    def look(self, timeout_s: float) -> Look:
        """Ask; an answer that is not there after `timeout_s` is waited for by the next look."""
        absent = None
        try:
            self._document = self._conversation.ask(timeout_s=timeout_s)
            self._answered_at = time.monotonic()
            self._silent = None
        except ControlError as error:
            absent = self._why_absent(error)
        return Look(self._document, time.monotonic() - self._answered_at, absent)

    def _why_absent(self, error: ControlError) -> dict[str, Any]:
        if not isinstance(error, NotAnsweringError):
            self._silent = None
            return query.without_answer(self.mountpoint, error)
        # Found out once: it connects to the daemon, which takes no more connections while it hangs.
        if self._silent is None:
            self._silent = query.without_answer(self.mountpoint, error)
        return self._silent
