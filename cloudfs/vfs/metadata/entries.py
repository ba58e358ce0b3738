"""Directory entries: a name, what kind of inode it leads to, and the object behind it."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cloudfs.vfs.metadata import names
from cloudfs_backends.api import ObjectInfo


class InodeKind(enum.Enum):
    """The kind of an inode, which never changes."""

    FILE = "file"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """A name in a directory. Directories are prefixes and have no object: their `info` is None."""

    name: bytes
    kind: InodeKind
    info: ObjectInfo | None = None

    def key_in(self, directory: str) -> str:
        """Return the key of the entry in a directory ("" or ending with "/")."""
        slash = "/" if self.kind is InodeKind.DIRECTORY else ""
        return directory + names.to_part(self.name) + slash
