"""Errors of names and open files, beside the store's own."""

from __future__ import annotations


class NoSuchEntryError(Exception):
    """The name does not exist in the directory."""


class NotADirectoryEntryError(Exception):
    """The inode is a file where a directory is needed."""


class IsADirectoryEntryError(Exception):
    """The inode is a directory where a file is needed."""


class StaleObjectError(Exception):
    """The inode's object was overwritten or deleted: its bytes can no longer be read."""
