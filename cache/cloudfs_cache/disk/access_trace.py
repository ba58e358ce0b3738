"""Access traces for the eviction simulator: a JSON line for each access that begins.

    {"key": "train/run_7.vtu", "extent": 3, "size_bytes": 67108864, "group": 17}

`note` is called on the loop, `write_out` in a worker thread. Several disks, and several mounts, may
append to one file: lines are written whole. A file that cannot be written ends the recording.
"""

from __future__ import annotations

import json
import logging
import os
from typing import Final

from cloudfs_cache.api import BLOCK_BYTES
from cloudfs_cache.disk.object import DiskObject

log = logging.getLogger(__name__)

_LINES_MAX: Final = 100_000


class AccessTrace:
    """Appends to the file at `path`, which is made when it is not there."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[str] = []

    def note(self, obj: DiskObject, number: int) -> None:
        """A access to an extent begins."""
        if len(self._lines) < _LINES_MAX:
            blocks = obj.extent_blocks(number)
            size = min(len(blocks) * BLOCK_BYTES, obj.version.size - blocks.start * BLOCK_BYTES)
            access = {
                "key": obj.version.key,
                "extent": number,
                "size_bytes": size,
                "group": obj.group,
            }
            self._lines.append(json.dumps(access) + "\n")

    def write_out(self) -> None:
        """Append what was noted."""
        lines, self._lines = self._lines, []
        if not lines:
            return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, "".join(lines).encode("ascii"))
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("cannot record accesses in %s: %s", self._path, error.strerror)
