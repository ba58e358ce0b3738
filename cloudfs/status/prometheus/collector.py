"""The metrics of one status document, rendered in the exposition format."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from cloudfs.status.document import StatusDocument
from cloudfs.status.prometheus.definitions import DEFINITIONS
from cloudfs.status.prometheus.metric import MetricDefinition, MetricType, Sample


class DocumentCollector(Collector):
    """Collects the samples of one status document."""

    def __init__(self, document: StatusDocument) -> None:
        self._document = document

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the table that has samples."""
        bounds = [repr(float(bound)) for bound in self._document.histogram_bounds_s]
        for definition in DEFINITIONS:
            samples = list(definition.read(self._document))
            if samples:
                yield _family(definition, samples, bounds)


def render(document: StatusDocument, accept: str) -> tuple[bytes, str]:
    """Return the metrics and their content type, in the format that `accept` asks for.

    Reads /proc for the figures of the process: worker threads only.
    """
    registry = CollectorRegistry()
    registry.register(DocumentCollector(document))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _family(definition: MetricDefinition, samples: list[Sample], bounds: list[str]) -> Metric:
    if definition.type is MetricType.HISTOGRAM:
        return _histogram(definition, samples, bounds)
    family: CounterMetricFamily | GaugeMetricFamily
    if definition.type is MetricType.COUNTER:
        family = CounterMetricFamily(definition.name, definition.help, labels=definition.labels)
    else:
        family = GaugeMetricFamily(definition.name, definition.help, labels=definition.labels)
    for sample in samples:
        family.add_metric([_printable(label) for label in sample.labels], sample.value)
    return family


def _histogram(
    definition: MetricDefinition, samples: list[Sample], bounds: list[str]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(definition.name, definition.help, labels=definition.labels)
    for sample in samples:
        if len(sample.counts) == len(bounds) + 1:
            buckets = list(zip([*bounds, "+Inf"], accumulate(sample.counts), strict=True))
            family.add_metric(sample.labels, buckets, sample.value)
    return family


def _printable(label: str) -> str:
    """Return a label that is UTF-8: a directory's name need not be."""
    return label.encode("utf-8", "backslashreplace").decode()
