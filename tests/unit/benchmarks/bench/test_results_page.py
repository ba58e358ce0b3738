"""docs/benchmarking.md against the records: it names all of them, and nothing else."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from cloudfs_benchmarks.bench.results import CacheState, Kind, Results
from cloudfs_benchmarks.bench.schema import from_document
from cloudfs_benchmarks.bench.statistics import better_when

_PAGE = (Path(__file__).parents[4] / "docs" / "benchmarking.md").read_text(encoding="utf-8")


def _records(hint: Any) -> dict[str, type]:
    """Every record that can be reached from a type hint, by name."""
    if not dataclasses.is_dataclass(hint):
        return {name: one for each in get_args(hint) for name, one in _records(each).items()}
    assert isinstance(hint, type)
    below = (_records(each) for each in get_type_hints(hint).values())
    return {hint.__name__: hint, **{name: one for each in below for name, one in each.items()}}


_RECORDS = _records(Results)


def _section(record: str) -> str:
    heading = f"\n### `{record}`\n"
    start = _PAGE.index(heading) + len(heading)
    return re.split(r"\n##+ ", _PAGE[start:])[0]


def _rows(text: str, columns: int) -> list[list[str]]:
    """The cells of the rows that begin with a name, of tables with that many columns."""
    lines = (line for line in text.splitlines() if line.startswith("| `"))
    cells = ([cell.strip(" `") for cell in line.strip("|").split(" | ")] for line in lines)
    return [row for row in cells if len(row) == columns]


def test_every_record_has_a_section_and_every_section_a_record() -> None:
    sections = re.findall(r"^### `(\w+)`$", _PAGE, re.MULTILINE)
    assert sorted(sections) == sorted(_RECORDS)


@pytest.mark.parametrize("name", _RECORDS)
def test_a_section_has_the_fields_of_its_record_in_order(name: str) -> None:
    documented = [row[0] for row in _rows(_section(name), 3)]
    assert documented == [field.name for field in dataclasses.fields(_RECORDS[name])]


@pytest.mark.parametrize("name", _RECORDS)
def test_defaults_and_nulls_are_said(name: str) -> None:
    hints = get_type_hints(_RECORDS[name])
    rows = {row[0]: row for row in _rows(_section(name), 3)}
    for field in dataclasses.fields(_RECORDS[name]):
        if field.name == "schema":
            continue  # always written; without it a file is refused
        _, kind, meaning = rows[field.name]
        absent = dataclasses.MISSING
        has_default = field.default is not absent or field.default_factory is not absent
        assert ("Default:" in meaning) is has_default, field.name
        assert kind.split(",")[0].endswith("?") is (type(None) in get_args(hints[field.name]))


def test_every_name_of_a_list_is_there() -> None:
    for record, names in (("Target", Kind), ("Measurement", CacheState)):
        assert all(f"`{name}`" in _section(record) for name in names)


def test_every_figure_is_there_with_its_direction() -> None:
    figures = {row[0]: row[2] for row in _rows(_section("Measurement"), 4)}
    assert len(figures) == 10
    assert figures == {figure: better_when(figure) for figure in figures}


def test_the_example_is_a_results_file() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", _PAGE, re.DOTALL)
    results = from_document(json.loads(example))
    assert results.training[0].epochs[0].au == pytest.approx(0.1 / 0.15, abs=1e-3)
