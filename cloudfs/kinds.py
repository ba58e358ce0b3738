"""The kinds of values that options have: how their text is read and shown.

Every `parse` raises `ValueError` with what would have been accepted. This module does not know
which options there are.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from cloudfs import units


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """A directory of the SSD tier. `size_bytes` None: --max-cache-size is its limit."""

    path: Path
    size_bytes: int | None = None

    def __str__(self) -> str:
        size = "" if self.size_bytes is None else f":{_show_size(self.size_bytes)}"
        return f"{self.path}{size}"


Value: TypeAlias = bool | int | float | str | Path | CacheDirectory


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of a value is read and shown, and which TOML types may stand for it."""

    metavar: str
    parse: Callable[[str], Value]
    show: Callable[[Value], str] = str
    toml_types: tuple[type, ...] = (str,)


def _parse_text(text: str) -> str:
    if not text.strip():
        raise ValueError("write a value that is not empty")
    return text


def _parse_path(text: str) -> Path:
    return Path(_parse_text(text))


_MEANT_AS_SIZE: Final = re.compile(r"[-+]?[0-9.]+ *[A-Za-z]{1,3}|[-+][0-9.]+")


def _parse_cache_directory(text: str) -> CacheDirectory:
    """Return `DIR[:SIZE]`. What follows the last colon belongs to the name unless it is a size."""
    name, colon, suffix = _parse_text(text).rpartition(":")
    try:
        size = units.parse_size(suffix) if colon else None
    except ValueError:
        size = None
    problem = "write a directory and a size above 0, such as /mnt/ssd/cloudfs:500GiB"
    if size is None and _MEANT_AS_SIZE.fullmatch(suffix):
        raise ValueError(f"{problem}; a name that ends so needs a / behind it")
    if size is None:
        return CacheDirectory(Path(text))
    if not name or size == 0:
        raise ValueError(problem)
    return CacheDirectory(Path(name), size)


def _parse_endpoint(text: str) -> str:
    problem = "write an address such as https://s3.example.com or http://127.0.0.1:9000"
    try:
        parts = urlsplit(text)
        whole = parts.port is not None or not parts.netloc.endswith(":")
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not whole:
        raise ValueError(problem)
    return text


def _show_size(value: Value) -> str:
    return units.format_size(int(str(value))).replace(" ", "")


def _show_duration(value: Value) -> str:
    return units.format_duration(float(str(value)))


def _show_mode(value: Value) -> str:
    return f"{int(str(value)):04o}"


def _show_switch(value: Value) -> str:
    return "true" if value else "false"


SWITCH: Final = Kind("", units.parse_switch, _show_switch, (bool,))
SIZE: Final = Kind("SIZE", units.parse_size, _show_size, (str, int))
DURATION: Final = Kind("T", units.parse_duration, _show_duration, (str, int, float))
COUNT: Final = Kind("N", units.parse_count, str, (str, int))
# A TOML integer cannot say whether 644 was meant octal, so modes are strings there.
MODE: Final = Kind("MODE", units.parse_mode, _show_mode)
TEXT: Final = Kind("TEXT", _parse_text)
ENDPOINT: Final = Kind("URL", _parse_endpoint)
FILE: Final = Kind("FILE", _parse_path)
CACHE_DIRECTORY: Final = Kind("DIR[:SIZE]", _parse_cache_directory)


def _choice(*words: str) -> Kind:
    """Return the kind whose values are these words."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in words:
            raise ValueError(f"write {' or '.join(words)}")
        return word

    return Kind("|".join(words), parse)


COMPRESS: Final = _choice("auto", "off")
EVICTION: Final = _choice("epoch", "lru")
