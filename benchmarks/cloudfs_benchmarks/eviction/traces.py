"""Generated traces: how training and other jobs read, as visits to extents.

A trace is a function of a seed, and fits the cache by its size: the cache is what is scaled.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cloudfs_benchmarks.eviction.cache import Trace, Visit

EXTENT = 64 << 20
Generator = Callable[[int, int], Trace]
"""Takes the number of extents of a dataset and a seed."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Extents that are read together."""

    group: int
    sizes: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """The size of all of it."""
        return sum(self.sizes)

    def visit(self, item: int, part: int) -> Visit:
        """A read of one extent."""
        return Visit((self.group << 32) + item, self.sizes[item], self.group, part)

    def epoch(self, part: int, rng: random.Random | None) -> list[Visit]:
        """Each extent once: in a new order, or without `rng` in the same order always."""
        order = list(range(len(self.sizes)))
        if rng is not None:
            rng.shuffle(order)
        return [self.visit(item, part) for item in order]


def equal(group: int, items: int) -> Dataset:
    """Extents of 64 MiB."""
    return Dataset(group, (EXTENT,) * items)


def mixed(group: int, items: int, rng: random.Random) -> Dataset:
    """Small files of 100 KB to 5 MB, and among every 20 an extent of 64 MiB."""
    return Dataset(
        group,
        tuple(
            EXTENT if item % 20 == 0 else int(100_000 * 50 ** rng.random()) for item in range(items)
        ),
    )


def epochs(
    ratio: float,
    *,
    shuffled: bool = True,
    sizes: str = "equal",
    count: int = 8,
) -> Generator:
    """The same dataset again and again, `ratio` times as large as the cache."""

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        data = equal(1, items) if sizes == "equal" else mixed(1, items, rng)
        visits = [
            visit
            for epoch in range(count)
            for visit in data.epoch(epoch, rng if shuffled else None)
        ]
        kind = "shuffled" if shuffled else "fixed order"
        return Trace(
            f"{kind}{'' if sizes == 'equal' else ', mixed sizes'}, {ratio:g}x",
            int(data.bytes / ratio),
            visits,
            frozenset(range(1, count)),
            is_epoch=True,
        )

    return generate


def two_jobs(first_ratio: float, second_ratio: float) -> Generator:
    """Two jobs read their own datasets at the same speed, for ten epochs of the smaller."""

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        ratios = (first_ratio, second_ratio)
        per_ratio = items / max(ratios)
        data = [equal(g, round(per_ratio * r)) for g, r in enumerate(ratios, 1)]
        length = max(10 * min(len(d.sizes) for d in data), 4 * max(len(d.sizes) for d in data))
        streams = [_forever(d, rng) for d in data]
        visits = [next(streams[rng.randrange(2)]) for _ in range(2 * length)]
        return Trace(
            f"two jobs, {first_ratio:g}x and {second_ratio:g}x",
            int(per_ratio * EXTENT),
            visits,
            frozenset(range(1, 1000)),
        )

    return generate


def _forever(data: Dataset, rng: random.Random) -> Iterator[Visit]:
    for epoch in itertools.count():
        yield from data.epoch(epoch, rng)


def scan(kind: str, *, same_group: bool = False) -> Generator:
    """A hot set of 0.6x the cache, and once something of 3x the cache is read beside it.

    Kinds of hot set: "epochs", or "zipf": skewed use of 2x the cache. The scan takes turns with it.
    Part 0 is before, 1 the hot set during the scan and after it, 2 the scan.
    """

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        cache_items = items // 3
        cold = Dataset(1 if same_group else 2, (EXTENT,) * (3 * cache_items + items))
        # In one group the scan's keys lie behind those of the hot set.
        scanned = iter(range(items if same_group else 0, 10**9))
        if kind == "zipf":
            hot = equal(1, 2 * cache_items)
            draws = iter(_zipf(hot, 1.0, 12 * cache_items, rng))
        else:
            hot = equal(1, round(0.6 * cache_items))
            draws = _forever(hot, rng)
        before = 4 * len(hot.sizes) if kind == "epochs" else 6 * cache_items
        visits = [next(draws)._replace(part=0) for _ in range(before)]
        for _ in range(3 * cache_items):
            visits.append(next(draws)._replace(part=1))
            visits.append(cold.visit(next(scanned), 2))
        visits += [next(draws)._replace(part=1) for _ in range(len(hot.sizes))]
        where = ", one group" if same_group else ""
        return Trace(
            f"scan through hot {kind}{where}",
            cache_items * EXTENT,
            visits,
            frozenset({1}),
        )

    return generate


