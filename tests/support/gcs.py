"""Google Cloud Storage for tests: an emulator in a process of its own, and buckets.

Everything listens on 127.0.0.1 and ends with its context manager, by its process id. No test may
use a metadata server or any other host.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

import requests

from tests.support.environment import environment, without_credentials
from tests.support.server_process import first_line, server_process

_REQUEST_TIMEOUT_S = 30.0

# As it comes the emulator serves one connection at a time, where a stalled one would hold up all
# others, and at each upload it writes down what it knows of all objects.
_EMULATOR_SCRIPT = """
import http.server, logging, sys
http.server.HTTPServer = http.server.ThreadingHTTPServer
from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.storage import Storage
Storage._write_config_to_file = lambda self: None
logging.getLogger("gcp_storage_emulator").setLevel(logging.CRITICAL)
server = emulator.create_server("127.0.0.1", 0, in_memory=True)
server.start()
print(server._api._httpd.server_port, flush=True)
sys.stdin.read()
server.stop()
"""


@contextmanager
def fake_google(**more: str) -> Iterator[None]:
    """Hide all credentials from this process, and set `more` variables, during the block."""
    with environment({**without_credentials(os.environ), **more}):
        yield


@dataclass(frozen=True)
class GcsBucket:
    """A bucket on the emulator, changed as another client would; methods block."""

    name: str
    endpoint_url: str

    @property
    def url(self) -> str:
        return f"gs://{self.name}"

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write an object and return its generation."""
        resource = {"name": key, "metadata": dict(metadata or {})}
        body, content_type = _multipart(json.dumps(resource).encode(), data)
        answer = requests.post(
            f"{self.endpoint_url}/upload/storage/v1/b/{self.name}/o?uploadType=multipart",
            data=body,
            headers={"Content-Type": content_type},
            timeout=_REQUEST_TIMEOUT_S,
        )
        answer.raise_for_status()
        return str(answer.json()["generation"])

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.put(key, data)

    def delete(self, key: str) -> None:
        url = f"{self.endpoint_url}/storage/v1/b/{self.name}/o/{quote(key, safe='')}"
        requests.delete(url, timeout=_REQUEST_TIMEOUT_S).raise_for_status()


@dataclass(frozen=True)
class GcsServer:
    """A running emulator of Google Cloud Storage."""

    port: int
    pid: int

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def bucket(self, name: str) -> GcsBucket:
        """Create a bucket; it ends with the server."""
        url = f"{self.endpoint_url}/storage/v1/b?project=test"
        requests.post(url, json={"name": name}, timeout=_REQUEST_TIMEOUT_S).raise_for_status()
        return GcsBucket(name, self.endpoint_url)


@contextmanager
def gcs_server() -> Iterator[GcsServer]:
    """Run the emulator in a process of its own until the block ends."""
    command = [sys.executable, "-c", _EMULATOR_SCRIPT]
    with server_process(command, without_credentials(os.environ)) as process:
        yield GcsServer(port=int(first_line(process)), pid=process.pid)


def _multipart(resource: bytes, data: bytes) -> tuple[bytes, str]:
    """Return an upload's body and its content type."""
    mark = os.urandom(16).hex().encode()
    parts = ((b"application/json", resource), (b"application/octet-stream", data))
    body = b"".join(
        b"--" + mark + b"\r\nContent-Type: " + kind + b"\r\n\r\n" + part + b"\r\n"
        for kind, part in parts
    )
    return body + b"--" + mark + b"--\r\n", f"multipart/related; boundary={mark.decode()}"
