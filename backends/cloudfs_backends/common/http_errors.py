"""What an HTTP answer that is not a success means: from code and status to a `StoreError`.

The clouds share HTTP's status codes and differ in the words beside them: a `Dialect` is one cloud's
words. This module knows neither the clouds nor their SDKs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Protocol, TypeVar

from cloudfs_backends.errors import (
    AccessDeniedError,
    BucketNotFoundError,
    CredentialsError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    UnavailableError,
)

E = TypeVar("E", bound=StoreError)


class Surroundings(Protocol):
    """Where a request goes and as whom, asked for when there is an error to describe."""

    @property
    def endpoint(self) -> str:
        """The endpoint's URL, or words for it while it is not known."""

    @property
    def profile(self) -> str | None:
        """The named profile in use, where the cloud has such and one was chosen."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One cloud's words. `errors` are by error code; so is `advice`, and by the status ("403") of
    an answer without a code.

    `credentials_advice` gives the fix for a missing or refused identity; its first argument is the
    exception that told of it, None when the store refused.
    """

    errors: Mapping[str, type[StoreError]]
    advice: Mapping[str, str]
    credentials_advice: Callable[[Exception | None, Surroundings], str]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What an error message should name, and the words the store has for it."""

    operation: str
    key: str
    surroundings: Surroundings
    dialect: Dialect


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is not a success. `code` is the cloud's own word for it, or empty."""

    status: int
    code: str
    message: str
    request_id: str | None = None
    retry_after_s: float | None = None


_BY_STATUS: dict[int, type[StoreError]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    404: ObjectNotFoundError,
    408: UnavailableError,
    412: ObjectChangedError,
    416: ObjectChangedError,
    429: ThrottledError,
}


def from_refusal(refusal: Refusal, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an HTTP answer that is not a success."""
    dialect = context.dialect
    error_class = _refusal_class(refusal, context)
    summary = ": ".join(part for part in (refusal.code, refusal.message) if part)
    translated = error_class(
        summary or f"HTTP {refusal.status}",
        operation=context.operation,
        key=context.key,
        http_code=refusal.status,
        request_id=refusal.request_id,
        retry_after_s=refusal.retry_after_s,
    )
    advice = dialect.advice.get(refusal.code or str(refusal.status))
    if advice:
        with_advice(translated, advice)
    elif refusal.status == 400 and not refusal.code:
        with_advice(translated, "the store names no cause; see whether the credentials expired")
    elif error_class is CredentialsError:
        with_advice(translated, dialect.credentials_advice(None, context.surroundings))
    return translated


def _refusal_class(refusal: Refusal, context: RequestContext) -> type[StoreError]:
    named = context.dialect.errors.get(refusal.code)
    if refusal.status in {501, 505}:
        return InvalidRequestError
    if refusal.status >= 500:  # whatever code it carries, it says nothing about the object
        return ThrottledError if named is ThrottledError else UnavailableError
    error_class = named or _BY_STATUS.get(refusal.status, InvalidRequestError)
    if error_class is ObjectNotFoundError and context.operation == "list":
        return BucketNotFoundError
    return error_class


def retry_after_s(header: str | None) -> float | None:
    """Return the pause that a Retry-After header asks for, in seconds; None for none."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


def first_class(
    table: tuple[tuple[type[Exception], type[StoreError]], ...],
    error: Exception,
    default: type[StoreError],
) -> type[StoreError]:
    """Return what the first row says whose exception class fits `error`."""
    return next((target for source, target in table if isinstance(error, source)), default)


def with_advice(error: E, advice: str) -> E:
    """Give this one error an advice of its own."""
    error.advice = advice
    return error


def one_line(text: object) -> str:
    """Return `text` with every run of white space made one blank."""
    return " ".join(str(text).split())
