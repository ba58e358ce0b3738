"""An anonymous HEAD request, step by step: name resolution, connection, proxy tunnel, TLS, HTTP.

Blocking, for worker threads; each step has a time limit. Only a proxy's credentials are sent.
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
from cloudfs.doctor.probes.network_errors import (
    NetworkError,
    NetworkFailure,
    host_and_port,
    is_address,
    reason_of,
)
from cloudfs.doctor.probes.proxies import Proxy

STEP_S_MAX: Final = 5.0

_ADDRESSES_TRIED: Final = 3


@dataclass(frozen=True, slots=True)
class ProbedEndpoint:
    """An address and the route to it. `ca_bundle` is a file or folder of CA certificates to trust
    instead of the system's."""

    url: str
    proxy: Proxy | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True, slots=True)
class HeadResponse:
    """The response to a HEAD. `steps` are the seconds of each step, in their order.

    `date` is the Date header, None without one; `asked_at` is this machine's clock (seconds since
    the epoch) at half of the round trip.
    """

    status: int
    date: str | None
    asked_at: float
    steps: dict[str, float]


class _StepTimer:
    """The durations of the steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def send_head(endpoint: ProbedEndpoint) -> HeadResponse:
    """Send an anonymous HEAD and return the response of any status. Raises `NetworkError`."""
    url = urlsplit(endpoint.url)
    steps = _StepTimer()
    with _connection(endpoint, url, steps) as connection:
        if url.scheme == "https":
            with steps.step("tls"):
                connection.sock = tls.wrap(connection.sock, url, endpoint.ca_bundle)
        with steps.step("http"):
            # The server read its clock at about half of the round trip.
            sent_at, sent = time.time(), time.perf_counter()
            response = _head(connection, endpoint, url)
            asked_at = sent_at + (time.perf_counter() - sent) / 2
    if endpoint.proxy is not None and response.status == 407:
        raise _proxy_error(endpoint.proxy, "wants a password")
    return HeadResponse(response.status, response.getheader("Date"), asked_at, steps.seconds)


@contextmanager
def _connection(
    endpoint: ProbedEndpoint, url: SplitResult, steps: _StepTimer
) -> Iterator[HTTPConnection]:
    """Yield a connection to the endpoint, or to its proxy."""
    connection = HTTPConnection(*host_and_port(url), timeout=STEP_S_MAX)
    connection.sock = (
        _connect(url, steps) if endpoint.proxy is None else _connect_to_proxy(endpoint.proxy, steps)
    )
    try:
        if endpoint.proxy is not None and url.scheme == "https":
            with steps.step("tunnel"):
                _tunnel(connection, endpoint.proxy)
        yield connection
    finally:
        connection.close()


def _connect(url: SplitResult, steps: _StepTimer) -> socket.socket:
    host, port = host_and_port(url)
    with steps.step("name"):
        addresses = _resolve(host, port)
    with steps.step("tcp"):
        return _connect_any(addresses, host, port)


def _connect_to_proxy(proxy: Proxy, steps: _StepTimer) -> socket.socket:
    """Return a connection to the proxy; any failure counts as one of the proxy."""
    try:
        return _connect(_proxy_address(proxy), steps)
    except NetworkError as error:
        raise _proxy_error(proxy, f"is not reached: {error}") from error


def _proxy_error(proxy: Proxy, problem: str) -> NetworkError:
    return NetworkError(
        NetworkFailure.PROXY, f"the proxy {proxy.shown} of {proxy.variable} {problem}"
    )


def _proxy_address(proxy: Proxy) -> SplitResult:
    if not is_address(proxy.url) or not proxy.url.startswith("http://"):
        raise NetworkError(NetworkFailure.PROXY, "it is not of the kind http://host:port")
    return urlsplit(proxy.url)


def _resolve(host: str, port: int) -> list[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "no valid name"
        raise NetworkError(
            NetworkFailure.NAME, f"the name {host} is not known: {reason}"
        ) from error
    addresses = dict.fromkeys((str(address[0]), int(address[1])) for *_, address in found)
    return list(addresses)[:_ADDRESSES_TRIED]


def _connect_any(addresses: list[tuple[str, int]], host: str, port: int) -> socket.socket:
    """Connect to the first address that accepts; the last error stands for all."""
    error: OSError | None = None
    for address in addresses:
        try:
            return socket.create_connection(address, timeout=STEP_S_MAX)
        except OSError as refused:
            error = refused
    where = f"{host} port {port}"
    if isinstance(error, ConnectionRefusedError):
        raise NetworkError(NetworkFailure.REFUSED, f"nothing listens on {where}") from error
    if isinstance(error, TimeoutError):
        message = f"no connection to {where} within {STEP_S_MAX:g} s"
        raise NetworkError(NetworkFailure.SILENT, message) from error
    reason = (error.strerror if error else "") or "no address"
    raise NetworkError(NetworkFailure.ROUTE, f"no connection to {where}: {reason}") from error


def _tunnel(connection: HTTPConnection, proxy: Proxy) -> None:
    """Send CONNECT to the proxy and check its response."""
    address = f"{_bracketed(connection.host)}:{connection.port}"
    lines = [f"CONNECT {address} HTTP/1.1", f"Host: {address}"]
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
        status = f"{response.status} {response.reason}"
        raise _proxy_error(proxy, f"does not connect to {address}: {status}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _proxy_headers(proxy: Proxy) -> dict[str, str]:
    parts = urlsplit(proxy.url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode('ascii')}"}


def _head(connection: HTTPConnection, endpoint: ProbedEndpoint, url: SplitResult) -> HTTPResponse:
    path = url.path or "/"
    headers = {"Cache-Control": "no-cache"}
    if endpoint.proxy is not None and url.scheme == "http":
        path = f"http://{url.netloc.rpartition('@')[2]}{path}"
        headers |= _proxy_headers(endpoint.proxy)
    try:
        connection.request("HEAD", path, headers=headers)
        return connection.getresponse()
    except TimeoutError as error:
        message = f"{url.hostname} does not answer a request within {STEP_S_MAX:g} s"
        raise NetworkError(NetworkFailure.SILENT, message) from error
    except (OSError, HTTPException) as error:
        message = f"{url.hostname} answers no HTTP: {reason_of(error)}"
        raise NetworkError(NetworkFailure.HTTP, message) from error
