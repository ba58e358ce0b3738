"""Asking one daemon the same again and again over its control socket, as a live view does.

Synchronous, as the client in `cloudfs.control.server` is. It does not know what the answers say.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cloudfs.control import server
from cloudfs.control.server import ControlError, NoDaemonError, NotAnsweringError


class Conversation:
    """Asks for the result of `command`, over one connection as long as that lasts.

    `find` gives the socket whenever there is no connection. An answer that does not come in time is
    owed: the next call waits for it and asks nothing new, so a daemon that hangs is asked once.
    """

    def __init__(self, find: Callable[[], Path | None], command: str) -> None:
        self._find = find
        self._question = json.dumps({"command": command, "arguments": {}}).encode() + b"\n"
        self._connection: socket.socket | None = None
        self._hangs_up = ExitStack()
        self._is_owed = False
        self._received = bytearray()

    def ask(self, *, timeout_s: float) -> dict[str, Any]:
        """Return the daemon's result, or raise a `ControlError`; each step takes `timeout_s`."""
        was_open = self._connection is not None
        try:
            return self._ask(timeout_s)
        except ControlError:
            if not was_open or self._connection is not None:
                raise
        # The daemon hung up on an idle client, or was started anew.
        return self._ask(timeout_s)

    def close(self) -> None:
        """Hang up; the next call connects again."""
        self._hangs_up.close()
        self._connection = None
        self._is_owed = False
        self._received.clear()

    def _ask(self, timeout_s: float) -> dict[str, Any]:
        try:
            line = self._answer(timeout_s)
        except TimeoutError:
            # The connection and what has come of the answer stay as they are.
            message = f"the daemon does not answer within {timeout_s:g} s"
            raise NotAnsweringError(message) from None
        except ControlError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise NotAnsweringError(f"the daemon hung up: {error.strerror or error}") from None
        return server.result_of(line)

    def _answer(self, timeout_s: float) -> bytes:
        connection = self._connection or self._connect(timeout_s)
        connection.settimeout(timeout_s)
        if not self._is_owed:
            connection.sendall(self._question)
            self._is_owed = True
        server.receive_line(connection, self._received)
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received[:] = rest
        self._is_owed = False
        return line

    def _connect(self, timeout_s: float) -> socket.socket:
        path = self._find()
        if path is None:
            raise NoDaemonError("there is no control socket that this user may see")
        self._connection = self._hangs_up.enter_context(server.connected(path, timeout_s))
        return self._connection
