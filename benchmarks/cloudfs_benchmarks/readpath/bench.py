"""What every benchmark works with: files, a bucket, mounts, readers, and rounds of trials."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.interpreter import python
from cloudfs_benchmarks.readpath import ceiling, pages, reader
from cloudfs_benchmarks.readpath.figures import Series
from cloudfs_benchmarks.readpath.mounting import Mounted, mounted
from cloudfs_benchmarks.readpath.options import Options
from cloudfs_benchmarks.readpath.passes import Pass, Timed
from cloudfs_benchmarks.servers.store import Served, Store

CONNECTIONS = (8, 16, 32)
RANGE_BYTES = 8 << 20
_READ_S = 600.0
_DOCTOR_S = 60.0
_PIECE_BYTES = 8 << 20
_SHOWN_MAX = 16

Figures = dict[str, float]
"""Named figures of one trial."""


@dataclass(frozen=True, slots=True)
class Bench:
    """`work` is on the disk under test; `scheme` says which of the stores served is mounted."""

    options: Options
    children: Children
    work: Path
    served: Served
    scheme: str

    def on(self, scheme: str) -> Bench:
        """The same with another store."""
        return replace(self, scheme=scheme)

    @property
    def store(self) -> Store:
        """What is mounted."""
        return self.served.store(self.scheme)

    @property
    def bucket_folder(self) -> Path:
        """What the store serves."""
        return self.served.root

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
    def names(self, folder: str, folders: int, count: int) -> Iterator[str]:
        """Put `count` empty files into `folders` of a folder of the bucket; yield its path."""
        top = self.bucket_folder / folder
        try:
            for index in range(folders):
                (top / f"{index:02}").mkdir(parents=True)
            for index in range(count):
                (top / f"{index % folders:02}" / f"{index:06}.bin").touch()
            yield folder
        finally:
            shutil.rmtree(top)

    @contextmanager
    def mount(self, *flags: str) -> Iterator[Mounted]:
        """Mount the bucket, with the cache as it is. Leaving waits until the cache is complete."""
        given = (
            *self.store.flags,
            *("--cache-dir", str(self.cache)),
            *("--memory-limit", str(self.options.memory_limit)),
            *("--log-file", str(self.children.log("daemon"))),
            *self.options.mount_flags,
            *flags,
        )
        with mounted(self._clients, self.store.url, self.mountpoint, given) as mount:
            yield mount

    @property
    def _clients(self) -> Children:
        """Children that have the store's credentials."""
        environment = {**self.children.environment, **self.store.environment}
        return replace(self.children, environment=environment)

    def byte_path(self) -> str:
        """How the daemon would move bytes, as `cloudfs doctor` finds out by reading some."""
        command = python("-m", "cloudfs", "doctor", self.store.url, "--json")
        found = json.loads(
            self._clients.read("doctor", [*command, *self.store.flags], timeout_s=_DOCTOR_S)
        )
        facts = [check["facts"] for check in found["checks"]]
        return next((str(one["byte_path"]) for one in facts if "byte_path" in one), "not known")

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
        self.forget_cache()
        pages.warm(self.bucket_folder)
        self.complete_cache(names)

    def complete_cache(self, names: Sequence[str]) -> None:
        """Let the SSD tier take what it has not: a busy disk lets blocks pass."""
        with self.mount() as mount:
            self.drop_pages()
            self.read(reader.Job("read", [self.mounted_paths(names)], 1 << 20))
            mount.wait_cached(sum(os.stat(self.native / name).st_size for name in names))

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

    def timed(self, mount: Mounted, job: reader.Job) -> Timed:
        """Run the reader for one pass and watch the daemon."""
        before = mount.usage()
        done = self.read(job)[0]
        return Timed(done, mount.usage().since(before))

    def from_ssd(self, job: reader.Job) -> Timed:
        """Run the reader on a fresh daemon, pages dropped; `StageError` if the store was asked."""
        with self.mount() as mount:
            self.drop_pages()
            timed = self.timed(mount, job)
        if timed.used.store_bytes:
            came = f"{timed.used.store_bytes} bytes"
            raise StageError(f"{came} came from the store, not from the SSD tier")
        return timed

    def ceiling(
        self, names: Sequence[str], connections: Sequence[int] = CONNECTIONS
    ) -> dict[int, float]:
        """Seconds of getting the files from the store, by number of connections."""
        objects = [(name, os.stat(self.native / name).st_size) for name in names]
        endpoint = self.served.endpoints["s3"]  # the link is the same for all
        job = ceiling.Job(endpoint, self.served.bucket, objects, RANGE_BYTES, list(connections))
        seconds = json.loads(self.children.read("ceiling", job.command(), timeout_s=_READ_S))
        return dict(zip(connections, seconds, strict=True))

    def rounds(self, measure: Callable[[int], Figures]) -> dict[str, Series]:
        """Run the warm-ups and the trials; the figures of the trials by name.

        `measure` takes the candidates in the same order each time: each then finds caches that
        are not ours (the disk's, the hypervisor's) as the one before it left them.
        """
        trials = []
        for number in range(1 - self.options.warm_ups, self.options.trials + 1):
            figures = measure(number)
            shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            if len(figures) > _SHOWN_MAX:
                shown = f"{len(figures)} figures"
            self.say(f"{f'trial {number}' if number > 0 else 'warm-up'}: {shown}")
            trials.append(figures)
        counted = trials[self.options.warm_ups :]
        return {name: Series(tuple(trial[name] for trial in counted)) for name in counted[0]}


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
