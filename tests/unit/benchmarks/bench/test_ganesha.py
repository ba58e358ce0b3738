"""The NFS server that a run starts, and takes away again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cloudfs_benchmarks.bench.demo import ganesha
from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.demo.signals import SignalGate

_SYSTEM = ("/var/lib/nfs", "/var/lib/nfs/ganesha", "/run/ganesha")

pytestmark = pytest.mark.skipif(ganesha.missing() is not None, reason=str(ganesha.missing()))


def _children(folder: Path, stack: ExitStack, path: str | None = None) -> Children:
    (folder / "logs").mkdir()
    (folder / "export").mkdir()
    environment = dict(os.environ) if path is None else {"PATH": path}
    return Children(environment, folder / "logs", stack, SignalGate())


def _system_files() -> dict[str, list[str] | None]:
    return {f: sorted(os.listdir(f)) if os.path.isdir(f) else None for f in _SYSTEM}


def test_a_server_serves_and_leaves_nothing(tmp_path: Path) -> None:
    before = _system_files()
    with ExitStack() as stack:
        children = _children(tmp_path, stack)
        (tmp_path / "export" / "file").write_bytes(b"contents")
        export = tmp_path / "export"
        server = ganesha.start(children, tmp_path / "own", export, address="127.0.0.1")
        assert Path(f"/proc/{server.pid}/comm").read_text(encoding="ascii") == "ganesha.nfsd\n"
        tree = NfsTree(server.url)
        with tree.open("file") as file:
            assert file.read() == b"contents"
        tree.write("new", [b"12"], sync=True)
        assert (tmp_path / "export" / "new").read_bytes() == b"12"
    assert not Path(f"/proc/{server.pid}").exists()
    with pytest.raises(OSError, match="no connection"):
        tree.entries("")
    with pytest.raises(TargetError, match="does not answer"):
        tree.entries("")
    tree.close()
    assert _system_files() == before


def test_a_server_that_dies_during_a_write_is_told(tmp_path: Path) -> None:
    def chunks(pid: int) -> Iterator[bytes]:
        yield bytes(3_000_000)
        os.kill(pid, signal.SIGKILL)
        yield bytes(3_000_000)

    with ExitStack() as stack:
        children = _children(tmp_path, stack)
        export = tmp_path / "export"
        server = ganesha.start(children, tmp_path / "own", export, address="127.0.0.1")
        tree = NfsTree(server.url)
        with pytest.raises(OSError, match="no connection"):
            tree.write("file", chunks(server.pid), sync=True)
        tree.close()
    assert 0 < (tmp_path / "export" / "file").stat().st_size < 6_000_000


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path: Path) -> None:
    with ExitStack() as stack:
        children = _children(tmp_path, stack)
        shutil.rmtree(tmp_path / "export")
        with pytest.raises(StageError, match=r"ganesha (ended with|did not answer)"):
            ganesha.start(children, tmp_path / "own", tmp_path / "export", address="192.0.2.1")
