"""Validation of configuration files and `CLOUDFS_*` variables: every problem, not only the first.

A mount refuses its settings at the first mistake; here the same rules are applied to each key by
itself. Neither the store nor a mountpoint is accessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from cloudfs.config import files, options, path_policy, sources
from cloudfs.config import settings as config
from cloudfs.config.files import Document
from cloudfs.config.settings import NO_MOUNTPOINT, MountSettings
from cloudfs.config.sources import RawOptions
from cloudfs.errors import UserError
from cloudfs.system import mountpoints

_WRITABLE_BY_OTHERS: Final = 0o022
_LOCATION: Final = re.compile(r"\S.*?:([0-9]+): ")
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FileReport:
    """Problems of one file that a mount would refuse, and warnings, one line each.

    `raw` has the valid keys; `settings` is None when they do not make settings.
    """

    path: Path
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    raw: RawOptions | None = None
    settings: MountSettings | None = None


def check_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the problems of the `CLOUDFS_*` variables, one line each."""
    problems = [
        f"unknown variable {name}: {fix}" for name, fix in sources.unknown_variables(environ)
    ]
    raw = sources.from_environment(environ)
    if config_name := raw.get("config"):
        _collect(problems, sources.config_path, config_name, environ)
    _check_values(problems, raw)
    return problems


def check_file(path: Path) -> FileReport:
    """Return all problems of one file."""
    problems: list[str] = []
    document = _collect(problems, files.read, path)
    if document is None:
        return FileReport(path, tuple(problems))
    raw: RawOptions = {}
    for key in document.values:
        _collect(problems, sources.add_key, raw, document, key)
    problems += _policy_problems(document)
    _check_values(problems, raw)
    settings = _collect(problems, _settings, raw)
    if settings is not None:
        problems += _path_problems(path, raw, settings)
    problems.sort(key=_line)
    return FileReport(path, tuple(problems), tuple(_warnings(path)), raw, settings)


def _line(problem: str) -> int:
    """Return the number in `FILE:LINE: problem`, 0 without one."""
    match = _LOCATION.match(problem)
    return 0 if match is None else int(match[1])


def _settings(raw: RawOptions) -> MountSettings:
    return config.parse(sources.resolve_negations(raw)).settings


def _path_problems(path: Path, raw: RawOptions, settings: MountSettings) -> Iterator[str]:
    for name, problem in config.path_conflicts(settings):
        option = raw.get(name)
        yield f"{path if option is None else option.location}: {problem}"


def conflicts(reports: Iterable[FileReport]) -> Iterator[str]:
    """Yield a problem for each mountpoint and metrics address that two files have.

    Two files of one name in both folders do not conflict: the name stands for the first.
    """
    first: dict[tuple[str, str], FileReport] = {}
    for report in reports:
        for name, value in _exclusive(report):
            other = first.setdefault((name, value), report)
            if other.path.name != report.path.name:
                location = (report.raw or {})[name].location
                key = options.BY_NAME[name].key
                yield f"{location}: {key} {value} is also that of {other.path}: change one"


def _exclusive(report: FileReport) -> Iterator[tuple[str, str]]:
    """Yield (option name, value) for what only one mount can have."""
    settings = report.settings
    if settings is None:
        return
    path = settings.mountpoint
    if path != NO_MOUNTPOINT and mountpoints.passed_descriptor(path) is None:
        yield "mountpoint", str(path)
    address = settings.metrics_address
    if address is not None and (address.path or address.port):
        yield "metrics_address", str(address)


def _collect(
    problems: list[str], call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T | None:
    """Return what `call` returns; add the message of a `UserError` to the problems, return None."""
    try:
        return call(*args, **kwargs)
    except UserError as error:
        problems.append(error.message)
        return None


def _check_values(problems: list[str], raw: RawOptions) -> None:
    """Parse each value by itself, and remove those that are wrong."""
    for name, option in [*raw.items()]:
        before = len(problems)
        if name == "config":
            continue
        if name == "url":
            _collect(problems, config.canonical_url, option)
        else:
            _collect(problems, option.parse, options.BY_NAME[name])
        if len(problems) > before:
            del raw[name]


def _policy_problems(document: Document) -> list[str]:
    """Return the problems of the tables of path policies."""
    problems: list[str] = []
    tables = document.values.get(path_policy.TABLE, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        location = document.location(path_policy.TABLE)
        _collect(problems, path_policy.parse_tables, location, tables)
        return problems
    for index, table in enumerate(tables):
        table_name = path_policy.TABLE
        where = f"{document.location_of_table(table_name, index)}: [[{table_name}]] {index + 1}"
        problems += _table_problems(where, table)
    return problems


def _table_problems(where: str, table: Mapping[str, Any]) -> list[str]:
    """Return the problems of each key of a table, or else those of all of them together."""
    problems: list[str] = []
    for key, value in table.items():
        # A valid table for each key: `match` and one more key are the minimum.
        alone = {"match": "*", "ttl": "1s", key: value}
        _collect(problems, path_policy.parse_table, where, alone)
    if not problems:
        _collect(problems, path_policy.parse_table, where, table)
    return problems


def _warnings(path: Path) -> Iterator[str]:
    """Yield which other users may change the file: it decides what root mounts, and where."""
    status = os.stat(path)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        mode = f"{status.st_mode & 0o7777:04o}"
        yield f"{path}: others than its owner may change it (mode {mode}): run 'chmod go-w {path}'"
    if status.st_uid not in {0, os.geteuid()}:
        owner = f"user {status.st_uid}"
        yield f"{path}: {owner} may change it: run 'chown root {path}', or make it your own"
