from __future__ import annotations

import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from cloudfs.control import client, server, sockets
from cloudfs.control.protocol import (
    LINE_BYTES_MAX,
    Command,
    NoArguments,
    NoDaemonError,
    NotAnsweringError,
    RefusedError,
)
from cloudfs.control.server import Route
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults


class Text(msgspec.Struct):
    name: str = ""
    count: int = 0


ECHO = Command("echo", Text, Text)
BUGGY = Command("buggy", NoArguments, Text)
UNSERIALISABLE = Command("unserialisable", NoArguments, Text)
REFUSING = Command("refusing", NoArguments, Text)
ENDLESS = Command("endless", NoArguments, Text)


async def echo(arguments: Text) -> Text:
    return arguments


async def buggy(_: NoArguments) -> Text:
    raise KeyError("a bug")


async def unserialisable(_: NoArguments) -> Text:
    return Text(name=object())  # type: ignore[arg-type]


async def refusing(_: NoArguments) -> Text:
    raise UserError(ExitCode.CACHE, "the disk is full: free some space")


async def endless(_: NoArguments) -> Text:
    await trio.sleep_forever()
    raise AssertionError


ROUTES: list[Route[Any, Any]] = [
    Route(ECHO, echo),
    Route(BUGGY, buggy),
    Route(UNSERIALISABLE, unserialisable),
    Route(REFUSING, refusing),
    Route(ENDLESS, endless),
]


@contextmanager
def serving(path: Path) -> Iterator[None]:
    """Serve `ROUTES` on a trio loop of its own thread, as a daemon in another process would."""
    started = threading.Event()
    stop: list[Callable[[], None]] = []
    failures: list[BaseException] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: server.serve(
                path, ROUTES, task_status=task_status))  # fmt: skip
            token = trio.lowlevel.current_trio_token()
            stop.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            started.set()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as error:
            failures.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        if failures:
            raise failures[0]
        yield
    finally:
        if stop:
            stop[0]()
        thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "run" / "mount.sock"
    with serving(path):
        yield path


