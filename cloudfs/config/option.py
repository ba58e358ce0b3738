"""The definition of a mount option: a row of the table in `cloudfs.config.options`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from cloudfs.config.types import DURATION, SWITCH, OptionType, Value

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

    `default` None means unset, or derived from the machine as `default_text` says. `minimum` and
    `maximum` are accepted values. `note` is a limitation that the help and `config show` state.
    `alias` is another word for it in `-o`. `negates` names the switch that this one turns off: it
    has no setting of its own. `setting` is False for an option that is no field of the settings of
    a mount, such as --config. A `repeated` option may be given several times and has a tuple of
    values, empty when unset. An `argument` has no flag: it is positional.
    """

    name: str
    type: OptionType
    heading: Heading
    help: str
    default: Value | None = None
    default_text: str = ""
    minimum: float | None = None
    maximum: float | None = None
    short: str = ""
    alias: str = ""
    note: str = ""
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
        """The long flag; for an argument its name in the usage line."""
        return self.type.metavar if self.argument else "--" + self.key

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
        return self.type is SWITCH

    @property
    def description(self) -> str:
        """The help, with the note."""
        return f"{self.help} {self.note[:1].upper()}{self.note[1:]}." if self.note else self.help

    def default_shown(self) -> str:
        """Return the default for the help: "" when the option is simply off or unset."""
        if self.default_text or self.default is None or self.is_switch:
            return self.default_text
        return self.type.show(self.default)

    def parse(self, text: str) -> Value:
        """Return the value of `text`; `ValueError` says what is accepted."""
        value = self.type.parse(text)
        if isinstance(value, int | float):
            self._check_range(value)
        return value

    def range_shown(self) -> str:
        """Return the accepted range in words, "" when there is none."""
        low, high = (
            "" if bound is None else self.type.show(self._as_typed(bound))
            for bound in (self.minimum, self.maximum)
        )
        if low and high:
            return f"between {low} and {high}"
        return f"at least {low}" if low else (f"at most {high}" if high else "")

    def _as_typed(self, bound: float) -> Value:
        return bound if self.type is DURATION else int(bound)

    def _check_range(self, value: float) -> None:
        too_small = self.minimum is not None and value < self.minimum
        too_large = self.maximum is not None and value > self.maximum
        if too_small or too_large:
            raise ValueError(f"use a value {self.range_shown()}")
