"""Many small NFS writes on the way at once, where libnfs sends none that are large."""

from __future__ import annotations

import ctypes
import errno
import itertools
import select
from ctypes import c_int, c_void_p

CALLBACK = ctypes.CFUNCTYPE(None, c_int, c_void_p, c_void_p, c_void_p)

_IN_FLIGHT = 64
_SERVICE_MS = 100
_numbers = itertools.count(1)
_answers: dict[int, list[int]] = {}


def _note(status: int, _context: int, _data: int, number: int) -> None:
    # One function for all writes and for ever: libnfs also calls it for what it gives up on when
    # the connection ends, after the writer has gone.
    if (answers := _answers.get(number)) is not None:
        answers.append(status)


_answered = CALLBACK(_note)


def write(
    library: ctypes.CDLL,
    context: c_void_p,
    handle: c_void_p,
    data: memoryview,
    *,
    offset: int,
    piece_bytes: int,
) -> int:
    """Write `data` in pieces of at most `piece_bytes`; returns 0 or, as libnfs does, -errno.

    Nobody else may use the context meanwhile. -EPIPE: the connection is gone.
    """
    number = next(_numbers)
    answers = _answers.setdefault(number, [])
    pieces = range(0, len(data), piece_bytes)
    asked = 0
    try:
        while len(answers) < len(pieces):
            while asked < len(pieces) and asked - len(answers) < _IN_FLIGHT:
                piece = bytes(data[pieces[asked] : pieces[asked] + piece_bytes])
                place = offset + pieces[asked]
                arguments = (context, handle, place, len(piece), piece, _answered, number)
                if library.nfs_pwrite_async(*arguments) != 0:
                    return -errno.EPIPE
                asked += 1
            if not _serve(library, context):
                return -errno.EPIPE
    finally:
        del _answers[number]
    if (worst := min(answers, default=0)) < 0:
        return worst
    return 0 if sum(answers) == len(data) else -errno.EIO


def _serve(library: ctypes.CDLL, context: c_void_p) -> bool:
    """Let libnfs send, receive and look at its time limits; False when the connection is gone."""
    poll = select.poll()
    poll.register(library.nfs_get_fd(context), library.nfs_which_events(context))
    ready = poll.poll(_SERVICE_MS)
    return bool(library.nfs_service(context, ready[0][1] if ready else 0) >= 0)
