"""Metric definitions: name, type, labels, stability, question and the source of the samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from cloudfs.status.document import StatusDocument


class MetricType(StrEnum):
    """The type of a metric, as Prometheus names it."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Stability(StrEnum):
    """A `stable` metric keeps its name, labels and meaning unless a release says otherwise; an
    `experimental` one may change or go with any release."""

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


Reader: TypeAlias = Callable[[StatusDocument], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric by its exposed name, `_total` included; `question` is what it answers."""

    name: str
    type: MetricType
    labels: tuple[str, ...]
    stability: Stability
    help: str
    question: str
    read: Reader
