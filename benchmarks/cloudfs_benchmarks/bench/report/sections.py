"""What was measured, as parts of the page."""

from __future__ import annotations

from cloudfs_benchmarks.bench.report.cells import (
    EPOCH_HEAD,
    LEGEND,
    NODE_HEAD,
    STORE_HEAD,
    Notes,
    epoch_cells,
    latency_cell,
    node_cells,
    store_cells,
    value_cell,
)
from cloudfs_benchmarks.bench.report.claims import story
from cloudfs_benchmarks.bench.report.epochs import summarise_epochs, summarise_nodes
from cloudfs_benchmarks.bench.report.markup import bullets, paragraph, table, text
from cloudfs_benchmarks.bench.report.numbers import shown, spread
from cloudfs_benchmarks.bench.report.problems import find_problems
from cloudfs_benchmarks.bench.report.rows import STATES, make_rows, target_names
from cloudfs_benchmarks.bench.results import Results

_SIGNS = {True: ("held", "✓"), False: ("refuted", "✗"), None: ("unknown", "○")}
_STATE = frozenset({1})
"""The column of states, which are words."""


def claims(results: Results) -> list[str]:
    """The claims with their numbers, told apart by words and signs as well as by colour."""
    items = []
    for one in story(results):
        kind, sign = _SIGNS[one.held]
        items.append(
            f'<li class="{kind}"><strong>{sign} {text(one.outcome)}</strong>'
            f"{text(one.text)}<br><span>{text(one.figure)}</span></li>"
        )
    return [f'<ul class="claims">{"".join(items)}</ul>']


def summary(results: Results) -> list[str]:
    """The table of measurements with its legend and the reasons that it refers to."""
    notes = Notes(tuple(find_problems(results)))
    rows, names = make_rows(results), target_names(results)
    if not rows:
        return []
    lines = [
        [row.label, row.state, *(value_cell(row, i, notes) for i in range(len(names))), row.unit]
        for row in rows
    ]
    head = ["measurement", "state", *names, "unit"]
    states = [state for state in STATES if any(row.state is state for row in rows)]
    return [
        table("Medians over the trials", head, lines, words={1, len(head) - 1}),
        paragraph(LEGEND, "faint"),
        bullets(f"{state}: {STATES[state]}" for state in states),
        *([bullets(notes.lines())] if notes.problems else []),
    ]


def training(results: Results) -> list[str]:
    """Epochs of each target, and what a mount asked of the store in them."""
    epochs = summarise_epochs(results)
    parts = []
    if epochs:
        lines = [epoch_cells(epoch) for epoch in epochs]
        parts.append(table("Medians over the trials", EPOCH_HEAD, lines, words={2}))
        parts.append(
            paragraph(
                "AU, the accelerator utilisation of MLPerf Storage: the part of an epoch spent "
                "computing, its first step left out. Data wait: the part spent waiting for a "
                "batch, with the first step. The median step leaves the first step out.",
                "faint",
            )
        )
    counted = [store_cells(epoch) for epoch in epochs if epoch.counted]
    if counted:
        parts.append(table("What the mount fetched, by its own counters", STORE_HEAD, counted))
    return parts


def nodes(results: Results) -> list[str]:
    """One node and several."""
    found = summarise_nodes(results)
    alone = {one.target: one for one in found if one.nodes == 1}
    lines = [node_cells(one, alone.get(one.target)) for one in found]
    return [table("Nodes that read the same data at once", NODE_HEAD, lines)] if lines else []


def latency(results: Results) -> list[str]:
    """Percentiles of every measurement that timed its operations."""
    names = target_names(results)
    lines = [
        [row.label, row.state, *(latency_cell(cell, full=True) for cell in row.cells)]
        for row in make_rows(results)
        if any(cell and cell.latency for cell in row.cells)
    ]
    if not lines:
        return []
    caption = "p50 / p95 / p99 / longest of single operations over all trials"
    return [table(caption, ["measurement", "state", *names], lines, words=_STATE)]


def all_figures(results: Results) -> list[str]:
    """Every figure of every measurement, with what measured it."""
    lines = []
    for row in make_rows(results):
        for cell in filter(None, row.cells):
            for name, series in cell.figures.items():
                seen = shown(name, series)
                value = spread(seen.values) if seen.values else "no value"
                mark = "~" if cell.unstable else ""
                lines.append(
                    (row.label, row.state, cell.target, name, value, seen.unit, mark, cell.engine)
                )
    head = ("measurement", "state", "target", "figure", "median (range)", "unit", "~", "engine")
    caption = "Median (least-most) of the trials; ~ marks measurements whose trials disagree"
    return [table(caption, head, lines, words={1, 2, 3, 5, 6, 7})] if lines else []
