"""A faulty wire: an HTTP/1.1 proxy in front of a store, with a scripted fault for each request.

It listens on 127.0.0.1 in threads of the test's process, so any other process can use it, a mounted
daemon for one, while the test changes `plan`. Requests are forwarded byte for byte, Host included:
signatures stay valid. It knows nothing of the store.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

_PIECE_BYTES = 64 * 1024
_HEAD_END = b"\r\n\r\n"
_HEAD_BYTES_MAX = 64 * 1024
_RANGE_HEADERS = frozenset({"range", "x-ms-range"})


@dataclass(frozen=True)
class Pass:
    """Forward the request and its response."""


@dataclass(frozen=True)
class Respond:
    """Respond at once, without the store."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Reset:
    """Reset the connection (RST): at once, or after so many bytes of the answer's body."""

    after_bytes: int | None = None


@dataclass(frozen=True)
class Truncate:
    """Close the connection (FIN) after so many bytes of the answer's body.

    An answer that is not longer passes whole.
    """

    after_bytes: int


@dataclass(frozen=True)
class Stall:
    """Send nothing, or nothing after so many bytes of the body, until `Proxy.release` is called."""

    after_bytes: int | None = None


Action: TypeAlias = Pass | Respond | Reset | Truncate | Stall


@dataclass(frozen=True)
class ProxiedRequest:
    """A request's head. `headers` has lower-case names."""

    method: str
    target: str
    headers: Mapping[str, str]


Plan: TypeAlias = Callable[[ProxiedRequest], Action]
"""Decides about one request; called in the proxy's threads, one at a time."""


def pass_all(_: ProxiedRequest) -> Action:
    """Forward every request."""
    return Pass()


Step: TypeAlias = Action | Plan
"""An action, or a function that chooses it by the request."""


def script(*steps: Step, when: Callable[[ProxiedRequest], bool] = lambda _: True) -> Plan:
    """Return a plan that deals out `steps` to the requests that match `when`, then passes all."""
    left = deque(steps)

    def plan(request: ProxiedRequest) -> Action:
        return _decided(left.popleft(), request) if left and when(request) else Pass()

    return plan


def always(step: Step, when: Callable[[ProxiedRequest], bool] = lambda _: True) -> Plan:
    """Return a plan that does `step` to every request that matches `when`."""
    return lambda request: _decided(step, request) if when(request) else Pass()


def random_faults(
    seed: int,
    rate: float,
    steps: Sequence[Step],
    when: Callable[[ProxiedRequest], bool] = lambda _: True,
) -> Plan:
    """Return a plan that does one of `steps` to a `rate` (0..1) of the requests that match."""
    dice = random.Random(seed)

    def plan(request: ProxiedRequest) -> Action:
        if not when(request) or dice.random() >= rate:
            return Pass()
        return _decided(dice.choice(steps), request)

    return plan


def _decided(step: Step, request: ProxiedRequest) -> Action:
    return step(request) if callable(step) else step


def is_get_object(request: ProxiedRequest) -> bool:
    """Whether this reads an object's bytes, as against what is known of it or a listing.

    Azure's SDK has a header of its own for the range.
    """
    return request.method == "GET" and not request.headers.keys().isdisjoint(_RANGE_HEADERS)


def is_list(request: ProxiedRequest) -> bool:
    """Whether this is a LIST of S3, version 2."""
    return request.method == "GET" and "list-type=2" in request.target


