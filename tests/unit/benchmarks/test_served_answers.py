"""The object server as HTTP shows it: how each dialect names, and refuses, a version."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from cloudfs_benchmarks.servers.azure import ACCOUNT
from cloudfs_benchmarks.servers.listing import Entry
from cloudfs_benchmarks.servers.store import Served
from tests.support.served import serving

BODY = b"0123456789"
ENTRY = Entry("d/a b", 1_700_000_000, len(BODY))
NEWER = Entry("d/a b", 1_700_000_001, len(BODY))
MEDIA = "/download/storage/v1/b/bench/o/d%2Fa%20b?alt=media"


@dataclass(frozen=True)
class Got:
    status: int
    headers: Mapping[str, str]
    body: bytes


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("served")) as running:
        path = running.root / ENTRY.key
        path.parent.mkdir()
        path.write_bytes(BODY)
        os.utime(path, (ENTRY.mtime_s, ENTRY.mtime_s))
        yield running


def _ask(served: Served, dialect: str, target: str, **headers: str) -> Got:
    connection = HTTPConnection(urlsplit(served.endpoints[dialect]).netloc, timeout=10)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET", target, headers=named)
        answer = connection.getresponse()
        got = {name.lower(): value for name, value in answer.getheaders()}
        return Got(answer.status, got, answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("dialect", "target"),
    [("s3", "/bench/d/a%20b"), ("gs", "/bench/d/a%20b"), ("gs", MEDIA),
     ("gs", f"/bench/d/a%20b?generation={ENTRY.generation}"),
     ("gs", f"{MEDIA}&ifGenerationMatch={ENTRY.generation}"),
     ("az", f"/{ACCOUNT}/bench/d/a%20b")],
)  # fmt: skip
def test_a_range_comes_with_all_that_obstore_wants(
    served: Served, dialect: str, target: str
) -> None:
    got = _ask(served, dialect, target, Range="bytes=2-5")
    assert (got.status, got.body) == (206, BODY[2:6])
    assert got.headers["content-range"] == f"bytes 2-5/{len(BODY)}"
    assert got.headers["etag"] == f'"{ENTRY.etag}"'
    assert got.headers["last-modified"] == "Tue, 14 Nov 2023 22:13:20 GMT"
    assert got.headers.get("x-goog-generation") == (ENTRY.generation if dialect == "gs" else None)


@pytest.mark.parametrize(
    ("dialect", "target", "status", "code"),
    [
        ("s3", "/bench/d/a%20b", 412, b"PreconditionFailed"),
        ("gs", f"/bench/d/a%20b?generation={NEWER.generation}", 404, b"NoSuchKey"),
        ("gs", "/bench/d/a%20b?generation=nonsense", 404, b"NoSuchKey"),
        ("gs", f"{MEDIA}&ifGenerationMatch={NEWER.generation}", 412, b"conditionNotMet"),
        ("az", f"/{ACCOUNT}/bench/d/a%20b", 412, b"ConditionNotMet"),
    ],
)
def test_another_version_is_refused_in_the_words_of_the_cloud(
    served: Served, dialect: str, target: str, status: int, code: bytes
) -> None:
    condition = {} if dialect == "gs" else {"If_Match": f'"{NEWER.etag}"'}
    got = _ask(served, dialect, target, Range="bytes=2-5", **condition)
    assert got.status == status
    assert code in got.body
    assert BODY[2:6] not in got.body


@pytest.mark.parametrize(
    ("dialect", "target", "code"),
    [
        ("s3", "/bench/d", "NoSuchKey"),
        ("gs", "/bench/none", "NoSuchKey"),
        ("az", f"/{ACCOUNT}/bench/none", "BlobNotFound"),
    ],
)
def test_what_is_not_there_is_told_in_the_words_of_the_cloud(
    served: Served, dialect: str, target: str, code: str
) -> None:
    got = _ask(served, dialect, target)
    assert got.status == 404
    assert f"<Code>{code}</Code>".encode() in got.body
    assert got.headers.get("x-ms-error-code") == (code if dialect == "az" else None)


def test_a_connection_that_will_be_closed_is_said_to_be(served: Served) -> None:
    """nginx closes it after a failed condition: a client that kept it would lose a request."""
    got = _ask(served, "s3", "/bench/d/a%20b", If_Match='"1-2"')
    assert got.headers["connection"] == "close"
    assert _ask(served, "s3", "/bench/none").headers["connection"] == "keep-alive"


def test_azure_takes_a_range_by_its_own_name(served: Served) -> None:
    got = _ask(served, "az", f"/{ACCOUNT}/bench/d/a%20b", x_ms_range="bytes=7-")
    assert (got.status, got.body) == (206, BODY[7:])
