"""Read-ahead window of one open file: from its reads, the bytes worth fetching ahead.

Pure and synchronous. A handle may be read by several streams at once (threads on one descriptor,
a header and a body, the kernel's own read-ahead arriving out of order), so the window keeps the
last few stream positions and finds the one that a read continues. A stream that goes on doubles its
window; a read that continues none starts a new stream with no window at all, so random access
fetches nothing ahead. Jumping back does not forget a stream: npz and .pt files are opened by
reading head, tail and then everything in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloudfs_cache.api import NO_BYTES

SMALL_FILE_BYTES: Final = 4 << 20
"""Files up to this size are fetched whole at the first read: at 30 ms to the first byte and 90 MB/s
per connection that is about twice the time of a single byte, and saves a second request."""

_INITIAL_BYTES: Final = 2 << 20
_SLACK_BYTES: Final = 4 << 20
_STREAMS_MAX: Final = 8
_PARALLEL: Final = 4
# A window doubles when a quarter of it was read: the first megabytes of a large file are then
# fetched by enough connections to fill the link within a few round trips.
_GROW_AFTER: Final = 4
_RUN_BYTES_MIN: Final = 1 << 20
_RUN_BYTES_MAX: Final = 8 << 20


@dataclass(frozen=True, slots=True)
class Advice:
    """Bytes [ahead.start, ahead.stop) are worth fetching, in requests of `run_bytes` or less."""

    ahead: range
    run_bytes: int


@dataclass(slots=True)
class _Stream:
    """`position` is the highest end read so far, `issued` the end of what was issued ahead,
    `window` the bytes to have ahead, `grown_at` the position of the last doubling."""

    position: int
    issued: int
    window: int
    grown_at: int


class ReadAheadWindow:
    """The streams of one open file of `size` bytes; none fetches more than `limit` bytes ahead."""

    def __init__(self, size: int, limit: int) -> None:
        self._size = size
        self._limit = limit
        self._streams: list[_Stream] = []
        self._started = False

    @property
    def widest(self) -> int:
        """The largest window of any stream, in bytes."""
        return max((stream.window for stream in self._streams), default=0)

    def on_read(self, offset: int, length: int, limit: int | None = None) -> Advice:
        """Note a read of [offset, offset + length) and return what to fetch ahead of it.

        `limit` lowers the window for this call, in bytes: the caller's share of the memory budget.
        """
        end = min(offset + length, self._size)
        limit = self._limit if limit is None else min(limit, self._limit)
        if not self._started:
            self._started = True
            if self._size <= SMALL_FILE_BYTES and self._size <= limit:
                self._streams.append(_Stream(end, self._size, 0, end))
                return Advice(range(0, self._size), _RUN_BYTES_MAX)
        stream = self._continued(offset, end)
        if stream is None:
            stream = self._new_stream(offset, end)
        else:
            self._advance(stream, end)
        stream.window = min(stream.window, limit)
        return self._issue(stream)

    def _continued(self, offset: int, end: int) -> _Stream | None:
        """Return the stream that a read continues, moved to the end of the list (most recent)."""
        for i in range(len(self._streams) - 1, -1, -1):
            stream = self._streams[i]
            ahead_by = offset - stream.position
            # Late requests of the kernel's read-ahead lie a little behind; an application that
            # skips reads a little ahead. Beyond what was issued a skip starts a new stream.
            reach = max(_SLACK_BYTES, stream.issued - stream.position)
            if -_SLACK_BYTES <= ahead_by <= reach and end > stream.position - _SLACK_BYTES:
                self._streams.append(self._streams.pop(i))
                return stream
        return None

    def _new_stream(self, offset: int, end: int) -> _Stream:
        # Files are mostly read from the start: only there a window is opened on the first read.
        window = _INITIAL_BYTES if offset == 0 else 0
        stream = _Stream(end, end, window, end)
        self._streams.append(stream)
        del self._streams[:-_STREAMS_MAX]
        return stream

    def _advance(self, stream: _Stream, end: int) -> None:
        if end <= stream.position:
            return
        stream.position = end
        if stream.window == 0:
            stream.window, stream.grown_at = _INITIAL_BYTES, end
        elif end - stream.grown_at >= stream.window // _GROW_AFTER:
            stream.window, stream.grown_at = stream.window * 2, end
        stream.issued = max(stream.issued, end)

    def _issue(self, stream: _Stream) -> Advice:
        """Issue more only when a whole request's worth is missing, so that requests stay large."""
        run = min(_RUN_BYTES_MAX, max(_RUN_BYTES_MIN, stream.window // _PARALLEL))
        target = min(self._size, stream.position + stream.window)
        step = min(run, self._size - stream.issued)
        if target - stream.issued < step or step <= 0:
            return Advice(NO_BYTES, run)
        start, stream.issued = stream.issued, target
        return Advice(range(start, target), run)
