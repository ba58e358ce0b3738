"""Invalidation of names in the kernel's dentry cache.

The notification can block on a request for the same directory, so it never runs on the loop. The
queue is bounded: a notification that does not fit is dropped, and the kernel's own timeout ends the
life of what it would have invalidated.
"""

from __future__ import annotations

import logging
from typing import Final

import pyfuse3
import trio

log = logging.getLogger(__name__)

_QUEUE_MAX: Final = 4096


class EntryInvalidator:
    """A queue of names and the task that sends them."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[tuple[int, bytes]](_QUEUE_MAX)

    def invalidate(self, parent_ino: int, name: bytes) -> None:
        """Queue a name that the kernel may have cached, as it was or as missing. Loop only."""
        try:
            self._send.send_nowait((parent_ino, name))
        except trio.WouldBlock:
            log.debug("notification queue is full: %r is left to its timeout", name)

    async def send_forever(self) -> None:
        """Send what is queued. Runs until cancelled."""
        limiter = trio.CapacityLimiter(1)
        async for parent, name in self._receive:
            try:
                await trio.to_thread.run_sync(
                    pyfuse3.invalidate_entry,
                    pyfuse3.InodeT(parent),
                    pyfuse3.FileNameT(name),
                    limiter=limiter,
                    abandon_on_cancel=True,
                )
            except OSError:
                # ENOENT: the kernel had not cached it. Others: its timeout will end.
                log.debug("the kernel did not take the notification for %r", name)
