"""Real libraries read the same through the mount as from the source folder.

Each library runs in a process of its own, as in a training job: this file run as a module. `write`
makes the sample files, `read NAME FOLDER...` prints what reader NAME makes of each folder.
"""

# ruff: noqa: PLC0415 - a program loads only the library that it reads with

from __future__ import annotations

import concurrent.futures
import fcntl
import hashlib
import importlib.util
import json
import mmap
import multiprocessing
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.buckets import Bucket
from tests.support.mounting import Mounted

MountFunction = Callable[..., Mounted]
Seen = dict[str, str]

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
ROWS = 200_000
CASES = 12

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def digest(*values: Any) -> str:
    """A checksum of bytes, text, and of arrays with their type and shape."""
    total = hashlib.blake2b(digest_size=12)
    for value in values:
        if hasattr(value, "dtype"):
            total.update(f"{value.dtype}{value.shape}".encode())
            total.update(memoryview(value.copy(order="C")).cast("B") if value.size else b"")
        else:
            total.update(value if isinstance(value, bytes | memoryview) else str(value).encode())
    return total.hexdigest()


# --- samples: each writer makes its files in a folder of its own


def write_numpy(folder: Path) -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    np.save(folder / "field.npy", rng.standard_normal((ROWS, 4), np.float32))
    np.save(folder / "fortran.npy", np.asfortranarray(rng.standard_normal((300, 200))))
    np.save(folder / "empty.npy", np.zeros((0, 3)))
    arrays = {"points": rng.random((5000, 3)), "cells": rng.integers(0, 5000, (9000, 3))}
    np.savez(folder / "plain.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays)
    rng.standard_normal((ROWS, 3), np.float32).tofile(folder / "raw.bin")


def write_h5py(folder: Path) -> None:
    import h5py
    import numpy as np

    rng = np.random.default_rng(2)
    field = rng.standard_normal((48, 64, 64), np.float32)
    with h5py.File(folder / "fields.h5", "w") as file:
        file.create_dataset("contiguous", data=field)
        file.create_dataset("chunked", data=field, chunks=(1, 64, 64), compression="gzip")
        file.create_dataset("small-chunks", data=field, chunks=(8, 16, 16), compression="gzip")
        file["deep/er/group"] = np.arange(1000)
        file["contiguous"].attrs["units"] = "m/s"


def write_zarr(folder: Path) -> None:
    import numpy as np
    import zarr

    data = np.random.default_rng(3).standard_normal((400, 50), np.float32)
    group = zarr.open_group(str(folder / "case.zarr"), mode="w", zarr_format=3)
    group.attrs["mach"] = 0.3
    group.create_array("many", shape=data.shape, dtype="f4", chunks=(10, 25))[:] = data
    sharded = group.create_array(
        "sharded", shape=data.shape, dtype="f4", chunks=(10, 10), shards=(200, 50)
    )
    sharded[:] = data


def write_pyvista(folder: Path) -> None:
    import pyvista as pv
    from vtkmodules.vtkIOXML import vtkXMLUnstructuredGridWriter

    sphere = pv.Sphere(theta_resolution=60, phi_resolution=60)
    sphere["pressure"] = sphere.points[:, 0]
    sphere.save(folder / "surface.vtp")
    sphere.save(folder / "binary.stl", binary=True)
    sphere.save(folder / "ascii.stl", binary=False)
    grid = pv.ImageData(dimensions=(20, 20, 20)).cast_to_unstructured_grid()
    grid["speed"] = grid.points[:, 1]
    for mode in ("Ascii", "Binary", "Appended"):
        writer = vtkXMLUnstructuredGridWriter()
        writer.SetInputData(grid)
        writer.SetFileName(str(folder / f"{mode}.vtu"))
        getattr(writer, f"SetDataModeTo{mode}")()
        writer.Write()


def write_torch(folder: Path) -> None:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    torch.manual_seed(4)
    torch.save(
        {"weights": torch.randn(500, 700), "points": torch.randn(3), "step": 7},
        folder / "checkpoint.pt",
    )


def write_cases(folder: Path) -> None:
    """A small dataset for the loaders: per case one file of each kind."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(5)
    for number in range(CASES):
        data = rng.standard_normal((4000, 4), np.float32)
        np.save(folder / f"case_{number}.npy", data)
        np.savez(folder / f"case_{number}.npz", points=data[:, :3], pressure=data[:, 3])
        with h5py.File(folder / f"case_{number}.h5", "w") as file:
            file.create_dataset("field", data=data, chunks=(500, 4), compression="gzip")


def write_archives(folder: Path) -> None:
    rng = random.Random(6)
    members = {f"run_{n}/data.bin": rng.randbytes(rng.randrange(200_000)) for n in range(20)}
    loose = folder / "loose"
    for name, data in members.items():
        (loose / name).parent.mkdir(parents=True)
        (loose / name).write_bytes(data)
    with tarfile.open(folder / "a.tar", "w") as tar, tarfile.open(folder / "a.tgz", "w:gz") as tgz:
        tar.add(loose, "loose")
        tgz.add(loose, "loose")
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name, data)


def write_sqlite(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "runs.db")) as database, database:
        database.execute("create table runs (id integer primary key, drag real, name text)")
        rows = [(number, number / 7, f"run {number}" * 9) for number in range(5000)]
        database.executemany("insert into runs values (?, ?, ?)", rows)
        database.execute("create index by_drag on runs (drag)")


def write_plain(folder: Path) -> None:
    rng = random.Random(7)
    (folder / "big.bin").write_bytes(rng.randbytes(9 * MIB + 321))
    (folder / "notes").mkdir()
    for number in range(30):
        text = f"line {number}\n" * 50 + ("needle\n" if number % 7 == 0 else "")
        (folder / "notes" / f"{number}.txt").write_text(text)


# --- readers: what a program sees in a folder, as name -> checksum


def read_numpy(folder: Path) -> Seen:
    import numpy as np

    seen = {}
    for name in ("field.npy", "fortran.npy", "empty.npy"):
        seen[name] = digest(np.load(folder / name))
    mapped = np.load(folder / "field.npy", mmap_mode="r")
    seen["mapped slices"] = digest(*_random_windows(mapped))
    seen["mapped rows"] = digest(mapped[np.random.default_rng(0).integers(0, ROWS, 200)])
    for name in ("plain.npz", "packed.npz"):
        with np.load(folder / name) as arrays:
            seen[name] = digest(*(arrays[key] for key in sorted(arrays.files)))
    raw = np.memmap(folder / "raw.bin", np.float32, "r", shape=(ROWS, 3))
    seen["memmap"] = digest(*_random_windows(raw))
    seen["fromfile"] = digest(np.fromfile(folder / "raw.bin", np.float32, 999, offset=12_345 * 4))
    return seen


def _random_windows(rows: Any) -> Iterator[Any]:
    rng = random.Random(8)
    for _ in range(25):
        start = rng.randrange(ROWS - 5000)
        yield rows[start : start + rng.choice([1, 77, 5000])]


def read_h5py(folder: Path) -> Seen:
    import h5py

    seen = {}
    with h5py.File(folder / "fields.h5", "r", locking=True) as file:
        for name in ("contiguous", "chunked", "small-chunks", "deep/er/group"):
            seen[name] = digest(file[name][:])
        rng = random.Random(9)
        for name in ("contiguous", "chunked", "small-chunks"):
            starts = [rng.randrange(40) for _ in range(10)]
            seen[f"{name} slices"] = digest(*(file[name][s : s + 3, 5:60, ::2] for s in starts))
        seen["attribute"] = str(file["contiguous"].attrs["units"])
        with h5py.File(folder / "fields.h5", "r", locking=True) as again:
            seen["opened twice"] = digest(again["deep/er/group"][::3])
    with h5py.File(folder / "fields.h5", "r", locking=True, driver="core") as file:
        seen["whole in memory"] = digest(file["chunked"][17])
    return seen


def read_zarr(folder: Path) -> Seen:
    import zarr

    group = zarr.open_group(str(folder / "case.zarr"), mode="r")
    seen = {"members": str(sorted(group.array_keys())), "mach": str(group.attrs["mach"])}
    for name in ("many", "sharded"):
        seen[name] = digest(group[name][:])
        seen[f"{name} window"] = digest(group[name][123:187, 3:41])
    return seen


def read_pyvista(folder: Path) -> Seen:
    import pyvista as pv

    seen = {}
    for path in sorted(folder.iterdir()):
        mesh = pv.read(path)
        arrays = [mesh.points, *(mesh.point_data[name] for name in sorted(mesh.point_data))]
        seen[path.name] = digest(mesh.n_cells, *arrays)
    assert len(seen) == 6
    return seen


def read_torch(folder: Path) -> Seen:
    import torch

    seen = {}
    for mapped in (False, True):
        state = torch.load(folder / "checkpoint.pt", mmap=mapped, weights_only=True)
        values = (state["weights"].numpy(), state["points"].numpy(), state["step"])
        seen[f"mmap={mapped}"] = digest(*values)
    return seen


def read_loader(folder: Path) -> Seen:
    """Two shuffled epochs with forked workers over files of three kinds."""
    import torch

    paths = sorted(folder.iterdir())
    generator = torch.Generator().manual_seed(10)
    loader = torch.utils.data.DataLoader(
        paths,  # type: ignore[arg-type]
        batch_size=4,
        shuffle=True,
        num_workers=3,
        collate_fn=_load_batch,
        multiprocessing_context="fork",
        generator=generator,
    )
    epochs = [[pair for batch in loader for pair in batch] for _ in range(2)]
    assert [name for name, _ in epochs[0]] != [name for name, _ in epochs[1]]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert len(epochs[0]) == len(paths)
    return dict(epochs[1])


def _load_batch(paths: list[Path]) -> list[tuple[str, str]]:
    return [(path.name, _load_case(path)) for path in paths]


def _load_case(path: Path) -> str:
    import h5py
    import numpy as np

    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            return digest(file["field"][:])
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return digest(arrays["points"], arrays["pressure"])
    return digest(np.load(path, mmap_mode="r"))


def read_pool(folder: Path) -> Seen:
    """A process pool over the dataset, each file read by two workers."""
    paths = sorted(folder.iterdir()) * 2
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
        results = list(pool.map(_load_case, paths))
    half = len(paths) // 2
    assert results[:half] == results[half:]
    return dict(zip([path.name for path in paths], results, strict=True))


def read_archives(folder: Path) -> Seen:
    seen = {}
    for name in ("a.tar", "a.tgz"):
        with tarfile.open(folder / name) as tar:
            for member in tar:
                body = tar.extractfile(member) if member.isfile() else None
                seen[f"{name} {member.name}"] = digest(body.read() if body else "directory")
    with tarfile.open(folder / "a.tar") as tar:
        # Backwards: the tail of the file before its middle.
        for member in reversed(tar.getmembers()):
            if member.isfile():
                body = tar.extractfile(member)
                assert body is not None
                assert seen[f"a.tar {member.name}"] == digest(body.read())
    with zipfile.ZipFile(folder / "a.zip") as packed:
        assert packed.testzip() is None
        seen |= {f"zip {name}": digest(packed.read(name)) for name in packed.namelist()}
    return seen


def read_sqlite(folder: Path) -> Seen:
    seen = {}
    for mode in ("immutable=1", "mode=ro"):
        with closing(sqlite3.connect(f"file:{folder}/runs.db?{mode}", uri=True)) as database:
            total = database.execute("select sum(drag), max(name), count(*) from runs").fetchone()
            near = database.execute("select id from runs where drag > 700 order by drag").fetchall()
            check = database.execute("pragma integrity_check").fetchone()
        seen[mode] = str((total, len(near), near[0], check))
    return seen


def read_plain(folder: Path) -> Seen:
    """System calls that copy, map and lock."""
    seen = {}
    with open(folder / "big.bin", "rb") as file:
        size = os.fstat(file.fileno()).st_size
        seen["sendfile"] = _sendfile(file.fileno(), size)
        seen["copy_file_range"] = _copy_file_range(file.fileno(), size)
        for how in (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN):
            fcntl.flock(file, how)
        fcntl.lockf(file, fcntl.LOCK_SH)
        seen["readinto"] = _readinto(folder / "big.bin")
        seen["mapped by forks"] = _mapped_by_forks(file.fileno(), size)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        os.lseek(file.fileno(), -1000, os.SEEK_END)
        seen["tail"] = digest(os.read(file.fileno(), 5000))
        seen["holes"] = str(os.lseek(file.fileno(), 0, os.SEEK_HOLE) == size)
    return seen


def _sendfile(source: int, size: int) -> str:
    """Send the file through a socket, as a server would."""
    left, right = socket.socketpair()
    received = bytearray()

    def receive() -> None:
        while chunk := right.recv(1 << 16):
            received.extend(chunk)

    reader = threading.Thread(target=receive)
    reader.start()
    with right:
        with left:
            sent = 0
            while sent < size:
                sent += os.sendfile(left.fileno(), source, sent, size - sent)
        reader.join()
    return digest(bytes(received))


def _copy_file_range(source: int, size: int) -> str:
    """Copy in the kernel, or as programs do where the kernel refuses it between file systems."""
    memory = os.memfd_create("copy")
    try:
        copied = 0
        while copied < size:
            try:
                copied += os.copy_file_range(source, memory, size - copied, copied, copied)
            except OSError:
                copied += os.pwrite(memory, os.pread(source, size - copied, copied), copied)
        return digest(os.pread(memory, size + 1, 0))
    finally:
        os.close(memory)


def _readinto(path: Path) -> str:
    buffer = bytearray(path.stat().st_size + 10)
    with open(path, "rb", buffering=0) as file:
        count = 0
        while got := file.readinto(memoryview(buffer)[count : count + 8191]):
            count += got
    return digest(bytes(buffer[:count]))


def _mapped_by_forks(source: int, size: int) -> str:
    """Several children share one mapping; each checks its own slices against pread."""
    with mmap.mmap(source, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ) as view:
        children = [_fork_reader(view, source, size, seed) for seed in range(4)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        return str(codes) + digest(view[:])


def _fork_reader(view: mmap.mmap, source: int, size: int, seed: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        rng = random.Random(seed)
        spans = [(rng.randrange(size), rng.randrange(1, 50_000)) for _ in range(60)]
        same = all(view[at : at + n] == os.pread(source, n, at) for at, n in spans)
        code = 0 if same else 2
    finally:
        os._exit(code)


WRITERS: dict[str, Callable[[Path], None]] = {
    "numpy": write_numpy,
    "h5py": write_h5py,
    "zarr": write_zarr,
    "pyvista": write_pyvista,
    "torch": write_torch,
    "cases": write_cases,
    "archives": write_archives,
    "sqlite": write_sqlite,
    "plain": write_plain,
}

READERS: dict[str, Callable[[Path], Seen]] = {
    "numpy": read_numpy,
    "h5py": read_h5py,
    "zarr": read_zarr,
    "pyvista": read_pyvista,
    "torch": read_torch,
    "loader": read_loader,
    "pool": read_pool,
    "archives": read_archives,
    "sqlite": read_sqlite,
    "plain": read_plain,
}


# --- tests


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the samples of every writer, each in a folder of its name."""
    folder = tmp_path_factory.mktemp("samples")
    _run("write", str(folder))
    return folder


@pytest.fixture
def compare(bucket: Bucket, samples: Path, mount: MountFunction) -> Callable[..., None]:
    """`compare(reader, sample)`: the reader sees the same in the mount as in the folder."""

    def compare(reader: str, sample: str) -> None:
        _upload(bucket, samples, sample)
        mounted = bucket.mount(mount)
        done = _run("read", reader, str(samples / sample), str(mounted.path / sample))
        source, seen = json.loads(done)
        assert source, "the reader saw something"
        assert seen == source

    return compare


@pytest.mark.parametrize("library", ["numpy", "h5py", "zarr", "pyvista"])
def test_arrays_and_meshes(compare: Callable[..., None], library: str) -> None:
    compare(library, library)


@needs_torch
def test_torch_load(compare: Callable[..., None]) -> None:
    compare("torch", "torch")


@needs_torch
def test_data_loader_with_forked_workers(compare: Callable[..., None]) -> None:
    compare("loader", "cases")


@pytest.mark.slow
def test_process_pool(compare: Callable[..., None]) -> None:
    compare("pool", "cases")


@pytest.mark.parametrize("sample", ["archives", "sqlite", "plain"])
def test_standard_library_and_system_calls(compare: Callable[..., None], sample: str) -> None:
    compare(sample, sample)


SHELL = {
    "cp": 'cp -r "$1" "$2/copy" && diff -r "$1" "$2/copy" && find "$2/copy" -type f | wc -l',
    "find": 'cd "$1" && find . -type f -size +1k -printf "%P %s\\n" | sort',
    "find by name": 'cd "$1" && find . -name "*1*" -type f -newermt 2000-01-01 | sort',
    "grep": 'cd "$1" && grep -rc needle . | sort',
    "tar": 'tar -C "$1" --sort=name --mtime=@0 --mode=0 --owner=0 --group=0 -cf - . | md5sum',
    "du": 'cd "$1" && du -a --apparent-size -b . | grep -v "\\.$" | grep bin',
    "cat": 'cat "$1"/*.bin | md5sum && head -c 100 "$1"/big.bin | md5sum',
    "dd": 'dd if="$1/big.bin" bs=12345 skip=7 count=99 status=none | md5sum',
    "cmp": 'cmp "$1/big.bin" "$3/big.bin" && echo same',
}


@pytest.mark.parametrize("name", list(SHELL))
def test_shell_tools(samples: Path, mount: MountFunction, tmp_path: Path, name: str) -> None:
    mounted = mount(f"file://{samples}/plain")
    outputs = []
    for folder in (samples / "plain", mounted.path):
        scratch = tmp_path / f"scratch-{folder.name}"
        scratch.mkdir()
        command = ["sh", "-c", SHELL[name], "sh", str(folder), str(scratch), f"{samples}/plain"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        outputs.append(done.stdout)
    assert outputs[0] != ""
    assert outputs[0] == outputs[1]


def test_a_walk_sees_names_sizes_and_times(samples: Path, mount: MountFunction) -> None:
    """Return the attributes by which rsync decides what to copy."""
    mounted = mount(f"file://{samples}")

    def walk(top: Path) -> dict[str, tuple[int, int]]:
        found = {}
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                status = os.stat(path)
                found[os.path.relpath(path, top)] = (status.st_size, status.st_mtime_ns)
        return found

    assert walk(mounted.path) == walk(samples)


def test_copies_of_the_standard_library(
    samples: Path, mount: MountFunction, tmp_path: Path
) -> None:
    mounted = mount(f"file://{samples}/plain")
    shutil.copytree(mounted.path, tmp_path / "copied")
    original = samples / "plain"
    for path in original.rglob("*"):
        if path.is_file():
            copied = tmp_path / "copied" / path.relative_to(original)
            assert copied.read_bytes() == path.read_bytes()
            assert copied.stat().st_mtime_ns == path.stat().st_mtime_ns


def _upload(bucket: Bucket, samples: Path, sample: str) -> None:
    for path in sorted((samples / sample).rglob("*")):
        if path.is_file():
            bucket.put(str(path.relative_to(samples)), path.read_bytes())


def _run(*arguments: str) -> str:
    """Run this file as a program, as far from the daemon as a training job."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuse.test_libraries", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1] if done.stdout else ""


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _main(verb: str, *arguments: str) -> None:
    if verb == "write":
        for name, writer in WRITERS.items():
            folder = Path(arguments[0]) / name
            folder.mkdir()
            writer(folder)
        return
    reader, *folders = arguments
    print(json.dumps([READERS[reader](Path(folder)) for folder in folders]))


if __name__ == "__main__":
    with _quiet_libraries():
        _main(*sys.argv[1:])
