"""Path policies: how the objects that a pattern matches are cached, from `[[policy]]` tables.

Each field is taken from the first table that matches a key and sets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from cloudfs import units
from cloudfs.config import globs
from cloudfs.errors import ExitCode, UserError, did_you_mean
from cloudfs.units import MIB
from cloudfs_cache.api import BLOCK_BYTES, DEFAULT_PLACEMENT, Placement

TABLE: Final = "policy"
BLOCK_SIZE_MAX: Final = 64 * MIB

_LRU_MAX: Final = 16_384


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """One `[[policy]]` table; None where it does not set the field."""

    match: str
    cache: bool | None = None
    pin: bool | None = None
    ttl_s: float | None = None
    block_bytes: int | None = None

    def __str__(self) -> str:
        shown = {
            "cache": None if self.cache is None else str(self.cache).lower(),
            "pin": None if self.pin is None else str(self.pin).lower(),
            "ttl": None if self.ttl_s is None else units.format_duration(self.ttl_s),
            "block-size": None if self.block_bytes is None else units.format_size(self.block_bytes),
        }
        fields = (f"{key} = {text}" for key, text in shown.items() if text is not None)
        return f"{self.match}: {', '.join(fields)}"


@dataclass(frozen=True, slots=True)
class PathPolicy:
    """The policy of one key. `ttl_s` None: --metadata-ttl holds."""

    placement: Placement = DEFAULT_PLACEMENT
    ttl_s: float | None = None


class PathPolicies:
    """The policy tables of a mount, in their order, with an LRU cache of resolved keys."""

    def __init__(self, tables: Iterable[PolicyTable]) -> None:
        self.tables = tuple(tables)
        self._matches = [(globs.compile_glob(table.match), table) for table in self.tables]
        self._resolve_cached = lru_cache(maxsize=_LRU_MAX)(self._resolve)

    def of(self, key: str) -> PathPolicy:
        """Return the policy of `key`, relative to the mount's root; a directory ends with `/`."""
        return self._resolve_cached(key) if self.tables else _NONE

    def placement(self, key: str) -> Placement:
        """Return how the object `key` is to be cached."""
        return self.of(key).placement

    def ttl(self, key: str) -> float | None:
        """Return for how many seconds metadata of `key` is valid; None: --metadata-ttl."""
        return self.of(key).ttl_s

    def _resolve(self, key: str) -> PathPolicy:
        tables = [table for matches, table in self._matches if matches(key)]
        cache, pin, ttl_s, block_bytes = (
            next((value for table in tables if (value := getattr(table, field)) is not None), None)
            for field in ("cache", "pin", "ttl_s", "block_bytes")
        )
        placement = Placement(
            keep_on_disk=cache is not False,
            pinned=pin is True and cache is not False,
            fetch_blocks=(block_bytes or BLOCK_BYTES) // BLOCK_BYTES,
        )
        return PathPolicy(placement, ttl_s)


_NONE: Final = PathPolicy()


def parse_tables(source: str, value: object) -> tuple[PolicyTable, ...]:
    """Parse the `policy` tables of the TOML file `source`, or raise `UserError`."""
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        message = f"{source}: {TABLE} is not a list of tables: write [[{TABLE}]] above each"
        raise UserError(ExitCode.USAGE, message)
    return tuple(
        parse_table(f"{source}: [[{TABLE}]] {number}", table)
        for number, table in enumerate(value, start=1)
    )


def parse_table(where: str, table: Mapping[str, object]) -> PolicyTable:
    """Parse one table, or raise `UserError` whose message begins with `where`."""
    values: dict[str, Any] = {}
    for key, value in table.items():
        row = _KEYS.get(key.replace("_", "-"))
        if row is None:
            raise _error(where, f"unknown key {key!r}: {_hint(key)}")
        if row.field in values:
            raise _error(where, f"{key} is written twice: remove one")
        values[row.field] = _parse_value(where, key, row, value)
    if "match" not in values:
        raise _error(where, "match is missing: write match = 'checkpoints/**'")
    if len(values) == 1:
        raise _error(where, "it sets nothing: add cache, pin, ttl or block-size")
    if values.get("pin") and values.get("cache") is False:
        raise _error(where, "pin = true and cache = false contradict each other: remove one")
    return PolicyTable(**values)


def _parse_value(where: str, key: str, row: _Key, value: object) -> object:
    # Not isinstance: True is an int.
    if type(value) not in row.types:
        raise _error(where, f"{key} has the wrong type: write {row.example}")
    try:
        return row.parse(value)
    except ValueError as error:
        raise _error(where, f"bad value {value!r} for {key}: {error}") from None


def _error(where: str, problem: str) -> UserError:
    return UserError(ExitCode.USAGE, f"{where}: {problem}")


def _hint(key: str) -> str:
    return did_you_mean(key.replace("_", "-"), _KEYS) or f"keys are {', '.join(_KEYS)}"


def _parse_match(value: Any) -> str:
    globs.compile_glob(value)
    return str(value)


def _parse_block_size(value: Any) -> int:
    size = units.parse_size(str(value))
    if size % BLOCK_BYTES or not 0 < size <= BLOCK_SIZE_MAX:
        raise ValueError("use a multiple of 1MiB, at most 64MiB")
    return size


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of a table: the field it sets, its TOML types and its parser."""

    field: str
    types: tuple[type, ...]
    parse: Callable[[Any], object]
    example: str


_KEYS: Final = {
    "match": _Key("match", (str,), _parse_match, "match = 'checkpoints/**'"),
    "cache": _Key("cache", (bool,), bool, "cache = false"),
    "pin": _Key("pin", (bool,), bool, "pin = true"),
    "ttl": _Key("ttl_s", (str, int, float), lambda v: units.parse_duration(str(v)), "ttl = '5m'"),
    "block-size": _Key("block_bytes", (str, int), _parse_block_size, "block-size = '8MiB'"),
}
