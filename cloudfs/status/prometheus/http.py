"""HTTP requests and responses of the metrics server, as bytes in memory.

Requests are parsed by Python's own `http.server`; their size and time were bounded before.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Final
from urllib.parse import urlsplit

from cloudfs.status.document import StatusDocument

METRICS: Final = "/metrics"
HEALTH: Final = "/healthz"
TEXT: Final = "text/plain; charset=utf-8"

_METHODS: Final = ("GET", "HEAD")
_LINE_BYTES_MAX: Final = 8192


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request; `error` is the status of the response when it cannot be served, else None."""

    method: str
    path: str
    accept: str
    error: HTTPStatus | None


class _Parser(BaseHTTPRequestHandler):
    """Parses one request; an error is kept instead of sent."""

    def __init__(self, head: bytes) -> None:
        self.rfile = io.BufferedReader(io.BytesIO(head))
        self.wfile = io.BytesIO()
        self.client_address = ("", 0)
        self.command = self.path = ""
        self.error: HTTPStatus | None = None
        self.raw_requestline = self.rfile.readline(_LINE_BYTES_MAX)
        if not self.parse_request() and self.error is None:
            self.error = HTTPStatus.BAD_REQUEST

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Keep the status."""
        self.error = HTTPStatus(code)

    def handle_expect_100(self) -> bool:
        """Never ask for a body."""
        return True


def parse(head: bytes) -> HttpRequest:
    """Return the request whose first line and headers are `head`."""
    parser = _Parser(head)
    if parser.error is not None:
        return HttpRequest(parser.command or "", "", "", parser.error)
    path = urlsplit(parser.path).path
    error = None
    if parser.command not in _METHODS:
        error = HTTPStatus.METHOD_NOT_ALLOWED
    elif path not in {METRICS, HEALTH}:
        error = HTTPStatus.NOT_FOUND
    return HttpRequest(parser.command, path, parser.headers.get("Accept", ""), error)


def health(document: StatusDocument) -> bytes:
    """Return the health of the mount on the first line, and the reasons below it."""
    lines = (str(document.health), *document.health_reasons)
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def response(
    request: HttpRequest, status: HTTPStatus, body: bytes, content_type: str = TEXT
) -> bytes:
    """Return the whole response, without the body to HEAD. The connection ends after it."""
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


def error_response(request: HttpRequest, status: HTTPStatus) -> bytes:
    """Return the response to a request that is not served."""
    known = f": there are {METRICS} and {HEALTH}" if status is HTTPStatus.NOT_FOUND else ""
    return response(request, status, f"{status.phrase}{known}\n".encode())
