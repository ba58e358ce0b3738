"""All requests of the kernel: decode, call the filesystem, encode."""

from __future__ import annotations

from cloudfs.fuse.handlers.changes import ChangeHandlers
from cloudfs.fuse.handlers.directories import DirectoryHandlers
from cloudfs.fuse.handlers.files import FileHandlers
from cloudfs.fuse.handlers.names import NameHandlers


class Operations(NameHandlers, DirectoryHandlers, FileHandlers, ChangeHandlers):
    """All handlers, which pyfuse3 calls on the trio loop."""
