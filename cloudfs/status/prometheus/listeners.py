"""Listeners of the metrics server: a TCP address, or a unix socket with its file."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from cloudfs.config.types import ListenAddress
from cloudfs.control import sockets
from cloudfs.errors import ExitCode, UserError

_BACKLOG: Final = 16
_MODE: Final = 0o660
"""For the daemon's user and group."""

_FIX: Final = "give another address with --metrics-address"

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_listeners(address: ListenAddress) -> AsyncIterator[list[trio.SocketListener]]:
    """Listen on `address` for the time of the context; raise `UserError` when it cannot be bound.

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
    """Return the address of the metrics as text: a URL, or `unix:PATH`."""
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
        # A name may resolve to several addresses, and each would get a port of its own.
        for other in listeners[1:]:
            other.socket.close()
        del listeners[1:]
    if not all(map(_is_loopback, listeners)):
        log.warning(
            "metrics on %s can be read from every host that reaches it: there is no password",
            address,
        )
    return listeners


def _is_loopback(listener: trio.SocketListener) -> bool:
    host = listener.socket.getsockname()[0]
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _unix(path: Path) -> trio.SocketListener:
    try:
        listening = sockets.listen(path, mode=_MODE, backlog=_BACKLOG)
    except OSError as error:
        raise _unusable(ListenAddress(path=path), error) from None
    return trio.SocketListener(trio.socket.from_stdlib_socket(listening))


def _unusable(address: ListenAddress, error: OSError) -> UserError:
    reason = error.strerror or str(error)
    return UserError(ExitCode.USAGE, f"cannot serve metrics on {address}: {reason}: {_FIX}")