def pause(hot_ratio: float, scan_ratio: float) -> Generator:
    """Four epochs of a hot set, then something read once while nobody reads the hot set, then two.

    Judged are the last two. Until it ends, the scan cannot be told from a new dataset.
    """

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        per_ratio = items / scan_ratio
        hot = equal(1, round(per_ratio * hot_ratio))
        visits = [visit for epoch in range(4) for visit in hot.epoch(epoch, rng)]
        visits += equal(2, items).epoch(4, None)
        visits += [visit for epoch in (5, 6) for visit in hot.epoch(epoch, rng)]
        name = f"scan while the hot set of {hot_ratio:g}x pauses"
        return Trace(name, int(per_ratio * EXTENT), visits, frozenset({5, 6}))

    return generate


def zipf(alpha: float) -> Generator:
    """Skewed use of 4x the cache: the extent of rank r is read in proportion to r**-alpha."""

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        data = equal(1, items)
        visits = [
            visit._replace(part=int(number >= 2 * items))
            for number, visit in enumerate(_zipf(data, alpha, 8 * items, rng))
        ]
        return Trace(f"Zipf {alpha:g}, 4x", data.bytes // 4, visits, frozenset({1}))

    return generate


def _zipf(data: Dataset, alpha: float, count: int, rng: random.Random) -> list[Visit]:
    ranks = range(len(data.sizes))
    items = list(ranks)
    rng.shuffle(items)
    cumulative = list(itertools.accumulate((rank + 1) ** -alpha for rank in ranks))
    return [
        data.visit(items[rank], 0) for rank in rng.choices(ranks, cum_weights=cumulative, k=count)
    ]


def switch(first_ratio: float, second_ratio: float, *, same_group: bool = False) -> Generator:
    """Four epochs of one dataset, then four of another, of which the last three are judged."""

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        per_ratio = items / max(first_ratio, second_ratio)
        first = equal(1, round(per_ratio * first_ratio))
        second = Dataset(2, (EXTENT,) * round(per_ratio * second_ratio))
        visits = [visit for epoch in range(4) for visit in first.epoch(epoch, rng)]
        visits += [visit for epoch in range(4, 8) for visit in second.epoch(epoch, rng)]
        if same_group:
            visits = [visit._replace(group=1) for visit in visits]
        where = ", one group" if same_group else ""
        return Trace(
            f"switch, {first_ratio:g}x to {second_ratio:g}x{where}",
            int(per_ratio * EXTENT),
            visits,
            frozenset({5, 6, 7}),
        )

    return generate


def validation(ratio: float) -> Generator:
    """Shuffled epochs of `ratio` times the cache, after each a validation set of 0.1x."""

    def generate(items: int, seed: int) -> Trace:
        rng = random.Random(seed)
        train = equal(1, items)
        check = equal(2, round(items / ratio / 10))
        visits = [
            visit
            for epoch in range(8)
            for visit in [*train.epoch(epoch, rng), *check.epoch(epoch, None)]
        ]
        return Trace(
            f"shuffled {ratio:g}x, validation 0.1x",
            int(train.bytes / ratio),
            visits,
            frozenset(range(1, 8)),
        )

    return generate


EPOCH_RATIOS = (0.5, 1.0, 1.5, 2.0, 4.0)
SHUFFLED: tuple[Generator, ...] = tuple(epochs(ratio) for ratio in EPOCH_RATIOS)
GENERATORS: tuple[Generator, ...] = (
    *SHUFFLED,
    epochs(8.0),
    epochs(2.0, sizes="mixed"),
    *(epochs(ratio, shuffled=False) for ratio in EPOCH_RATIOS[2:]),
    validation(2.0),
    two_jobs(0.5, 2.0),
    two_jobs(0.75, 0.75),
    scan("epochs"),
    scan("zipf"),
    scan("zipf", same_group=True),
    pause(0.8, 4.0),
    zipf(0.8),
    zipf(0.9),
    zipf(1.0),
    switch(0.75, 0.75),
    switch(0.75, 0.75, same_group=True),
    switch(2.0, 0.75),
    switch(2.0, 2.0),
)
