"""What can go wrong between a path and its bytes, beside the store's own errors."""

from __future__ import annotations


class NoSuchEntryError(Exception):
    """The name does not exist in the directory."""


class NotADirectoryEntryError(Exception):
    """The inode is a file where a directory is needed."""


class IsADirectoryEntryError(Exception):
    """The inode is a directory where a file is needed."""


class StaleObjectError(Exception):
    """The inode's object was overwritten or deleted: its bytes cannot be had any more."""
