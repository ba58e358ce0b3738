"""Retries of failed requests: policy, attempts, pauses and budget."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity
import trio

from cloudfs_backends.errors import StoreError

log = logging.getLogger(__name__)
_LOG_INTERVAL_S: Final = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of the attempts of a request, and the pauses between them. Times in seconds.

    The n-th pause is drawn evenly from [0, min(cap_s, base_s * 2**(n-1))], and is no shorter than
    the store's Retry-After. A request fails after `max_attempts`, or when the next pause would end
    later than `budget_s` after its start. Received bytes reset both, but no request is made more
    than `max_total_attempts` times.
    """

    max_attempts: int = 8
    budget_s: float = 30.0
    base_s: float = 0.1
    cap_s: float = 5.0
    max_total_attempts: int = 64


NO_RETRIES: Final = RetryPolicy(max_attempts=1)


class Retries:
    """The policy of one store, and its retries so far. Used from the trio loop only.

    `counts` is by operation. `jitter` is for tests that need the same pauses each time.
    """

    def __init__(self, policy: RetryPolicy, jitter: random.Random | None = None) -> None:
        self.policy = policy
        self.jitter = jitter or random.Random()
        self.counts: Counter[str] = Counter()
        self.succeeded_once = False
        self._logged_at = -_LOG_INTERVAL_S
        self._unlogged = 0

    def begin(self, operation: str) -> Attempts:
        """Return a new request, without an attempt so far."""
        return Attempts(self, operation)

    def count(self, operation: str, state: tenacity.RetryCallState) -> None:
        """Count a retry before its pause, and log it unless one was logged within a second."""
        self.counts[operation] += 1
        now = trio.current_time()
        if now - self._logged_at < _LOG_INTERVAL_S:
            self._unlogged += 1
            return
        error = state.outcome.exception() if state.outcome else None
        reason = error.describe() if isinstance(error, StoreError) else error
        # Before the first success the start-up is failing, and its error reports the cause.
        log.log(
            logging.INFO if self.succeeded_once else logging.DEBUG,
            "retry in %.2f s: %s (%d earlier retries not logged)",
            state.upcoming_sleep,
            reason,
            self._unlogged,
        )
        self._logged_at = now
        self._unlogged = 0


class Attempts:
    """The attempts of one request, its budget and its pauses."""

    def __init__(self, retries: Retries, operation: str) -> None:
        self._retries = retries
        self._policy = retries.policy
        self._operation = operation
        self._started = trio.current_time()
        self._failures = 0
        self._attempts = 0

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        may_repeat: Callable[[], bool] = lambda: True,
    ) -> T:
        """Make attempts until one succeeds, fails for good, or the policy ends the request.

        Raises the last error, with `attempts` set. An exception that is not a retryable
        `StoreError`, and any while `may_repeat` returns False, passes unchanged, at once.
        """
        try:
            result = await self._next(attempt)
        except StoreError as error:
            if not (error.retryable and may_repeat()):
                raise
            result = await self._run_again(attempt, may_repeat, error)
        self._retries.succeeded_once = True
        return result

    def note_progress(self) -> None:
        """Restart the budget: the attempt that is about to fail has received bytes."""
        self._failures = 1
        self._started = trio.current_time()

    def _next(self, attempt: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        self._attempts += 1
        self._failures += 1  # until it succeeds
        return attempt()

    async def _run_again(
        self,
        attempt: Callable[[], Awaitable[T]],
        may_repeat: Callable[[], bool],
        first_error: StoreError,
    ) -> T:
        """Continue after `first_error`; apart, for a success pays nothing for tenacity."""
        failed = [first_error]

        async def next_attempt() -> T:
            if failed:
                raise failed.pop()
            return await self._next(attempt)

        def is_worth_another(error: BaseException) -> bool:
            return isinstance(error, StoreError) and error.retryable and may_repeat()

        retrying = tenacity.AsyncRetrying(
            sleep=trio.sleep,
            stop=self._is_over,
            wait=self._pause_s,
            retry=tenacity.retry_if_exception(is_worth_another),
            before_sleep=lambda state: self._retries.count(self._operation, state),
            reraise=True,
        )
        try:
            return await retrying(next_attempt)
        except StoreError as error:
            error.attempts = self._attempts
            raise

    def _pause_s(self, state: tenacity.RetryCallState) -> float:
        ceiling = min(self._policy.cap_s, self._policy.base_s * 2 ** min(self._failures - 1, 30))
        pause = self._retries.jitter.uniform(0, ceiling)
        error = state.outcome.exception() if state.outcome else None
        requested = error.retry_after_s if isinstance(error, StoreError) else None
        return max(pause, requested or 0.0)

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        end = trio.current_time() + state.upcoming_sleep
        return (
            self._failures >= self._policy.max_attempts
            or self._attempts >= self._policy.max_total_attempts
            or end - self._started > self._policy.budget_s
        )
