"""What a mount option is: a row of the table in `cloudfs.config.options`.

This module does not know which options there are.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from cloudfs.config.types import DURATION, SWITCH, Kind, Value

ENVIRONMENT_PREFIX: Final = "CLOUDFS_"


class Heading(enum.StrEnum):
    """The groups of the help, in its order."""

    BUCKET = "Bucket"
    ENDPOINT = "Credentials and endpoint"
    MOUNT = "Mount"
    CACHING = "Caching"
    CLIENT = "Client"
    LOGGING = "Logging and metrics"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of `cloudfs mount`.

    `default` None means unset, or derived from the machine as `default_text` says. `least` and
    `most` are accepted values. `negates` names the switch that this one turns off: it has no
    setting of its own. `setting` is False for what only steers the resolution (`--config`).
    A `repeated` option may be given several times and has a tuple of values, empty when unset.
    An `argument` has no flag: its place on the command line says what it is.
    """

    name: str
    kind: Kind
    heading: Heading
    help: str
    default: Value | None = None
    default_text: str = ""
    least: float | None = None
    most: float | None = None
    short: str = ""
    extra_word: str = ""
    negates: str = ""
    setting: bool = True
    repeated: bool = False
    argument: bool = False

    @property
    def field(self) -> str:
        """The field of `MountSettings`: the plural for a repeated option."""
        return f"{self.name}s" if self.repeated else self.name

    @property
    def flag(self) -> str:
        """The long flag; for an argument how the usage line calls it."""
        return self.kind.metavar if self.argument else "--" + self.key

    @property
    def key(self) -> str:
        """The TOML key."""
        return self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def is_switch(self) -> bool:
        """Whether the flag stands alone, without a value."""
        return self.kind is SWITCH

    def default_shown(self) -> str:
        """The default for the help: "" when the option is simply off or unset."""
        if self.default_text or self.default is None or self.is_switch:
            return self.default_text
        return self.kind.show(self.default)

    def parse(self, text: str) -> Value:
        """Return the value that `text` stands for; `ValueError` says what is accepted."""
        value = self.kind.parse(text)
        if isinstance(value, int | float):
            self._check_range(value)
        return value

    def range_shown(self) -> str:
        """The accepted range in words, "" when there is none."""
        least, most = (
            "" if bound is None else self.kind.show(self._as_kind(bound))
            for bound in (self.least, self.most)
        )
        if least and most:
            return f"between {least} and {most}"
        return f"at least {least}" if least else (f"at most {most}" if most else "")

    def _as_kind(self, bound: float) -> Value:
        return bound if self.kind is DURATION else int(bound)

    def _check_range(self, value: float) -> None:
        too_small = self.least is not None and value < self.least
        too_large = self.most is not None and value > self.most
        if too_small or too_large:
            raise ValueError(f"use a value {self.range_shown()}")
