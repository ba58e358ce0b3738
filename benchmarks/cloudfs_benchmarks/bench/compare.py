"""Two runs of the benchmark against each other: what changed in B since A, and what may explain it.

A figure counts as changed when the interval of the ratio of its medians (`compare_series`) leaves
out 1 and the ratio is further from 1 than a threshold. Latencies are not compared: they are kept
over all trials together, so that nothing says how far they repeat.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from textwrap import TextWrapper

from cloudfs_benchmarks.bench.conditions import differing
from cloudfs_benchmarks.bench.matching import Key, Part, parts_of
from cloudfs_benchmarks.bench.results import Results, Series
from cloudfs_benchmarks.bench.statistics import (
    Change,
    better_when,
    compare_series,
    median,
)

THRESHOLD = 0.05
"""Below it nobody changes anything, and two builds of the same code differ as much."""

_SHARES = frozenset({"memory_share", "ssd_share", "store_share"})


class Verdict(StrEnum):
    """What became of a figure, in the order in which they are shown.

    `UNCLEAR`: the trials lie too far apart to tell. `DIFFERS`: changed, and neither way is better.
    """

    WORSE = "worse"
    BETTER = "better"
    UNCLEAR = "unclear"
    DIFFERS = "differs"
    SAME = "same"


@dataclass(frozen=True, slots=True)
class Row:
    """A figure that both runs have."""

    key: Key
    figure: str
    a: Series
    b: Series
    change: Change
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found; every text is one line.

    `warnings`: conditions that differ. `only_a` and `only_b`: what the other run does not have.
    `new_errors`: what failed in B and did not fail in A.
    """

    warnings: tuple[str, ...]
    rows: tuple[Row, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    new_errors: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether anything is worse in B, or fails there only."""
        return bool(self.new_errors) or any(row.verdict is Verdict.WORSE for row in self.rows)


def compare(a: Results, b: Results, *, threshold: float = THRESHOLD) -> Comparison:
    """What changed from A to B; `threshold` is how far from 1 a ratio must be to count, and of
    figures that are shares how far apart they must be: 0.1 % of the bytes to 0.2 % is no change.
    """
    of_a, of_b = parts_of(a), parts_of(b)
    both = [key for key in of_a if key in of_b]
    rows = tuple(row for key in both for row in _rows(key, of_a[key], of_b[key], threshold))
    return Comparison(
        warnings=(*differing(a, b), *_engines(of_a, of_b), *_states(of_a, of_b)),
        rows=rows,
        only_a=tuple(_absent(of_a, of_b)),
        only_b=tuple(_absent(of_b, of_a)),
        new_errors=tuple(_new_errors(of_a, of_b)),
    )


def render(comparison: Comparison, width: int = 100) -> str:
    """Plain text: warnings, the figures (the keys with worse ones first), what one run lacks, and
    the sum. Lines fit `width` (80 or more) where names allow; nothing is cut off.
    """
    lines = _listed("Conditions differ, which may explain what follows:", comparison.warnings)
    lines += _table(comparison.rows)
    lines += _listed("Only in A:", comparison.only_a)
    lines += _listed("Only in B:", comparison.only_b)
    lines += _listed("Fails in B and did not in A:", comparison.new_errors)
    lines.append(_summary(comparison))
    wrap = TextWrapper(width, subsequent_indent="    ", break_on_hyphens=False)
    # Rows are aligned by runs of blanks, and fit.
    wrapped = (one for line in lines for one in (wrap.wrap(line) if len(line) > width else [line]))
    return "".join(f"{line}\n" for line in wrapped)


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *(f"  {line}" for line in lines), ""] if lines else []


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    order = list(Verdict)
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: order.index(row.verdict)):
        groups[row.key].append(row)
    cells = [("figure", "A", "B", "B / A", "verdict"), *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_aligned(cells[0], widths)]
    for key, group in groups.items():
        lines += [str(key), *(_aligned(_cells(row), widths) for row in group)]
    if not all(row.change.resampled for row in rows):
        lines.append("* fewer than 3 trials: the range of all pairs, not a 95 % interval")
    return [*lines, ""]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    figure, *numbers, verdict = cells
    padded = (cell.rjust(width) for cell, width in zip(numbers, widths[1:-1], strict=True))
    return "  ".join(("", figure.ljust(widths[0]), *padded, verdict))


def _cells(row: Row) -> tuple[str, ...]:
    change = row.change
    interval = f" ({change.low:.2f}-{change.high:.2f})" if change.low < change.high else ""
    unit, scale = ("MB", 1e6) if row.a.unit == "bytes" else (row.a.unit, 1.0)
    return (
        f"{row.figure} {unit}".rstrip(),
        _number(median(row.a.values) / scale),
        _number(median(row.b.values) / scale),
        f"{change.ratio:.2f}{interval}{'' if change.resampled else '*'}",
        row.verdict,
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _summary(comparison: Comparison) -> str:
    found = Counter(row.verdict for row in comparison.rows)
    counts = [f"{found[verdict]} {verdict}" for verdict in Verdict if found[verdict]]
    if comparison.new_errors:
        counts.append(f"{len(comparison.new_errors)} new errors")
    ended = "B is a regression" if comparison.regressed else "no regression"
    return f"{', '.join(counts) or 'nothing that both have'}: {ended}"


def _rows(key: Key, a: Part, b: Part, threshold: float) -> Iterator[Row]:
    for figure, old in a.figures.items():
        new = b.figures.get(figure)
        if new is not None:
            change = compare_series(old.values, new.values)
            apart = abs(median(new.values) - median(old.values))
            moved = (apart if figure in _SHARES else abs(change.ratio - 1)) > threshold
            yield Row(key, figure, old, new, change, _verdict(figure, change, moved, threshold))


def _verdict(figure: str, change: Change, moved: bool, threshold: float) -> Verdict:
    if not change.excludes_one:
        narrow = change.low >= 1 - threshold and change.high <= 1 + threshold
        return Verdict.SAME if narrow else Verdict.UNCLEAR
    if not moved:
        return Verdict.SAME
    direction = better_when(figure)
    if direction == "neither":
        return Verdict.DIFFERS
    return Verdict.BETTER if (change.ratio > 1) == (direction == "higher") else Verdict.WORSE


def _engines(a: dict[Key, Part], b: dict[Key, Part]) -> Iterator[str]:
    for key in (each for each in a if each in b):
        of_a, of_b = a[key].engines, b[key].engines
        if of_a and of_b and of_a != of_b:
            yield f"{key}: {_joined(of_a)} in A, {_joined(of_b)} in B"


def _states(a: dict[Key, Part], b: dict[Key, Part]) -> Iterator[str]:
    """Where a cache state was reached, or proven, in one run only."""
    of_a, of_b = _states_of(a), _states_of(b)
    for key, states in of_a.items():
        if key in of_b and states != of_b[key]:
            yield f"{key}: caches were {_joined(states)} in A, {_joined(of_b[key])} in B"


def _states_of(parts: dict[Key, Part]) -> dict[Key, set[str]]:
    states: dict[Key, set[str]] = defaultdict(set)
    for key, part in parts.items():
        states[key._replace(state="")] |= part.states
    return dict(states)


def _joined(values: Iterable[str]) -> str:
    return " and ".join(sorted(values))


def _absent(parts: dict[Key, Part], others: dict[Key, Part]) -> Iterator[str]:
    """What `others` lacks, with its reason where there is one."""
    for key, part in parts.items():
        other = others.get(key)
        figures = [name for name in part.figures if other is None or name not in other.figures]
        alone = (part.error or part.skipped) if other is None else None
        what = ", ".join(figures) or alone
        if what:
            reason = (other.error or other.skipped) if other else None
            yield f"{key}: {what}" + (f" ({reason})" if reason else "")


def _new_errors(a: dict[Key, Part], b: dict[Key, Part]) -> Iterator[str]:
    for key, part in b.items():
        if part.error and not (key in a and a[key].error):
            yield f"{key}: {part.error}"
