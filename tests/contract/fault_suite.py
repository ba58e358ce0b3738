"""The fault suite of cloud stores: retries, errors that are final, and right bytes either way.

Each cloud's tests subclass it and supply the cloud's error responses.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from cloudfs_backends.api import ObjectStore
from cloudfs_backends.errors import (
    AccessDeniedError,
    CredentialsError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from tests.contract.faults import (
    FAULTS,
    LATE,
    MESSAGE,
    PASSING,
    POLICY,
    Bucket,
    Connect,
    ErrorCase,
    FaultContract,
    settled,
    since,
)
from tests.contract.in_trio import in_trio
from tests.contract.world import DATA, read
from tests.support.proxy import (
    Action,
    Pass,
    ProxiedRequest,
    Proxy,
    Reset,
    Respond,
    Stall,
    Step,
    Truncate,
    always,
    is_get_object,
    random_faults,
    script,
)


class FaultsThatPass(FaultContract):
    @pytest.mark.parametrize("name", PASSING)
    @in_trio
    async def test_read(self, store: ObjectStore, wire: Proxy, name: str) -> None:
        etag = await settled(store, wire)
        before = store.statistics().operations["get"]
        wire.plan = script(self.fault(name), self.fault(name), when=is_get_object)
        assert await read(store, "key", 10, 300_000, etag) == DATA[10:300_000]
        assert since(store, before) == (3, 2, 2, 300_000 - 10)
        assert wire.count(is_get_object) == 3

    @pytest.mark.parametrize("name", PASSING)
    @in_trio
    async def test_head(self, store: ObjectStore, wire: Proxy, name: str) -> None:
        await settled(store, wire)
        wire.plan = script(self.fault(name), self.fault(name), when=self.cloud.is_head)
        assert (await store.head("key")).size == len(DATA)
        assert store.statistics().operations["head"].retries == 2
        assert wire.count(self.cloud.is_head) == 3

    @pytest.mark.parametrize("name", [*PASSING, "truncated"])
    @in_trio
    async def test_list(self, store: ObjectStore, wire: Proxy, name: str) -> None:
        await settled(store, wire)
        wire.plan = script(self.fault(name), self.fault(name), when=self.cloud.is_list)
        assert [info.key for info in (await store.list_page("")).objects] == ["key"]
        assert store.statistics().operations["list"].retries == 2
        assert wire.count(self.cloud.is_list) == 3

    @pytest.mark.parametrize("name", LATE)
    @in_trio
    async def test_read_goes_on_where_the_body_broke(
        self, store: ObjectStore, wire: Proxy, name: str
    ) -> None:
        etag = await settled(store, wire)
        before = store.statistics().operations["get"]
        wire.plan = script(self.fault(name), when=is_get_object)
        assert await read(store, "key", 0, len(DATA), etag) == DATA
        first, second = (_range(request) for request in wire.requests if is_get_object(request))
        assert first == f"bytes=0-{len(DATA) - 1}"
        resumed_at = int(second.removeprefix("bytes=").partition("-")[0])
        # A reset also throws away what had arrived and was not yet read.
        assert resumed_at >= (0 if name == "reset-late" else 256 * 1024)
        assert since(store, before)[3] == len(DATA)

    @pytest.mark.parametrize("name", LATE)
    @in_trio
    async def test_so_does_a_key_that_is_no_path(
        self, store: ObjectStore, bucket: Bucket, wire: Proxy, name: str
    ) -> None:
        await settled(store, wire)
        bucket.put(self.slow_key, DATA)
        etag = (await store.head(self.slow_key)).etag
        wire.plan = script(self.fault(name), Respond(503), when=is_get_object)
        assert await read(store, self.slow_key, 0, len(DATA), etag) == DATA
        assert wire.count(is_get_object) == 3

    @in_trio
    async def test_retry_after_is_kept(self, store: ObjectStore, wire: Proxy) -> None:
        await settled(store, wire)
        wire.plan = script(Respond(429, b"", {"Retry-After": "1"}), when=self.cloud.is_head)
        started = time.monotonic()
        await store.head("key")
        assert time.monotonic() - started >= 1.0

    @in_trio
    async def test_retry_after_is_found_in_every_answer(
        self, connect: Connect, wire: Proxy
    ) -> None:
        """A pause beyond the budget ends the request. obstore shows no headers, so of its reads the
        second attempt is another's, which sees them."""
        store = connect(replace(POLICY, budget_s=9.0))
        etag = await settled(store, wire)
        wire.plan = always(Respond(429, b"", {"Retry-After": "30"}))
        for request, most_attempts in (
            (lambda: store.head("key"), 1),
            (lambda: store.list_page(""), 1),
            (lambda: read(store, self.slow_key, 0, 9, etag), 1),
            (lambda: read(store, "key", 0, 9, etag), 2),
        ):
            with pytest.raises(ThrottledError) as caught:
                await request()
            assert caught.value.retry_after_s == 30
            assert caught.value.attempts <= most_attempts

    @in_trio
    async def test_random_faults_leave_every_byte_right(
        self, connect: Connect, wire: Proxy
    ) -> None:
        store = connect(replace(POLICY, max_attempts=20))
        etag = await settled(store, wire)
        faults = [Respond(503), Reset(), Truncate(300_000), Reset(700_000), Truncate(5)]
        wire.plan = random_faults(7, 0.3, faults, when=is_get_object)
        dice = random.Random(7)
        for _ in range(40):
            start, stop = sorted(dice.sample(range(len(DATA) + 1), 2))
            assert await read(store, "key", start, stop, etag) == DATA[start:stop]
        assert store.statistics().operations["get"].retries > 0

    @pytest.mark.parametrize("name", ["stall", "stall-late"])
    @in_trio
    async def test_cancelled_read_does_not_wait_for_the_wire(
        self, store: ObjectStore, wire: Proxy, name: str
    ) -> None:
        etag = await settled(store, wire)
        wire.plan = script(self.fault(name), when=is_get_object)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, store, "key", 0, len(DATA), etag)
            await trio.to_thread.run_sync(wire.wait_requests, 1, is_get_object)
            nursery.cancel_scope.cancel()
        assert wire.count(is_get_object) == 1
        assert await read(store, "key", 0, len(DATA), etag) == DATA

    @in_trio
    async def test_nor_do_cancelled_questions(self, store: ObjectStore, wire: Proxy) -> None:
        await settled(store, wire)
        wire.plan = always(Stall())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.head, "key")
            nursery.start_soon(store.list_page, "")
            await trio.to_thread.run_sync(wire.wait_requests, 1, self.cloud.is_head)
            await trio.to_thread.run_sync(wire.wait_requests, 1, self.cloud.is_list)
            nursery.cancel_scope.cancel()
        assert len(wire.requests) == 2


