"""The files of a reader in the order in which both engines access them."""

from __future__ import annotations

import random

from cloudfs_benchmarks.bench.engines.job import Job, Shape

_SHUFFLED = frozenset({Shape.SMALL, Shape.OPEN})


def in_order(job: Job, reader: int) -> list[tuple[str, int | None]]:
    """Path and size (None where it is not known) of each file of a reader, in order.

    `SMALL` and `OPEN` are shuffled by the job's seed: they come sorted, as no loader reads them.
    """
    paths = job.files[reader]
    sizes: tuple[int | None, ...] = job.sizes[reader] if job.sizes else (None,) * len(paths)
    files = list(zip(paths, sizes, strict=True))
    if job.shape in _SHUFFLED:
        random.Random(f"{job.seed} {reader}").shuffle(files)
    return files
