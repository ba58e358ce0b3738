"""Prometheus metrics over HTTP: what the status document says, in the exposition format.

It does not know where the figures come from. The server is a task of the daemon's own loop, which
waits for sockets only: the text is made in a worker thread, and every connection has a bound in
time and size, so that no client can hold a reader up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias

import trio

from cloudfs.config.types import ListenAddress
from cloudfs.status.prometheus import answers
from cloudfs.status.prometheus.listening import bound_to, open_listeners

Document: TypeAlias = Callable[[], Mapping[str, Any]]
Render: TypeAlias = Callable[[Mapping[str, Any], str], tuple[bytes, str]]

CONNECTIONS_MAX: Final = 16
REQUEST_S_MAX: Final = 10.0
"""From the connection to the end of the answer."""

_HEAD_BYTES_MAX: Final = 16_384
_CHUNK_BYTES: Final = 4096
_REFUSAL_S_MAX: Final = 1.0
_NOTHING_READ: Final = answers.Request("", "", "", None)

log = logging.getLogger(__name__)


async def serve(
    address: ListenAddress | None,
    document: Document,
    *,
    task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve metrics on `address` until cancelled; with None there is nothing to serve.

    Reports started, with the address bound as text, once connections are accepted. `document` is
    called on the loop. Raises `UserError` when the address cannot be had. A unix socket is removed
    at the end.
    """
    if address is None:
        task_status.started(None)
        return
    # Only a mount that is asked for metrics needs the library, and before anybody reads from it.
    from cloudfs.status.prometheus.collector import render  # noqa: PLC0415

    async with open_listeners(address) as listeners:
        where = bound_to(address, listeners[0])
        server = _Server(document, render)
        log.info("metrics on %s", where)
        async with trio.open_nursery() as nursery:
            task_status.started(where)
            await trio.serve_listeners(server.converse, listeners, handler_nursery=nursery)


class _Server:
    """The conversations of one address. All of it runs on the trio loop but the rendering."""

    def __init__(self, document: Document, render: Render) -> None:
        self._document = document
        self._render = render
        self._connections = 0
        self._rendering = trio.CapacityLimiter(1)

    async def converse(self, stream: trio.SocketStream) -> None:
        """Answer one request and hang up."""
        self._connections += 1
        try:
            with trio.move_on_after(REQUEST_S_MAX):
                async with stream:
                    await self._answer_one(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client hung up before its answer")
        except Exception:
            log.exception("bug in the metrics")
        finally:
            self._connections -= 1

    async def _answer_one(self, stream: trio.SocketStream) -> None:
        if self._connections > CONNECTIONS_MAX:
            reply = answers.refusal(_NOTHING_READ, HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            head = await _head(stream)
            if head is None:
                return
            reply = await self._reply(answers.parse(head))
        await stream.send_all(reply)
        await _hang_up(stream)

    async def _reply(self, request: answers.Request) -> bytes:
        if request.refusal is not None:
            return answers.refusal(request, request.refusal)
        # Made here and rendered elsewhere: the figures belong to the loop, their text does not.
        document = self._document()
        if request.path == answers.HEALTH:
            return answers.answer(request, HTTPStatus.OK, answers.health(document))
        body, content_type = await trio.to_thread.run_sync(
            self._render, document, request.accept, limiter=self._rendering
        )
        return answers.answer(request, HTTPStatus.OK, body, content_type)


async def _head(stream: trio.SocketStream) -> bytes | None:
    """Return the first line and the headers, cut at the limit; None when the client hung up."""
    received = bytearray()
    while b"\r\n\r\n" not in received and b"\n\n" not in received:
        if len(received) > _HEAD_BYTES_MAX:
            break
        chunk = await stream.receive_some(_CHUNK_BYTES)
        if not chunk:
            return None
        received += chunk
    return bytes(received)


async def _hang_up(stream: trio.SocketStream) -> None:
    """End the answer, and read what still comes: closing before it is read drops the answer."""
    with trio.move_on_after(_REFUSAL_S_MAX):
        await stream.send_eof()
        while await stream.receive_some(_CHUNK_BYTES):
            pass
