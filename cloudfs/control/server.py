"""The control socket of a mount: how the command line asks a running daemon.

One request is one line, `{"command": str, "arguments": {...}}`, and one reply is one line,
`{"ok": true, "result": {...}}` or `{"ok": false, "error": "...", "exit_code": int}`. Only the user
of the daemon and root are answered. This module does not know the commands. The client is
synchronous and does not import trio, so that `cloudfs status` starts fast; the server runs on trio.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults

if TYPE_CHECKING:
    from collections.abc import Iterator

    import trio

Handler: TypeAlias = Callable[[Mapping[str, object]], Awaitable[Mapping[str, object]]]

LINE_BYTES_MAX: Final = 1024 * 1024
CONNECTIONS_MAX: Final = 16
IDLE_S_MAX: Final = 30.0
REFUSED_IDLE_S_MAX: Final = 1.0
HANDLER_S_MAX: Final = 30.0

_PATH_BYTES_MAX: Final = 107
_CREDENTIALS: Final = struct.Struct("iII")
_PROBE_S: Final = 1.0
_CHUNK_BYTES: Final = 65536
_COMMAND_SHOWN_MAX: Final = 64
_OWN_FOLDER: Final = "set RUNTIME_DIRECTORY to a folder of your own"

log = logging.getLogger(__name__)


class ControlError(Exception):
    """A daemon that did not give a result; the message says why, in one line."""


class NoDaemonError(ControlError):
    """Nobody listens: there is no socket, or its daemon is gone."""


class NotAnsweringError(ControlError):
    """Somebody listens but no whole answer came in time."""


class NotPermittedError(ControlError):
    """The socket belongs to another user."""


class RefusedError(ControlError):
    """The daemon answered that it could not do it; a command ends with `exit_code` then."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def socket_path(mountpoint: Path, directory: Path | None = None) -> Path:
    """Return the socket of the canonical `mountpoint`, by default where this process creates it."""
    folder = defaults.runtime_directory() if directory is None else directory
    return folder / f"{defaults.mountpoint_digest(mountpoint)}.sock"


def find_socket(mountpoint: Path) -> Path | None:
    """Return the socket that serves the canonical `mountpoint`, whoever started its daemon.

    Where nobody listens, one that a dead daemon left behind; None when there is none.
    """
    paths = (socket_path(mountpoint, folder) for folder in defaults.runtime_directories())
    found = [path for path in paths if os.path.lexists(path)]
    return next((path for path in found if _is_served(path)), found[0] if found else None)


def _is_served(path: Path) -> bool:
    try:
        with connected(path, _PROBE_S):
            return True
    except NoDaemonError:
        return False
    except ControlError:
        return True


def sockets() -> list[Path]:
    """Return the control sockets of this machine that this user may see."""
    return [path for folder in defaults.runtime_directories() for path in _listed(folder)]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(".sock"))
    except OSError:
        return []


def request(
    path: Path,
    command: str,
    arguments: Mapping[str, object] | None = None,
    *,
    timeout_s: float = 5,
) -> dict[str, Any]:
    """Ask the daemon at `path` and return its result, or raise a `ControlError`.

    `timeout_s` bounds each step: connecting, sending, and each wait for more of the answer.
    """
    line = json.dumps({"command": command, "arguments": dict(arguments or {})}) + "\n"
    with connected(path, timeout_s) as connection:
        connection.sendall(line.encode())
        received = bytearray()
        receive_line(connection, received)
    return result_of(bytes(received))


def result_of(line: bytes) -> dict[str, Any]:
    """Return the result in a reply, or raise the `ControlError` that it is."""
    reply = _decoded(line)
    result = reply.get("result")
    if reply.get("ok") is True and isinstance(result, dict):
        return result
    raise _refused(reply)


def _refused(reply: Mapping[str, Any]) -> RefusedError:
    try:
        code = ExitCode(reply.get("exit_code", ExitCode.BUG))
    except ValueError:
        code = ExitCode.BUG
    return RefusedError(str(reply.get("error", "the answer has no result")), code)


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


def receive_line(connection: socket.socket, received: bytearray) -> None:
    """Add to `received` until it has a whole line."""
    while b"\n" not in received:
        chunk = connection.recv(_CHUNK_BYTES)
        if not chunk:
            raise NotAnsweringError("the daemon hung up without an answer")
        received += chunk
        if len(received) > LINE_BYTES_MAX:
            raise NotAnsweringError("the daemon's answer is too long")