class FaultsThatStay(FaultContract):
    @pytest.mark.parametrize(
        ("name", "error_class"),
        [
            ("SLOW_DOWN", ThrottledError),
            ("MISLEADING", UnavailableError),
            ("BROKEN", UnavailableError),
            ("429", ThrottledError),
            ("reset", UnavailableError),
        ],
    )
    @in_trio
    async def test_are_given_up(
        self, store: ObjectStore, wire: Proxy, name: str, error_class: type[StoreError]
    ) -> None:
        etag = await settled(store, wire)
        wire.plan = always(self.fault(name))
        for request in (lambda: read(store, "key", 0, 9, etag), lambda: store.list_page("")):
            with pytest.raises(error_class) as caught:
                await request()
            assert caught.value.attempts == POLICY.max_attempts
            assert f"{POLICY.max_attempts} attempts" in caught.value.describe()

    @pytest.mark.parametrize(
        ("name", "error_class"),
        [
            ("DENIED", AccessDeniedError),
            ("403", AccessDeniedError),
            ("WRONG_KEY", CredentialsError),
            ("EXPIRED", CredentialsError),
            ("401", CredentialsError),
            ("MISSING", ObjectNotFoundError),
            ("CHANGED", ObjectChangedError),
            ("PAST_END", ObjectChangedError),
            ("NOT_ALLOWED", InvalidRequestError),
            ("NOT_IMPLEMENTED", InvalidRequestError),
        ],
    )
    @pytest.mark.parametrize("route", ["obstore", "sdk"])
    @in_trio
    async def test_errors_are_not_retried(
        self,
        store: ObjectStore,
        wire: Proxy,
        route: str,
        name: str,
        error_class: type[StoreError],
    ) -> None:
        await store.probe()
        statuses: list[int] = []
        wire.plan = always(_noting(self.fault(name), statuses))
        key = "key" if route == "obstore" else self.slow_key
        with pytest.raises(error_class) as caught:
            await read(store, key, 0, 9, self.cloud.version)
        assert type(caught.value) is error_class
        assert caught.value.http_code == statuses[0]
        assert (caught.value.operation, caught.value.key) == ("get", key)
        if name not in FAULTS:
            assert caught.value.request_id == self.cloud.request_id(key)
            assert MESSAGE in str(caught.value)
        assert wire.count(is_get_object) == 1


