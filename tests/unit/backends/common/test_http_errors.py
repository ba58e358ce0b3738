"""Translation of HTTP error responses: code before status, advice, and Retry-After."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from time import time

import pytest

from cloudfs_backends.common.http_errors import (
    ErrorCodes,
    ErrorResponse,
    RequestContext,
    from_response,
    one_line,
    retry_after_s,
)
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


@dataclass
class _Session:
    endpoint: str = "http://endpoint"
    profile: str | None = None


ERROR_CODES = ErrorCodes(
    errors={"Gone": ObjectNotFoundError, "Slow": ThrottledError, "Old": CredentialsError},
    advice={"Gone": "look elsewhere", "403": "ask the owner"},
    credentials_advice=lambda error, session: f"log in to {session.endpoint} {error}",
)


def _translated(error_response: ErrorResponse, operation: str = "get") -> StoreError:
    return from_response(error_response, RequestContext(operation, "key", _Session(), ERROR_CODES))


@pytest.mark.parametrize(
    ("status", "code", "error_class"),
    [
        (400, "", InvalidRequestError),
        (400, "Slow", ThrottledError),
        (401, "", CredentialsError),
        (403, "", AccessDeniedError),
        (403, "Old", CredentialsError),
        (404, "", ObjectNotFoundError),
        (408, "", UnavailableError),
        (409, "Whatever", InvalidRequestError),
        (412, "", ObjectChangedError),
        (416, "", ObjectChangedError),
        (429, "", ThrottledError),
        (500, "", UnavailableError),
        (500, "Gone", UnavailableError),
        (501, "Slow", InvalidRequestError),
        (503, "Slow", ThrottledError),
        (503, "", UnavailableError),
    ],
)
def test_the_code_decides_then_the_status(
    status: int, code: str, error_class: type[StoreError]
) -> None:
    error = _translated(ErrorResponse(status, code, "a message", "id-7", 2.5))
    assert type(error) is error_class
    assert str(error) == (f"{code}: a message" if code else "a message")
    assert (error.operation, error.key) == ("get", "key")
    assert (error.http_code, error.request_id, error.retry_after_s) == (status, "id-7", 2.5)


def test_what_a_listing_does_not_find_is_the_bucket() -> None:
    assert isinstance(_translated(ErrorResponse(404, "", ""), "list"), BucketNotFoundError)


@pytest.mark.parametrize(
    ("error_response", "advice"),
    [
        (ErrorResponse(404, "Gone", ""), "look elsewhere"),
        (ErrorResponse(403, "", ""), "ask the owner"),
        (ErrorResponse(403, "Other", ""), AccessDeniedError.advice),
        (
            ErrorResponse(400, "", ""),
            "the store names no cause; see whether the credentials expired",
        ),
        (ErrorResponse(400, "Old", ""), "log in to http://endpoint None"),
        (ErrorResponse(412, "", ""), ObjectChangedError.advice),
    ],
)
def test_advice(error_response: ErrorResponse, advice: str) -> None:
    assert _translated(error_response).advice == advice


def test_an_answer_without_words_shows_its_status() -> None:
    assert str(_translated(ErrorResponse(418, "", ""))) == "HTTP 418"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("", None), ("0", 0.0), (" 7 ", 7.0), ("soon", None), ("-1", None)],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_retry_after_as_a_date() -> None:
    asked = retry_after_s(formatdate(time() + 100, usegmt=True))
    assert asked is not None
    assert 90 < asked <= 100
    assert retry_after_s(formatdate(time() - 100, usegmt=True)) == 0.0


def test_one_line() -> None:
    assert one_line(" a\n\tb \r\n") == "a b"
