"""What a target's failure means, in the same words whichever engine met it."""

from __future__ import annotations

import errno
import os

from cloudfs_benchmarks.bench.engines.job import Job

_FULL = "{target} is full: writing {path} failed; free space or give a smaller --size"
_GONE = "{target} was unmounted or its daemon died (at {place}); mount it again"
_LINES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    # A FUSE daemon that dies fails the request at hand with ECONNABORTED, all later with ENOTCONN.
    errno.ECONNABORTED: _GONE,
    errno.ENOTCONN: _GONE,
    errno.ENODEV: _GONE,
    errno.EROFS: "{target} is read-only: {path} cannot be written; measure reading with --dataset",
    errno.ESTALE: "{place}: stale file handle, replaced on the server; mount {target} again",
    errno.ENOENT: "{place} is missing: was it removed, or {target} unmounted?",
    errno.EEXIST: "{place} is there already and stays as it is; remove it or give another folder",
}


def failure_line(location: str, path: str, code: int) -> str:
    """One line for an errno at a path below a target ("": not known where), with the way out."""
    place = f"{location}/{path}" if path else location
    line = _LINES.get(code, "{place}: {reason}")
    return line.format(
        target=location, path=path or "a file", place=place, reason=os.strerror(code)
    )


def shortened_line(location: str, path: str) -> str:
    """One line for a file that ends before the size that it had."""
    return f"{location}/{path} became shorter during the run; nothing may write to it meanwhile"


def task_of(location: str, job: Job) -> str:
    """What was being done, for what cannot say at which file it was: a process that hangs."""
    paths = [path for hand in job.files for path in hand]
    others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return f"{location}: {job.shape} of {paths[0] or '.'}{others}"
