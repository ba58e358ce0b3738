"""The tables for a README."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cloudfs_benchmarks.bench.report.cells import (
    EPOCH_HEAD,
    LEGEND,
    NODE_HEAD,
    STORE_HEAD,
    Notes,
    conditions,
    epoch_cells,
    node_cells,
    store_cells,
    value_cell,
)
from cloudfs_benchmarks.bench.report.epochs import summarise_epochs, summarise_nodes
from cloudfs_benchmarks.bench.report.numbers import one_line
from cloudfs_benchmarks.bench.report.problems import find_problems
from cloudfs_benchmarks.bench.report.rows import make_rows, target_names
from cloudfs_benchmarks.bench.report.verdict import verdict
from cloudfs_benchmarks.bench.results import Results


def render_markdown(results: Results) -> str:
    """Verdict, conditions, the tables and what went wrong, as GitHub's Markdown."""
    notes = Notes(tuple(find_problems(results)))
    epochs, nodes = summarise_epochs(results), summarise_nodes(results)
    names = target_names(results)
    blocks = [f"**{_escape(verdict(results))}**", _escape(conditions(results))]
    lines = [
        (row.label, row.state, *(value_cell(row, i, notes) for i in range(len(names))), row.unit)
        for row in make_rows(results)
    ]
    if lines:
        blocks += [_table(("measurement", "state", *names, "unit"), lines), _escape(LEGEND)]
    if epochs:
        blocks.append(_table(EPOCH_HEAD, [epoch_cells(epoch) for epoch in epochs]))
    counted = [epoch for epoch in epochs if epoch.counted]
    if counted:
        blocks.append(_table(STORE_HEAD, [store_cells(epoch) for epoch in counted]))
    if nodes:
        alone = {one.target: one for one in nodes if one.nodes == 1}
        blocks.append(_table(NODE_HEAD, [node_cells(one, alone.get(one.target)) for one in nodes]))
    if notes.problems:
        blocks.append("\n".join(f"- {_escape(line)}" for line in notes.lines()))
    return "\n\n".join(blocks) + "\n"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Names to the left, numbers to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    rows = [[_escape(cell) for cell in line] for line in (head, *lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))


def _escape(text: str) -> str:
    """Text in which nothing is markup, HTML or a column."""
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", one_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
