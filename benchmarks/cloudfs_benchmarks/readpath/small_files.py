"""Many small files: open, read to the end, close; by one reader and by eight.

Loaders list a folder before they open what is in it; what it costs not to is a row of its own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

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
    rows: list[Row] = []
    with bench.files("small", file_sizes(bench.options.size or _BYTES)) as names:
        for readers in _READERS:
            series = bench.rounds(
                # mypy cannot infer a lambda whose default binds the loop's variable.
                lambda number, readers=readers: _trial(bench, names, readers, number)  # type: ignore[misc]
            )
            rows += _rows(series, readers)
    return rows


def file_sizes(total: int) -> list[int]:
    """The sizes of the files that make about `total` bytes, the same ones each time."""
    count = max(8, total * 2 // (_LEAST_BYTES + _MOST_BYTES))
    chooser = random.Random(count)
    return [chooser.randint(_LEAST_BYTES, _MOST_BYTES) for _ in range(count)]


def files_per_second(
    bench: Bench, paths: Sequence[str], readers: int, *, listed: bool, passes: int = 1
) -> list[float]:
    """Of each pass over the files, which lie in one folder; it may be listed beforehand."""
    split = [list(paths[index::readers]) for index in range(readers)]
    folders = [os.path.dirname(paths[0])] if listed else []
    done = bench.read(Job("read", split, _BLOCK, passes=passes, listed=folders))
    return [len(paths) / one.seconds for one in done]


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
    mounted, native = bench.mounted_paths(shuffled), bench.native_paths(shuffled)

    def read(paths: list[str], *, listed: bool = True, passes: int = 1) -> list[float]:
        return files_per_second(bench, paths, readers, listed=listed, passes=passes)

    figures: Figures = {"ceiling": len(names) / _ceiling_s(bench, shuffled, readers)}
    with bench.cold_mount():
        bench.drop_pages()
        figures["cold, never listed"] = read(mounted[:_UNLISTED], listed=False)[0]
    with bench.cold_mount():
        bench.drop_pages()
        figures["cold"] = read(mounted)[0]
    with bench.mount():
        bench.drop_pages()
        rates = read(mounted, passes=2)
        figures |= {"ssd": rates[0], "page cache": rates[1]}
    bench.drop_pages()
    rates = read(native, passes=2)
    return figures | {"native disk": rates[0], "native page cache": rates[1]}


def _ceiling_s(bench: Bench, names: Sequence[str], readers: int) -> float:
    """As many connections as readers: nobody knows which file comes next."""
    return bench.ceiling(names, [readers])[readers]
