"""One trial of one measurement, and what came out of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cloudfs_benchmarks.bench.results import Latency


class Shape(StrEnum):
    """How files are accessed."""

    SEQUENTIAL = "sequential"  # every file from its start to its end
    RANDOM = "random"  # blocks at random places of large files
    SMALL = "small"  # open, read, close of every file, in random order
    WRITE = "write"  # new files, fsynced
    WALK = "walk"  # names and attributes of everything below a folder
    OPEN = "open"  # open, read one byte, close


@dataclass(frozen=True, slots=True)
class Job:
    """What one trial does.

    `files` has, per reader, what it works on (`WRITE`: what it creates; `WALK`: the folders), as
    paths relative to the target. `block` in bytes; `operations` bounds what each reader does of
    `RANDOM` and `OPEN`; `size` is what each file of `WRITE` gets. `seed` decides every random
    order. `sizes`: of `files`, in the same order, as found before; () where they are not known.
    With them a file that has changed meanwhile is noticed, and fio can do `SMALL`.
    """

    shape: Shape
    files: tuple[tuple[str, ...], ...]
    block: int
    operations: int = 0
    size: int = 0
    seed: int = 1
    time_limit_s: float = 600.0
    sizes: tuple[tuple[int, ...], ...] = ()

    @property
    def readers(self) -> int:
        """How many work at once."""
        return len(self.files)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one trial did. `seconds`: from the first reader's start to the last one's end.

    `operations` are reads, writes, opens or names, whatever the shape counts; `files` those opened.
    `cpu_s` is user and system time of the readers. `latency` is that of single reads, writes or
    opens: reads without opening the file, writes without the fsync; None of `WALK`.
    """

    engine: str
    bytes: int
    operations: int
    files: int
    seconds: float
    cpu_s: float
    latency: Latency | None
