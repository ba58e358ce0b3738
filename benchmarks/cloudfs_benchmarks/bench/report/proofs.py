"""How cold and warm were established: each proof once, with the targets that it holds for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cloudfs_benchmarks.bench.report.numbers import one_line
from cloudfs_benchmarks.bench.report.rows import STATES, target_names
from cloudfs_benchmarks.bench.results import CacheState, Results


@dataclass(frozen=True, slots=True)
class Proof:
    """A state, how it was established, on which targets, and how many records say so."""

    state: CacheState
    text: str
    targets: tuple[str, ...]
    records: int


def find_proofs(results: Results) -> list[Proof]:
    """Coldest first. Proofs that differ in numbers alone are one, with the first one's numbers."""
    order, states = target_names(results), list(STATES)
    found: dict[tuple[CacheState, str], list[tuple[str, str]]] = {}
    for state, proof, target in _stated(results):
        text = one_line(proof)
        found.setdefault((state, re.sub(r"\d+(\.\d+)?", "#", text)), []).append((target, text))
    return [
        Proof(
            state,
            said[0][1],
            tuple(sorted({target for target, _ in said}, key=order.index)),
            len(said),
        )
        for (state, _), said in sorted(found.items(), key=lambda item: states.index(item[0][0]))
    ]


def _stated(results: Results) -> list[tuple[CacheState, str, str]]:
    """(state, proof, target) of everything that was measured."""
    measured = [
        (one.state, one.proof, one.target)
        for one in results.measurements
        if one.proof and one.skipped is None
    ]
    trained = [
        (epoch.state, epoch.proof, run.target)
        for run in results.training
        for epoch in run.epochs
        if epoch.proof
    ]
    return measured + trained
