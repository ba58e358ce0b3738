"""Asks a store again when an error may pass, as a decorator of the same protocol.

Whether an error may pass is the error's own `retryable`. A read goes on where it stopped. This
module knows neither clouds nor what the bytes are for.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import tenacity
import trio

from cloudfs_backends.api import (
    Capabilities,
    ListPage,
    ObjectInfo,
    ObjectStore,
    ReadBuffer,
    Sink,
    StoreError,
    StoreStatistics,
)

log = logging.getLogger(__name__)
_LOG_INTERVAL_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a request is tried. Times in seconds.

    The n-th pause is drawn evenly from [0, min(cap_s, base_s * 2**(n-1))], and is no shorter than
    what the store asked for. A request is given up after `max_attempts`, or when the next pause
    would end later than `budget_s` after its start. Bytes that arrive start both anew, but no
    request is tried more than `max_total_attempts` times.
    """

    max_attempts: int = 8
    budget_s: float = 30.0
    base_s: float = 0.1
    cap_s: float = 5.0
    max_total_attempts: int = 64


class _Episode:
    """The attempts of one request: decides synchronously whether and when there is another."""

    def __init__(self, policy: RetryPolicy, jitter: random.Random) -> None:
        self._policy = policy
        self._jitter = jitter
        self._started = trio.current_time()
        self._failures = 0
        self.attempts = 0

    async def attempt(self, request: Callable[[], Awaitable[T]]) -> T:
        """Make the request once more; until it succeeds it counts as failed."""
        self.attempts += 1
        self._failures += 1
        return await request()

    def note_progress(self) -> None:
        """Bytes arrived in the attempt that is about to fail: it counts as the first one again."""
        self._failures = 1
        self._started = trio.current_time()

    def pause_s(self, state: tenacity.RetryCallState) -> float:
        ceiling = min(self._policy.cap_s, self._policy.base_s * 2 ** min(self._failures - 1, 30))
        pause = self._jitter.uniform(0, ceiling)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after_s if isinstance(error, StoreError) else None
        return max(pause, asked or 0.0)

    def is_over(self, state: tenacity.RetryCallState) -> bool:
        end = trio.current_time() + state.upcoming_sleep
        return (
            self._failures >= self._policy.max_attempts
            or self.attempts >= self._policy.max_total_attempts
            or end - self._started > self._policy.budget_s
        )


