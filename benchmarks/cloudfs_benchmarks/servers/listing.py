"""`python -m cloudfs_benchmarks.servers.listing ROOT BUCKET SOCKET`: what nginx cannot answer.

Serves the bucket itself (LIST version 2, location, HEAD) of the folder ROOT over a unix socket,
which also reaches into a network namespace. Objects are nginx's business; the ETags here are
spelled as nginx spells them, so that a conditional read of a listed object matches.
"""

from __future__ import annotations

import base64
import os
import socketserver
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_LIMIT_MOST = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One object: `mtime_s` and `size` in bytes are what nginx makes its ETag of."""

    key: str
    mtime_s: int
    size: int

    @property
    def etag(self) -> str:
        """Without quotes."""
        return f"{self.mtime_s:x}-{self.size:x}"


@dataclass(frozen=True, slots=True)
class Page:
    """What one LIST answers; `token` continues it, "" when it is complete."""

    entries: tuple[Entry, ...]
    prefixes: tuple[str, ...]
    token: str


def scan(root: Path) -> Iterator[Entry]:
    """Yield the objects below `root`, in no particular order."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            status = os.stat(path)
            yield Entry(os.path.relpath(path, root), int(status.st_mtime), status.st_size)


def select(entries: list[Entry], *, prefix: str, delimiter: str, limit: int, token: str) -> Page:
    """Return the page after `token` of `entries`, which must be in the order of their UTF-8."""
    last = base64.urlsafe_b64decode(token).decode() if token else ""
    objects: list[Entry] = []
    prefixes: list[str] = []
    for entry in entries:
        if not entry.key.startswith(prefix):
            continue
        name = _name(entry.key, prefix, delimiter)
        if name.encode() <= last.encode():
            continue
        if len(objects) + len(prefixes) == limit:
            return Page(tuple(objects), tuple(prefixes), _token(last))
        last = name
        if name == entry.key:
            objects.append(entry)
        else:
            prefixes.append(name)
    return Page(tuple(objects), tuple(prefixes), "")


def _name(key: str, prefix: str, delimiter: str) -> str:
    """The key, or the common prefix that stands for it; a prefix ends with the delimiter."""
    rest = key[len(prefix) :]
    if delimiter and delimiter in rest:
        return prefix + rest.partition(delimiter)[0] + delimiter
    return key


def _token(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def render(page: Page, bucket: str, query: dict[str, str]) -> str:
    """Return the XML of a page; keys are URL-encoded if the query asks for that."""
    encoded = query.get("encoding-type") == "url"
    spell = quote if encoded else escape
    contents = "".join(
        f"<Contents><Key>{spell(entry.key)}</Key><LastModified>{_time(entry.mtime_s)}"
        f"</LastModified><ETag>&quot;{entry.etag}&quot;</ETag><Size>{entry.size}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for entry in page.entries
    )
    common = "".join(
        f"<CommonPrefixes><Prefix>{spell(prefix)}</Prefix></CommonPrefixes>"
        for prefix in page.prefixes
    )
    token = f"<NextContinuationToken>{page.token}</NextContinuationToken>" if page.token else ""
    return (
        f"<ListBucketResult {_NAMESPACE}><Name>{bucket}</Name>"
        f"<Prefix>{spell(query.get('prefix', ''))}</Prefix>"
        f"<KeyCount>{len(page.entries) + len(page.prefixes)}</KeyCount>"
        f"<MaxKeys>{query.get('max-keys', _LIMIT_MOST)}</MaxKeys>"
        + ("<EncodingType>url</EncodingType>" if encoded else "")
        + f"<IsTruncated>{'true' if page.token else 'false'}</IsTruncated>"
        f"{token}{contents}{common}</ListBucketResult>"
    )


def _time(mtime_s: int) -> str:
    return datetime.fromtimestamp(mtime_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class _Handler(BaseHTTPRequestHandler):
    """Answers requests for the bucket; the server carries `root` and `bucket`."""

    server: _Server
    protocol_version = "HTTP/1.0"

    def do_HEAD(self) -> None:
        """The bucket exists."""
        self._answer("")

    def do_GET(self) -> None:
        """LIST, or the bucket's location."""
        parsed = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        query = {name: values[0] for name, values in parsed.items()}
        if "location" in query:
            self._answer(f"<LocationConstraint {_NAMESPACE}/>")
            return
        page = select(
            sorted(scan(self.server.root), key=lambda entry: entry.key.encode()),
            prefix=query.get("prefix", ""),
            delimiter=query.get("delimiter", ""),
            limit=min(_LIMIT_MOST, int(query.get("max-keys", _LIMIT_MOST))),
            token=query.get("continuation-token", ""),
        )
        self._answer(render(page, self.server.bucket, query))

    def _answer(self, body: str) -> None:
        data = f'<?xml version="1.0" encoding="UTF-8"?>\n{body}'.encode() if body else b""
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        """A unix socket's peer has no address to log."""
        return "nginx"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not logged: a benchmark sends many."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, root: Path, bucket: str) -> None:
        super().__init__(path, _Handler)
        self.root = root
        self.bucket = bucket


if __name__ == "__main__":
    _Server(sys.argv[3], Path(sys.argv[1]), sys.argv[2]).serve_forever()
