"""Which answer an HTTP request gets. It knows no sockets, and not where the metrics come from.

Requests are read by Python's own `http.server`, out of memory: what arrives from the network has
been bounded in size and time before.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import urlsplit

METRICS: Final = "/metrics"
HEALTH: Final = "/healthz"
TEXT: Final = "text/plain; charset=utf-8"

_METHODS: Final = ("GET", "HEAD")
_LINE_BYTES_MAX: Final = 8192


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: `refusal` is why it cannot be answered, None when it can."""

    method: str
    path: str
    accept: str
    refusal: HTTPStatus | None


class _Parser(BaseHTTPRequestHandler):
    """Reads one request and takes note of an error instead of sending it."""

    def __init__(self, head: bytes) -> None:
        self.rfile = io.BufferedReader(io.BytesIO(head))
        self.wfile = io.BytesIO()
        self.client_address = ("", 0)
        self.command = self.path = ""
        self.refusal: HTTPStatus | None = None
        self.raw_requestline = self.rfile.readline(_LINE_BYTES_MAX)
        if not self.parse_request() and self.refusal is None:
            self.refusal = HTTPStatus.BAD_REQUEST

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Note the status."""
        self.refusal = HTTPStatus(code)

    def handle_expect_100(self) -> bool:
        """Never ask for a body."""
        return True


def parse(head: bytes) -> Request:
    """Return the request whose first line and headers are `head`."""
    parser = _Parser(head)
    if parser.refusal is not None:
        return Request(parser.command or "", "", "", parser.refusal)
    path = urlsplit(parser.path).path
    refusal = None
    if parser.command not in _METHODS:
        refusal = HTTPStatus.METHOD_NOT_ALLOWED
    elif path not in {METRICS, HEALTH}:
        refusal = HTTPStatus.NOT_FOUND
    return Request(parser.command, path, parser.headers.get("Accept", ""), refusal)


def health(document: Mapping[str, Any]) -> bytes:
    """Return the state of the mount on the first line, and the reasons below it."""
    reasons = (str(reason) for reason in document.get("health_reasons", ()))
    return "".join(f"{line}\n" for line in (document.get("health", "ok"), *reasons)).encode(
        "utf-8", "backslashreplace"
    )


def answer(request: Request, status: HTTPStatus, body: bytes, content_type: str = TEXT) -> bytes:
    """Return the whole answer, without the body where HEAD asked. The connection ends after it."""
    headers = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(f"Allow: {', '.join(_METHODS)}")
    head = "".join(f"{line}\r\n" for line in headers) + "\r\n"
    return head.encode() + (b"" if request.method == "HEAD" else body)


def refusal(request: Request, status: HTTPStatus) -> bytes:
    """Return an answer that says no."""
    known = f": there are {METRICS} and {HEALTH}" if status is HTTPStatus.NOT_FOUND else ""
    return answer(request, status, f"{status.phrase}{known}\n".encode())
