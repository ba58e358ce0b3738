"""The metrics: the table, the text, the server, and that what is shipped with them uses them."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from cloudfs.config.types import LISTEN, ListenAddress
from cloudfs.errors import ExitCode, UserError
from cloudfs.status.document import (
    CostEstimate,
    DiskStatus,
    FuseOperation,
    FuseStatus,
    LastError,
    MemoryStatus,
    SourceBytes,
    StatusDocument,
    StoreOperation,
    WaitingRequest,
)
from cloudfs.status.prometheus import reference, server
from cloudfs.status.prometheus.collector import render
from cloudfs.status.prometheus.definitions import BY_NAME, DEFINITIONS
from cloudfs.status.prometheus.listeners import open_listeners
from cloudfs.status.prometheus.metric import MetricType
from cloudfs_cache.api import WaitsFor
from tests.support.status_documents import DISK, document

DOCS = Path(__file__).parents[5] / "docs"

BOUNDS = (0.001, 0.1, 1.0)
GET = StoreOperation(4, 2, 1, 9, 3.5, {"throttled": 2}, (1, 2, 0, 1), (0, 3, 0, 0), 0.25)
DOCUMENT = document(
    url="s3://private-bucket/secret-prefix",
    health_reasons=("cache directory /ssd is bypassed",),
    histogram_bounds_s=BOUNDS,
    fuse=FuseStatus(
        {"read": FuseOperation(4, 1, 0.5, {"ENOENT": 1}, (1, 0, 2, 1))},
        read_bytes=1000,
        inflight=2,
    ),
    waiting=(
        WaitingRequest("read", "private/name.h5", 9.5, WaitsFor.STORE),
        WaitingRequest("read", "private/name.h5", 4.0, WaitsFor.STORE),
    ),
    sources=SourceBytes(1, 2, 3),
    memory=MemoryStatus(capacity_bytes=10, used_bytes=5, blocks=1, hits=1, misses=2),
    disks={
        "/ssd": replace(DISK, directory="/ssd", used_bytes=90, free_bytes=7),
        "/gone": DiskStatus.left_out("/gone", "x"),
    },
    store=replace(document().store, operations={"get": GET}),
    cost=CostEstimate(currency="USD", requests_usd=0.5, egress_usd=1.5),
    last_errors=(LastError(0.0, "read", "private/name.h5", "EIO", "private", "", 1),),
)

Sample = tuple[str, tuple[tuple[str, str], ...]]


def samples(document: StatusDocument) -> dict[Sample, float]:
    text, _ = render(document, "")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


# The table


def test_names_types_and_words_follow_the_conventions() -> None:
    assert len(BY_NAME) == len(DEFINITIONS)
    for definition in DEFINITIONS:
        assert re.fullmatch("cloudfs_[a-z_]+", definition.name)
        assert definition.name.endswith("_total") == (definition.type is MetricType.COUNTER)
        assert definition.type is not MetricType.HISTOGRAM or definition.name.endswith("_seconds")
        assert definition.help.endswith(".")
        assert definition.question.endswith("?")
        assert not {"url", "bucket", "key", "path", "name"} & set(definition.labels)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda d: d.name)
def test_every_metric_has_samples_with_all_its_labels(definition: Any) -> None:
    found = list(definition.read(DOCUMENT))
    assert found
    assert {len(sample.labels) for sample in found} == {len(definition.labels)}


def test_the_page_has_the_table() -> None:
    page = (DOCS / "metrics.md").read_text()
    command = "python -m cloudfs.status.prometheus.reference docs/metrics.md"
    assert page == reference.replaced(page), f"run: {command}"


# The text


def test_values_come_from_the_document() -> None:
    found = samples(DOCUMENT)
    expected = {
        ("cloudfs_mount_info", (("backend", "s3"), ("mountpoint", "/mnt/data"))): 1,
        ("cloudfs_health", (("state", "degraded"),)): 1,
        ("cloudfs_health", (("state", "ok"),)): 0,
        ("cloudfs_fuse_request_errors_total", (("errno", "ENOENT"), ("op", "read"))): 1,
        ("cloudfs_fuse_request_errors_total", (("errno", "EIO"), ("op", "read"))): 0,
        ("cloudfs_waiting_longest_seconds", (("waits_for", "store"),)): 9.5,
        ("cloudfs_waiting_longest_seconds", (("waits_for", "disk"),)): 0,
        ("cloudfs_cache_hit_bytes_total", (("tier", "ssd"),)): 2,
        ("cloudfs_cache_bytes", (("directory", ""), ("tier", "memory"))): 5,
        ("cloudfs_cache_bytes", (("directory", "/ssd"), ("tier", "ssd"))): 90,
        ("cloudfs_cache_state", (("directory", "/gone"), ("state", "left out"))): 1,
        ("cloudfs_cache_state", (("directory", "/ssd"), ("state", "ok"))): 0,
        (
            "cloudfs_store_errors_total",
            (("backend", "s3"), ("kind", "throttled"), ("op", "get")),
        ): 2,
        ("cloudfs_cost_usd_total", (("kind", "egress"),)): 1.5,
        ("cloudfs_threads_busy", (("directory", ""), ("limiter", "store-data"))): 4,
        ("cloudfs_threads_waiting", (("directory", "/ssd"), ("limiter", "disk"))): 1,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert found["process_resident_memory_bytes", ()] > 0


def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    found = samples(DOCUMENT)
    name = "cloudfs_fuse_request_duration_seconds"
    buckets = [
        found[f"{name}_bucket", (("le", le), ("op", "read"))]
        for le in ("0.001", "0.1", "1.0", "+Inf")
    ]
    assert buckets == [1, 1, 3, 4]
    assert found[f"{name}_count", (("op", "read"),)] == 4
    assert found[f"{name}_sum", (("op", "read"),)] == 0.5


def test_nothing_private_is_exposed() -> None:
    text, _ = render(DOCUMENT, "")
    for word in (b"private", b"secret", b".h5"):
        assert word not in text


def test_there_is_no_sample_of_what_is_unknown_or_not_used() -> None:
    found = samples(replace(DOCUMENT, cost=CostEstimate(unknown="no price")))
    assert "cloudfs_cost_usd_total" not in {name for name, _ in found}
    of_disks = {name for name, labels in found if ("directory", "/gone") in labels}
    assert of_disks == {"cloudfs_cache_state"}


def test_odd_names_of_directories_do_not_break_the_text() -> None:
    names = ['/a\nb"\\', "/\udc80", "/ü {}"]
    disks = {name: replace(DISK, directory=name) for name in names}
    found = samples(replace(DOCUMENT, disks=disks))
    directories = {
        dict(labels)["directory"] for name, labels in found if name.endswith("_free_bytes")
    }
    assert directories == {'/a\nb"\\', "/\\udc80", "/ü {}"}


def test_open_metrics_is_sent_to_those_who_ask() -> None:
    text, content_type = render(DOCUMENT, "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")


# The server


def run(test: Callable[..., Awaitable[None]], address: ListenAddress, make: Any = None) -> None:
    """Run `test(where, connect)` against a server of `address`."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            where = await nursery.start(server.serve, address, make or (lambda: DOCUMENT))
            with trio.fail_after(20):
                await test(where)
            nursery.cancel_scope.cancel()

    try:
        trio.run(main)
    except* UserError as group:
        raise group.exceptions[0] from None


