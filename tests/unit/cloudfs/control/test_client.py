"""One connection for many answers, with daemons that hang, hang up and come back."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cloudfs.control.client import Conversation
from cloudfs.control.server import NoDaemonError, NotAnsweringError, RefusedError

SHORT_S = 0.05
LONG_S = 10.0


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

    def questions(self) -> int:
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
def conversation(path: Path) -> Iterator[Conversation]:
    found = Conversation(lambda: path if path.exists() else None, "status")
    yield found
    found.close()


def silent(conversation: Conversation) -> None:
    with pytest.raises(NotAnsweringError, match=r"does not answer within 0\.05 s"):
        conversation.ask(timeout_s=SHORT_S)


def test_a_daemon_that_hangs_is_asked_once(path: Path, conversation: Conversation) -> None:
    with listening(path) as daemon:
        for _ in range(3):
            silent(conversation)
        daemon.accept()
        assert daemon.questions() == 1
        daemon.answer(number=1)
        assert conversation.ask(timeout_s=LONG_S) == {"number": 1}
        silent(conversation)
        assert daemon.questions() == 1


def test_an_answer_may_come_in_parts(path: Path, conversation: Conversation) -> None:
    with listening(path) as daemon:
        silent(conversation)
        daemon.accept()
        assert daemon.client is not None
        daemon.client.sendall(b'{"ok": true, "res')
        silent(conversation)
        daemon.client.sendall(b'ult": {"number": 2}}\n')
        assert conversation.ask(timeout_s=LONG_S) == {"number": 2}


def test_after_a_hang_up_it_asks_anew_at_once(path: Path, conversation: Conversation) -> None:
    with listening(path) as daemon:
        silent(conversation)
        daemon.accept()
        daemon.answer(number=1)
        conversation.ask(timeout_s=LONG_S)
        daemon.hang_up()
        silent(conversation)
        daemon.accept()
        assert daemon.questions() == 1
        daemon.answer(number=2)
        assert conversation.ask(timeout_s=LONG_S) == {"number": 2}


def test_a_daemon_that_ends_and_one_that_follows_it(path: Path, conversation: Conversation) -> None:
    with listening(path) as daemon:
        silent(conversation)
        daemon.accept()
    with pytest.raises(NoDaemonError):
        conversation.ask(timeout_s=LONG_S)
    with listening(path) as daemon:
        silent(conversation)
        daemon.accept()
        daemon.answer(number=3)
        assert conversation.ask(timeout_s=LONG_S) == {"number": 3}


def test_a_refusal_is_an_answer(path: Path, conversation: Conversation) -> None:
    with listening(path) as daemon:
        silent(conversation)
        daemon.accept()
        assert daemon.client is not None
        daemon.client.sendall(b'{"ok": false, "error": "no", "exit_code": 2}\n')
        with pytest.raises(RefusedError, match="no"):
            conversation.ask(timeout_s=LONG_S)
