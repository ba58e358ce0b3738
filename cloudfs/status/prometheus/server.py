"""The metrics server: HTTP on the daemon's own loop, which waits for sockets only.

The text is rendered in a worker thread, and every connection has a bound in time and size, so that
no client can delay a reader.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeAlias

import trio

from cloudfs.config.types import ListenAddress
from cloudfs.status.document import StatusDocument
from cloudfs.status.prometheus import http
from cloudfs.status.prometheus.listeners import bound_to, open_listeners

Render: TypeAlias = Callable[[StatusDocument, str], tuple[bytes, str]]

CONNECTIONS_MAX: Final = 16
REQUEST_S_MAX: Final = 10.0
"""From the connection to the end of the response."""

_HEAD_BYTES_MAX: Final = 16_384
_CHUNK_BYTES: Final = 4096
_HANG_UP_S_MAX: Final = 1.0
_NO_REQUEST: Final = http.HttpRequest("", "", "", None)

log = logging.getLogger(__name__)


async def serve(
    address: ListenAddress | None,
    document: Callable[[], StatusDocument],
    *,
    task_status: trio.TaskStatus[str | None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve metrics on `address` until cancelled; with None there is nothing to serve.

    Reports started, with the bound address as text, once connections are accepted. `document` is
    called on the loop. Raises `UserError` when the address cannot be bound. A unix socket is
    removed at the end.
    """
    if address is None:
        task_status.started(None)
        return
    # Only a mount with metrics needs the library, which is loaded before it is read from.
    from cloudfs.status.prometheus.collector import render  # noqa: PLC0415

    async with open_listeners(address) as listeners:
        where = bound_to(address, listeners[0])
        server = _MetricsServer(document, render)
        log.info("metrics on %s", where)
        async with trio.open_nursery() as nursery:
            task_status.started(where)
            await trio.serve_listeners(server.serve_client, listeners, handler_nursery=nursery)


class _MetricsServer:
    """The clients of one address. All of it runs on the trio loop but the rendering."""

    def __init__(self, document: Callable[[], StatusDocument], render: Render) -> None:
        self._document = document
        self._render = render
        self._connections = 0
        self._rendering = trio.CapacityLimiter(1)

    async def serve_client(self, stream: trio.SocketStream) -> None:
        """Answer one request and hang up."""
        self._connections += 1
        try:
            with trio.move_on_after(REQUEST_S_MAX):
                async with stream:
                    await self._respond(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client hung up before its response")
        except Exception:
            log.exception("bug in the metrics")
        finally:
            self._connections -= 1

    async def _respond(self, stream: trio.SocketStream) -> None:
        if self._connections > CONNECTIONS_MAX:
            response = http.error_response(_NO_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            head = await _head(stream)
            if head is None:
                return
            response = await self._response(http.parse(head))
        await stream.send_all(response)
        await _hang_up(stream)

    async def _response(self, request: http.HttpRequest) -> bytes:
        if request.error is not None:
            return http.error_response(request, request.error)
        # The figures belong to the loop, their text does not.
        document = self._document()
        if request.path == http.HEALTH:
            return http.response(request, HTTPStatus.OK, http.health(document))
        body, content_type = await trio.to_thread.run_sync(
            self._render, document, request.accept, limiter=self._rendering
        )
        return http.response(request, HTTPStatus.OK, body, content_type)


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
    """End the response, and read what still comes: closing before that drops the response."""
    with trio.move_on_after(_HANG_UP_S_MAX):
        await stream.send_eof()
        while await stream.receive_some(_CHUNK_BYTES):
            pass
