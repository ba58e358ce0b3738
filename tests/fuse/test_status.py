"""The status document of real mounts: its fields, what waiting requests wait for, errors."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.buckets import Bucket
from tests.support import proxy as proxies
from tests.support.mounting import Mounted, wait_until
from tests.support.proxy import Proxy, Respond, Stall
from tests.support.stores import S3Server

MountFunction = Callable[..., Mounted]
MIB = 1 << 20
PAGE = Path(__file__).parents[2] / "docs" / "status.md"
READER = "import os, sys; os.read(os.open(sys.argv[1], os.O_RDONLY), 100)"


@pytest.fixture
def wire(server: S3Server) -> Iterator[Proxy]:
    with proxies.proxy(server.port) as running:
        yield running


def refused(code: int, word: str) -> Respond:
    body = f"<?xml version='1.0'?><Error><Code>{word}</Code><Message>injected</Message></Error>"
    return Respond(code, body.encode(), {"content-type": "application/xml"})


def documented() -> set[str]:
    """The fields that docs/status.md has, in its spelling: `a.b`, `a.*.b`, `a[].b`."""
    text = PAGE.read_text()
    table = text[text.index("## The document") :]
    return set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


def leaves(value: object, name: str = "") -> Iterator[str]:
    """Yield the fields of a document in that spelling; options and words are not gone into."""
    if isinstance(value, Mapping) and name not in OPAQUE:
        for key, item in value.items():
            below = "*" if name in BY_NAME else key
            yield from leaves(item, f"{name}.{below}".removeprefix("."))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for item in value:
            yield from leaves(item, f"{name}[]")
    else:
        yield name


BY_NAME = {"fuse.operations", "disks", "store.operations", "store.requests", "store.threads"}
OPAQUE = {"options", "fuse.operations.*.errnos", "store.operations.*.errors_by_kind"}
NOT_IN_EVERY_MOUNT = {"cost.unknown", "jobs", "waiting", "last_errors"}
"""Fields that have a value only when there is something to say, or when there is nothing."""


@pytest.mark.slow
def test_every_field_is_documented_and_the_waiting_ones_are_told(
    s3_bucket: Bucket, mount: MountFunction, wire: Proxy
) -> None:
    for name in ("bad", "f", "g"):
        s3_bucket.put(name, bytes(3 * MIB))
    mounted = s3_bucket.mount(
        mount,
        *("--retry-budget", "300ms", "--egress-price", "0.09"),
        endpoint=wire.endpoint_url,
        allowed=["failed: "],
    )
    assert (mounted.path / "f").read_bytes() == bytes(3 * MIB)
    wire.plan = proxies.always(refused(403, "AccessDenied"), when=proxies.is_get_object)
    for _ in range(2):
        with pytest.raises(PermissionError):
            (mounted.path / "bad").read_bytes()
    wire.plan = proxies.always(Stall(after_bytes=0), when=proxies.is_get_object)
    stuck = subprocess.Popen([sys.executable, "-c", READER, str(mounted.path / "g")])
    try:
        wait_until(lambda: mounted.status()["waiting_count"] > 0, 20, "a reader waits")
        document = mounted.status()
    finally:
        stuck.kill()
        stuck.wait()
        wire.plan = proxies.pass_all
    check_waiting(document)
    check_error(document)
    check_store(document)
    document["jobs"] = [{"job": "", "kind": "", "elapsed_s": 0, "bytes_done": 0, "bytes_total": 0}]
    real = set(leaves(document))
    assert real - documented() == set()
    cost = {name for name in documented() if name.startswith("cost.")}
    assert documented() - real <= cost
    wait_until(lambda: mounted.status()["waiting"] == [], 20, "nobody waits")


def check_waiting(document: dict[str, Any]) -> None:
    wait = document["waiting"][0]
    assert (wait["operation"], wait["name"], wait["waits_for"]) == ("read", "g", "store")
    assert wait["waited_s"] >= 0
    assert document["waiting_count"] == len(document["waiting"])


def check_error(document: dict[str, Any]) -> None:
    (error,) = document["last_errors"]
    assert (error["operation"], error["name"], error["errno"]) == ("read", "bad", "EACCES")
    assert error["count"] >= 2
    assert "HTTP 403" in error["cause"]
    assert "permission" in error["advice"]
    read = document["fuse"]["operations"]["read"]
    assert read["errnos"] == {errno.errorcode[errno.EACCES]: read["errors"]}
    assert sum(read["durations"]) == read["requests"]


def check_store(document: dict[str, Any]) -> None:
    store = document["store"]
    get = store["operations"]["get"]
    assert (store["backend"], get["errors_by_kind"]) == ("s3", {"access_denied": get["errors"]})
    assert len(get["durations"]) == len(document["histogram_bounds_s"]) + 1
    assert 0 < sum(get["first_byte"]) <= sum(get["durations"]) <= get["requests"]
    assert document["hit_ratio"] is not None
    assert document["now"]["window_s"] > 0
    # A server on this machine is none of Amazon's.
    assert document["cost"].keys() == {"unknown"}


def test_what_is_local_shows_in_the_ratio(folder: Path, mount: MountFunction) -> None:
    (folder / "f").write_bytes(bytes(2 * MIB))
    mounted = mount(f"file://{folder}")
    assert mounted.status()["hit_ratio"] is None
    for expected in (0.0, 0.5):
        with open(mounted.path / "f", "rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert len(file.readall()) == 2 * MIB
        assert mounted.status()["hit_ratio"] == pytest.approx(expected, abs=0.1)
    document = mounted.status()
    assert document["now"]["read_bytes_per_s"] > 0
    assert document["cost"] == {"unknown": "a folder has no price"}
