"""One connection for many answers, with daemons that hang, hang up and come back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import msgspec
import pytest

from cloudfs.control.client import ControlConnection
from cloudfs.control.protocol import (
    BadMessageError,
    Command,
    NoArguments,
    NoDaemonError,
    NotAnsweringError,
    RefusedError,
)

SHORT_S = 0.05
LONG_S = 10.0


class Counted(msgspec.Struct):
    number: int


COUNT = Command("count", NoArguments, Counted)
Connection: TypeAlias = ControlConnection[NoArguments, Counted]


class Daemon:
    """The listening side, in the hand of the test: what is sent waits in the sockets."""

    def __init__(self, path: Path) -> None:
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._listening.settimeout(LONG_S)
        self.client: socket.socket | None = None

    def accept(self) -> None:
        """Take the next client."""
        self.client, _ = self._listening.accept()
        self.client.settimeout(LONG_S)

    def requests(self) -> int:
        """Return how many have come from the client since the last call."""
        assert self.client is not None
        self.client.setblocking(False)
        try:
            return self.client.recv(1 << 16).count(b"\n")
        except BlockingIOError:
            return 0

    def answer(self, **result: object) -> None:
        """Send one answer."""
        assert self.client is not None
        self.client.sendall(json.dumps({"ok": True, "result": result}).encode() + b"\n")

    def hang_up(self) -> None:
        """Close the client's connection."""
        assert self.client is not None
        self.client.close()

    def close(self) -> None:
        """Stop listening."""
        self._listening.close()
        if self.client is not None:
            self.client.close()


@contextmanager
def listening(path: Path) -> Iterator[Daemon]:
    daemon = Daemon(path)
    try:
        yield daemon
    finally:
        daemon.close()
        path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.sock"


@pytest.fixture
def connection(path: Path) -> Iterator[Connection]:
    found = ControlConnection(lambda: path if path.exists() else None, COUNT, NoArguments())
    yield found
    found.close()


def silent(connection: Connection) -> None:
    with pytest.raises(NotAnsweringError, match=r"does not answer within 0\.05 s"):
        connection.request(timeout_s=SHORT_S)


def test_a_daemon_that_hangs_is_asked_once(path: Path, connection: Connection) -> None:
    with listening(path) as daemon:
        for _ in range(3):
            silent(connection)
        daemon.accept()
        assert daemon.requests() == 1
        daemon.answer(number=1)
        assert connection.request(timeout_s=LONG_S) == Counted(1)
        silent(connection)
        assert daemon.requests() == 1


def test_an_answer_may_come_in_parts(path: Path, connection: Connection) -> None:
    with listening(path) as daemon:
        silent(connection)
        daemon.accept()
        assert daemon.client is not None
        daemon.client.sendall(b'{"ok": true, "res')
        silent(connection)
        daemon.client.sendall(b'ult": {"number": 2}}\n')
        assert connection.request(timeout_s=LONG_S) == Counted(2)


def test_after_a_hang_up_it_asks_anew_at_once(path: Path, connection: Connection) -> None:
    with listening(path) as daemon:
        silent(connection)
        daemon.accept()
        daemon.answer(number=1)
        connection.request(timeout_s=LONG_S)
        daemon.hang_up()
        silent(connection)
        daemon.accept()
        assert daemon.requests() == 1
        daemon.answer(number=2)
        assert connection.request(timeout_s=LONG_S) == Counted(2)


def test_a_daemon_that_ends_and_one_that_follows_it(path: Path, connection: Connection) -> None:
    with listening(path) as daemon:
        silent(connection)
        daemon.accept()
    with pytest.raises(NoDaemonError):
        connection.request(timeout_s=LONG_S)
    with listening(path) as daemon:
        silent(connection)
        daemon.accept()
        daemon.answer(number=3)
        assert connection.request(timeout_s=LONG_S) == Counted(3)


def test_a_refusal_is_an_answer(path: Path, connection: Connection) -> None:
    with listening(path) as daemon:
        silent(connection)
        daemon.accept()
        assert daemon.client is not None
        daemon.client.sendall(b'{"ok": false, "error": "no", "exit_code": 2}\n')
        with pytest.raises(RefusedError, match="no"):
            connection.request(timeout_s=LONG_S)


@pytest.mark.parametrize(
    "line",
    [
        b"text\n",
        b"[]\n",
        b'{"ok": 1}\n',
        b'{"ok": true}\n',
        b'{"ok": true, "result": {"number": "1"}}\n',
        b'{"ok": true, "result": {"\\udc80": 1}}\n',
    ],
    ids=["no JSON", "no object", "no reply", "no result", "wrong type", "odd name"],
)
def test_an_answer_that_cannot_be_read_is_one_line(
    path: Path, connection: Connection, line: bytes
) -> None:
    with listening(path) as daemon:
        silent(connection)
        daemon.accept()
        assert daemon.client is not None
        daemon.client.sendall(line)
        with pytest.raises(BadMessageError, match="the daemon's answer to count") as caught:
            connection.request(timeout_s=LONG_S)
        assert "\n" not in str(caught.value)
        silent(connection)
