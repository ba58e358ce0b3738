"""Planning and writing a whole dataset: bounded memory, several processes, a manifest at the end.

Memory is one case per process, whatever the size of the dataset. `manifest.json` is written last,
so its presence says that the dataset is complete.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.dataset.case import CaseRecord, CaseSpec, resolution_for, write_case

CASES_DEFAULT = 256
_CASE_BYTES_MAX = 64_000_000
"""Above this size a dataset grows by more cases rather than by larger ones (bounds memory)."""


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """What to write: `size_bytes` in total, spread over `cases` cases, all decided by `seed`."""

    size_bytes: int
    cases: int
    seed: int

    @classmethod
    def of(cls, size_bytes: int, cases: int | None = None, seed: int = 1) -> DatasetSpec:
        """A spec with as many cases as keep each one small, unless `cases` says how many."""
        enough = max(CASES_DEFAULT, -(-size_bytes // _CASE_BYTES_MAX))
        return cls(size_bytes, cases if cases is not None else enough, seed)


def write_dataset(root: Path, spec: DatasetSpec, *, processes: int) -> int:
    """Write the dataset below `root` with `processes` processes; returns its bytes on disk."""
    root.mkdir(parents=True, exist_ok=True)
    records = list(_written(root, spec, processes))
    manifest = {
        "name": "joukowski",
        "seed": spec.seed,
        "cases": [{"folder": record.folder, "files": record.files} for record in records],
    }
    text = json.dumps(manifest, indent=1) + "\n"
    (root / "manifest.json").write_text(text, encoding="ascii")
    return len(text) + sum(sum(record.files.values()) for record in records)


def _written(root: Path, spec: DatasetSpec, processes: int) -> Iterator[CaseRecord]:
    resolution = resolution_for(spec.size_bytes // spec.cases)
    specs = [CaseSpec(number, spec.seed, resolution) for number in range(1, spec.cases + 1)]
    write = functools.partial(write_case, root)
    if processes <= 1:
        yield from map(write, specs)
        return
    # Spawned, not forked: a caller may have threads, whose locks a fork would copy as held.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(write, specs, chunksize=4)
