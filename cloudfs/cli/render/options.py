"""Options of a mount by their TOML keys, with values as they would be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cloudfs.config import options
from cloudfs.errors import printable
from cloudfs.status.document import OptionValue


def lines(settings: Mapping[str, OptionValue]) -> Iterator[str]:
    """Yield a line for each option."""
    yield from (f"option {_key(name)}: {_shown(name, value)}" for name, value in settings.items())


def _key(field: str) -> str:
    option = options.BY_FIELD.get(field)
    return printable(field.replace("_", "-")) if option is None else option.key


def _shown(name: str, value: OptionValue) -> str:
    option = options.BY_FIELD.get(name)
    if value is None or value == []:
        return (option.default_text if option else "") or "unset"
    if isinstance(value, list):
        return printable("; ".join(map(str, value)))
    if option is not None:
        try:
            return printable(option.type.show(value))
        except ValueError:
            return printable(str(value))
    return printable(str(value))
