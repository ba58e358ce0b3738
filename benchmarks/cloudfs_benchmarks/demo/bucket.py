"""The embedded bucket: moto's S3 server on loopback in a process of its own, filled with boto3."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import botocore.config

from cloudfs_benchmarks.demo.processes import Children
from cloudfs_benchmarks.interpreter import python

BUCKET = "cfd-demo"
REGION = "us-east-1"
ACCESS_KEY = "demo"
SECRET_KEY = "demo"

_START_TIMEOUT_S = 30.0
_CONNECT_TIMEOUT_S = 1.0
_POLL_S = 0.05
_UPLOAD_THREADS = 8
_LISTENING = re.compile(r"Running on http://127\.0\.0\.1:(\d+)")


def start_server(children: Children) -> str:
    """Start the server on a port that the kernel picks; returns its URL once it accepts."""
    command = python("-m", "moto.server", "-H", "127.0.0.1", "-p", "0")
    server = children.start("server", command)
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        port = _listening_port(children, server)
        if port is not None and _accepts(port):
            return f"http://127.0.0.1:{port}"
        time.sleep(_POLL_S)
    raise children.failure("server", f"did not accept connections in {_START_TIMEOUT_S:.0f} s")


def upload(root: Path, endpoint_url: str) -> int:
    """Create the bucket and put every file below `root` into it; returns the bytes sent."""
    client = _client(endpoint_url)
    client.create_bucket(Bucket=BUCKET)
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]

    def put(path: Path) -> int:
        content = path.read_bytes()
        client.put_object(Bucket=BUCKET, Key=path.relative_to(root).as_posix(), Body=content)
        return len(content)

    pool = ThreadPoolExecutor(_UPLOAD_THREADS)
    try:
        return sum(pool.map(put, paths))
    finally:
        pool.shutdown(cancel_futures=True)


def _listening_port(children: Children, server: subprocess.Popen[str]) -> int | None:
    if server.poll() is not None:
        raise children.failure("server", f"ended with status {server.returncode}")
    match = _LISTENING.search(children.log("server").read_text(encoding="utf-8"))
    return int(match[1]) if match else None


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), _CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _client(endpoint_url: str) -> Any:
    config = botocore.config.Config(
        max_pool_connections=_UPLOAD_THREADS,
        connect_timeout=_CONNECT_TIMEOUT_S,
        read_timeout=30,
        retries={"max_attempts": 3},
        proxies={},
        s3={"addressing_style": "path"},
    )
    # A session of its own: the user's profiles and credentials have no part in this.
    session = boto3.session.Session(ACCESS_KEY, SECRET_KEY, region_name=REGION)
    return session.client("s3", endpoint_url=endpoint_url, config=config)
