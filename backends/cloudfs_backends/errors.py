"""Errors of object stores, the same for every backend."""

from __future__ import annotations

import re
from typing import Final

_WORD_BEGIN: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


class StoreError(Exception):
    """A request that failed, with what an operator needs to find the cause.

    A `retryable` request may succeed when it is made again; the others will not. `retry_after_s` is
    the pause that the store asked for, if any. `attempts` is how often the request was made.
    """

    retryable = False
    advice = "see the store's error code"

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        key: str = "",
        http_code: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.key = key
        self.http_code = http_code
        self.request_id = request_id
        self.retry_after_s = retry_after_s
        self.attempts = 1

    @property
    def kind(self) -> str:
        """The error's class for statistics: `throttled` for a `ThrottledError`."""
        # Backends have subclasses of their own, which no statistics name.
        documented = next(one for one in type(self).__mro__ if one.__module__ == __name__)
        words: str = _WORD_BEGIN.sub("_", documented.__name__.removesuffix("Error"))
        return words.lower()

    def cause(self) -> str:
        """Return one line: message, HTTP code, request id, attempts."""
        parts = [str(self)]
        if self.http_code is not None:
            parts.append(f"HTTP {self.http_code}")
        if self.request_id:
            parts.append(f"request id {self.request_id}")
        if self.attempts > 1:
            parts.append(f"{self.attempts} attempts")
        return "; ".join(parts)

    def describe(self) -> str:
        """Return one line: operation, key, cause and advice."""
        what = f"{self.operation or 'request'} {self.key!r} failed"
        return f"{what}: {self.cause()}; advice: {self.advice}"


class ObjectNotFoundError(StoreError):
    """No such key (404)."""

    advice = "the object was deleted or never existed; list the bucket to check its name"


class BucketNotFoundError(StoreError):
    """No such bucket or folder."""

    advice = "check the bucket's name, region and endpoint"


class AccessDeniedError(StoreError):
    """The identity lacks the permission (403)."""

    advice = "grant this identity list and read permission on the bucket and prefix"


class CredentialsError(StoreError):
    """There are no usable credentials: none found, expired, or refused."""

    advice = "set or renew the credentials (environment, profile, SSO login or instance role)"


class ObjectChangedError(StoreError):
    """The object is no longer the requested version (412)."""

    advice = "the object was overwritten; open the file again to read the new version"


class ThrottledError(StoreError):
    """The store throttles this client (429, 503 SlowDown)."""

    retryable = True
    advice = "the store throttles this client; lower --max-downloads or ask for a higher quota"


class UnavailableError(StoreError):
    """5xx, timeout, reset connection or truncated body."""

    retryable = True
    advice = "check the network and the store's health"


class InvalidRequestError(StoreError):
    """The store rejects the request itself (other 4xx): a bug or an unsupported store."""

    advice = "this store does not support the request; report it with the request id"
