"""The nfs:// URLs that name an export as a target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from cloudfs_benchmarks.bench.errors import TargetError

SCHEME = "nfs://"
_FORM = "nfs://SERVER[:PORT]/EXPORT[/FOLDER][?version=4&nfsport=2049]"
_SERVER = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]+))?")
_PORTS = ("nfsport", "mountport")
_IDS = ("uid", "gid")
_NFS_PORT = 2049


@dataclass(frozen=True, slots=True)
class NfsUrl:
    """An export: `path` is absolute and without a slash at its end, `options` are libnfs' own.

    `port` is None where the server's portmapper is asked (NFS version 3).
    """

    server: str
    port: int | None
    path: str
    version: int
    options: tuple[tuple[str, int], ...] = ()

    @property
    def query(self) -> str:
        """The part of a URL after `?` that sets up a libnfs context."""
        ports = (("nfsport", self.port),) if self.port is not None else ()
        fields = (("version", self.version), *ports, *self.options)
        return "&".join(f"{name}={value}" for name, value in fields)


def parse_nfs(text: str) -> NfsUrl:
    """Parse an nfs:// URL; the version is 4 unless it says 3. `TargetError` for what is none.

    The path is taken as it is, without percent-decoding.
    """
    location, _, query = text.removeprefix(SCHEME).partition("?")
    authority, slash, path = location.partition("/")
    server = _SERVER.fullmatch(authority)
    path = "/" + "/".join(part for part in path.split("/") if part)
    if not text.startswith(SCHEME) or server is None or not slash or path == "/":
        raise TargetError(f"{text}: not the URL of an NFS export; write {_FORM}")
    if ".." in path.split("/"):
        raise TargetError(f"{text}: an export's path has no `..`; write the folder itself")
    options = _options(text, query)
    version = options.pop("version", 4)
    if version not in (3, 4):
        raise TargetError(f"{text}: NFS version {version} is not known to libnfs; use 3 or 4")
    default = _NFS_PORT if version == 4 else None
    named = int(server["port"]) if server["port"] else None
    port = options.pop("nfsport", named if named is not None else default)
    return NfsUrl(server["name"].strip("[]"), port, path, version, tuple(options.items()))


def _options(text: str, query: str) -> dict[str, int]:
    options: dict[str, int] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in ("version", *_PORTS, *_IDS):
            raise TargetError(
                f"{text}: unknown option {name}; there are version, nfsport, mountport, uid and gid"
            )
        if not re.fullmatch("[0-9]{1,10}", value) or (name in _PORTS and not _is_port(value)):
            raise TargetError(f"{text}: {name}={value} is not a number that it can have")
        options[name] = int(value)
    return options


def _is_port(value: str) -> bool:
    return 0 < int(value) < 1 << 16
