"""The conditions in which two runs were made, where they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from cloudfs_benchmarks.bench.results import Results

_OF_THE_MOMENT = frozenset({"page_cache_bytes", "load", "free_bytes"})
"""Fields that differ between any two runs."""


def differing(a: Results, b: Results) -> tuple[str, ...]:
    """One line for each condition that is not the same: the tool, the machine, what was asked for,
    and how each target was mounted. Fields that are added to the records are compared too.
    """
    return tuple(_all(a, b))


def _all(a: Results, b: Results) -> Iterator[str]:
    yield from _unfinished(a, "A")
    yield from _unfinished(b, "B")
    yield from _value("tool", a.tool, b.tool)
    yield from _record("", a.environment, b.environment)
    yield from _record("plan: ", a.plan, b.plan)
    of_a = {target.name: target for target in a.targets}
    of_b = {target.name: target for target in b.targets}
    for name in (*of_a, *(each for each in of_b if each not in of_a)):
        if name not in of_b:
            yield f"target {name}: in A only"
        elif name not in of_a:
            yield f"target {name}: in B only"
        else:
            yield from _record(f"target {name}: ", of_a[name], of_b[name])


def _unfinished(results: Results, which: str) -> Iterator[str]:
    if not results.finished:
        yield f"{which} was interrupted and has only what was measured until then"


def _record(prefix: str, a: Any, b: Any) -> Iterator[str]:
    for field in dataclasses.fields(a):
        if field.name not in _OF_THE_MOMENT:
            what = f"{prefix}{field.name.replace('_', ' ')}"
            yield from _value(what, getattr(a, field.name), getattr(b, field.name))


def _value(what: str, a: object, b: object) -> Iterator[str]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted({*a, *b}):
            yield from _value(f"{what} {key}", a.get(key), b.get(key))
    elif a != b:
        yield f"{what}: {_shown(a)} in A, {_shown(b)} in B"


def _shown(value: object) -> str:
    if value is None or value == "":
        return "none"
    if isinstance(value, Collection) and not isinstance(value, str):
        return "; ".join(str(each) for each in value) or "none"
    return str(value)
