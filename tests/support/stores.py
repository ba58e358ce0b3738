"""Real stores for tests: an S3 server in a process of its own, buckets, and harmless credentials.

Everything listens on 127.0.0.1 and ends with its context manager, by its process id. Nothing here
knows what is being tested.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.config import Config

REGION = "us-east-1"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0

# Ends when its standard input does, so it never outlives the test, even one that was killed.
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


def aws_environment() -> dict[str, str]:
    """Return variables that give a process fake credentials and hide the real ones' sources."""
    return {
        "AWS_ACCESS_KEY_ID": "cloudfs-test-key",
        "AWS_SECRET_ACCESS_KEY": "cloudfs-test-secret",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment (or `base`) with every AWS_ variable replaced by the fake ones."""
    variables = os.environ if base is None else base
    kept = {name: value for name, value in variables.items() if not name.startswith("AWS_")}
    return {**kept, **aws_environment()}


@contextmanager
def fake_aws(**more: str) -> Iterator[None]:
    """Give this process fake AWS credentials (and `more` variables) for the time of the block."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(clean_environment(before))
    os.environ.update(more)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


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

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def bucket(self, name: str) -> Iterator[Bucket]:
        """Create a bucket; its objects are left to end with the server."""
        client = s3_client(self.endpoint_url)
        try:
            client.create_bucket(Bucket=name)
            yield Bucket(name, client)
        finally:
            client.close()


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
    process = subprocess.Popen(
        [sys.executable, "-c", _MOTO_SCRIPT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    try:
        yield S3Server(port=_wait_ready(process), pid=process.pid)
    finally:
        _end(process)


def _wait_ready(process: subprocess.Popen[bytes]) -> int:
    """Return the port as soon as the server takes connections there."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.strip():
        raise RuntimeError(f"the S3 server ended with status {process.wait(_STOP_TIMEOUT_S)}")
    port = int(line)
    # The socket listens before the port is printed, so the connection waits for the accept.
    socket.create_connection(("127.0.0.1", port), timeout=_START_TIMEOUT_S).close()
    return port


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