LOOPBACK = ListenAddress("127.0.0.1", 0)


async def connect(where: str) -> trio.SocketStream:
    if where.startswith("unix:"):
        return await trio.open_unix_socket(where.removeprefix("unix:"))
    host, port = where.removeprefix("http://").removesuffix("/metrics").rsplit(":", 1)
    return await trio.open_tcp_stream(host, int(port))


async def ask(where: str, request: bytes) -> bytes:
    async with await connect(where) as stream:
        await stream.send_all(request)
        received = b""
        async for chunk in stream:
            received += chunk
        return received


def test_without_an_address_there_is_nothing() -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            serve: Any = server.serve
            assert await nursery.start(serve, None, dict) is None

    trio.run(main)


@pytest.mark.parametrize(
    ("request_line", "status", "word"),
    [
        (b"GET /metrics HTTP/1.1", b"200 OK", b"\ncloudfs_health"),
        (b"GET /metrics?name=x HTTP/1.0", b"200 OK", b"\ncloudfs_health"),
        (b"GET /healthz HTTP/1.1", b"200 OK", b"degraded\ncache directory /ssd is bypassed\n"),
        (b"GET / HTTP/1.1", b"404 Not Found", b"/metrics"),
        (b"GET /metrics/../../etc/passwd HTTP/1.1", b"404 Not Found", b""),
        (b"POST /metrics HTTP/1.1", b"405 Method Not Allowed", b"Allow: GET, HEAD"),
        (b"GET /metrics HTTP/9.9", b"505", b""),
        (b"nonsense", b"400", b""),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1", b"4", b""),
    ],
)
def test_requests_get_their_answers(request_line: bytes, status: bytes, word: bytes) -> None:
    async def test(where: str) -> None:
        reply = await ask(where, request_line + b"\r\nHost: x\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 " + status)
        assert word in reply
        head, _, body = reply.partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head

    run(test, LOOPBACK)


