"""What a training job costs at the store: shuffled epochs over twice what the SSD tier may hold."""

from __future__ import annotations

import random

from cloudfs_benchmarks.readpath.bench import Bench, Figures
from cloudfs_benchmarks.readpath.figures import Row
from cloudfs_benchmarks.readpath.mounting import Mounted
from cloudfs_benchmarks.readpath.reader import Job

_BYTES = 1 << 30
_LEAST_BYTES = 200_000
_MOST_BYTES = 6_000_000
_EPOCHS = 5
_BLOCK = 1 << 20
_CACHE_SHARE = 0.5
# No policy that does not know the next order can have a larger share of hits than the cache has of
# the dataset (docs/eviction.md).
_LEAST_FETCHED = 1 - _CACHE_SHARE
_POLICIES = ("epoch", "lru")


def epochs(bench: Bench) -> list[Row]:
    """Bytes from the store in each epoch, of those that were read; pages dropped in between."""
    total = bench.options.size or _BYTES
    chooser = random.Random(total)
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(chooser.randint(_LEAST_BYTES, _MOST_BYTES))
    with bench.files("epochs", sizes) as names:
        series = bench.rounds(lambda number: _trial(bench, names, sum(sizes), number))
    rows = []
    for policy in _POLICIES:
        for epoch in range(1, _EPOCHS + 1):
            fetched = series[f"{policy} {epoch}"]
            limit = _LEAST_FETCHED + 0.05 if policy == "epoch" and epoch > 1 else None
            rows.append(Row("epochs", f"{policy}, epoch {epoch}", "of the bytes", fetched,
                            at_most=limit))  # fmt: skip
    return rows


def _trial(bench: Bench, names: list[str], total: int, number: int) -> Figures:
    figures: Figures = {}
    for policy in _POLICIES:
        flags = ("--max-cache-size", str(int(total * _CACHE_SHARE)), "--eviction", policy)
        # Recoding would make room where the data allow; here they are random bytes.
        with bench.cold_mount(*flags, "--compress", "off", "--memory-limit", "64MiB") as mount:
            for epoch in range(1, _EPOCHS + 1):
                shuffled = list(names)
                random.Random(number * 100 + epoch).shuffle(shuffled)
                figures[f"{policy} {epoch}"] = _fetched(bench, mount, shuffled) / total
    return figures


def _fetched(bench: Bench, mount: Mounted, names: list[str]) -> int:
    bench.drop_pages()
    before = mount.usage()
    bench.read(Job("read", [bench.mounted_paths(names)], _BLOCK))
    return mount.usage().since(before).store_bytes
