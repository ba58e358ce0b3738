from __future__ import annotations

import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from cloudfs.control import server
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults


async def echo(arguments: Mapping[str, object]) -> Mapping[str, object]:
    return {"echo": dict(arguments)}


async def buggy(arguments: Mapping[str, object]) -> Mapping[str, object]:
    raise KeyError("a bug")


async def unserialisable(arguments: Mapping[str, object]) -> Mapping[str, object]:
    return {"path": object()}


async def refusing(arguments: Mapping[str, object]) -> Mapping[str, object]:
    raise UserError(ExitCode.CACHE, "the disk is full: free some space")


async def endless(arguments: Mapping[str, object]) -> Mapping[str, object]:
    await trio.sleep_forever()
    raise AssertionError


HANDLERS = {
    "echo": echo,
    "buggy": buggy,
    "unserialisable": unserialisable,
    "refusing": refusing,
    "endless": endless,
}


@contextmanager
def serving(path: Path) -> Iterator[None]:
    """Serve `HANDLERS` on a trio loop of its own thread, as a daemon in another process would."""
    started = threading.Event()
    stop: list[Callable[[], None]] = []
    failures: list[BaseException] = []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: server.serve(
                path, HANDLERS, task_status=task_status))  # fmt: skip
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
    assert server.request(path, "echo", {"name": "wert\n\u00e4"}) == {
        "echo": {"name": "wert\n\u00e4"}
    }
    assert server.request(path, "echo") == {"echo": {}}


def test_one_connection_takes_many_requests(path: Path) -> None:
    replies = raw(path, b'{"command": "echo"}\n', b'{"command": "echo", "arguments": {"a": 1}}\n')
    assert [reply["result"]["echo"] for reply in replies] == [{}, {"a": 1}]


def test_only_this_user_may_look_at_the_socket(path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("command", ["buggy", "unserialisable"])
def test_a_bug_is_logged_and_answered_and_ends_nothing(
    path: Path, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(server.RefusedError, match="internal error"):
        server.request(path, command)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert caplog.records[0].exc_info is not None
    assert server.request(path, "echo") == {"echo": {}}


def test_what_the_user_can_mend_is_said_with_its_exit_code(path: Path) -> None:
    with pytest.raises(server.RefusedError, match="free some space") as caught:
        server.request(path, "refusing")
    assert caught.value.exit_code is ExitCode.CACHE


def test_a_command_that_the_daemon_does_not_know_is_named(path: Path) -> None:
    with pytest.raises(
        server.RefusedError, match="no command 'none': commands are buggy"
    ) as caught:
        server.request(path, "none")
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
    ],
    ids=["text", "list", "bytes", "deep", "unknown", "no name", "no object"],
)
def test_a_bad_line_is_answered_and_the_next_one_too(path: Path, line: bytes) -> None:
    bad, good = raw(path, line, b'{"command": "echo"}\n')
    assert bad["ok"] is False
    assert bad["error"]
    assert good["ok"] is True


def test_a_line_without_end_is_refused(path: Path) -> None:
    # More than a full buffer ahead of the limit, so the server stops reading before the end.
    replies = raw(path, b"x" * (server.LINE_BYTES_MAX + 1))
    assert [reply["error"] for reply in replies] == ["the request is too long"]


def test_a_client_that_hangs_up_early_ends_nothing(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b'{"command": "echo"}\n' * 100)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert server.request(path, "echo") == {"echo": {}}


def test_connections_are_bounded(path: Path) -> None:
    holders = [socket.socket(socket.AF_UNIX) for _ in range(server.CONNECTIONS_MAX)]
    try:
        for holder in holders:
            holder.settimeout(10)
            holder.connect(str(path))
            holder.sendall(b'{"command": "echo"}\n')
            assert b'"ok": true' in holder.recv(1000)
        with pytest.raises(server.RefusedError, match="too many connections"):
            server.request(path, "echo")
    finally:
        for holder in holders:
            holder.close()


def test_another_user_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = os.geteuid() + 1
    monkeypatch.setattr(server, "_CREDENTIALS", FakeCredentials(somebody))
    with pytest.raises(server.RefusedError, match="may not control"):
        server.request(path, "echo")


class FakeCredentials:
    """Stands in for the struct that decodes the kernel's answer about the other end."""

    size = 12

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def unpack(self, raw: bytes) -> tuple[int, int, int]:
        return 1, self._uid, 1


def test_a_silent_daemon_is_given_up_on(path: Path) -> None:
    with pytest.raises(server.NotAnsweringError, match=r"within 0\.05 s"):
        server.request(path, "endless", timeout_s=0.05)


def test_nobody_listening(tmp_path: Path) -> None:
    with pytest.raises(server.NoDaemonError):
        server.request(tmp_path / "none.sock", "status")
    with pytest.raises(server.NoDaemonError):
        server.request(stale(tmp_path), "status")


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
        assert server.request(path, "echo") == {"echo": {}}
    assert not path.exists()


def test_a_live_daemons_socket_is_not_taken(path: Path) -> None:
    with pytest.raises(UserError, match=f"process {os.getpid()} still serves it") as caught:
        trio.run(server.serve, path, HANDLERS)
    assert caught.value.exit_code is ExitCode.MOUNTPOINT
    assert server.request(path, "echo") == {"echo": {}}


def test_a_path_that_is_too_long_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too long"):
        trio.run(server.serve, tmp_path / ("x" * 120), HANDLERS)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a folder away")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    with pytest.raises(UserError, match="belongs to user 12345"):
        trio.run(server.serve, tmp_path / "a.sock", HANDLERS)


def test_the_socket_and_the_process_of_a_mountpoint_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mountpoint = Path("/mnt/data")
    monkeypatch.setattr(defaults, "_ROOT_RUNTIME_DIRECTORY", tmp_path / "run")
    monkeypatch.setattr(defaults, "runtime_directory", lambda *_: tmp_path / "elsewhere")
    path = server.socket_path(mountpoint, tmp_path / "run" / "instance")
    assert len(path.stem) == 16
    assert server.find_socket(mountpoint) is None
    assert server.daemon_pid(mountpoint) is None
    path.parent.parent.mkdir()
    (tmp_path / "elsewhere").mkdir()
    left_behind = stale(tmp_path / "elsewhere", server.socket_path(mountpoint).name)
    assert server.find_socket(mountpoint) == left_behind
    assert server.daemon_pid(mountpoint) is None
    with serving(path):
        assert server.find_socket(mountpoint) == path
        assert server.sockets() == [left_behind, path]
        assert server.daemon_pid(mountpoint) == os.getpid()
    assert server.socket_path(mountpoint).parent == tmp_path / "elsewhere"
