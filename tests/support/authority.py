"""A tiny login service for azure-identity, whose tokens are not signed.

It speaks plain HTTP on 127.0.0.1 in a thread of the test's process; put `tls_server` in front.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TENANT = "adfs"
"""A tenant whose addresses azure-identity asks the login service itself for, and no other."""


class Authority:
    """A running login service.

    `lifetime_s` is that of the next tokens, and `said_lifetime_s` what it says it were. `refusal`
    is its answer instead of one. `tokens` are those that it gave.
    """

    def __init__(self) -> None:
        self.lifetime_s = 3600
        self.said_lifetime_s = 3600
        self.refusal: dict[str, Any] | None = None
        self.tokens: list[str] = []
        self.port = 0

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Return status and document for one request for a token."""
        if self.refusal is not None:
            return 401, self.refusal
        self.tokens.append(make_token(self.lifetime_s, number=len(self.tokens)))
        return 200, {
            "token_type": "Bearer",
            "expires_in": self.said_lifetime_s,
            "access_token": self.tokens[-1],
        }


def make_token(lifetime_s: int, **more: Any) -> str:
    """Return an unsigned token for storage, of an application."""
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": "https://sts.windows.net/the-tenant/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + lifetime_s,
        "appid": "the-application",
        "oid": "the-object",
        "tid": "the-tenant",
        **more,
    }
    return ".".join(_encoded(part) for part in ({"alg": "none", "typ": "JWT"}, claims, "signature"))


@contextmanager
def authority() -> Iterator[Authority]:
    """Run a login service until the block ends."""
    running = Authority()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(running))
    server.daemon_threads = True
    running.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="test-authority", daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(running: Authority) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            base = f"https://{self.headers['Host']}/{TENANT}"
            self._send(200, {
                "issuer": base,
                "authorization_endpoint": f"{base}/oauth2/authorize",
                "token_endpoint": f"{base}/oauth2/token",
            })  # fmt: skip

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._send(*running.answer())

        def _send(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
