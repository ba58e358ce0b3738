"""What a run has found so far, saved after every measurement: an interrupted run loses nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cloudfs_benchmarks.bench import schema
from cloudfs_benchmarks.bench.environment import finish
from cloudfs_benchmarks.bench.results import (
    Environment,
    Measurement,
    NodeRun,
    Plan,
    Results,
    Target,
    TrainingRun,
)

RESULTS_NAME = "results.json"


@dataclass(slots=True)
class Collector:
    """Collects the records of one run and keeps `out`/results.json up to date."""

    out: Path
    tool: str
    command: str
    environment: Environment
    plan: Plan
    targets: tuple[Target, ...]
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock_s: float = field(default_factory=time.monotonic)
    _measurements: list[Measurement] = field(default_factory=list)
    _training: list[TrainingRun] = field(default_factory=list)
    _nodes: list[NodeRun] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)

    def add(
        self,
        *,
        measurements: Sequence[Measurement] = (),
        training: Sequence[TrainingRun] = (),
        nodes: Sequence[NodeRun] = (),
    ) -> None:
        """Take in records and save everything there is."""
        self._measurements += measurements
        self._training += training
        self._nodes += nodes
        self.save()

    @property
    def anything(self) -> bool:
        """Whether there is anything to report."""
        return bool(self._measurements or self._training or self._nodes)

    def note(self, line: str) -> None:
        """Add a line that readers of the report should see; each once."""
        if line not in self._notes:
            self._notes.append(line)

    def save(self, *, finished: bool = False) -> Results:
        """Write results.json as a whole and return what is in it."""
        results = Results(
            tool=self.tool,
            started_at=self.started_at.isoformat(timespec="seconds"),
            command=self.command,
            finished=finished,
            seconds=time.monotonic() - self._clock_s,
            environment=finish(self.environment) if finished else self.environment,
            plan=self.plan,
            targets=self.targets,
            measurements=tuple(self._measurements),
            training=tuple(self._training),
            nodes=tuple(self._nodes),
            notes=tuple(self._notes),
        )
        schema.save(self.out / RESULTS_NAME, results)
        return results
