"""Translation of HTTP error responses into a `StoreError`, by error code, then by status.

The clouds share HTTP's status codes and differ in the error codes beside them: `ErrorCodes` holds
those of one cloud.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Final, Protocol, TypeVar

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


class SessionDetails(Protocol):
    """The part of a cloud's session that error messages name. Read only when there is an error."""

    @property
    def endpoint(self) -> str:
        """The endpoint's URL, or words for it while it is not known."""

    @property
    def profile(self) -> str | None:
        """The named profile in use, where the cloud has such and one was chosen."""


@dataclass(frozen=True, slots=True)
class ErrorCodes:
    """The error codes of one cloud. `errors` are by code; `advice` is by code, or by the status
    ("403") of a response without a code.

    `credentials_advice` returns the fix for missing or refused credentials; its first argument is
    the SDK's exception, or None for an error response of the store.
    """

    errors: Mapping[str, type[StoreError]]
    advice: Mapping[str, str]
    credentials_advice: Callable[[Exception | None, SessionDetails], str]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request that an error belongs to: its operation, key, session and the cloud's codes."""

    operation: str
    key: str
    session: SessionDetails
    codes: ErrorCodes


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An HTTP response that is not a success. `code` is the cloud's error code, or empty."""

    status: int
    code: str
    message: str
    request_id: str | None = None
    retry_after_s: float | None = None


_BY_STATUS: Final[dict[int, type[StoreError]]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    404: ObjectNotFoundError,
    408: UnavailableError,
    412: ObjectChangedError,
    416: ObjectChangedError,
    429: ThrottledError,
}


def from_response(response: ErrorResponse, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an HTTP response that is not a success."""
    codes = context.codes
    error_class = _class_of(response, context)
    summary = ": ".join(part for part in (response.code, response.message) if part)
    translated = error_class(
        summary or f"HTTP {response.status}",
        operation=context.operation,
        key=context.key,
        http_code=response.status,
        request_id=response.request_id,
        retry_after_s=response.retry_after_s,
    )
    advice = codes.advice.get(response.code or str(response.status))
    if advice:
        with_advice(translated, advice)
    elif response.status == 400 and not response.code:
        with_advice(translated, "the store names no cause; see whether the credentials expired")
    elif error_class is CredentialsError:
        with_advice(translated, codes.credentials_advice(None, context.session))
    return translated


def _class_of(response: ErrorResponse, context: RequestContext) -> type[StoreError]:
    named = context.codes.errors.get(response.code)
    if response.status in {501, 505}:
        return InvalidRequestError
    if response.status >= 500:  # whatever its code, it says nothing about the object
        return ThrottledError if named is ThrottledError else UnavailableError
    error_class = named or _BY_STATUS.get(response.status, InvalidRequestError)
    if error_class is ObjectNotFoundError and context.operation == "list":
        return BucketNotFoundError
    return error_class


def retry_after_s(header: str | None) -> float | None:
    """Return the pause that a Retry-After header asks for, in seconds; None without a header."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


def error_class_for(
    table: tuple[tuple[type[Exception], type[StoreError]], ...],
    error: Exception,
    default: type[StoreError],
) -> type[StoreError]:
    """Return the error class of the first row whose exception class `error` is an instance of."""
    return next((target for source, target in table if isinstance(error, source)), default)


def with_advice(error: E, advice: str) -> E:
    """Set the advice of this one error, and return it."""
    error.advice = advice
    return error


def one_line(text: object) -> str:
    """Return `text` with every run of white space replaced by one blank."""
    return " ".join(str(text).split())
