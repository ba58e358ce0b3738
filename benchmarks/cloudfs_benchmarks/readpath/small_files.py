"""Many small files: open, read to the end, close; by one reader and by eight.

Loaders list a folder before they open what is in it; what it costs not to is a row of its own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row, Series
from cloudfs_benchmarks.readpath.reader import Job

_BYTES = 160 << 20
_LEAST_BYTES = 100_000
_MOST_BYTES = 700_000
_BLOCK = 1 << 20
_READERS = (1, 8)
# Each of these costs round trips for its name, so few tell enough.
_UNLISTED = 64
_STATES = {
    "cold, never listed": "ceiling",
    "cold": "ceiling",
    "ssd": "native disk",
    "page cache": "native page cache",
}
"""What each state of the mount is compared with."""


def small_files(bench: Bench) -> list[Row]:
    """Files per second by readers and state, cold beside the store's own ceiling."""
    count = max(8, (bench.options.size or _BYTES) * 2 // (_LEAST_BYTES + _MOST_BYTES))
    chooser = random.Random(count)
    sizes = [chooser.randint(_LEAST_BYTES, _MOST_BYTES) for _ in range(count)]
    rows: list[Row] = []
    with bench.files("small", sizes) as names:
        for readers in _READERS:
            series = bench.rounds(
                # mypy cannot infer a lambda whose default binds the loop's variable.
                lambda number, readers=readers: _trial(bench, names, readers, number)  # type: ignore[misc]
            )
            rows += _rows(series, readers)
    return rows


def _rows(series: dict[str, Series], readers: int) -> list[Row]:
    who = "1 reader" if readers == 1 else f"{readers} readers"
    rows = []
    for state, reference in _STATES.items():
        rate, best = series[state], series[reference]
        name = f"{who}, {state}"
        rows.append(Row("small-files", name, "files/s", rate, rate.over(best), reference))
    for reference in dict.fromkeys(_STATES.values()):
        rows.append(Row("small-files", f"{who}, {reference}", "files/s", series[reference]))
    return rows


def _trial(bench: Bench, names: list[str], readers: int, number: int) -> Figures:
    shuffled = list(names)
    random.Random(number).shuffle(shuffled)
    few = shuffled[:_UNLISTED]

    def read(folder: Path, some: list[str], *, listed: bool, passes: int = 1) -> list[float]:
        """Files per second of each pass."""
        paths = [str(folder / name) for name in some]
        split = [paths[index::readers] for index in range(readers)]
        folders = [os.path.dirname(paths[0])] if listed else []
        job = Job("read", split, _BLOCK, passes=passes, listed=folders)
        return [len(some) / done.seconds for done in bench.read(job)]

    figures: Figures = {"ceiling": len(names) / _ceiling_s(bench, shuffled, readers)}
    with bench.cold_mount():
        bench.drop_pages()
        figures["cold, never listed"] = read(bench.mountpoint, few, listed=False)[0]
    with bench.cold_mount():
        bench.drop_pages()
        figures["cold"] = read(bench.mountpoint, shuffled, listed=True)[0]
    with bench.mount():
        bench.drop_pages()
        rates = read(bench.mountpoint, shuffled, listed=True, passes=2)
        figures |= {"ssd": rates[0], "page cache": rates[1]}
    bench.drop_pages()
    rates = read(bench.native, shuffled, listed=True, passes=2)
    return figures | {"native disk": rates[0], "native page cache": rates[1]}


def _ceiling_s(bench: Bench, names: Sequence[str], readers: int) -> float:
    """As many connections as readers: nobody knows which file comes next."""
    return bench.ceiling(names, [readers])[readers]
