"""nginx as an object server: its configuration, and starting it as a child of this run.

Needs Debian's nginx-light and libnginx-mod-http-lua (`ngx.sleep` delays the first byte without
holding a worker). Never touches the system's nginx: own folder, own configuration, own port.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from cloudfs_benchmarks.demo.processes import Children, StageError
from cloudfs_benchmarks.servers.link import Link

_MODULES = Path("/usr/lib/nginx/modules")
_NEEDED = ("ndk_http_module.so", "ngx_http_lua_module.so")
_INSTALL = "apt-get install nginx-light libnginx-mod-http-lua"
_START_S = 10.0
_POLL_S = 0.02

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
  server {{
    listen {address}:{port} backlog=1024;
    root {folder}/www;
    location = /{bucket} {{ {delay} proxy_pass http://unix:{socket}; }}
    location = /{bucket}/ {{ {delay} proxy_pass http://unix:{socket}; }}
    location / {{ {delay} {rate} try_files $uri =404; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Site:
    """Where to serve the folder `root` as `bucket`; `listing_socket` answers for the bucket."""

    address: str
    port: int
    bucket: str
    root: Path
    listing_socket: Path


def configure(folder: Path, site: Site, link: Link, workers: int) -> str:
    """Return the text of the configuration of an nginx that lives in `folder`."""
    seconds = link.first_byte_ms / 1000
    delay = f"access_by_lua_block {{ ngx.sleep({seconds:g}) }}" if seconds else ""
    return _CONFIGURATION.format(
        modules="\n".join(f"load_module {_MODULES / name};" for name in _NEEDED),
        user="user root;\n" if os.geteuid() == 0 else "",
        workers=workers,
        folder=folder,
        address=site.address,
        port=site.port,
        bucket=site.bucket,
        socket=site.listing_socket,
        delay=delay,
        rate=f"limit_rate {link.connection_rate};" if link.connection_rate else "",
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
    while not _answers(site.address, site.port):
        if child.poll() is not None:
            raise children.failure("nginx", "ended at once")
        if time.monotonic() > deadline_s:
            raise children.failure("nginx", f"did not answer within {_START_S:.0f} s")
        time.sleep(_POLL_S)


def free_port(address: str) -> int:
    """A port that nothing listens on; the address must be one of this namespace."""
    with socket.socket() as listener:
        listener.bind((address, 0))
        return int(listener.getsockname()[1])


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