class StoresThatBreakTheRules(FaultContract):
    """A body is handed on only as far as it is what was asked for."""

    @pytest.mark.parametrize(
        ("name", "error_class"),
        [
            ("version", ObjectChangedError),
            ("shifted", InvalidRequestError),
            ("longer", InvalidRequestError),
            ("shorter", InvalidRequestError),
            ("shrunk", ObjectChangedError),
            ("whole", InvalidRequestError),
        ],
    )
    @in_trio
    async def test_wrong_answer(
        self, store: ObjectStore, wire: Proxy, name: str, error_class: type[StoreError]
    ) -> None:
        await store.probe()
        wire.plan = always(self._wrong_answer(name), when=is_get_object)
        for key in ("key", self.slow_key):
            received = bytearray()
            with pytest.raises(error_class) as caught:
                await store.get_range(key, 10, 20, etag=self.cloud.version, sink=received.extend)
            assert type(caught.value) is error_class
            assert not received

    def _wrong_answer(self, name: str) -> Respond:
        version = self.cloud.version
        answers = {
            "version": self.partial(DATA[10:20], 10, 99, self.cloud.other_version),
            "shifted": self.partial(DATA[11:21], 11, 99, version),
            "longer": self.partial(DATA[10:30], 10, 99, version),
            "shorter": self.partial(DATA[10:15], 10, 99, version),
            "shrunk": self.partial(DATA[10:15], 10, 15, version),
            "whole": Respond(200, DATA[:99], self.cloud.version_headers(version)),
        }
        return answers[name]

    @in_trio
    async def test_spelling_of_the_version_does_not_matter(
        self, store: ObjectStore, wire: Proxy
    ) -> None:
        await store.probe()
        for spelling in self.cloud.spellings:
            wire.plan = always(self.partial(DATA[10:20], 10, 99, spelling), when=is_get_object)
            for key in ("key", self.slow_key):
                assert await read(store, key, 10, 20, self.cloud.version) == DATA[10:20]

    @in_trio
    async def test_key_that_looks_like_an_error_message(
        self, store: ObjectStore, wire: Proxy
    ) -> None:
        _, slow_down = self.cloud.codes[ErrorCase.SLOW_DOWN]
        key = f"x - Server returned non-2xx status code: 503 Slow: <Code>{slow_down}</Code>"
        await store.probe()
        wire.plan = always(self.fault("MISSING"))
        with pytest.raises(ObjectNotFoundError) as caught:
            await read(store, key, 0, 9, None)
        assert caught.value.http_code == 404

    @in_trio
    async def test_read_without_version_is_not_patched_together(
        self, store: ObjectStore, wire: Proxy
    ) -> None:
        await settled(store, wire)
        wire.plan = script(Truncate(600_000), when=is_get_object)
        received = bytearray()
        with pytest.raises(UnavailableError):
            await store.get_range("key", 0, len(DATA), etag=None, sink=received.extend)
        assert received == DATA[: len(received)]
        assert wire.count(is_get_object) == 1

    @in_trio
    async def test_version_is_asked_for_again_after_a_break(
        self, store: ObjectStore, bucket: Bucket, wire: Proxy
    ) -> None:
        etag = await settled(store, wire)

        def overwritten(_: ProxiedRequest) -> Action:
            bucket.put("key", DATA[::-1])
            return Pass()

        wire.plan = script(Pass(), Truncate(600_000), overwritten, when=is_get_object)
        assert await read(store, "key", 0, 100, etag) == DATA[:100]
        received = bytearray()
        with pytest.raises(ObjectChangedError):
            await store.get_range("key", 0, len(DATA), etag=etag, sink=received.extend)
        assert received == DATA[: len(received)]


def _range(request: ProxiedRequest) -> str:
    return request.headers.get("range") or request.headers["x-ms-range"]


def _noting(step: Step, statuses: list[int]) -> Callable[[ProxiedRequest], Action]:
    """Return the same step, which notes with which status it answered."""

    def noting(request: ProxiedRequest) -> Action:
        action = step(request) if callable(step) else step
        assert isinstance(action, Respond)
        statuses.append(action.status)
        return action

    return noting
