"""Everything that is wrong with configuration files and `CLOUDFS_*` variables, not only the first.

A mount refuses its settings at the first mistake; here the same rules are asked about each key by
itself. Neither the store nor a mountpoint is touched. This module does not know how the problems
are shown.
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
from cloudfs.config.sources import Layer
from cloudfs.errors import UserError
from cloudfs.system import mountpoints

_WRITABLE_BY_OTHERS: Final = 0o022
_PLACE: Final = re.compile(r"\S.*?:([0-9]+): ")
_P = ParamSpec("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found about one file, one line each: problems a mount would refuse, and warnings.

    `layer` has what was understood, `settings` is None when no settings could be made of it.
    """

    path: Path
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    layer: Layer | None = None
    settings: MountSettings | None = None


def check_variables(environ: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the `CLOUDFS_*` variables, one line each."""
    problems = [
        f"unknown variable {name}: {fix}" for name, fix in sources.unknown_variables(environ)
    ]
    layer = sources.environment_layer(environ)
    if given := layer.get("config"):
        _tried(problems, sources.configuration, given, environ)
    _check_values(problems, layer)
    return problems


def check_file(path: Path) -> Checked:
    """Return everything that is wrong with one file."""
    problems: list[str] = []
    document = _tried(problems, files.read, path)
    if document is None:
        return Checked(path, tuple(problems))
    layer: Layer = {}
    for key in document.values:
        _tried(problems, sources.add_key, layer, document, key)
    problems += _policy_problems(document)
    _check_values(problems, layer)
    settings = _tried(problems, _settings, layer)
    if settings is not None:
        problems += _place_problems(path, layer, settings)
    problems.sort(key=_line)
    return Checked(path, tuple(problems), tuple(_warnings(path)), layer, settings)


def _line(problem: str) -> int:
    """Return the number in `FILE:LINE: problem`, 0 without one."""
    match = _PLACE.match(problem)
    return 0 if match is None else int(match[1])


def _settings(layer: Layer) -> MountSettings:
    return config.settled(sources.without_negations(layer)).settings


def _place_problems(path: Path, layer: Layer, settings: MountSettings) -> Iterator[str]:
    for name, problem in config.place_problems(settings):
        given = layer.get(name)
        yield f"{path if given is None else given.place}: {problem}"


def clashes(checked: Iterable[Checked]) -> Iterator[str]:
    """Yield what two files claim for themselves although only one mount can have it.

    A file that hides another one of its name is not held against it: a name means the first.
    """
    first: dict[tuple[str, str], Checked] = {}
    for item in checked:
        for name, value in _claims(item):
            other = first.setdefault((name, value), item)
            if other.path.name != item.path.name:
                given = (item.layer or {})[name]
                key = options.BY_NAME[name].key
                yield f"{given.place}: {key} {value} is also that of {other.path}: change one"


def _claims(checked: Checked) -> Iterator[tuple[str, str]]:
    """Yield what no two mounts may share, by the option that says it."""
    settings = checked.settings
    if settings is None:
        return
    path = settings.mountpoint
    if path != NO_MOUNTPOINT and mountpoints.passed_descriptor(path) is None:
        yield "mountpoint", str(path)
    address = settings.metrics_address
    if address is not None and (address.path or address.port):
        yield "metrics_address", str(address)


def _tried(
    problems: list[str], call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T | None:
    """Return what `call` returns; None when it fails, whose reason is then among the problems."""
    try:
        return call(*args, **kwargs)
    except UserError as error:
        problems.append(error.message)
        return None


def _check_values(problems: list[str], layer: Layer) -> None:
    """Look at each value by itself, and take those out that are wrong."""
    for name, given in [*layer.items()]:
        before = len(problems)
        if name == "config":
            continue
        if name == "url":
            _tried(problems, config.canonical_url, given)
        else:
            _tried(problems, given.parsed, options.BY_NAME[name])
        if len(problems) > before:
            del layer[name]


def _policy_problems(document: Document) -> list[str]:
    """Return what is wrong with the tables of path policies."""
    problems: list[str] = []
    tables = document.values.get(path_policy.TABLE, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        place = document.place(path_policy.TABLE)
        _tried(problems, path_policy.parse_tables, place, tables)
        return problems
    for index, table in enumerate(tables):
        table_name = path_policy.TABLE
        where = f"{document.place_of_table(table_name, index)}: [[{table_name}]] {index + 1}"
        problems += _table_problems(where, table)
    return problems


def _table_problems(where: str, table: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with each key of a table, or else with all of them together."""
    problems: list[str] = []
    for key, value in table.items():
        # Keys that are right whatever the others are make a whole table of each.
        alone = {"match": "*", "ttl": "1s", key: value}
        _tried(problems, path_policy.parse_table, where, alone)
    if not problems:
        _tried(problems, path_policy.parse_table, where, table)
    return problems


def _warnings(path: Path) -> Iterator[str]:
    """Yield who else may change the file: it decides what root mounts, and where."""
    status = os.stat(path)
    if status.st_mode & _WRITABLE_BY_OTHERS:
        mode = f"{status.st_mode & 0o7777:04o}"
        yield f"{path}: others than its owner may change it (mode {mode}): run 'chmod go-w {path}'"
    if status.st_uid not in {0, os.geteuid()}:
        owner = f"user {status.st_uid}"
        yield f"{path}: {owner} may change it: run 'chown root {path}', or make it your own"
