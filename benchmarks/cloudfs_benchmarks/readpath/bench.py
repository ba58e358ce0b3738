"""What every benchmark works with: files, a bucket, mounts, readers, and rounds of trials."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.readpath import ceiling, pages, reader
from cloudfs_benchmarks.readpath.figures import Series
from cloudfs_benchmarks.readpath.mounting import Mounted, mounted
from cloudfs_benchmarks.readpath.options import Options
from cloudfs_benchmarks.servers.store import Store

CONNECTIONS = (8, 16, 32)
RANGE_BYTES = 8 << 20
_READ_S = 600.0
_PIECE_BYTES = 8 << 20
_SHOWN_MOST = 16

Figures = dict[str, float]
"""Named figures of one trial."""


@dataclass(frozen=True, slots=True)
class Pass:
    """All readers of one pass: wall time from the first start to the last end, in seconds."""

    seconds: float
    first_s: float
    bytes: int
    digests: tuple[int, ...]
    latencies: tuple[float, ...]

    @property
    def rate(self) -> float:
        """MB/s."""
        return self.bytes / 1e6 / self.seconds

    @classmethod
    def of(cls, tallies: Sequence[dict[str, float]]) -> Pass:
        """The pass in which the readers did `tallies`."""
        # JSON of the reader process: its fields are what `Tally` has.
        records = [reader.Tally(**tally) for tally in tallies]  # type: ignore[arg-type]
        return cls(
            seconds=max(r.ended for r in records) - min(r.started for r in records),
            first_s=min(r.first_s for r in records),
            bytes=sum(r.bytes for r in records),
            digests=tuple(r.digest for r in records),
            latencies=tuple(latency for r in records for latency in r.latencies),
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """`work` is on the disk under test; `bucket_folder` is what the store serves."""

    options: Options
    children: Children
    work: Path
    bucket_folder: Path
    store: Store

    @property
    def native(self) -> Path:
        """Copies of the bucket's files on the disk under test."""
        return self.work / "native"

    @property
    def cache(self) -> Path:
        """The cache directory of the mounts, on the disk under test."""
        return self.work / "cache"

    @property
    def mountpoint(self) -> Path:
        """Where the bucket is mounted."""
        return self.work / "mnt"

    def say(self, line: str) -> None:
        """Print progress, which is not part of the report."""
        print(f"    {line}", flush=True)

    @contextmanager
    def files(self, folder: str, sizes: Sequence[int]) -> Iterator[list[str]]:
        """Put files of random bytes into the bucket and on the disk; yield their relative paths."""
        names = [f"{folder}/{index:05}.bin" for index in range(len(sizes))]
        (self.bucket_folder / folder).mkdir(parents=True)
        (self.native / folder).mkdir(parents=True)
        try:
            for name, size in zip(names, sizes, strict=True):
                _write_random(self.bucket_folder / name, self.native / name, size)
            yield names
        finally:
            shutil.rmtree(self.bucket_folder / folder)
            shutil.rmtree(self.native / folder)

    @contextmanager
    def mount(self, *flags: str) -> Iterator[Mounted]:
        """Mount the bucket, with the cache as it is. Leaving waits until the cache is complete."""
        given = (
            *("--endpoint-url", self.store.endpoint, "--region", "us-east-1"),
            *("--force-path-style", "--no-sign-request", "--cache-dir", str(self.cache)),
            *("--memory-limit", str(self.options.memory_limit)),
            *("--log-file", str(self.children.log("daemon"))),
            *self.options.mount_flags,
            *flags,
        )
        with mounted(self.children, self.store.url, self.mountpoint, given) as mount:
            yield mount

    @contextmanager
    def cold_mount(self, *flags: str) -> Iterator[Mounted]:
        """Mount with an empty cache, dropped pages, and the store's files in memory."""
        self.forget_cache()
        pages.warm(self.bucket_folder)
        with self.mount(*flags) as mount:
            yield mount

    def forget_cache(self) -> None:
        """Empty the SSD tier (nothing may be mounted) and the page cache."""
        shutil.rmtree(self.cache, ignore_errors=True)
        self.drop_pages()

    def fill_cache(self, names: Sequence[str]) -> None:
        """Read the files through a mount, so that the SSD tier holds them all."""
        with self.cold_mount() as mount:
            self.read(reader.Job("read", [self.mounted_paths(names)], 1 << 20))
            wanted = sum(os.stat(self.native / name).st_size for name in names)
            mount.wait_cached(wanted)

    def drop_pages(self) -> None:
        """Drop the page cache of native files, the cache and the mount."""
        pages.drop([self.native, self.cache, self.mountpoint])

    def mounted_paths(self, names: Sequence[str]) -> list[str]:
        """Where the files are in the mount."""
        return [str(self.mountpoint / name) for name in names]

    def native_paths(self, names: Sequence[str]) -> list[str]:
        """Where the copies are on the disk."""
        return [str(self.native / name) for name in names]

    def read(self, job: reader.Job) -> list[Pass]:
        """Run the reader; its passes."""
        output = self.children.read("reader", job.command(), timeout_s=_READ_S)
        return [Pass.of(tallies) for tallies in json.loads(output)]

    def ceiling(
        self, names: Sequence[str], connections: Sequence[int] = CONNECTIONS
    ) -> dict[int, float]:
        """Seconds of getting the files from the store, by number of connections."""
        objects = [(name, os.stat(self.native / name).st_size) for name in names]
        store = self.store
        job = ceiling.Job(store.endpoint, store.bucket, objects, RANGE_BYTES, list(connections))
        seconds = json.loads(self.children.read("ceiling", job.command(), timeout_s=_READ_S))
        return dict(zip(connections, seconds, strict=True))

    def rounds(self, measure: Callable[[int], Figures]) -> dict[str, Series]:
        """Run a warm-up and the trials; the figures of the trials by name.

        `measure` takes the candidates in the same order each time: each then finds caches that
        are not ours (the disk's, the hypervisor's) as the one before it left them.
        """
        trials = []
        for number in range(self.options.trials + 1):
            figures = measure(number)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            if len(figures) > _SHOWN_MOST:
                shown = f"{len(figures)} figures"
            self.say(f"{f'trial {number}' if number else 'warm-up'}: {shown}")
            trials.append(figures)
        return {name: Series(tuple(t[name] for t in trials[1:])) for name in trials[0]}


def _write_random(first: Path, second: Path, size: int) -> None:
    """Write the same incompressible bytes to both and make them durable."""
    try:
        with first.open("wb") as one, second.open("wb") as two:
            for start in range(0, size, _PIECE_BYTES):
                piece = os.urandom(min(_PIECE_BYTES, size - start))
                one.write(piece)
                two.write(piece)
            os.fsync(two.fileno())
    except OSError as error:
        raise StageError(f"cannot write {size >> 20} MiB of test data: {error}") from error
