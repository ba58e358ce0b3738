"""Option types: how the text of a value is parsed, validated and shown.

Every `parse` raises `ValueError` with what would have been accepted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from cloudfs import units


@dataclass(frozen=True, slots=True)
class CacheDirSpec:
    """A `DIR[:SIZE]` of --cache-dir. `size_bytes` None: --max-cache-size is its limit."""

    path: Path
    size_bytes: int | None = None

    def __str__(self) -> str:
        size = "" if self.size_bytes is None else f":{_show_size(self.size_bytes)}"
        return f"{self.path}{size}"


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens: a TCP address, or the unix socket `path` when that is not None."""

    host: str = ""
    port: int = 0
    path: Path | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Value: TypeAlias = bool | int | float | str | Path | CacheDirSpec | ListenAddress


@dataclass(frozen=True, slots=True)
class OptionType:
    """How the text of a value is parsed and shown, and which TOML types it may have."""

    metavar: str
    parse: Callable[[str], Value]
    show: Callable[[Value], str] = str
    toml_types: tuple[type, ...] = (str,)
    choices: tuple[str, ...] = ()
    """All values, where they can be enumerated."""


def _parse_text(text: str) -> str:
    if not text.strip():
        raise ValueError("write a value that is not empty")
    return text


def _parse_path(text: str) -> Path:
    return Path(_parse_text(text))


_LOOKS_LIKE_SIZE: Final = re.compile(r"[-+]?[0-9.]+ *[A-Za-z]{1,3}|[-+][0-9.]+")


def _parse_cache_directory(text: str) -> CacheDirSpec:
    """Parse `DIR[:SIZE]`: what follows the last colon belongs to the name unless it is a size."""
    name, colon, suffix = _parse_text(text).rpartition(":")
    try:
        size = units.parse_size(suffix) if colon else None
    except ValueError:
        size = None
    problem = "write a directory and a size above 0, such as /mnt/ssd/cloudfs:500GiB"
    if size is None and _LOOKS_LIKE_SIZE.fullmatch(suffix):
        raise ValueError(f"{problem}; a name that ends so needs a / behind it")
    if size is None:
        return CacheDirSpec(Path(text))
    if not name or size == 0:
        raise ValueError(problem)
    return CacheDirSpec(Path(name), size)


_LOOPBACK: Final = "127.0.0.1"
_PORT_MAX: Final = 65535


def _parse_listen(text: str) -> ListenAddress:
    """Parse `PORT`, `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`. Without a host: loopback."""
    problem = "write a port, HOST:PORT or unix:/PATH, such as 9467 or unix:/run/cloudfs/metrics"
    scheme, _, path = text.partition(":")
    if scheme == "unix":
        if not path.startswith("/"):
            raise ValueError(problem)
        return ListenAddress(path=Path(path))
    host, _, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if (":" in host and not bracketed) or not port.isascii() or not port.isdigit():
        raise ValueError(problem)
    if int(port) > _PORT_MAX:
        raise ValueError(problem)
    return ListenAddress(host.strip("[]") or _LOOPBACK, int(port))


def _parse_price(text: str) -> float:
    problem = "write US dollars, such as 0.09"
    try:
        price = float(text.strip().removeprefix("$"))
    except ValueError:
        raise ValueError(problem) from None
    if not math.isfinite(price):
        raise ValueError(problem)
    return price


def _parse_endpoint(text: str) -> str:
    problem = "write an address such as https://s3.example.com or http://127.0.0.1:9000"
    try:
        parts = urlsplit(text)
        has_port = parts.port is not None or not parts.netloc.endswith(":")
    except ValueError:
        raise ValueError(problem) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not has_port:
        raise ValueError(problem)
    return text


_PASSWORD: Final = re.compile(r"(://).*@")


def without_password(text: str) -> str:
    """Return `text` with the user and password of an address masked."""
    return _PASSWORD.sub(r"\1***@", text)


def _show_endpoint(value: Value) -> str:
    return without_password(str(value))


def _show_size(value: Value) -> str:
    """Return a size that parses back to itself: bytes where three digits would round it."""
    size = int(str(value))
    shown = units.format_size(size).replace(" ", "")
    return shown if units.parse_size(shown) == size else str(size)


def _show_duration(value: Value) -> str:
    """Return a duration that parses back to itself: seconds where one unit would round it."""
    seconds = float(str(value))
    shown = units.format_duration(seconds)
    try:
        is_exact = units.parse_duration(shown) == seconds
    except ValueError:
        is_exact = False
    return shown if is_exact else f"{seconds:.15g}s"


def _show_mode(value: Value) -> str:
    return f"{int(str(value)):04o}"


def _show_switch(value: Value) -> str:
    return "true" if value else "false"


SWITCH: Final = OptionType("", units.parse_switch, _show_switch, (bool,))
SIZE: Final = OptionType("SIZE", units.parse_size, _show_size, (str, int))
DURATION: Final = OptionType("T", units.parse_duration, _show_duration, (str, int, float))
COUNT: Final = OptionType("N", units.parse_count, str, (str, int))
# A TOML integer cannot say whether 644 was meant octal, so modes are strings there.
MODE: Final = OptionType("MODE", units.parse_mode, _show_mode)
TEXT: Final = OptionType("TEXT", _parse_text)
ENDPOINT: Final = OptionType("URL", _parse_endpoint, _show_endpoint)
FILE: Final = OptionType("FILE", _parse_path)
URL: Final = OptionType("URL", _parse_text)
MOUNTPOINT: Final = OptionType("MOUNTPOINT", _parse_path)
CONFIG: Final = OptionType("NAME|FILE", _parse_path)
LISTEN: Final = OptionType("ADDRESS", _parse_listen, toml_types=(str, int))
PRICE: Final = OptionType("USD", _parse_price, "{:g}".format, (str, int, float))
CACHE_DIRECTORY: Final = OptionType("DIR[:SIZE]", _parse_cache_directory)


def _choice(*choices: str) -> OptionType:
    """Return the type whose values are these words."""

    def parse(text: str) -> str:
        word = text.strip().lower()
        if word not in choices:
            raise ValueError(f"write {' or '.join(choices)}")
        return word

    return OptionType("|".join(choices), parse, choices=choices)


COMPRESS: Final = _choice("auto", "off")
EVICTION: Final = _choice("epoch", "lru")
LOG_FORMAT: Final = _choice("text", "json")
