"""The socket that metrics are served on: a TCP address, or a unix socket with its file.

It does not know what is served.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.types import ListenAddress
from cloudfs.errors import ExitCode, UserError

_BACKLOG: Final = 16
_PATH_BYTES_MAX: Final = 107
_PROBE_S: Final = 1.0
_MODE: Final = 0o660
_FIX: Final = "give another address with --metrics-address"

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_listeners(address: ListenAddress) -> AsyncIterator[list[trio.SocketListener]]:
    """Listen on `address` for the time of the context; raise `UserError` when it cannot be had.

    The socket file of a dead process is replaced, that of a live one is refused.
    """
    listeners = await _tcp(address) if address.path is None else [_unix(address.path)]
    try:
        yield listeners
    finally:
        for listener in listeners:
            listener.socket.close()
        if address.path is not None:
            address.path.unlink(missing_ok=True)


def bound_to(address: ListenAddress, listener: trio.SocketListener) -> str:
    """Return where metrics are: an address for HTTP, or `unix:PATH`."""
    if address.path is not None:
        return str(address)
    host, port = listener.socket.getsockname()[:2]
    return f"http://{ListenAddress(host, port)}/metrics"


async def _tcp(address: ListenAddress) -> list[trio.SocketListener]:
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host, backlog=_BACKLOG)
    except OSError as error:
        raise _unusable(address, error) from None
    if address.port == 0:
        # A name may stand for several addresses, and each would get a port of its own.
        for other in listeners[1:]:
            other.socket.close()
        del listeners[1:]
    if not all(map(_is_loopback, listeners)):
        log.warning(
            "metrics on %s can be read by whoever reaches this machine: there is no password",
            address,
        )
    return listeners


def _is_loopback(listener: trio.SocketListener) -> bool:
    host = listener.socket.getsockname()[0]
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _unix(path: Path) -> trio.SocketListener:
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        message = f"the socket path {path} is too long for the kernel: {_FIX}"
        raise UserError(ExitCode.USAGE, message)
    _remove_stale(path)
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.bind(os.fspath(path))
        # Nobody can connect before listen().
        os.chmod(path, _MODE)
        plain.listen(_BACKLOG)
    except OSError as error:
        plain.close()
        raise _unusable(ListenAddress(path=path), error) from None
    return trio.SocketListener(trio.socket.from_stdlib_socket(plain))


def _remove_stale(path: Path) -> None:
    """Remove the socket of a process that is gone; whatever else is there is refused."""
    address = ListenAddress(path=path)
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
        if not is_socket:
            raise UserError(ExitCode.USAGE, f"{path} is there and is no socket: {_FIX}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_S)
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return
    except (TimeoutError, BlockingIOError):
        pass
    except OSError as error:
        raise _unusable(address, error) from None
    message = f"cannot serve metrics on {address}: another process serves there: {_FIX}"
    raise UserError(ExitCode.USAGE, message)


def _unusable(address: ListenAddress, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(ExitCode.USAGE, f"cannot serve metrics on {address}: {reason}: {_FIX}")
