"""A real S3 server for tests, in a process of its own, with buckets that others change.

Everything listens on 127.0.0.1 and ends with its context manager, by its process id.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config

from tests.support.environment import aws_environment, clean_environment
from tests.support.server_process import first_line, server_process

REGION = "us-east-1"

_MOTO_SCRIPT = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
server.stop()
"""


@dataclass(frozen=True)
class Bucket:
    """A bucket on a test server, changed as another client would; methods block.

    `client` is a botocore S3 client, for what the helpers do not do.
    """

    name: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> str:
        """Write an object and return its ETag, quotes included."""
        answer = self.client.put_object(
            Bucket=self.name, Key=key, Body=data, Metadata=dict(metadata or {})
        )
        etag: str = answer["ETag"]
        return etag

    def put_all(self, objects: Mapping[str, bytes]) -> None:
        for key, data in objects.items():
            self.put(key, data)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)


@dataclass(frozen=True)
class S3Server:
    """A running S3 server (moto: right about semantics, slow)."""

    port: int
    pid: int
    client: Any
    """A botocore S3 client, shared by all buckets: to make one takes longer than most tests."""

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def bucket(self, name: str) -> Iterator[Bucket]:
        """Create a bucket; its objects are left to end with the server."""
        self.client.create_bucket(Bucket=name)
        yield Bucket(name, self.client)


def s3_client(endpoint_url: str) -> Any:
    """Return a botocore S3 client with the fake credentials; the caller closes it."""
    fake = aws_environment()
    return botocore.session.Session().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=endpoint_url,
        aws_access_key_id=fake["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=fake["AWS_SECRET_ACCESS_KEY"],
        config=Config(s3={"addressing_style": "path"}),
    )


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run an S3 server in a process of its own until the block ends."""
    command = [sys.executable, "-c", _MOTO_SCRIPT]
    with server_process(command, clean_environment()) as process:
        port = int(first_line(process))
        with closing(s3_client(f"http://127.0.0.1:{port}")) as client:
            yield S3Server(port, process.pid, client)
