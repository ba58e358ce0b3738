"""The client of the control socket: single requests, and a connection that repeats one.

Synchronous and without trio, so that `cloudfs status` starts fast.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Generic

import msgspec

from cloudfs.control.protocol import (
    LINE_BYTES_MAX,
    ArgumentsT,
    BadMessageError,
    Command,
    ControlError,
    ControlReply,
    ControlRequest,
    NoDaemonError,
    NotAnsweringError,
    OtherSchemaError,
    RefusedError,
    ResultT,
    convert,
    decode,
    encode,
)
from cloudfs.control.sockets import connected
from cloudfs.errors import ExitCode

_CHUNK_BYTES: Final = 65536


def request(
    path: Path,
    command: Command[ArgumentsT, ResultT],
    arguments: ArgumentsT,
    *,
    timeout_s: float = 5,
) -> ResultT:
    """Ask the daemon at `path` and return its result, or raise a `ControlError`.

    `timeout_s` bounds each step: connecting, sending, and each wait for more of the reply.
    """
    with connected(path, timeout_s) as connection:
        connection.sendall(_line(command, arguments))
        received = bytearray()
        _receive_line(connection, received)
    return _result(bytes(received), command)


class ControlConnection(Generic[ArgumentsT, ResultT]):
    """Repeats one request, over one connection as long as that lasts.

    `find` gives the socket whenever there is no connection. A reply that does not come in time is
    owed: the next call waits for it and sends nothing, so a daemon that hangs is asked once.
    """

    def __init__(
        self,
        find: Callable[[], Path | None],
        command: Command[ArgumentsT, ResultT],
        arguments: ArgumentsT,
    ) -> None:
        self._find = find
        self._command = command
        self._request = _line(command, arguments)
        self._connection: socket.socket | None = None
        self._hangs_up = ExitStack()
        self._is_owed = False
        self._received = bytearray()

    def request(self, *, timeout_s: float) -> ResultT:
        """Return the daemon's result, or raise a `ControlError`; each step takes `timeout_s`."""
        was_open = self._connection is not None
        try:
            return self._try(timeout_s)
        except ControlError:
            if not was_open or self._connection is not None:
                raise
        # The daemon hung up on an idle client, or was started anew.
        return self._try(timeout_s)

    def close(self) -> None:
        """Hang up; the next call connects again."""
        self._hangs_up.close()
        self._connection = None
        self._is_owed = False
        self._received.clear()

    def _try(self, timeout_s: float) -> ResultT:
        try:
            line = self._reply(timeout_s)
        except TimeoutError:
            # The connection and what has come of the reply stay as they are.
            message = f"the daemon does not answer within {timeout_s:g} s"
            raise NotAnsweringError(message) from None
        except ControlError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise NotAnsweringError(f"the daemon hung up: {error.strerror or error}") from None
        return _result(line, self._command)

    def _reply(self, timeout_s: float) -> bytes:
        connection = self._connection or self._connect(timeout_s)
        connection.settimeout(timeout_s)
        if not self._is_owed:
            connection.sendall(self._request)
            self._is_owed = True
        _receive_line(connection, self._received)
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received[:] = rest
        self._is_owed = False
        return line

    def _connect(self, timeout_s: float) -> socket.socket:
        path = self._find()
        if path is None:
            raise NoDaemonError("there is no control socket that this user may see")
        self._connection = self._hangs_up.enter_context(connected(path, timeout_s))
        return self._connection


def _line(command: Command[Any, Any], arguments: object) -> bytes:
    return encode(ControlRequest(command.name, msgspec.to_builtins(arguments)))


def _receive_line(connection: socket.socket, received: bytearray) -> None:
    """Add to `received` until it has a whole line."""
    while b"\n" not in received:
        chunk = connection.recv(_CHUNK_BYTES)
        if not chunk:
            raise NotAnsweringError("the daemon hung up without an answer")
        received += chunk
        if len(received) > LINE_BYTES_MAX:
            raise NotAnsweringError("the daemon's answer is too long")


def _result(line: bytes, command: Command[Any, ResultT]) -> ResultT:
    """Return the result in a reply, or raise the `ControlError` that it is."""
    try:
        reply = decode(line, ControlReply)
        if reply.ok:
            if command.schema is not None:
                _require_schema(reply.result or {}, command.schema)
            return convert(reply.result, command.result)
    except BadMessageError as error:
        message = f"the daemon's answer to {command.name} cannot be read: {error}"
        raise BadMessageError(message) from None
    raise RefusedError(reply.error or "the answer has no result", _exit_code(reply.exit_code))


def _require_schema(result: Mapping[str, Any], expected: int) -> None:
    if result.get("schema") != expected:
        raise OtherSchemaError(result, expected)


def _exit_code(number: int) -> ExitCode:
    try:
        return ExitCode(number or ExitCode.BUG)
    except ValueError:
        return ExitCode.BUG