def test_head_has_no_body() -> None:
    async def test(where: str) -> None:
        reply = await ask(where, b"HEAD /metrics HTTP/1.1\r\n\r\n")
        assert reply.endswith(b"\r\n\r\n")
        assert b"Content-Length: 0" not in reply

    run(test, LOOPBACK)


def test_clients_that_idle_and_those_that_hang_up_stop_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "REQUEST_S_MAX", 0.5)

    async def test(where: str) -> None:
        idle = await connect(where)
        await idle.send_all(b"GET /metrics HTTP/1.1\r\n")
        async with await connect(where):
            pass
        assert b"200 OK" in await ask(where, b"GET /metrics HTTP/1.1\r\n\r\n")
        # The bound ends it: without one this would wait for ever.
        assert await idle.receive_some(1) == b""
        await idle.aclose()

    run(test, LOOPBACK)


def test_more_connections_than_the_limit_are_refused() -> None:
    async def test(where: str) -> None:
        held = [await connect(where) for _ in range(server.CONNECTIONS_MAX)]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert b"503 Service Unavailable" in await ask(where, b"")
        for stream in held:
            await stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert b"200 OK" in await ask(where, b"GET /healthz HTTP/1.1\r\n\r\n")

    run(test, LOOPBACK)


def test_a_bug_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> StatusDocument:
        raise ValueError("oh")

    async def test(where: str) -> None:
        assert await ask(where, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        assert b"404" in await ask(where, b"GET /x HTTP/1.1\r\n\r\n")

    run(test, LOOPBACK, broken)
    assert "bug in the metrics" in caplog.text


def test_whoever_listens_for_everybody_is_warned(caplog: pytest.LogCaptureFixture) -> None:
    async def test(where: str) -> None:
        assert where.startswith("http://0.0.0.0:")

    run(test, ListenAddress("0.0.0.0", 0))
    assert "there is no password" in caplog.text


def test_loopback_needs_no_warning() -> None:
    async def test(where: str) -> None:
        assert where.startswith("http://127.0.0.1:")

    run(test, LISTEN.parse("0"))  # type: ignore[arg-type]


async def _nothing(_where: str) -> None:
    await trio.lowlevel.checkpoint()


def test_a_port_in_use_and_a_host_that_is_nobodys_are_the_users_errors() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for address in (
            ListenAddress("127.0.0.1", taken.getsockname()[1]),
            ListenAddress("192.0.2.1", 0),
        ):
            with pytest.raises(UserError, match="--metrics-address") as caught:
                run(_nothing, address)
            assert caught.value.exit_code is ExitCode.USAGE
            assert str(address) in caught.value.message


def test_a_unix_socket_is_the_groups_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"

    async def test(where: str) -> None:
        assert where == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert b"200 OK" in await ask(where, b"GET /metrics HTTP/1.1\r\n\r\n")
        with pytest.raises(UserError, match="still serves it"):
            async with open_listeners(ListenAddress(path=path)):
                pass

    run(test, ListenAddress(path=path))
    assert not path.exists()


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(os.fspath(path))
    assert path.exists()
    run(_nothing, ListenAddress(path=path))


@pytest.mark.parametrize("name", ["file", "no/such/folder", "x" * 200])
def test_what_cannot_be_a_socket_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="--metrics-address"):
        run(_nothing, ListenAddress(path=tmp_path / name))
    assert (tmp_path / "file").read_text() == "precious"
