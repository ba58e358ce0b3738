"""Configuration files: their directories, search by name, and TOML with line numbers."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cloudfs.errors import ExitCode, UserError

SUFFIX: Final = ".toml"
SYSTEM_FOLDER: Final = Path("/etc/cloudfs")

_SIZE_BYTES_MAX: Final = 1024 * 1024
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*")
_HEADER: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)
_LINE_OF_ERROR: Final = re.compile(r" ?\(at (?:line ([0-9]+), column [0-9]+|end of document)\)")


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed configuration file: its values, and the text that they were parsed from."""

    path: Path
    values: Mapping[str, Any]
    text: str

    def location(self, key: str) -> str:
        """Return `FILE:LINE` of a top-level key or table, `FILE` where it is not found."""
        name = rf"(?:{re.escape(key)}|\"{re.escape(key)}\"|'{re.escape(key)}')"
        header = _HEADER.search(self.text)
        end = len(self.text) if header is None else header.start()
        match = re.compile(rf"^[ \t]*{name}[ \t]*[=.]", re.MULTILINE).search(self.text, 0, end)
        match = match or re.compile(rf"^\s*\[+\s*{name}\s*[].]", re.MULTILINE).search(self.text)
        return self._location(match)

    def location_of_table(self, key: str, index: int) -> str:
        """Return `FILE:LINE` of the table `index`, from 0, of an array `[[key]]`."""
        headers = re.finditer(rf"^[ \t]*\[\[\s*{re.escape(key)}\s*\]\]", self.text, re.MULTILINE)
        match = next(islice(headers, index, None), None)
        return self.location(key) if match is None else self._location(match)

    def _location(self, match: re.Match[str] | None) -> str:
        """Return `FILE:LINE` of a match behind its leading blanks."""
        if match is None:
            return str(self.path)
        start = match.end() - len(match[0].lstrip())
        return f"{self.path}:{self.text.count(chr(10), 0, start) + 1}"


def is_name(text: str) -> bool:
    """Whether `text` is the name of a configuration instead of the path of a file."""
    return _NAME.fullmatch(text) is not None and not text.endswith(SUFFIX)


def folders(environ: Mapping[str, str]) -> list[Path]:
    """Return the folders of configurations: the user's, then the system's.

    A unit of systemd has neither HOME nor XDG_CONFIG_HOME: then there is the system's alone.
    """
    given = environ.get("XDG_CONFIG_HOME", "")
    home = environ.get("HOME", "")
    if not given.startswith("/"):
        given = os.path.join(home, ".config") if home.startswith("/") else ""
    return [*([Path(given) / "cloudfs"] if given else []), SYSTEM_FOLDER]


def discover(environ: Mapping[str, str]) -> list[Path]:
    """Return every configuration file of the folders, those of the user first.

    Pipes are left out: reading one without a writer would not end.
    """
    paths = (path for folder in folders(environ) for path in sorted(folder.glob(f"*{SUFFIX}")))
    return [path for path in dict.fromkeys(paths) if not path.is_fifo()]


def find(name: str, environ: Mapping[str, str]) -> Path:
    """Return the first file called `name`, or raise `UserError` that names where it is missing."""
    candidates = [folder / f"{name}{SUFFIX}" for folder in folders(environ)]
    for path in candidates:
        if os.path.lexists(path):
            return path
    missing = " or ".join(map(str, candidates))
    raise UserError(ExitCode.USAGE, f"there is no configuration {name!r}: write {missing}")


def read(path: Path) -> Document:
    """Parse a TOML file, or raise `UserError`."""
    try:
        with open(path, "rb") as file:
            content = file.read(_SIZE_BYTES_MAX + 1)
        if len(content) > _SIZE_BYTES_MAX:
            message = f"{path}: is larger than 1 MiB: give a file of options"
            raise UserError(ExitCode.USAGE, message)
        text = content.decode("utf-8")
        return Document(path, tomllib.loads(text), text)
    except OSError as error:
        fix = "give a TOML file that this user may read"
        raise UserError(ExitCode.USAGE, f"{path}: {error.strerror}: {fix}") from None
    except UnicodeDecodeError:
        raise UserError(ExitCode.USAGE, f"{path}: is not UTF-8: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(ExitCode.USAGE, _not_toml(path, str(error))) from None


def _not_toml(path: Path, reason: str) -> str:
    line = _LINE_OF_ERROR.search(reason)
    location = f"{path}:{line[1]}" if line and line[1] else str(path)
    cause = _LINE_OF_ERROR.sub("", reason)
    return f"{location}: is not valid TOML: {cause}: write key = value lines"