class _Delivery:
    """Hands bytes to a sink and counts them; called from one worker thread at a time."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.delivered_bytes = 0
        self.refused = False

    def __call__(self, data: ReadBuffer) -> None:
        try:
            self._sink(data)
        except BaseException:  # a store error too, if it comes from there, is not the store's
            self.refused = True
            raise
        self.delivered_bytes += len(data)


class RetryingStore:
    """Tries the requests to `inner` by a policy. Used from the trio loop only.

    Raises the last error, with `attempts` set. What a sink raises passes unchanged, at once.
    `jitter` is given by tests that want the same pauses each time.
    """

    def __init__(
        self,
        inner: ObjectStore,
        policy: RetryPolicy | None = None,
        *,
        jitter: random.Random | None = None,
    ) -> None:
        self._inner = inner
        self._policy = policy or RetryPolicy()
        self._jitter = jitter or random.Random()
        self._retries: Counter[str] = Counter()
        self._logged_at = -_LOG_INTERVAL_S
        self._unlogged = 0
        self._worked = False

    @property
    def url(self) -> str:
        """See `ObjectStore.url`."""
        return self._inner.url

    @property
    def identity(self) -> str:
        """See `ObjectStore.identity`."""
        return self._inner.identity

    @property
    def capabilities(self) -> Capabilities:
        """See `ObjectStore.capabilities`."""
        return self._inner.capabilities

    async def probe(self) -> None:
        """See `ObjectStore.probe`."""
        await self._run("list", self._inner.probe, self._episode())

    async def head(self, key: str) -> ObjectInfo:
        """See `ObjectStore.head`."""
        return await self._run("head", lambda: self._inner.head(key), self._episode())

    async def list_page(
        self, prefix: str, *, delimiter: str = "", token: str | None = None, limit: int = 1000
    ) -> ListPage:
        """See `ObjectStore.list_page`."""
        return await self._run(
            "list",
            lambda: self._inner.list_page(prefix, delimiter=delimiter, token=token, limit=limit),
            self._episode(),
        )

    async def get_range(
        self, key: str, start: int, stop: int, *, etag: str | None, sink: Sink
    ) -> None:
        """See `ObjectStore.get_range`.

        A later attempt asks for the missing bytes of the same version. Without an etag nothing
        says that it would be the same one, so a read that has begun then fails instead.
        """
        delivery = _Delivery(sink)
        episode = self._episode()

        async def attempt() -> None:
            begin = start + delivery.delivered_bytes
            try:
                await self._inner.get_range(key, begin, stop, etag=etag, sink=delivery)
            except StoreError as error:
                arrived = start + delivery.delivered_bytes
                if delivery.refused or not error.retryable or arrived == begin:
                    raise
                if arrived == stop:
                    return
                episode.note_progress()
                raise

        def may_repeat() -> bool:
            if delivery.refused:
                return False
            return etag is not None or delivery.delivered_bytes == 0

        await self._run("get", attempt, episode, may_repeat)

    def statistics(self) -> StoreStatistics:
        """Return what `inner` counted, with the retries added."""
        below = self._inner.statistics()
        operations = {
            name: replace(counts, retries=self._retries[name])
            for name, counts in below.operations.items()
        }
        return replace(below, operations=operations)

    async def aclose(self) -> None:
        """See `ObjectStore.aclose`."""
        await self._inner.aclose()

    def _episode(self) -> _Episode:
        return _Episode(self._policy, self._jitter)

    async def _run(
        self,
        operation: str,
        request: Callable[[], Awaitable[T]],
        episode: _Episode,
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> T:
        """Make the request until it succeeds, cannot pass, or the episode is over."""
        try:
            result = await episode.attempt(request)
        except StoreError as error:
            if not (error.retryable and may_repeat()):
                raise
            result = await self._run_again(operation, request, episode, may_repeat, error)
        self._worked = True
        return result

    async def _run_again(
        self,
        operation: str,
        request: Callable[[], Awaitable[T]],
        episode: _Episode,
        may_repeat: Callable[[], bool],
        first_error: StoreError,
    ) -> T:
        """Go on after `first_error`. Kept apart so that a success pays nothing for tenacity."""
        failed = [first_error]

        async def attempt() -> T:
            if failed:
                raise failed.pop()
            return await episode.attempt(request)

        def is_worth_another(error: BaseException) -> bool:
            return isinstance(error, StoreError) and error.retryable and may_repeat()

        retrying = tenacity.AsyncRetrying(
            sleep=trio.sleep,
            stop=episode.is_over,
            wait=episode.pause_s,
            retry=tenacity.retry_if_exception(is_worth_another),
            before_sleep=lambda state: self._note_retry(operation, state),
            reraise=True,
        )
        try:
            return await retrying(attempt)
        except StoreError as error:
            error.attempts = episode.attempts
            raise

    def _note_retry(self, operation: str, state: tenacity.RetryCallState) -> None:
        self._retries[operation] += 1
        now = trio.current_time()
        if now - self._logged_at < _LOG_INTERVAL_S:
            self._unlogged += 1
            return
        error = state.outcome.exception() if state.outcome else None
        reason = error.describe() if isinstance(error, StoreError) else error
        # Before anything has worked it is the start-up that fails, and its error says it all.
        log.log(
            logging.INFO if self._worked else logging.DEBUG,
            "retry in %.2f s: %s (%d earlier retries not logged)",
            state.upcoming_sleep,
            reason,
            self._unlogged,
        )
        self._logged_at = now
        self._unlogged = 0
