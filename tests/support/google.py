"""Google's responses on the wire, beyond those of its emulator: a bucket behind the two HTTP
interfaces of Cloud Storage, and a token server. Both are plans of `proxy`.

As documented by Google: versions are generations, of which a lost one is a 404 in the XML interface
and a 412 in the JSON interface; pages have tokens; gzip is decoded for clients without it.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.proxy import Action, ProxiedRequest, Respond

_PAGE_MAX = 1000
_NO_PAYER = "Bucket is a requester pays bucket but no user project provided."
_NO_BUCKET = "The specified bucket does not exist."
_WHEN = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)


@dataclass(frozen=True)
class _Object:
    data: bytes
    generation: str
    metadata: Mapping[str, str]
    is_packed: bool


@dataclass
class GoogleBucket:
    """A bucket of Cloud Storage; called for each request that comes in.

    `folders` makes its namespace hierarchical; `payer` is the project that requesters have to name;
    `has_xml` is whether the XML interface is there.
    """

    name: str
    folders: set[str] | None = None
    payer: str | None = None
    has_xml: bool = True
    location: tuple[str, str] | None = ("EUROPE-WEST4", "region")
    _objects: dict[str, _Object] = field(default_factory=dict)
    _generation: int = 1_700_000_000_000_000

    @property
    def url(self) -> str:
        return f"gs://{self.name}"

    def put(
        self,
        key: str,
        data: bytes,
        metadata: Mapping[str, str] | None = None,
        *,
        packed: bool = False,
    ) -> str:
        """Write an object, `packed` with Content-Encoding: gzip, and return its generation."""
        self._generation += 1
        stored = gzip.compress(data) if packed else data
        self._objects[key] = _Object(stored, str(self._generation), dict(metadata or {}), packed)
        return str(self._generation)

    def delete(self, key: str) -> None:
        del self._objects[key]

    def stored(self, key: str) -> bytes:
        return self._objects[key].data

    def __call__(self, request: ProxiedRequest) -> Action:
        url = urlsplit(request.target)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        path, bucket = url.path, f"/storage/v1/b/{self.name}"
        if self.payer is not None and request.headers.get("x-goog-user-project") != self.payer:
            return _error_response(path, 400, "required", "UserProjectMissing", _NO_PAYER)
        if path.startswith(f"/download{bucket}/o/"):
            key = unquote(path.removeprefix(f"/download{bucket}/o/"))
            return self._media(request, key, query.get("ifGenerationMatch"))
        if path.startswith(f"{bucket}/"):
            return self._metadata(path.removeprefix(f"{bucket}/"), query)
        if unquote(path).startswith(f"/{self.name}/"):
            return self._xml(request, unquote(path).removeprefix(f"/{self.name}/"), query)
        return _error_response(path, 404, "notFound", "NoSuchBucket", _NO_BUCKET)

    def _metadata(self, path: str, query: Mapping[str, str]) -> Respond:
        if path == "o":
            return self._list(query)
        if path == "storageLayout":
            return self._layout()
        return self._head(unquote(path.removeprefix("o/")))

    def _list(self, query: Mapping[str, str]) -> Respond:
        after = base64.b64decode(query.get("pageToken", "")).decode()
        entries = [entry for entry in self._entries(query) if entry.encode() > after.encode()]
        most = min(int(query.get("maxResults", _PAGE_MAX)), _PAGE_MAX)
        page = entries[:most]
        answer: dict[str, object] = {"kind": "storage#objects"}
        answer["prefixes"] = [entry for entry in page if entry not in self._objects]
        answer["items"] = [self._resource(entry) for entry in page if entry in self._objects]
        if len(entries) > most:
            answer["nextPageToken"] = base64.b64encode(page[-1].encode()).decode()
        return _json(200, answer)

    def _entries(self, query: Mapping[str, str]) -> list[str]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = set(self._objects)
        if self.folders and query.get("includeFoldersAsPrefixes", "").lower() == "true":
            names |= self.folders
        cut = {_cut(name, len(prefix), delimiter) for name in names if name.startswith(prefix)}
        return sorted(cut, key=str.encode)

    def _resource(self, key: str) -> dict[str, object]:
        found = self._objects[key]
        resource: dict[str, object] = {
            "kind": "storage#object",
            "name": key,
            "size": str(len(found.data)),
            "generation": found.generation,
            "updated": _WHEN.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }
        return {**resource, "metadata": found.metadata} if found.metadata else resource

    def _layout(self) -> Respond:
        if self.location is None:
            return _error_response(
                "/storage/", 403, "forbidden", "AccessDenied", "may not be asked"
            )
        layout: dict[str, object] = {"kind": "storage#storageLayout", "bucket": self.name}
        layout["location"], layout["locationType"] = self.location
        if self.folders is not None:
            layout["hierarchicalNamespace"] = {"enabled": True}
        return _json(200, layout)

    def _head(self, key: str) -> Respond:
        if key not in self._objects:
            return _error_response(
                "/storage/", 404, "notFound", "", f"No such object: {self.name}/{key}"
            )
        return _json(200, self._resource(key))

    def _media(self, request: ProxiedRequest, key: str, generation: str | None) -> Respond:
        """The JSON interface: error responses to media requests are plain text."""
        found = self._objects.get(key)
        if found is None:
            return _text(404, f"No such object: {self.name}/{key}")
        if generation not in {None, found.generation}:
            return _text(412, "At least one of the pre-conditions you specified did not hold.")
        return _ranged(request, found) or _text(416, "Request range not satisfiable")

    def _xml(self, request: ProxiedRequest, key: str, query: Mapping[str, str]) -> Respond:
        if not self.has_xml:
            return Respond(501)
        found = self._objects.get(key)
        if found is None or query.get("generation") not in {None, found.generation}:
            return _xml_error(404, "NoSuchKey", "The specified key does not exist.")
        answer = _ranged(request, found)
        return answer or _xml_error(416, "InvalidRange", "The requested range is not valid.")


class TokenIssuer:
    """Google's token endpoint; called for each request that comes in. Tokens are numbered.

    `error_response` is sent instead, while there is one; `more` is added to each token.
    """

    def __init__(self, life_s: int = 3600, error_response: Respond | None = None) -> None:
        self.life_s = life_s
        self.error_response = error_response
        self.more: dict[str, str] = {}
        self.issued = 0

    def __call__(self, _: ProxiedRequest) -> Action:
        if self.error_response is not None:
            return self.error_response
        self.issued += 1
        return _json(
            200,
            {
                "access_token": f"token-{self.issued}",
                "expires_in": self.life_s,
                "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                **self.more,
            },
        )


def service_account_file(path: Path, token_uri: str) -> str:
    """Write the key of a service account whose tokens come from `token_uri`; return its path."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "lab",
                "private_key_id": "1",
                "private_key": pem.decode(),
                "client_email": "reader@lab.iam.gserviceaccount.com",
                "token_uri": token_uri,
            }
        )
    )
    return str(path)


