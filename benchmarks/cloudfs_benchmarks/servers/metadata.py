"""`python -m cloudfs_benchmarks.servers.metadata ROOT BUCKET SOCKET`: what nginx cannot answer.

Serves names and attributes of the folder ROOT over a unix socket, which also reaches into a network
namespace. nginx says by a header in which dialect it was asked.
"""

from __future__ import annotations

import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cloudfs_benchmarks.servers.dialect import Question
from cloudfs_benchmarks.servers.dialects import DIALECTS
from cloudfs_benchmarks.servers.listing import Names
from cloudfs_benchmarks.servers.nginx import DIALECT_HEADER

_BY_NAME = {dialect.name: dialect for dialect in DIALECTS}


class _Handler(BaseHTTPRequestHandler):
    """Answers requests about names; the server carries `names` and `bucket`."""

    server: _Server
    protocol_version = "HTTP/1.0"

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_GET(self) -> None:
        """Answer in the dialect of the question."""
        url = urlsplit(self.path)
        parsed = parse_qs(url.query, keep_blank_values=True)
        query = {name: values[0] for name, values in parsed.items()}
        dialect = _BY_NAME[self.headers[DIALECT_HEADER]]
        answer = dialect.answer(Question(url.path, query, self.server.bucket), self.server.names)
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def address_string(self) -> str:
        """A unix socket's peer has no address to log."""
        return "nginx"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not logged: a benchmark sends many."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, root: Path, bucket: str) -> None:
        super().__init__(path, _Handler)
        self.names = Names(root)
        self.bucket = bucket


if __name__ == "__main__":
    _Server(sys.argv[3], Path(sys.argv[1]), sys.argv[2]).serve_forever()