def _decoded(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; `ControlError` when it is none."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ControlError("not a line with a JSON object")
    return document


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return the process and user at the other end; the process is 0 in another namespace."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    return pid, uid


async def serve(
    path: Path,
    handlers: Mapping[str, Handler],
    *,
    task_status: trio.TaskStatus[None] | None = None,
) -> None:
    """Answer requests on `path` until cancelled, then remove it.

    Reports started once connections are accepted. The socket of a dead daemon is replaced; that
    of a live one raises `UserError`, as does a folder that cannot be used. A handler's bug is
    logged and answered, and never ends the server.
    """
    import trio  # noqa: PLC0415 - the client must start without it

    listening = _listening_socket(path)
    try:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        server = _Server(handlers)
        async with trio.open_nursery() as nursery:
            if task_status is not None:
                task_status.started()
            await trio.serve_listeners(server.converse, [listener], handler_nursery=nursery)
    finally:
        listening.close()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listening_socket(path: Path) -> socket.socket:
    """Return a socket that listens on `path`, for this user only."""
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        fix = "set RUNTIME_DIRECTORY to a shorter folder"
        raise UserError(ExitCode.USAGE, f"the socket path {path} is too long: {fix}")
    _prepare_folder(path.parent)
    _remove_stale(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(path))
        os.chmod(path, 0o600)
        listening.listen(CONNECTIONS_MAX)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _unusable(path, error) from None
    return listening


def _prepare_folder(folder: Path) -> None:
    """Create the folder of sockets, or refuse one that another user could have planted."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = os.stat(folder).st_uid
    except OSError as error:
        raise _unusable(folder, error) from None
    if owner != os.geteuid():
        raise UserError(ExitCode.USAGE, f"{folder} belongs to user {owner}: {_OWN_FOLDER}")


def _unusable(path: Path, error: OSError) -> UserError:
    return UserError(ExitCode.USAGE, f"cannot create {path}: {error.strerror}: {_OWN_FOLDER}")


def _remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that is gone; refuse to take a live one's place."""
    try:
        with connected(path, _PROBE_S) as connection:
            pid = _peer(connection)[0]
    except NoDaemonError:
        _remove(path)
        return
    except ControlError as error:
        reason = str(error)
    else:
        reason = f"process {pid} still serves it"
    message = f"{path} is in use, {reason}: wait until it has ended, or end it"
    raise UserError(ExitCode.MOUNTPOINT, message)


class _Server:
    """The conversations of one control socket. All of it runs on the trio loop."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._connections = 0

    async def converse(self, stream: trio.SocketStream) -> None:
        """Answer one client until it hangs up, idles or breaks the protocol."""
        import trio  # noqa: PLC0415 - the client must start without it

        self._connections += 1
        try:
            async with stream:
                await self._answer_lines(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a control client hung up before its answer")
        except Exception:
            log.exception("bug in the control socket")
        finally:
            self._connections -= 1

    async def _answer_lines(self, stream: trio.SocketStream) -> None:
        refusal = self._refusal(stream)
        idle_s = REFUSED_IDLE_S_MAX if refusal else IDLE_S_MAX
        pending = bytearray()
        while (line := await _next_line(stream, pending, idle_s)) is not None:
            # Refused only now: closing before the request is read would drop the reply as well.
            reply = _failure(refusal) if refusal else await self._answer(line)
            await _send(stream, reply)
            if refusal or len(line) > LINE_BYTES_MAX:
                return

    def _refusal(self, stream: trio.SocketStream) -> str:
        """Return why this client gets no answers, "" when it does."""
        if not self._is_welcome(stream):
            return "this user may not control the mount"
        if self._connections > CONNECTIONS_MAX:
            return "too many connections: try again later"
        return ""

    @staticmethod
    def _is_welcome(stream: trio.SocketStream) -> bool:
        raw = stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        assert isinstance(raw, bytes)
        return _CREDENTIALS.unpack(raw)[1] in {0, os.geteuid()}

    async def _answer(self, line: bytes) -> dict[str, object]:
        """Return the reply to one request line, whatever is wrong with it."""
        if len(line) > LINE_BYTES_MAX:
            return _failure("the request is too long")
        try:
            document = _decoded(line)
        except ControlError as error:
            return _failure(str(error))
        command = str(document.get("command"))[:_COMMAND_SHOWN_MAX]
        handler = self._handlers.get(command)
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return _failure(f"this mount has no command {command!r}: commands are {known}")
        arguments = document.get("arguments", {})
        if not isinstance(arguments, dict):
            return _failure("arguments are an object")
        return await _handled(handler, arguments)


async def _handled(handler: Handler, arguments: Mapping[str, object]) -> dict[str, object]:
    """Run a handler within its time; a bug in it is logged and becomes an answer."""
    import trio  # noqa: PLC0415 - the client must start without it

    try:
        with trio.fail_after(HANDLER_S_MAX):
            result = await handler(arguments)
        json.dumps(result)
    except UserError as error:
        return _failure(error.message, error.exit_code)
    except trio.TooSlowError:
        return _failure(f"not done within {HANDLER_S_MAX:g} s", ExitCode.TIMEOUT)
    except Exception:
        log.exception("bug in a control command")
        return _failure("internal error: see the daemon's log", ExitCode.BUG)
    return {"ok": True, "result": result}


async def _next_line(stream: trio.SocketStream, pending: bytearray, idle_s: float) -> bytes | None:
    """Take the next line from `pending` and the stream; None when the client is done or idles.

    A line above the limit is cut there and returned as what was received.
    """
    import trio  # noqa: PLC0415 - the client must start without it

    with trio.move_on_after(idle_s):
        while b"\n" not in pending and len(pending) <= LINE_BYTES_MAX:
            chunk = await stream.receive_some(_CHUNK_BYTES)
            if not chunk:
                return None
            pending += chunk
        line, _, rest = bytes(pending).partition(b"\n")
        pending[:] = rest
        return line
    return None


async def _send(stream: trio.SocketStream, reply: Mapping[str, object]) -> None:
    import trio  # noqa: PLC0415 - the client must start without it

    with trio.move_on_after(IDLE_S_MAX):
        await stream.send_all(json.dumps(reply).encode() + b"\n")


def _failure(message: str, exit_code: ExitCode = ExitCode.USAGE) -> dict[str, object]:
    return {"ok": False, "error": message, "exit_code": int(exit_code)}
