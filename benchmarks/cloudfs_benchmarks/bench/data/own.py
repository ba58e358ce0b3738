"""The data that a run writes for itself, to measure with: `layout` says which files."""

from __future__ import annotations

import errno
import functools
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path, PurePosixPath

from cloudfs_benchmarks.bench.data.files import File
from cloudfs_benchmarks.bench.data.layout import MIB, lay_out
from cloudfs_benchmarks.bench.data.manifest import MANIFEST_NAME, Digest, Manifest, blocks
from cloudfs_benchmarks.bench.data.writing import (
    write_full_case,
    write_huge_hdf5,
    write_huge_npy,
    write_random,
)
from cloudfs_benchmarks.bench.errors import BenchError
from cloudfs_benchmarks.bench.targets.tree import Tree

_SMALL_PER_FOLDER = 100

Task = Callable[[], list[File]]


def write_own(
    folder: Path, size_bytes: int, seed: int, *, processes: int, progress: Callable[[int], None]
) -> None:
    """Write a data set of about `size_bytes` into the new folder `folder`.

    The same size and seed give the same bytes. `progress` gets the bytes written so far. On return
    everything is on the disk and `cloudfs-bench.json`, written last, lists it. `BenchError` when
    the folder is there already or cannot be written; what was written by then stays.
    """
    try:
        folder.mkdir(parents=True)
        _check_room(folder, size_bytes)
    except FileExistsError:
        raise BenchError(
            f"{folder} is there already: name a new folder, or remove that one"
        ) from None
    except OSError as error:
        raise _failure(folder, size_bytes, error) from error
    files: list[File] = []
    try:
        for written in _done(_tasks(folder, size_bytes, seed), processes):
            files += written
            progress(sum(file.size for file in files))
        # What is still to be written must not take turns with the first measurements.
        os.sync()
        _finish(folder, Manifest(seed, size_bytes, tuple(sorted(files, key=lambda f: f.path))))
    except OSError as error:
        raise _failure(folder, size_bytes, error) from error
    except BrokenProcessPool:
        raise BenchError(
            f"{folder}: a writing process was killed: is there enough free memory?"
        ) from None


def copy_own(
    source: Path, tree: Tree, root: str, *, progress: Callable[[int], None] = lambda _: None
) -> None:
    """Copy what `write_own` wrote to the new folder `root` of a target, every file fsynced.

    Digests are checked on the way: `BenchError` when the source changed. The manifest comes last.
    `OSError` is the target's.
    """
    path = source / MANIFEST_NAME
    text = path.read_bytes()
    manifest = Manifest.parse(text, str(path))
    for folder in _folders(manifest.files):
        tree.make_folder(f"{root}/{folder}" if folder else root)
    total = 0
    for file in manifest.files:
        digest = Digest()
        with (source / file.path).open("rb", buffering=0) as content:
            chunks = digest.through(blocks(content))
            tree.write(f"{root}/{file.path}", chunks, sync=True)
        if digest.hexadecimal != file.digest:
            raise BenchError(f"{source / file.path} is not what was written: write the data again")
        total += digest.size
        progress(total)
    tree.write(f"{root}/{MANIFEST_NAME}", [text], sync=True)


def _tasks(folder: Path, size_bytes: int, seed: int) -> list[Task]:
    """What to write, long tasks first, so that the processes end together."""
    layout = lay_out(size_bytes, seed)
    large = [(f"large/large_{number}.bin", size) for number, size in enumerate(layout.large)]
    small = [
        (f"small/{number // _SMALL_PER_FOLDER:02}/small_{number}.bin", size)
        for number, size in enumerate(layout.small)
    ]
    groups = [[file] for file in large]
    groups += [small[at : at + _SMALL_PER_FOLDER] for at in range(0, len(small), _SMALL_PER_FOLDER)]
    return [
        functools.partial(write_huge_hdf5, folder, layout.huge_hdf5, seed),
        functools.partial(write_huge_npy, folder, layout.huge_npy, seed),
        *(functools.partial(write_random, folder, group, seed) for group in groups),
        *(
            functools.partial(write_full_case, folder, number, seed, layout.case_bytes)
            for number in range(1, layout.cases + 1)
        ),
    ]


def _done(tasks: Sequence[Task], processes: int) -> Iterator[list[File]]:
    """Run the tasks; their results as they end."""
    if processes <= 1:
        yield from (task() for task in tasks)
        return
    # Spawned, not forked: a caller may have threads, whose locks a fork would copy as held.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_leave_signals)
    try:
        for future in as_completed([pool.submit(task) for task in tasks]):
            yield future.result()
    finally:
        # After an interruption the files that are being written are completed, and no others.
        pool.shutdown(cancel_futures=True)


def _leave_signals() -> None:
    """A Ctrl-C at the terminal reaches the whole group: the parent decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _finish(folder: Path, manifest: Manifest) -> None:
    partial = folder / f"{MANIFEST_NAME}.partial"
    with partial.open("x", encoding="utf-8") as file:
        file.write(manifest.to_text())
        file.flush()
        os.fsync(file.fileno())
    partial.rename(folder / MANIFEST_NAME)


def _folders(files: Sequence[File]) -> list[str]:
    """The folders of the files, parents first; "" is the one that holds them all."""
    found = {""}
    for file in files:
        found |= {str(parent) for parent in PurePosixPath(file.path).parents if parent.name}
    return sorted(found)


def _check_room(folder: Path, size_bytes: int) -> None:
    if shutil.disk_usage(folder).free < size_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _failure(folder: Path, size_bytes: int, error: OSError) -> BenchError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        needed = f"{size_bytes / MIB:.0f} MiB"
        return BenchError(f"{folder}: no space for {needed}: give a smaller --size")
    return BenchError(f"{folder}: cannot write the data: {error.strerror or error}")
