"""The one table of mount options, a module for each group.

Flags, `CLOUDFS_*` variables, TOML keys, `-o` words, the help, the manual page and the reference in
docs/configuration.md all come from `OPTIONS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloudfs.config.option import Option
from cloudfs.config.options import bucket, caching, client, mount, observability

OPTIONS: Final[tuple[Option, ...]] = (
    *bucket.OPTIONS,
    *mount.OPTIONS,
    *caching.OPTIONS,
    *client.OPTIONS,
    *observability.OPTIONS,
)

BY_NAME: Final = {option.name: option for option in OPTIONS}
BY_FIELD: Final = {option.field: option for option in OPTIONS if option.setting}


def flag_options() -> Iterator[Option]:
    """Yield the options that have a flag: all but the arguments."""
    return (option for option in OPTIONS if not option.argument)


def settings_options() -> Iterator[Option]:
    """Yield the options that are fields of `MountSettings`."""
    return (option for option in OPTIONS if option.setting)


def find(spelling: str) -> Option | None:
    """Return the option written `spelling`, with `-` or `_`, or None."""
    return BY_NAME.get(spelling.replace("-", "_"))