class Proxy:
    """A running proxy. `plan` may be replaced at any time; `requests` logs what came in.

    A request is logged before its plan is asked, and `wait_requests` waits for one.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream_port = upstream_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._changed = threading.Condition()
        self._released = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closing = False
        self.port: int = self._listener.getsockname()[1]
        self.plan: Plan = pass_all
        self.requests: list[ProxiedRequest] = []
        self._start(self._accept)

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def release(self) -> None:
        """Release every stalled request, later ones included."""
        self._released.set()

    def wait_requests(
        self, count: int, when: Callable[[ProxiedRequest], bool], timeout_s: float = 10.0
    ) -> None:
        """Block until `count` requests that match `when` have come in."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(when) >= count, timeout_s):
                raise TimeoutError(f"{self.count(when)} of {count} requests in {timeout_s} s")

    def count(self, when: Callable[[ProxiedRequest], bool]) -> int:
        """Return how many requests that match `when` have come in."""
        return sum(map(when, list(self.requests)))

    def close(self) -> None:
        """Close every connection and wait for the threads."""
        self._released.set()
        with self._changed:
            self._closing = True
            for sock in [self._listener, *self._sockets]:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="test-proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._start(lambda client=client: self._serve(client))  # type: ignore[misc]

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, _Ended), self._tracked(client):
            wire = _Wire(client)
            while True:
                head = wire.read_head()
                request = _parse_request(head)
                body = wire.read_exactly(int(request.headers.get("content-length", 0)))
                self._act(self._decide(request), client, request, head + body)

    def _decide(self, request: ProxiedRequest) -> Action:
        with self._changed:
            self.requests.append(request)
            self._changed.notify_all()
            return self.plan(request)

    def _act(
        self, action: Action, client: socket.socket, request: ProxiedRequest, message: bytes
    ) -> None:
        if isinstance(action, Respond):
            client.sendall(_response(action, request))
            return
        if isinstance(action, Reset) and action.after_bytes is None:
            _reset(client)
        if isinstance(action, Stall) and action.after_bytes is None:
            self._released.wait()
        self._forward(action, client, request, message)

    def _forward(
        self, action: Action, client: socket.socket, request: ProxiedRequest, message: bytes
    ) -> None:
        with self._tracked(socket.create_connection(("127.0.0.1", self._upstream_port))) as store:
            store.sendall(message)
            answer = _Wire(store)
            head = answer.read_head()
            client.sendall(head)
            limit = getattr(action, "after_bytes", None)
            for piece in _body_pieces(answer, head, request.method):
                if limit is not None and len(piece) > limit:
                    client.sendall(piece[:limit])
                    self._break(action, client)
                    client.sendall(piece[limit:])
                    limit = None
                    continue
                client.sendall(piece)
                limit = None if limit is None else limit - len(piece)
            if _ends_with_connection(head, request.method):
                raise _Ended

    def _break(self, action: Action, client: socket.socket) -> None:
        """Inject the fault within a body; a stall continues when it is released."""
        if isinstance(action, Reset):
            _reset(client)
        if isinstance(action, Truncate):
            raise _Ended
        self._released.wait()

    @contextmanager
    def _tracked(self, sock: socket.socket) -> Iterator[socket.socket]:
        with sock:
            with self._changed:
                if self._closing:
                    raise _Ended
                self._sockets.add(sock)
            try:
                yield sock
            finally:
                with self._changed:
                    self._sockets.discard(sock)


@contextmanager
def proxy(upstream_port: int, plan: Plan = pass_all) -> Iterator[Proxy]:
    """Run a proxy in front of 127.0.0.1:`upstream_port` until the block ends."""
    running = Proxy(upstream_port)
    running.plan = plan
    try:
        yield running
    finally:
        running.close()


class _Ended(Exception):
    """The connection is over."""


class _Wire:
    """Reads a connection by heads and counted bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def read_head(self) -> bytes:
        while _HEAD_END not in self._buffer:
            if len(self._buffer) > _HEAD_BYTES_MAX:
                raise _Ended
            self._buffer += self._receive()
        head, _, self._buffer = self._buffer.partition(_HEAD_END)
        return head + _HEAD_END

    def read_exactly(self, count: int) -> bytes:
        return b"".join(self.pieces(count))

    def pieces(self, count: int) -> Iterator[bytes]:
        while count:
            data = self._buffer or self._receive()
            piece, self._buffer = data[:count], data[count:]
            count -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        """Yield a chunked body as it comes, sizes included; none of our servers has trailers."""
        size = 1
        while size:
            line = self._read_line()
            size = int(line.partition(b";")[0], 16)
            yield line
            yield from self.pieces(size + 2)  # what follows the data is an empty line

    def pieces_to_end(self) -> Iterator[bytes]:
        with suppress(_Ended):
            while True:
                data = self._buffer or self._receive()
                self._buffer = b""
                yield data

    def _read_line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._buffer += self._receive()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line + b"\r\n"

    def _receive(self) -> bytes:
        data = self._sock.recv(_PIECE_BYTES)
        if not data:
            raise _Ended
        return data


def _parse_request(head: bytes) -> ProxiedRequest:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    return ProxiedRequest(method, target, _headers(lines))


def _headers(lines: Sequence[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _response(action: Respond, request: ProxiedRequest) -> bytes:
    headers = {"Content-Length": str(len(action.body)), **action.headers}
    lines = [f"HTTP/1.1 {action.status} Injected", *(f"{n}: {v}" for n, v in headers.items())]
    body = b"" if request.method == "HEAD" else action.body
    return "\r\n".join(lines).encode("latin-1") + _HEAD_END + body


def _body_pieces(answer: _Wire, head: bytes, method: str) -> Iterator[bytes]:
    headers = _headers(head.decode("latin-1").split("\r\n")[1:])
    length = headers.get("content-length")
    if method == "HEAD":
        return iter(())
    if _is_chunked(headers):
        return answer.chunks()
    return answer.pieces_to_end() if length is None else answer.pieces(int(length))


def _ends_with_connection(head: bytes, method: str) -> bool:
    headers = _headers(head.decode("latin-1").split("\r\n")[1:])
    has_end = "content-length" in headers or _is_chunked(headers) or method == "HEAD"
    return not has_end or headers.get("connection", "").lower() == "close"


def _is_chunked(headers: Mapping[str, str]) -> bool:
    return headers.get("transfer-encoding", "").lower() == "chunked"


def _reset(sock: socket.socket) -> None:
    """Close with RST: with a linger time of 0 nothing is flushed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise _Ended
