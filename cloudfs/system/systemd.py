"""Service manager notifications (sd_notify(3)): ready, reloading, stopping, watchdog, status line.

One datagram of lines to the socket that the manager named. A notification never fails a mount:
without a manager, or with one that does not listen, nothing is sent.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

import trio

from cloudfs.errors import escaped

log = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 10.0

_ADDRESS: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHDOG_PID: Final = "WATCHDOG_PID"
_SEND_S_MAX: Final = 0.1
_STATUS_CHARACTERS_MAX: Final = 500


class ServiceManager:
    """The manager that listens at `address` (None: there is none).

    It expects a watchdog notification every `watchdog_s` seconds, or none when that is None. Loop
    only, once there is a loop.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        self._status = ""

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Return the manager that the environment names, and remove its variables there.

        Programs started by this one must not notify in its name.
        """
        address = environ.pop(_ADDRESS, None)
        microseconds = environ.pop(_WATCHDOG, "")
        pid = environ.pop(_WATCHDOG_PID, str(os.getpid()))
        is_watched = microseconds.isdecimal() and int(microseconds) and pid == str(os.getpid())
        return cls(address or None, int(microseconds) / 1e6 if is_watched else None)

    def ready(self, status: str) -> None:
        """Report that the mount answers, or that a reload is over."""
        self._status = status
        self._notify("READY=1", f"STATUS={_shown(status)}")

    def reloading(self) -> None:
        """Report that cached metadata is being invalidated; `ready` must follow."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, within_s: float, status: str) -> None:
        """Report that the mount ends, which may take `within_s` seconds from now."""
        self._status = status
        self._notify(
            "STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(within_s * 1e6)}", f"STATUS={_shown(status)}"
        )

    def show(self, status: str) -> None:
        """Report this status line; nothing is sent while it stays the same."""
        if status != self._status:
            self._status = status
            self._notify(f"STATUS={_shown(status)}")

    async def keep_alive(self) -> None:
        """Send the watchdog notifications that are expected. Runs until cancelled.

        They come from the loop that answers the kernel, so a loop that is stuck sends none.
        """
        if self._address is None or self.watchdog_s is None:
            return
        while True:
            self._notify("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)

    async def show_status(self, line: Callable[[], str]) -> None:
        """Report the current status line every 10 s. Runs until cancelled."""
        while self._address is not None:
            await trio.sleep(STATUS_EVERY_S)
            self.show(line())

    def _notify(self, *lines: str) -> None:
        """Send one datagram. Blocks for 0.1 s at most when the manager's queue is full."""
        if self._address is None:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_S_MAX)
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), os.fsencode(name))
        except OSError as error:
            # A name that does not fit is an OSError too; the next message may find it listening.
            log.debug("the service manager at %s was not notified of %s: %s", name, lines[0], error)


def _shown(status: str) -> str:
    """Return text as one line of bounded length: a name may hold line breaks."""
    return escaped(status)[:_STATUS_CHARACTERS_MAX]
