"""What a metric is: its name, type and labels, what it answers, and where its samples come from.

It does not know which metrics there are, nor how they are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

Document: TypeAlias = Mapping[str, Any]
"""The status document, schema 3; an absent key means that there is nothing to say."""


class Type(StrEnum):
    """The type of a metric, in Prometheus's words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Stability(StrEnum):
    """What may change: a `stable` metric keeps its name, labels and meaning, but for a release
    that says otherwise; an `experimental` one may change or go with any release."""

    STABLE = "stable"
    EXPERIMENTAL = "experimental"


@dataclass(frozen=True, slots=True)
class Sample:
    """A value and the values of its labels, in the order of the definition.

    Of a histogram `value` is the sum in seconds and `counts` are those of the buckets, one by one.
    """

    labels: tuple[str, ...]
    value: float
    counts: tuple[int, ...] = ()


Reader: TypeAlias = Callable[[Document], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric. `name` is as it is exposed, `_total` included; `question` is what it answers."""

    name: str
    type: Type
    labels: tuple[str, ...]
    stability: Stability
    help: str
    question: str
    read: Reader


def figure(*path: str) -> Reader:
    """Return a reader of the one number at `path`; no sample where it is absent or null."""

    def read(document: Document) -> Iterator[Sample]:
        yield from numbers((), part(document, *path[:-1]), path[-1])

    return read


def part(document: Document, *path: str) -> Document:
    """Return the mapping at `path`, an empty one where there is none."""
    for name in path:
        found = document.get(name)
        if not isinstance(found, Mapping):
            return {}
        document = found
    return document


def entries(document: Document, *path: str) -> Iterator[tuple[str, Document]]:
    """Yield the mappings at `path` by their keys."""
    for name, value in part(document, *path).items():
        if isinstance(value, Mapping):
            yield name, value


def numbers(labels: tuple[str, ...], document: Document, key: str) -> Iterator[Sample]:
    """Yield the number under `key`, if there is one."""
    value = document.get(key)
    if isinstance(value, int | float):
        yield Sample(labels, float(value))


def histogram(
    labels: tuple[str, ...], document: Document, counts: str, seconds: str
) -> Iterator[Sample]:
    """Yield the histogram under these two keys, if there is one."""
    found = document.get(counts)
    if found:
        yield Sample(labels, float(document.get(seconds, 0.0)), tuple(found))
