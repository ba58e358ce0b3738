"""The results in a terminal: what was measured, the training, and all that limits the numbers."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from cloudfs_benchmarks.bench.report.cells import (
    EPOCH_HEAD,
    LEGEND,
    NODE_HEAD,
    STORE_HEAD,
    Notes,
    conditions,
    epoch_cells,
    latency_cell,
    node_cells,
    store_cells,
    value_cell,
)
from cloudfs_benchmarks.bench.report.claims import story
from cloudfs_benchmarks.bench.report.epochs import summarise_epochs, summarise_nodes
from cloudfs_benchmarks.bench.report.numbers import one_line
from cloudfs_benchmarks.bench.report.problems import find_problems
from cloudfs_benchmarks.bench.report.proofs import find_proofs
from cloudfs_benchmarks.bench.report.rows import STATES, Row, make_rows, target_names
from cloudfs_benchmarks.bench.report.verdict import verdict
from cloudfs_benchmarks.bench.results import Results

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Section = tuple[str, Sequence["RenderableType"]]
"""A title, and what stands below it."""

_FIXED = 34
"""Characters that name, state and unit take at most."""
_GAP = 2
"""Characters between columns."""
_CELL = 22
"""Characters of `*12345 (12000-12999) ~` and the gap."""


def render_table(results: Results, width: int) -> str:
    """The whole report as plain text of at most `width` characters a line, without colour."""
    from rich.console import Console  # noqa: PLC0415 - slow to load, and for terminals only
    from rich.padding import Padding  # noqa: PLC0415

    output = io.StringIO()
    console = Console(
        file=output,
        width=width,
        color_system=None,
        force_terminal=False,
        # What comes from elsewhere is no markup and no code of a picture.
        markup=False,
        emoji=False,
        highlight=False,
    )
    for line in (verdict(results), conditions(results)):
        console.print(one_line(line))
    for title, parts in _sections(results, width):
        console.print(f"\n{one_line(title)}")
        for part in parts:
            shown = Padding(one_line(part), (0, 0, 0, 2)) if isinstance(part, str) else part
            console.print(shown)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines()) + "\n"


def _sections(results: Results, width: int) -> Iterator[Section]:
    """Nothing of what there is none of."""
    notes = Notes(tuple(find_problems(results)))
    yield from _measurements(results, notes, width)
    yield from _training(results, width)
    yield "Claims", [f"{one.outcome}: {one.text} {one.figure}" for one in story(results)]
    yield from _reservations(results, notes)


def _measurements(results: Results, notes: Notes, width: int) -> Iterator[Section]:
    rows = make_rows(results)
    if not rows:
        return
    values = _side_by_side(
        results, rows, lambda row, index: value_cell(row, index, notes), width, units=True
    )
    states = [state for state in STATES if any(row.state is state for row in rows)]
    legend = [LEGEND, *(f"{state}: {STATES[state]}" for state in states)]
    yield "Measurements", [*values, *legend]
    timed = [row for row in rows if any(cell and cell.latency for cell in row.cells)]
    if timed:
        tables = _side_by_side(
            results, timed, lambda row, index: latency_cell(row.cells[index]), width
        )
        yield "Latency of single operations over all trials, p50 / p99", list(tables)


def _training(results: Results, width: int) -> Iterator[Section]:
    epochs, nodes = summarise_epochs(results), summarise_nodes(results)
    if epochs:
        table = _plain_table(EPOCH_HEAD, [epoch_cells(epoch) for epoch in epochs], width)
        yield "Training, medians over the trials", [table]
    counted = [epoch for epoch in epochs if epoch.counted]
    if counted:
        table = _plain_table(STORE_HEAD, [store_cells(epoch) for epoch in counted], width)
        yield "What the mount fetched while training, medians over the trials", [table]
    if nodes:
        alone = {one.target: one for one in nodes if one.nodes == 1}
        lines = [node_cells(one, alone.get(one.target)) for one in nodes]
        yield "Reader nodes", [_plain_table(NODE_HEAD, lines, width)]


def _reservations(results: Results, notes: Notes) -> Iterator[Section]:
    """What qualifies the numbers."""
    if notes.problems:
        yield "Errors and skipped", notes.lines()
    for target in results.targets:
        if target.tunings_missing:
            title = f"NFS tunings not in use on {target.name}"
            yield title, [f"- {tuning}" for tuning in target.tunings_missing]
    proofs = find_proofs(results)
    if proofs:
        lines = [f"{one.state} ({', '.join(one.targets)}): {one.text}" for one in proofs]
        yield "How the states were established", lines
    if results.notes:
        yield "Notes", list(results.notes)


def _side_by_side(
    results: Results,
    rows: Sequence[Row],
    cell: Callable[[Row, int], str],
    width: int,
    *,
    units: bool = False,
) -> Iterator[RenderableType]:
    """A table with a column for each of as many targets as fit, then one for the next ones."""
    names = target_names(results)
    together = max(3, (width - _FIXED) // _CELL)
    for first in range(0, len(names), together):
        if first:
            yield ""
        indices = range(first, min(first + together, len(names)))
        shown = [row for row in rows if any(row.cells[index] is not None for index in indices)]
        head = ["measurement", "state", *(names[index] for index in indices)]
        lines = [[row.label, row.state, *(cell(row, index) for index in indices)] for row in shown]
        if units:
            head.append("unit")
            lines = [[*line, row.unit] for line, row in zip(lines, shown, strict=True)]
        yield _plain_table(head, lines, width, numbers=range(2, 2 + len(indices)))


def _plain_table(
    head: Sequence[str],
    lines: Sequence[Sequence[str]],
    width: int,
    numbers: Sequence[int] | None = None,
) -> Table:
    """Columns of `numbers` to the right; without them, all after the first."""
    from rich import box  # noqa: PLC0415 - slow to load, and for terminals only
    from rich.table import Table  # noqa: PLC0415

    right = range(1, len(head)) if numbers is None else numbers
    titles, *cells = [[one_line(cell) for cell in line] for line in (head, *lines)]
    widths = _fit([titles, *cells], width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for index, title in enumerate(titles):
        justify: Literal["right", "left"] = "right" if index in right else "left"
        table.add_column(title, justify=justify, overflow="fold", width=widths[index])
    for line in cells:
        table.add_row(*line)
    return table


def _fit(lines: Sequence[Sequence[str]], room: int) -> list[int]:
    """Widths of columns that fit: cells are broken between words first, and within them at worst.

    The table itself would take from all columns alike, from short ones, too.
    """
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    # A percent sign stays with its number.
    words = [
        max(len(word) for cell in column for word in re.split(" (?!%)", cell)) for column in columns
    ]
    available = room - _GAP * (len(columns) - 1)
    for least in (words, [1] * len(columns)):
        while sum(widths) > available and widths != least:
            spare = [width - floor for width, floor in zip(widths, least, strict=True)]
            widths[spare.index(max(spare))] -= 1
    return widths
