"""A real NFS server of this run's own: nfs-ganesha, serving one folder. Root only.

It speaks NFS version 4, which alone needs no portmapper. Ganesha remembers the names in the
export: what the folder holds is put there before the start, or over NFS.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.bench.errors import TargetError
from cloudfs_benchmarks.bench.targets import libnfs
from cloudfs_benchmarks.bench.targets.nfs import NfsTree
from cloudfs_benchmarks.demo.processes import Children, StageError

_PROGRAM = "ganesha.nfsd"
_RUNTIME = Path("/run/ganesha")
"""Made by every server, also by one that puts nothing there."""
_START_S = 20.0
_POLL_S = 0.1
_CONFIGURATION = """\
NFS_CORE_PARAM {{
    NFS_Port = {port};
    Bind_addr = {address};
    Protocols = 4;
    Enable_UDP = false;
    Enable_NLM = false;
    Enable_RQUOTA = false;
}}
NFSv4 {{
    # Without a grace period: nobody has state from before, and the first open would wait for it.
    Graceless = true;
    RecoveryBackend = fs;
    RecoveryRoot = "{recovery}";
}}
EXPORT {{
    Export_Id = 1;
    Path = "{export}";
    Pseudo = "/export";
    Access_Type = RW;
    Squash = none;
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
    FSAL {{ Name = VFS; }}
}}
LOG {{ Default_Log_Level = EVENT; }}
"""


@dataclass(frozen=True, slots=True)
class NfsServer:
    """A server that answers; `pid` is its process, for what it costs."""

    url: str
    pid: int


def missing() -> str | None:
    """Why no server can be started and asked here, with the fix; None where one can."""
    if shutil.which(_PROGRAM) is None:
        return "nfs-ganesha is not installed: apt-get install nfs-ganesha nfs-ganesha-vfs"
    if os.geteuid() != 0:
        return "nfs-ganesha runs as root only: start this as root"
    if libnfs.version() is None:
        return "libnfs, which asks the server, is not installed: apt-get install libnfs13"
    return None


def start(
    children: Children,
    folder: Path,
    export: Path,
    *,
    address: str,
    inside: Sequence[str] = (),
) -> NfsServer:
    """Serve `export` read-write at `address`; returns once a call over NFS was answered.

    `folder` is an empty one for the server's own files, `inside` starts a command in a network
    namespace. `children.stack` stops the server. `StageError` with the log's end when it does not
    come up.
    """
    if (problem := missing()) is not None:
        raise StageError(problem)
    port = _free_port()
    recovery, configuration = folder / "recovery", folder / "ganesha.conf"
    recovery.mkdir(parents=True)
    text = _CONFIGURATION.format(port=port, address=address, recovery=recovery, export=export)
    configuration.write_text(text, encoding="utf-8")
    log, pid_file = children.log("ganesha"), folder / "ganesha.pid"
    command = [_PROGRAM, "-F", "-f", configuration, "-L", log, "-p", pid_file]
    if not _RUNTIME.exists():
        children.stack.callback(_remove_runtime)
    child = children.start("ganesha", [*inside, *map(str, command)])
    server = NfsServer(f"nfs://{address}:{port}/export?version=4", child.pid)
    _wait(children, child, server)
    return server


def _remove_runtime() -> None:
    with suppress(OSError):  # of another server, which has something in it
        _RUNTIME.rmdir()


def _wait(children: Children, child: subprocess.Popen[str], server: NfsServer) -> None:
    deadline_s = time.monotonic() + _START_S
    while not _answers(server.url):
        if child.poll() is not None:
            raise children.failure("ganesha", f"ended with status {child.returncode}")
        if time.monotonic() > deadline_s:
            raise children.failure("ganesha", f"did not answer within {_START_S:.0f} s")
        time.sleep(_POLL_S)


def _answers(url: str) -> bool:
    try:
        NfsTree(url).close()
    except TargetError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
