"""One call that makes a folder a bucket of three clouds behind a link: namespace, metadata server
and nginx."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.interpreter import python
from cloudfs_benchmarks.servers import namespace, nginx
from cloudfs_benchmarks.servers.azure import ACCOUNT
from cloudfs_benchmarks.servers.dialects import DIALECTS
from cloudfs_benchmarks.servers.link import Link

_LOOPBACK = "127.0.0.1"
# Nothing else runs in the namespace of a run, so any port is free there.
_NAMESPACE_PORT = 9700
_SOCKET_S = 10.0
_POLL_S = 0.02
# Requests are signed with it, and nobody looks at the signature.
_NO_KEY = base64.b64encode(b"nobody checks this").decode()


@dataclass(frozen=True, slots=True)
class Store:
    """A store as `cloudfs mount` is told of it: the URL, flags, and variables with credentials."""

    url: str
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Served:
    """A folder that is served; `link` says in words what lies before it.

    `endpoints` has the address of each dialect by the scheme of its URLs.
    """

    root: Path
    bucket: str
    endpoints: Mapping[str, str]
    link: str

    def store(self, scheme: str) -> Store:
        """The store of an URL scheme: that of a dialect, or `file`, the folder without a link."""
        if scheme == "file":
            return Store(f"file://{self.root}")
        url, endpoint = f"{scheme}://{self.bucket}", self.endpoints[scheme]
        if scheme == "az":
            account = ("--endpoint-url", f"{endpoint}/{ACCOUNT}", "--azure-account", ACCOUNT)
            return Store(url, account, {"AZURE_STORAGE_KEY": _NO_KEY})
        anonymous = ("--endpoint-url", endpoint, "--no-sign-request")
        if scheme == "gs":
            return Store(url, anonymous)
        return Store(url, (*anonymous, "--region", "us-east-1", "--force-path-style"))


def serve_folder(
    children: Children, folder: Path, root: Path, *, bucket: str, link: Link, workers: int
) -> Served:
    """Serve `root` as `bucket`, with the server's own files in `folder`, until the stack ends.

    The total rate of the link needs root, iproute2 and namespaces; without them it is left out
    and the returned `link` says so. Nobody's credentials are checked.
    """
    shaped = bool(link.total_gbit) and _can_shape()
    inside: tuple[str, ...] = ()
    address = _LOOPBACK
    names = [dialect.name for dialect in DIALECTS]
    ports: Sequence[int]
    if shaped:
        place = namespace.create(children, link.total_gbit)
        inside, address = place.prefix, place.address
        ports = range(_NAMESPACE_PORT, _NAMESPACE_PORT + len(names))
    else:
        ports = nginx.free_ports(address, len(names))
    socket_path = folder / "metadata.sock"
    folder.mkdir(parents=True, exist_ok=True)
    command = python("-m", "cloudfs_benchmarks.servers.metadata")
    children.start("metadata", [*command, str(root), bucket, str(socket_path)])
    _wait_for(children, socket_path)
    by_name = dict(zip(names, ports, strict=True))
    site = nginx.Site(address, by_name, bucket, root, socket_path)
    nginx.start(children, folder, site, link, workers=workers, inside=inside)
    endpoints = {name: f"http://{address}:{port}" for name, port in by_name.items()}
    return Served(root, bucket, endpoints, link.describe(shaped=shaped))


def _can_shape() -> bool:
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("ip", "tc", "nsenter"))


def _wait_for(children: Children, socket_path: Path) -> None:
    deadline_s = time.monotonic() + _SOCKET_S
    while not socket_path.exists():
        if time.monotonic() > deadline_s:
            raise StageError(f"the metadata server made no socket: {children.log('metadata')}")
        time.sleep(_POLL_S)
