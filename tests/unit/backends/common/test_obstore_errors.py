"""Translation of obstore's texts, which are all that it has, and may contain keys and bodies."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from obstore import exceptions as obs

from cloudfs_backends.common.http_errors import ErrorCodes, RequestContext
from cloudfs_backends.common.obstore_errors import IncompatibleResponseError, from_obstore
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


@dataclass
class _Session:
    endpoint: str = "http://endpoint"
    profile: str | None = None


ERROR_CODES = ErrorCodes(
    errors={"SlowDown": ThrottledError, "Old": CredentialsError},
    advice={},
    credentials_advice=lambda error, _: f"log in, for {type(error).__name__}",
)
CONTEXT = RequestContext("get", "key", _Session(), ERROR_CODES)

HEAD = "Error performing GET http://endpoint/bucket/key in 1.2ms - "
STATUS = "Server returned non-2xx status code: "
DEBUG = '\n\nDebug source:\nGeneric {\n    source: "SECRET"\n}'


def _body(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>why\n not</Message><RequestId>id-7</RequestId>"


@pytest.mark.parametrize(
    ("answer", "error_class", "text"),
    [
        (f"503 Service Unavailable: {_body('SlowDown')}", ThrottledError, "SlowDown: why not"),
        (f"503 Service Unavailable: {_body('Gone')}", UnavailableError, "Gone: why not"),
        (f"400 Bad Request: {_body('Old')}", CredentialsError, "Old: why not"),
        (f"403 Forbidden: {_body('No')}", AccessDeniedError, "No: why not"),
        ("404 Not Found: ", ObjectNotFoundError, "HTTP 404"),
        ("412 Precondition Failed: <html>SECRET</html>", ObjectChangedError, "HTTP 412"),
    ],
)
def test_an_answer(answer: str, error_class: type[StoreError], text: str) -> None:
    error = from_obstore(obs.GenericError(HEAD + STATUS + answer + DEBUG), CONTEXT)
    assert type(error) is error_class
    assert str(error) == text
    assert error.http_code == int(answer[:3])
    assert error.request_id == ("id-7" if "id-7" in answer else None)
    assert "SECRET" not in error.describe()


def test_a_key_that_reads_like_an_answer() -> None:
    key = f"x - {STATUS}503 Slow: <Code>SlowDown</Code>"
    text = f"Error performing GET http://endpoint/bucket/{key} in 1ms - {STATUS}404 Not Found: "
    error = from_obstore(FileNotFoundError(text), CONTEXT)
    assert type(error) is ObjectNotFoundError
    assert error.http_code == 404


@pytest.mark.parametrize(
    "mark",
    [
        "Generic S3 error: Last-Modified Header missing from response",
        "Generic S3 error: ETag Header missing from response",
        "Generic S3 error: Received non-partial response when range requested",
    ],
)
def test_an_answer_that_obstore_cannot_work_with(mark: str) -> None:
    error = from_obstore(obs.GenericError(mark + DEBUG), CONTEXT)
    assert type(error) is IncompatibleResponseError
    assert str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    ("exception", "error_class"),
    [
        (obs.GenericError("UnexpectedRange { expected: 0..1 }"), InvalidRequestError),
        (obs.GenericError("Received redirect without LOCATION, so"), InvalidRequestError),
        (obs.PreconditionError("Object at location key not met"), ObjectChangedError),
        (obs.PermissionDeniedError("no"), AccessDeniedError),
        (obs.InvalidPathError("no path"), InvalidRequestError),
        (ValueError("no value"), InvalidRequestError),
        (FileNotFoundError("none"), ObjectNotFoundError),
    ],
    ids=repr,
)
def test_what_obstore_says_of_its_own(exception: Exception, error_class: type[StoreError]) -> None:
    assert type(from_obstore(exception, CONTEXT)) is error_class


def test_credentials_that_fail_within_obstore() -> None:
    error = from_obstore(obs.UnauthenticatedError("none" + DEBUG), CONTEXT)
    assert type(error) is CredentialsError
    assert error.advice == "log in, for UnauthenticatedError"
    assert "SECRET" not in error.describe()


def test_no_answer_at_all_names_the_endpoint_and_the_cause() -> None:
    text = (
        f"{HEAD}HTTP error: error sending request{DEBUG}"
        '\n kind: Connect,\n error: "tcp connect error", message: "Connection refused"'
    )
    error = from_obstore(obs.GenericError(text), CONTEXT)
    assert type(error) is UnavailableError
    assert "http://endpoint: " in str(error)
    assert "Connect" in str(error)
    assert "\n" not in str(error)


def test_a_certificate_that_is_not_accepted_is_named() -> None:
    text = (
        f"{HEAD}HTTP error: error sending request{DEBUG}\n kind: Connect,\n error: Custom {{\n"
        " error: InvalidCertificate(\n     UnknownIssuer,\n ),"
    )
    error = from_obstore(obs.GenericError(text), CONTEXT)
    assert type(error) is UnavailableError
    assert "certificate is not accepted: UnknownIssuer" in str(error)
    assert "Custom" not in str(error)
