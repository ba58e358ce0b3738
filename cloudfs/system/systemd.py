"""What the daemon tells the service manager that started it: ready, stopping, alive, in one line.

The protocol is sd_notify(3): lines in a datagram to a socket that the manager named. Nothing here
can fail a mount: without a manager, or with one that does not listen, nothing is said. It does not
know what is served.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final

import trio

log = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 10.0

_ADDRESS: Final = "NOTIFY_SOCKET"
_WATCHDOG: Final = "WATCHDOG_USEC"
_WATCHDOG_PID: Final = "WATCHDOG_PID"
_SEND_S_MAX: Final = 0.1
_STATUS_CHARACTERS_MAX: Final = 500


class ServiceManager:
    """The manager that listens at `address` (None: nobody does).

    It expects a sign of life every `watchdog_s` seconds, or none when that is None. Loop only,
    once there is a loop.
    """

    def __init__(self, address: str | None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        self._status = ""

    @classmethod
    def taken_from(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Return the manager that the environment names, and remove it there.

        Programs started by this one must not speak for it.
        """
        address = environ.pop(_ADDRESS, None)
        microseconds = environ.pop(_WATCHDOG, "")
        meant = environ.pop(_WATCHDOG_PID, str(os.getpid()))
        is_watched = microseconds.isdecimal() and int(microseconds) and meant == str(os.getpid())
        return cls(address or None, int(microseconds) / 1e6 if is_watched else None)

    def ready(self, status: str) -> None:
        """The mount answers; also said once a reload is over."""
        self._status = status
        self._tell("READY=1", f"STATUS={_shown(status)}")

    def reloading(self) -> None:
        """What is known of the bucket is being dropped; `ready` must follow."""
        now_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now_us}")

    def stopping(self, within_s: float, status: str) -> None:
        """The mount ends, which may take `within_s` seconds from now."""
        self._status = status
        self._tell(
            "STOPPING=1", f"EXTEND_TIMEOUT_USEC={round(within_s * 1e6)}", f"STATUS={_shown(status)}"
        )

    def show(self, status: str) -> None:
        """Show this line from now on; nothing is sent while it stays the same."""
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={_shown(status)}")

    async def keep_alive(self) -> None:
        """Give the signs of life that are expected. Runs until cancelled.

        They come from the loop that answers the kernel, so a loop that is stuck gives none.
        """
        if self._address is None or self.watchdog_s is None:
            return
        while True:
            self._tell("WATCHDOG=1")
            await trio.sleep(self.watchdog_s / 2)

    async def show_status(self, line: Callable[[], str]) -> None:
        """Show the current line every 10 s. Runs until cancelled."""
        while self._address is not None:
            await trio.sleep(STATUS_EVERY_S)
            self.show(line())

    def _tell(self, *lines: str) -> None:
        """Send one datagram. It may wait for a tenth of a second where the manager is behind."""
        if self._address is None:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.settimeout(_SEND_S_MAX)
                sender.sendto("\n".join(lines).encode("utf-8", "replace"), os.fsencode(name))
        except OSError as error:
            # A name that does not fit is an OSError too; the next message may find it listening.
            log.debug("the service manager at %s was not told %s: %s", name, lines[0], error)


def _shown(status: str) -> str:
    """Return text as one line of bounded length: a name may hold line breaks."""
    line = "".join(character if character.isprintable() else "?" for character in status)
    return line[:_STATUS_CHARACTERS_MAX]
