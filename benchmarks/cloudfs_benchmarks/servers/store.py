"""One call that makes a folder an S3 bucket behind a link: namespace, list server and nginx."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.servers import namespace, nginx
from cloudfs_benchmarks.servers.link import Link

_LOOPBACK = "127.0.0.1"
# Nothing else runs in the namespace of a run, so any port is free there.
_NAMESPACE_PORT = 9700
_SOCKET_S = 10.0
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket that is served; `link` says in words what lies before it."""

    endpoint: str
    bucket: str
    link: str

    @property
    def url(self) -> str:
        """What `cloudfs mount` takes."""
        return f"s3://{self.bucket}"


def serve_folder(
    children: Children, folder: Path, root: Path, *, bucket: str, link: Link, workers: int
) -> Store:
    """Serve `root` as `bucket`, with the server's own files in `folder`, until the stack ends.

    The total rate of the link needs root, iproute2 and namespaces; without them it is left out
    and the returned `link` says so. Nobody's credentials are checked.
    """
    shaped = bool(link.total_gbit) and _can_shape()
    inside: tuple[str, ...] = ()
    address = _LOOPBACK
    if shaped:
        place = namespace.create(children, link.total_gbit)
        inside, address = place.prefix, place.address
    port = _NAMESPACE_PORT if shaped else nginx.free_port(address)
    socket_path = folder / "list.sock"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "cloudfs_benchmarks.servers.listing"]
    children.start("listing", [*command, str(root), bucket, str(socket_path)])
    _wait_for(children, socket_path)
    site = nginx.Site(address, port, bucket, root, socket_path)
    nginx.start(children, folder, site, link, workers=workers, inside=inside)
    return Store(f"http://{address}:{port}", bucket, link.describe(shaped=shaped))


def _can_shape() -> bool:
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("ip", "tc", "nsenter"))


def _wait_for(children: Children, socket_path: Path) -> None:
    deadline_s = time.monotonic() + _SOCKET_S
    while not socket_path.exists():
        if time.monotonic() > deadline_s:
            raise StageError(f"the list server made no socket: see {children.log('listing')}")
        time.sleep(_POLL_S)
