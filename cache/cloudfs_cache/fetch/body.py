"""The body of one ranged read on its way into the buffers of a run.

Two sides: `receive` runs in the worker thread that reads the body; `_apply` runs on the trio loop
and declares the bytes valid. The thread never touches a block, only the buffers it was given.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio

from cloudfs_cache.api import Buffer
from cloudfs_cache.memory.block import Block


class AbandonedError(Exception):
    """The run was given up: the worker thread should stop reading."""


class BodySink:
    """Fills `blocks`, which are adjacent, have buffers and are empty, from their first byte on."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        self._views = [block.buffer.view for block in blocks if block.buffer is not None]
        self._lengths = [block.length for block in blocks]
        self._token = trio.lowlevel.current_trio_token()
        self._current = 0
        self._filled = 0
        self._received = 0
        self._posted = False
        self._applied_blocks = 0
        self._applied_bytes = 0
        self.abandoned = False

    def receive(self, chunk: Buffer) -> None:
        """Copy the next bytes in. Worker thread only."""
        if self.abandoned:
            raise AbandonedError
        rest = memoryview(chunk)
        while rest:
            room = self._lengths[self._current] - self._filled
            part = rest[:room]
            self._views[self._current][self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            self._received += len(part)
            rest = rest[len(part) :]
            if self._filled == self._lengths[self._current]:
                self._current += 1
                self._filled = 0
        self._post()

    def finish(self) -> None:
        """Apply what the thread has reported so far. Loop only, after the thread has ended."""
        self._apply()

    def _post(self) -> None:
        # One pending callback is enough: it reads the newest count. The flag is cleared before the
        # count is read, so bytes that arrive in between are posted again rather than lost.
        if not self._posted:
            self._posted = True
            self._token.run_sync_soon(self._apply)

    def _apply(self) -> None:
        self._posted = False
        received = self._received
        while self._applied_blocks < len(self._blocks):
            block = self._blocks[self._applied_blocks]
            valid = min(block.length, received - self._applied_bytes)
            if valid > block.ready and block.failure is None:
                block.advance(valid)
            if valid < block.length:
                return
            self._applied_bytes += block.length
            self._applied_blocks += 1