def _cut(name: str, start: int, delimiter: str) -> str:
    end = name.find(delimiter, start) if delimiter else -1
    return name if end < 0 else name[: end + len(delimiter)]


def _ranged(request: ProxiedRequest, found: _Object) -> Respond | None:
    """Return the bytes of the requested range, or None when there are none."""
    headers = {
        "ETag": f'"etag-of-{found.generation}"',
        "Last-Modified": "Tue, 14 Nov 2023 22:13:20 GMT",
        "x-goog-generation": found.generation,
    }
    if found.is_packed and "gzip" not in request.headers.get("accept-encoding", ""):
        return Respond(200, gzip.decompress(found.data), headers)
    if found.is_packed:
        headers["Content-Encoding"] = "gzip"
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
    if match is None:
        return Respond(200, found.data, headers)
    start, stop = int(match[1]), min(int(match[2]) + 1, len(found.data))
    if start >= stop:
        return None
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(found.data)}"
    return Respond(206, found.data[start:stop], headers)


def _json(status: int, body: object) -> Respond:
    return Respond(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def _text(status: int, body: str) -> Respond:
    return Respond(status, body.encode(), {"Content-Type": "text/html; charset=UTF-8"})


def _xml_error(status: int, code: str, message: str) -> Respond:
    body = (
        f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code>"
        f"<Message>{message}</Message><Details>more than one wants to know</Details></Error>"
    )
    return Respond(status, body.encode(), {"Content-Type": "application/xml; charset=UTF-8"})


def _error_response(path: str, status: int, reason: str, code: str, message: str) -> Respond:
    """Return an error response of the interface that `path` belongs to."""
    if not path.startswith("/storage/"):
        return _xml_error(status, code, message)
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return _json(status, {"error": error})
