"""The server of the control socket: the commands of a mount, on the trio loop.

Only the user of the daemon and root get answers.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic

import msgspec
import trio

from cloudfs.control import sockets
from cloudfs.control.protocol import (
    HANDLER_S_MAX,
    LINE_BYTES_MAX,
    ArgumentsT,
    BadMessageError,
    Command,
    ControlReply,
    ControlRequest,
    ResultT,
    convert,
    decode,
    encode,
)
from cloudfs.errors import ExitCode, UserError

CONNECTIONS_MAX: Final = 16
IDLE_S_MAX: Final = 30.0
REFUSED_IDLE_S_MAX: Final = 1.0

_CHUNK_BYTES: Final = 65536
_COMMAND_SHOWN_MAX: Final = 64
_OWN_FOLDER: Final = "set RUNTIME_DIRECTORY to a folder of your own, with a short path"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route(Generic[ArgumentsT, ResultT]):
    """A command and its handler, which may raise `UserError`."""

    command: Command[ArgumentsT, ResultT]
    handler: Callable[[ArgumentsT], Awaitable[ResultT]]

    async def result(self, arguments: object) -> Any:
        """Return the handler's result as JSON values; `BadMessageError` for wrong arguments."""
        return msgspec.to_builtins(await self.handler(convert(arguments, self.command.arguments)))


async def serve(
    path: Path,
    routes: Iterable[Route[Any, Any]],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests on `path` until cancelled, then remove it.

    Reports started once connections are accepted. The socket of a dead daemon is replaced; that
    of a live one raises `UserError`, as does a folder that cannot be used. A handler's bug is
    logged and answered, and never ends the server.
    """
    listening = _listen(path)
    try:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        server = _ControlServer(routes)
        async with trio.open_nursery() as nursery:
            task_status.started()
            await trio.serve_listeners(server.serve_client, [listener], handler_nursery=nursery)
    finally:
        listening.close()
        _remove(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    """Return a socket that listens on `path`, for this user only."""
    _prepare_folder(path.parent)
    try:
        return sockets.listen(path, mode=0o600, backlog=CONNECTIONS_MAX)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            message = f"{path} is in use, {error.strerror}: wait until it has ended, or end it"
            raise UserError(ExitCode.MOUNTPOINT, message) from None
        raise _unusable(path, error) from None


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


class _ControlServer:
    """The clients of one control socket. All of it runs on the trio loop."""

    def __init__(self, routes: Iterable[Route[Any, Any]]) -> None:
        self._routes = {route.command.name: route for route in routes}
        self._connections = 0

    async def serve_client(self, stream: trio.SocketStream) -> None:
        """Answer one client until it hangs up, idles or breaks the protocol."""
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
            with trio.move_on_after(IDLE_S_MAX):
                await stream.send_all(encode(reply))
            if refusal or len(line) > LINE_BYTES_MAX:
                return

    def _refusal(self, stream: trio.SocketStream) -> str:
        """Return why this client gets no answers, "" when it does."""
        if sockets.peer_uid(stream) not in {0, os.geteuid()}:
            return "this user may not control the mount"
        if self._connections > CONNECTIONS_MAX:
            return "too many connections: try again later"
        return ""

    async def _answer(self, line: bytes) -> ControlReply:
        """Return the reply to one request line, whatever is wrong with it."""
        if len(line) > LINE_BYTES_MAX:
            return _failure("the request is too long")
        try:
            request = decode(line, ControlRequest)
        except BadMessageError as error:
            return _failure(f"bad request: {error}")
        route = self._routes.get(request.command)
        if route is None:
            name = request.command[:_COMMAND_SHOWN_MAX]
            known = ", ".join(sorted(self._routes))
            return _failure(f"this mount has no command {name!r}: commands are {known}")
        return await _handled(route, request.arguments)


async def _handled(route: Route[Any, Any], arguments: object) -> ControlReply:
    """Run a handler within its time; a bug in it is logged and becomes an answer."""
    try:
        with trio.fail_after(HANDLER_S_MAX):
            return ControlReply(ok=True, result=await route.result(arguments))
    except BadMessageError as error:
        return _failure(f"bad arguments of {route.command.name}: {error}")
    except UserError as error:
        return _failure(error.message, error.exit_code)
    except trio.TooSlowError:
        return _failure(f"not done within {HANDLER_S_MAX:g} s", ExitCode.TIMEOUT)
    except Exception:
        log.exception("bug in the control command %s", route.command.name)
        return _failure("internal error: see the daemon's log", ExitCode.BUG)


async def _next_line(stream: trio.SocketStream, pending: bytearray, idle_s: float) -> bytes | None:
    """Take the next line from `pending` and the stream; None when the client is done or idles.

    A line above the limit is cut there and returned as what was received.
    """
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


def _failure(message: str, exit_code: ExitCode = ExitCode.USAGE) -> ControlReply:
    return ControlReply(ok=False, error=message, exit_code=int(exit_code))
