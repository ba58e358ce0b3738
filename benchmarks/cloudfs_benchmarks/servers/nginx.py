"""nginx as an object server: its configuration, and starting it as a child of this run.

Needs Debian's nginx-light and libnginx-mod-http-lua (`ngx.sleep` delays the first byte without
holding a worker). Never touches the system's nginx: own folder, own configuration, own port.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.servers.dialect import Dialect
from cloudfs_benchmarks.servers.dialects import DIALECTS
from cloudfs_benchmarks.servers.link import Link

_MODULES = Path("/usr/lib/nginx/modules")
_NEEDED = ("ndk_http_module.so", "ngx_http_lua_module.so")
_INSTALL = "apt-get install nginx-light libnginx-mod-http-lua"
_START_S = 10.0
_POLL_S = 0.02

# After this refusal nginx closes the connection, whatever it says: so let it say so.
_CLOSED_AFTER = 412

DIALECT_HEADER = "X-Dialect"
"""Tells the metadata server how to answer."""

_CONFIGURATION = """\
{modules}
{user}worker_processes {workers};
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000;
  keepalive_timeout 600s;
  default_type application/octet-stream;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{servers}}}
"""

_SERVER = """\
  server {{
    listen {address}:{port} backlog=1024;
    root {folder}/www;
{locations}{refusals}  }}
"""

_REFUSAL = """\
    error_page {status} = @{status};
    location @{status} {{
      default_type application/xml;
      {header} {close}
      return {refusal.status} '{body}';
    }}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where to serve the folder `root` as `bucket`: each dialect at a port of its own.

    `metadata_socket` answers what is not an object's bytes.
    """

    address: str
    ports: Mapping[str, int]
    bucket: str
    root: Path
    metadata_socket: Path


def configure(folder: Path, site: Site, link: Link, workers: int) -> str:
    """Return the text of the configuration of an nginx that lives in `folder`."""
    return _CONFIGURATION.format(
        modules="\n".join(f"load_module {_MODULES / name};" for name in _NEEDED),
        user="user root;\n" if os.geteuid() == 0 else "",
        workers=workers,
        folder=folder,
        servers="".join(_server(folder, site, link, dialect) for dialect in DIALECTS),
    )


def _server(folder: Path, site: Site, link: Link, dialect: Dialect) -> str:
    seconds = link.first_byte_ms / 1000
    sleep = f"ngx.sleep({seconds:g})" if seconds else ""
    delay = f"access_by_lua_block {{ {sleep} }}" if sleep else ""
    header = f"proxy_set_header {DIALECT_HEADER} {dialect.name};"
    rate = f"limit_rate {link.connection_rate};" if link.connection_rate else ""
    blanks = {
        "<bucket>": site.bucket,
        "<sleep>": sleep,
        "<delay>": delay,
        "<ask>": f"{delay} {header} proxy_pass http://unix:{site.metadata_socket};",
        "<send>": f"{rate} try_files $uri =404;",
    }
    locations = dialect.locations
    for blank, text in blanks.items():
        locations = locations.replace(blank, text)
    return _SERVER.format(
        address=site.address,
        port=site.ports[dialect.name],
        folder=folder,
        locations=locations,
        refusals="".join(_refusal(dialect, status) for status in dialect.refusals),
    )


def _refusal(dialect: Dialect, status: int) -> str:
    refusal = dialect.refusals[status]
    header = dialect.error_header
    words = HTTPStatus(refusal.status).phrase
    return _REFUSAL.format(
        status=status,
        refusal=refusal,
        body=f"<Error><Code>{refusal.code}</Code><Message>{words}</Message></Error>",
        header=f"add_header {header} {refusal.code} always;" if header else "",
        close="keepalive_timeout 0;" if status == _CLOSED_AFTER else "",
    )


def start(
    children: Children,
    folder: Path,
    site: Site,
    link: Link,
    *,
    workers: int,
    inside: tuple[str, ...],
) -> None:
    """Start nginx with `inside` before its command, and return when it answers.

    `StageError` says what to install when something is missing.
    """
    binary = _binary()
    www = folder / "www"
    www.mkdir(parents=True)
    (www / site.bucket).symlink_to(site.root)
    path = folder / "nginx.conf"
    path.write_text(configure(folder, site, link, workers), encoding="utf-8")
    command = [*inside, binary, "-p", str(folder), "-e", "stderr", "-c", str(path)]
    child = children.start("nginx", command)
    deadline_s = time.monotonic() + _START_S
    # One process listens on all ports, before it takes the first connection.
    while not _answers(site.address, next(iter(site.ports.values()))):
        if child.poll() is not None:
            raise children.failure("nginx", "ended at once")
        if time.monotonic() > deadline_s:
            raise children.failure("nginx", f"did not answer within {_START_S:.0f} s")
        time.sleep(_POLL_S)


def free_ports(address: str, count: int) -> list[int]:
    """Ports that nothing listens on; the address must be one of this namespace."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind((address, 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


def _binary() -> str:
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    missing = [name for name in _NEEDED if not (_MODULES / name).exists()]
    if found is None or missing:
        what = "nginx" if found is None else ", ".join(missing)
        raise StageError(f"{what} is missing: {_INSTALL}")
    return found


def _answers(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False
