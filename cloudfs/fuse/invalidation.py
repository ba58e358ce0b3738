"""Tells the kernel that a name no longer stands for what it remembers.

The notification can block on a request for the same directory, so it never runs on the loop. The
queue is bounded: a notification that does not fit is dropped, and the kernel finds out when its
own timeout ends.
"""

from __future__ import annotations

import logging

import pyfuse3
import trio

from cloudfs.vfs.inodes import Inode

log = logging.getLogger(__name__)

_QUEUE_MAX = 4096


class EntryInvalidator:
    """A queue of names and the task that sends them."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[tuple[int, bytes]](_QUEUE_MAX)

    def superseded(self, inode: Inode) -> None:
        """Queue the name of an inode that the kernel may remember. Loop only."""
        if inode.lookups > 0 and inode.parent is not None:
            self.doubted(inode.parent.ino, inode.name)

    def doubted(self, parent_ino: int, name: bytes) -> None:
        """Queue a name that the kernel may remember, as it was or as missing. Loop only."""
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
                # ENOENT: the kernel did not remember it. Others: its timeout will end.
                log.debug("the kernel did not take the notification for %r", name)
