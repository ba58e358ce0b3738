"""results.json: the records of `results` written and read, by their type hints.

A field that is added needs a default, and nothing here. docs/benchmarking.md describes them all.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.results import SCHEMA, Results

_KINDS: Mapping[type, str] = {str: "a text", bool: "true or false", int: "a whole number"}


class _WrongValueError(Exception):
    """A value that the schema does not allow; `where` is its path from the document's root."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where or 'the document'}: {what}")


def to_document(results: Results) -> dict[str, Any]:
    """The records as JSON's types. `BenchError` naming a number that is not finite."""
    try:
        return _written_record(results, "")
    except _WrongValueError as error:
        raise BenchError(f"results cannot be written: {error}") from None


def from_document(document: object, source: str = "results.json") -> Results:
    """The records of a document, which `source` names in errors.

    What `to_document` gave comes back equal. Fields that this version does not know are ignored:
    they were added within the schema and change no other's meaning. `BenchError` in one line for
    another schema, and naming the JSON path of a field that is missing or has a wrong value.
    """
    if not isinstance(document, dict) or "schema" not in document:
        raise BenchError(f"{source} is no results file: give a results.json of cloudfs bench run")
    _check_schema(document, source)
    try:
        results = _read(Results, document, "")
    except _WrongValueError as error:
        raise BenchError(
            f"{source} is no valid results file: {error}: repeat the run that wrote it"
        ) from None
    assert isinstance(results, Results)
    return results


def save(path: Path, results: Results) -> None:
    """Write the document; afterwards it is on disk whole, or as it was before.

    `BenchError` when it cannot be written.
    """
    text = json.dumps(to_document(results), indent=1, allow_nan=False)
    try:
        _replace(path, text + "\n")
    except OSError as error:
        reason = error.strerror or error
        raise BenchError(
            f"results cannot be saved: {path}: {reason}: give another folder with --out"
        ) from error


def load(path: Path) -> Results:
    """Read a document that `save` wrote. `BenchError` in one line when that cannot be."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BenchError(f"{path} does not exist: give the results.json of a run") from None
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = f"it is not JSON, or cut short ({error})"
        raise BenchError(f"{path} is no results file: {reason}: repeat the run") from None
    return from_document(document, str(path))


def _check_schema(document: Mapping[str, Any], source: str) -> None:
    schema = document["schema"]
    if schema == SCHEMA and type(schema) is int:
        return
    writer = document.get("tool")
    by = f" written by {writer}" if isinstance(writer, str) else ""
    raise BenchError(
        f"{source}{by} has schema {_shown(schema)} and this version reads {SCHEMA}: "
        "read it with the version of cloudfs that wrote it, or upgrade"
    )


def _replace(path: Path, text: str) -> None:
    """Put a file in place of another in one step that outlives a power cut."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _written_record(record: Any, where: str) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(record))
    return {name: _written(getattr(record, name), _below(where, name)) for name in names}


def _written(value: object, where: str) -> Any:
    """A value as JSON's types; numbers keep theirs, so NumPy's need to be converted before."""
    if value is None or isinstance(value, (str, bool, int)):
        return value.value if isinstance(value, StrEnum) else value
    if isinstance(value, float):
        return _finite(value, where)
    if isinstance(value, Mapping):
        return {key: _written(each, _below(where, key)) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_written(each, f"{where}[{n}]") for n, each in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return _written_record(value, where)
    raise _WrongValueError(where, f"{type(value).__name__} has no place in JSON")


def _read(expected: Any, value: Any, where: str) -> Any:
    """`value` as what the type hint says."""
    origin = get_origin(expected)
    if origin in (types.UnionType, Union):
        inner = next(each for each in get_args(expected) if each is not types.NoneType)
        return None if value is None else _read(inner, value, where)
    if origin is tuple:
        return _read_tuple(get_args(expected), value, where)
    if origin is Mapping:
        each_type = get_args(expected)[1]
        pairs = _needed(dict, value, where, "an object").items()
        return {key: _read(each_type, each, _below(where, key)) for key, each in pairs}
    if dataclasses.is_dataclass(expected):
        return _read_record(expected, value, where)
    return _read_plain(expected, value, where)


def _read_plain(expected: Any, value: Any, where: str) -> Any:
    if issubclass(expected, StrEnum):
        try:
            return expected(value)
        except ValueError:
            known = ", ".join(expected)
            raise _WrongValueError(where, f"{_shown(value)} is none of {known}") from None
    if expected is float:
        # 1 and 1.0 are one number in JSON; other tools write the shorter one.
        number = _needed((int, float), value, where, "a number")
        return _finite(number, where)
    return _needed(expected, value, where, _KINDS[expected])


def _read_tuple(inner: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    values = _needed(list, value, where, "an array")
    if inner[-1] is Ellipsis:
        inner = (inner[0],) * len(values)
    if len(values) != len(inner):
        raise _WrongValueError(where, f"{len(inner)} values are needed, {len(values)} are there")
    pairs = enumerate(zip(inner, values, strict=True))
    return tuple(_read(each, one, f"{where}[{n}]") for n, (each, one) in pairs)


def _read_record(expected: Any, value: Any, where: str) -> Any:
    members = _needed(dict, value, where, "an object")
    hints = _hints(expected)
    given = {}
    for field in dataclasses.fields(expected):
        place = _below(where, field.name)
        if field.name in members:
            given[field.name] = _read(hints[field.name], members[field.name], place)
        elif _is_required(field):
            raise _WrongValueError(place, "is missing")
    return expected(**given)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    absent = dataclasses.MISSING
    return field.default is absent and field.default_factory is absent


def _needed(expected: Any, value: Any, where: str, what: str) -> Any:
    """`value`, if it is of a type; a bool is no number although Python says so."""
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise _WrongValueError(where, f"{what} is needed, {_shown(value)} is there")
    return value


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _WrongValueError(where, f"a finite number is needed, {number} is there")
    return number


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


@cache
def _hints(record: type) -> dict[str, Any]:
    return get_type_hints(record)