def raw(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """Send raw lines on one connection, end it, and return all replies."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        try:
            connection.sendall(b"".join(lines))
            connection.shutdown(socket.SHUT_WR)
        except BrokenPipeError:
            pass
        with connection.makefile("rb") as replies:
            return [json.loads(line) for line in replies]


def test_a_request_gets_its_result(path: Path) -> None:
    # The last is how a name that is not UTF-8 is spelled.
    for name in ("wert\n\u00e4", "", "a\udc80"):
        assert client.request(path, ECHO, Text(name)) == Text(name)


def test_one_connection_takes_many_requests(path: Path) -> None:
    replies = raw(
        path, b'{"command": "echo"}\n', b'{"command": "echo", "arguments": {"count": 1}}\n'
    )
    assert [reply["result"]["count"] for reply in replies] == [0, 1]


def test_only_this_user_may_look_at_the_socket(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("command", [BUGGY, UNSERIALISABLE], ids=lambda command: command.name)
def test_a_bug_is_logged_and_answered_and_ends_nothing(
    path: Path, command: Command[NoArguments, Text], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(RefusedError, match="internal error"):
        client.request(path, command, NoArguments())
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None
    assert client.request(path, ECHO, Text("a")) == Text("a")


def test_what_the_user_can_mend_is_said_with_its_exit_code(path: Path) -> None:
    with pytest.raises(RefusedError, match="free some space") as caught:
        client.request(path, REFUSING, NoArguments())
    assert caught.value.exit_code is ExitCode.CACHE


def test_a_command_that_the_daemon_does_not_know_is_named(path: Path) -> None:
    with pytest.raises(RefusedError, match=r"'none'.* echo") as caught:
        client.request(path, Command("none", NoArguments, Text), NoArguments())
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b"[]\n",
        b"\xff\n",
        b"[" * 200_000 + b"\n",
        b'{"command": "none"}\n',
        b'{"command": ["echo"]}\n',
        b'{"command": "echo", "arguments": []}\n',
        b'{"command": "echo", "arguments": {"count": "1"}}\n',
        b'{"command": "echo", "arguments": {"\\udc80": 1}}\n',
    ],
    ids=["text", "list", "bytes", "deep", "unknown", "no name", "no object", "type", "odd name"],
)
def test_a_bad_line_is_answered_and_the_next_one_too(path: Path, line: bytes) -> None:
    bad, good = raw(path, line, b'{"command": "echo"}\n')
    assert bad["ok"] is False
    assert bad["error"]
    assert bad["exit_code"] == ExitCode.USAGE
    assert good["ok"] is True


def test_a_line_without_end_is_refused(path: Path) -> None:
    # More than a full buffer ahead of the limit, so the server stops reading before the end.
    replies = raw(path, b"x" * (LINE_BYTES_MAX + 1))
    assert [reply["error"] for reply in replies] == ["the request is too long"]


def test_a_client_that_hangs_up_early_ends_nothing(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b'{"command": "echo"}\n' * 100)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert client.request(path, ECHO, Text("a")) == Text("a")


def test_connections_are_bounded(path: Path) -> None:
    holders = [socket.socket(socket.AF_UNIX) for _ in range(server.CONNECTIONS_MAX)]
    try:
        for holder in holders:
            holder.settimeout(10)
            holder.connect(str(path))
            holder.sendall(b'{"command": "echo"}\n')
            assert b'"ok": true' in holder.recv(1000)
        with pytest.raises(RefusedError, match="too many connections"):
            client.request(path, ECHO, Text())
    finally:
        for holder in holders:
            holder.close()


def test_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.geteuid() + 1
    monkeypatch.setattr(sockets, "peer_uid", lambda _: stranger)
    with pytest.raises(RefusedError, match="may not control"):
        client.request(path, ECHO, Text())


def test_a_silent_daemon_is_given_up_on(path: Path) -> None:
    with pytest.raises(NotAnsweringError, match=r"within 0\.05 s"):
        client.request(path, ENDLESS, NoArguments(), timeout_s=0.05)


def test_nobody_listening(tmp_path: Path) -> None:
    with pytest.raises(NoDaemonError):
        client.request(tmp_path / "none.sock", ECHO, Text())
    with pytest.raises(NoDaemonError):
        client.request(stale(tmp_path), ECHO, Text())


def stale(folder: Path, name: str = "stale.sock") -> Path:
    """Return the socket that a killed daemon leaves behind."""
    path = folder / name
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    return path


def test_a_dead_daemons_socket_is_replaced_and_removed_at_the_end(tmp_path: Path) -> None:
    path = stale(tmp_path)
    with serving(path):
        assert client.request(path, ECHO, Text("a")) == Text("a")
    assert not path.exists()


def test_a_live_daemons_socket_is_not_taken(path: Path) -> None:
    with pytest.raises(UserError, match=f"process {os.getpid()} still serves it") as caught:
        trio.run(server.serve, path, ROUTES)
    assert caught.value.exit_code is ExitCode.MOUNTPOINT
    assert client.request(path, ECHO, Text("a")) == Text("a")


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.sock").write_text("precious")
    with pytest.raises(UserError, match="no socket"):
        trio.run(server.serve, tmp_path / "a.sock", ROUTES)
    assert (tmp_path / "a.sock").read_text() == "precious"


def test_a_path_that_is_too_long_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too long"):
        trio.run(server.serve, tmp_path / ("x" * 120), ROUTES)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(UserError, match="belongs to user 12345"):
        trio.run(server.serve, tmp_path / "a.sock", ROUTES)


def test_the_socket_and_the_process_of_a_mountpoint_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountpoint = Path("/mnt/data")
    monkeypatch.setattr(defaults, "_ROOT_RUNTIME_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(defaults, "runtime_directory", lambda *_: tmp_path / "elsewhere")
    path = sockets.socket_path(mountpoint, tmp_path / "run" / "instance")
    assert len(path.stem) == 16
    assert sockets.find_socket(mountpoint) is None
    assert sockets.daemon_pid(mountpoint) is None
    path.parent.parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    left_behind = stale(tmp_path / "elsewhere", sockets.socket_path(mountpoint).name)
    assert sockets.find_socket(mountpoint) == left_behind
    assert sockets.daemon_pid(mountpoint) is None
    with serving(path):
        assert sockets.find_socket(mountpoint) == path
        assert sockets.all_sockets() == [left_behind, path]
        assert sockets.daemon_pid(mountpoint) == os.getpid()
    assert sockets.socket_path(mountpoint).parent == tmp_path / "elsewhere"
