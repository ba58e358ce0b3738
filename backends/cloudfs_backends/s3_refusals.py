"""What an S3 store means by refusing a request: from code and status to a `StoreError`.

Every S3-compatible store answers with these codes, whichever client has asked. This module knows
neither botocore nor obstore.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

from cloudfs_backends.api import (
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
        """The endpoint's URL."""

    @property
    def profile(self) -> str | None:
        """The profile that was chosen, if one was."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What an error message should name."""

    operation: str
    key: str
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer that is not a success."""

    status: int
    code: str
    message: str
    request_id: str | None = None
    retry_after_s: float | None = None


_BY_CODE: dict[str, type[StoreError]] = {
    "NoSuchKey": ObjectNotFoundError,
    "NoSuchVersion": ObjectNotFoundError,
    "NoSuchBucket": BucketNotFoundError,
    "PreconditionFailed": ObjectChangedError,
    "InvalidRange": ObjectChangedError,
    "AccessDenied": AccessDeniedError,
    "AllAccessDisabled": AccessDeniedError,
    "AccountProblem": AccessDeniedError,
    "InvalidObjectState": AccessDeniedError,
    "InvalidAccessKeyId": CredentialsError,
    "SignatureDoesNotMatch": CredentialsError,
    "ExpiredToken": CredentialsError,
    "InvalidToken": CredentialsError,
    "TokenRefreshRequired": CredentialsError,
    "RequestTimeTooSkewed": CredentialsError,
    "SlowDown": ThrottledError,
    "TooManyRequests": ThrottledError,
    "TooManyRequestsException": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "BandwidthLimitExceeded": ThrottledError,
    "RequestTimeout": UnavailableError,
    "OperationAborted": UnavailableError,
    "InternalError": UnavailableError,
    "ServiceUnavailable": UnavailableError,
}

_BY_STATUS: dict[int, type[StoreError]] = {
    401: CredentialsError,
    403: AccessDeniedError,
    404: ObjectNotFoundError,
    408: UnavailableError,
    412: ObjectChangedError,
    416: ObjectChangedError,
    429: ThrottledError,
}

_ADVICE_BY_CODE = {
    "RequestTimeTooSkewed": "set this machine's clock (NTP)",
    "InvalidAccessKeyId": "check the access key, and that it belongs to this endpoint",
    "SignatureDoesNotMatch": "check the secret key, and that it belongs to this endpoint",
    "InvalidObjectState": "the object is archived; restore it before reading",
    "AuthorizationHeaderMalformed": "name the bucket's region with --region",
    "PermanentRedirect": "name the bucket's region with --region",
}


def from_refusal(refusal: Refusal, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an HTTP answer that is not a success."""
    error_class = _refusal_class(refusal, context.operation)
    summary = ": ".join(part for part in (refusal.code, refusal.message) if part)
    translated = error_class(
        summary or f"HTTP {refusal.status}",
        operation=context.operation,
        key=context.key,
        http_code=refusal.status,
        request_id=refusal.request_id,
        retry_after_s=refusal.retry_after_s,
    )
    if refusal.code in _ADVICE_BY_CODE:
        with_advice(translated, _ADVICE_BY_CODE[refusal.code])
    elif refusal.status == 400 and not refusal.code:
        with_advice(translated, "the store names no cause; see whether the credentials expired")
    elif error_class is CredentialsError:
        with_advice(translated, renewal_advice(context.surroundings.profile))
    return translated


def _refusal_class(refusal: Refusal, operation: str) -> type[StoreError]:
    named = _BY_CODE.get(refusal.code)
    if refusal.status in {501, 505}:
        return InvalidRequestError
    if refusal.status >= 500:  # whatever code it carries, it says nothing about the object
        return ThrottledError if named is ThrottledError else UnavailableError
    error_class = named or _BY_STATUS.get(refusal.status, InvalidRequestError)
    if error_class is ObjectNotFoundError and operation == "list":
        return BucketNotFoundError
    return error_class


def renewal_advice(profile: str | None) -> str:
    """Return what to do when credentials are refused."""
    return f"renew the credentials (for SSO run: aws sso login --profile {profile or 'default'})"


def with_advice(error: E, advice: str) -> E:
    """Give this one error an advice of its own."""
    error.advice = advice
    return error


def one_line(text: object) -> str:
    """Return `text` with every run of white space made one blank."""
    return " ".join(str(text).split())
