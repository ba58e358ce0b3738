"""Unix sockets of mounts: paths, connections, peer credentials, and the one way to listen."""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from cloudfs.control.protocol import (
    ControlError,
    NoDaemonError,
    NotAnsweringError,
    NotPermittedError,
)
from cloudfs.system import defaults

_PATH_BYTES_MAX: Final = 107
_CREDENTIALS: Final = struct.Struct("iII")
_PROBE_S: Final = 1.0


class _HasOptions(Protocol):
    """A socket, or trio's stream of one."""

    def getsockopt(self, level: int, option: int, buffersize: int, /) -> int | bytes: ...


def socket_path(mountpoint: Path, directory: Path | None = None) -> Path:
    """Return the socket of the canonical `mountpoint`, by default where this process creates it."""
    folder = defaults.runtime_directory() if directory is None else directory
    return folder / f"{defaults.mountpoint_digest(mountpoint)}.sock"


def find_socket(mountpoint: Path) -> Path | None:
    """Return the socket that serves the canonical `mountpoint`, in any user's folder.

    Where no daemon listens, one that a dead daemon left behind; None when there is none.
    """
    paths = (socket_path(mountpoint, folder) for folder in defaults.runtime_directories())
    found = [path for path in paths if os.path.lexists(path)]
    return next((path for path in found if _is_served(path)), found[0] if found else None)


def all_sockets() -> list[Path]:
    """Return the control sockets of this machine that this user may see."""
    return [path for folder in defaults.runtime_directories() for path in _listed(folder)]


def daemon_pid(mountpoint: Path) -> int | None:
    """Return the process that listens for the canonical `mountpoint`, or None.

    The kernel says so: it works while the daemon hangs, and the daemon cannot lie about it.
    """
    path = find_socket(mountpoint)
    if path is None:
        return None
    try:
        with connected(path, _PROBE_S) as connection:
            return _peer(connection)[0] or None
    except ControlError:
        return None


@contextmanager
def connected(path: Path, timeout_s: float) -> Iterator[socket.socket]:
    """Yield a connection to `path`; failures of it and of its use become `ControlError`s."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            yield connection
    except (FileNotFoundError, ConnectionRefusedError):
        raise NoDaemonError(f"no daemon listens on {path}") from None
    except PermissionError:
        raise NotPermittedError(f"{path} belongs to another user") from None
    except (TimeoutError, BlockingIOError):
        raise NotAnsweringError(f"the daemon does not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise NotAnsweringError(f"{path}: {error.strerror or error}") from None


def peer_uid(connection: _HasOptions) -> int:
    """Return the user at the other end."""
    return _peer(connection)[1]


def listen(path: Path, *, mode: int, backlog: int) -> socket.socket:
    """Return a non-blocking socket that listens on `path`, whose file has `mode`.

    The socket of a dead process is replaced. Raises `OSError` with a reason in words: the path is
    too long, it is no socket, or another process serves it (EADDRINUSE).
    """
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise OSError(errno.ENAMETOOLONG, "the path is too long for a socket")
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(path))
        # Before listen(): until then no client can connect.
        os.chmod(path, mode)
        listening.listen(backlog)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that has ended; raise `OSError` for anything else."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.ENOTSOCK, "it is no socket, remove it")
        with connected(path, _PROBE_S) as connection:
            pid = _peer(connection)[0]
            reason = f"{f'process {pid}' if pid else 'another process'} still serves it"
    except FileNotFoundError:
        return
    except NoDaemonError:
        path.unlink(missing_ok=True)
        return
    except ControlError as error:
        reason = str(error)
    raise OSError(errno.EADDRINUSE, reason)


def _peer(connection: _HasOptions) -> tuple[int, int]:
    """Return the process and user at the other end; the process is 0 in another namespace."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    assert isinstance(raw, bytes)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


def _is_served(path: Path) -> bool:
    try:
        with connected(path, _PROBE_S):
            return True
    except NoDaemonError:
        return False
    except ControlError:
        return True


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(".sock"))
    except OSError:
        return []
