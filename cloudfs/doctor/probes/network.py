"""The way to an endpoint, step by step: name, connection, TLS, and an anonymous HEAD.

Everything here blocks, for a worker thread to run; each step has a time limit. It sends no
credentials but a proxy's, and does not know what the endpoint is for.
"""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from cloudfs.doctor.probes import tls
from cloudfs.doctor.probes.failures import (
    NetworkError,
    Trouble,
    host_and_port,
    is_address,
    reason_of,
)
from cloudfs.doctor.probes.proxies import Proxy

STEP_S_MAX: Final = 5.0

_ADDRESSES_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go. `ca_bundle` is a file or folder of CA certificates to trust instead of the
    system's."""

    url: str
    proxy: Proxy | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `steps` are the seconds of each step, in their order.

    `date` is the Date header, None without one; `asked_at` is this machine's clock (seconds since
    the epoch) when half of the round trip was over.
    """

    status: int
    date: str | None
    asked_at: float
    steps: dict[str, float]


class _Steps:
    """Takes the time of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def ask(target: Target) -> Answer:
    """Send an anonymous HEAD and return the answer, whatever its status. Raises `NetworkError`."""
    url = urlsplit(target.url)
    steps = _Steps()
    with _connected(target, url, steps) as connection:
        if url.scheme == "https":
            with steps.step("tls"):
                connection.sock = tls.secured(connection.sock, url, target.ca_bundle)
        with steps.step("http"):
            # Half of the round trip is the best guess at when the server looked at its clock.
            sent_at, sent = time.time(), time.perf_counter()
            response = _head(connection, target, url)
            asked_at = sent_at + (time.perf_counter() - sent) / 2
    if target.proxy is not None and response.status == 407:
        raise _proxy_error(target.proxy, "wants a password")
    return Answer(response.status, response.getheader("Date"), asked_at, steps.seconds)


@contextmanager
def _connected(target: Target, url: SplitResult, steps: _Steps) -> Iterator[HTTPConnection]:
    """Yield a connection to the endpoint, or to the proxy that passes it on."""
    connection = HTTPConnection(*host_and_port(url), timeout=STEP_S_MAX)
    connection.sock = _opened(url, steps) if target.proxy is None else _hop(target.proxy, steps)
    try:
        if target.proxy is not None and url.scheme == "https":
            with steps.step("tunnel"):
                _tunnel(connection, target.proxy)
        yield connection
    finally:
        connection.close()


def _opened(url: SplitResult, steps: _Steps) -> socket.socket:
    host, port = host_and_port(url)
    with steps.step("name"):
        addresses = _resolved(host, port)
    with steps.step("tcp"):
        return _connection(addresses, host, port)


def _hop(proxy: Proxy, steps: _Steps) -> socket.socket:
    """Return a connection to the proxy; what keeps from that is the proxy's trouble."""
    try:
        return _opened(_proxy_address(proxy), steps)
    except NetworkError as error:
        raise _proxy_error(proxy, f"is not reached: {error}") from error


def _proxy_error(proxy: Proxy, problem: str) -> NetworkError:
    return NetworkError(Trouble.PROXY, f"the proxy {proxy.shown} of {proxy.variable} {problem}")


def _proxy_address(proxy: Proxy) -> SplitResult:
    if not is_address(proxy.url) or not proxy.url.startswith("http://"):
        raise NetworkError(Trouble.PROXY, "it is not of the kind http://host:port")
    return urlsplit(proxy.url)


def _resolved(host: str, port: int) -> list[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "no valid name"
        raise NetworkError(Trouble.NAME, f"the name {host} is not known: {reason}") from error
    addresses = dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found)
    return list(addresses)[:_ADDRESSES_TRIED]


def _connection(addresses: list[tuple[str, int]], host: str, port: int) -> socket.socket:
    """Connect to the first address that takes it; the last error tells of them all."""
    error: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection(address, timeout=STEP_S_MAX)
        except OSError as refused:
            error = refused
    where = f"{host} port {port}"
    if isinstance(error, ConnectionRefusedError):
        raise NetworkError(Trouble.REFUSED, f"nothing listens on {where}") from error
    if isinstance(error, TimeoutError):
        message = f"no connection to {where} within {STEP_S_MAX:g} s"
        raise NetworkError(Trouble.SILENT, message) from error
    reason = (error.strerror if error else "") or "no address"
    raise NetworkError(Trouble.ROUTE, f"no connection to {where}: {reason}") from error


def _tunnel(connection: HTTPConnection, proxy: Proxy) -> None:
    """Have the proxy connect to the endpoint."""
    target = f"{_bracketed(connection.host)}:{connection.port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    lines += [f"{name}: {value}" for name, value in _proxy_headers(proxy).items()]
    try:
        connection.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        response = HTTPResponse(connection.sock, method="CONNECT")
        try:
            response.begin()
        finally:
            response.close()
    except (OSError, HTTPException) as error:
        raise _proxy_error(proxy, f"does not answer: {reason_of(error)}") from error
    if response.status == 407:
        raise _proxy_error(proxy, "wants a password")
    if response.status != 200:
        said = f"{response.status} {response.reason}"
        raise _proxy_error(proxy, f"does not connect to {target}: {said}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    parts = urlsplit(proxy.url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}


def _head(connection: HTTPConnection, target: Target, url: SplitResult) -> HTTPResponse:
    path = url.path or "/"
    headers = {"Cache-Control": "no-cache"}
    if target.proxy is not None and url.scheme == "http":
        path = f"http://{url.netloc.rpartition('@')[2]}{path}"
        headers |= _proxy_headers(target.proxy)
    try:
        connection.request("HEAD", path, headers=headers)
        return connection.getresponse()
    except TimeoutError as error:
        message = f"{url.hostname} does not answer a request within {STEP_S_MAX:g} s"
        raise NetworkError(Trouble.SILENT, message) from error
    except (OSError, HTTPException) as error:
        message = f"{url.hostname} answers no HTTP: {reason_of(error)}"
        raise NetworkError(Trouble.HTTP, message) from error
