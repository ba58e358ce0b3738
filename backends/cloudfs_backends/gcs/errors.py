"""Translation of the exceptions of Google's libraries into a `StoreError`.

The error code decides, then the HTTP status, then the exception's class. Of an exception only its
text is passed on, and of a response only its reason and message: neither carries tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import requests
import urllib3.exceptions
from google.api_core.exceptions import GoogleAPICallError
from google.auth import exceptions as auth

from cloudfs_backends.common.http_errors import (
    ErrorCodes,
    ErrorResponse,
    RequestContext,
    SessionDetails,
    error_class_for,
    from_response,
    one_line,
    retry_after_s,
    with_advice,
)
from cloudfs_backends.errors import (
    CredentialsError,
    InvalidRequestError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.gcs.codes import (
    ADVICE_BY_CODE,
    CODES_BY_MESSAGE,
    CODES_BY_STATUS,
    ERRORS_BY_CODE,
)

GOOGLE_ERRORS: Final = (
    GoogleAPICallError,
    auth.GoogleAuthError,
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
    ValueError,
)
"""What a call of the SDK, of google-auth or of a session may raise."""

CREDENTIALS_FILE: Final = "GOOGLE_APPLICATION_CREDENTIALS"
LOGIN: Final = "gcloud auth application-default login"
_MESSAGE_MAX: Final = 300
_SETTINGS_ADVICE: Final = (
    "check --endpoint-url, and the variables STORAGE_EMULATOR_HOST and REQUESTS_CA_BUNDLE"
)

_NOT_A_URL: Final = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationParseError,
)

_BY_EXCEPTION: Final[tuple[tuple[type[Exception], type[StoreError]], ...]] = (
    (auth.TransportError, UnavailableError),
    (auth.GoogleAuthError, CredentialsError),
    (requests.exceptions.InvalidURL, InvalidRequestError),
    (requests.exceptions.MissingSchema, InvalidRequestError),
    (requests.exceptions.InvalidSchema, InvalidRequestError),
    (requests.exceptions.InvalidHeader, InvalidRequestError),
    (requests.exceptions.TooManyRedirects, InvalidRequestError),
    (requests.RequestException, UnavailableError),
    (urllib3.exceptions.LocationParseError, InvalidRequestError),
    (urllib3.exceptions.HTTPError, UnavailableError),
    (GoogleAPICallError, UnavailableError),
    (ConnectionError, UnavailableError),
    (TimeoutError, UnavailableError),
    (OSError, InvalidRequestError),  # requests has no other for a missing bundle of certificates
    (ValueError, InvalidRequestError),
)


@contextmanager
def translated(context: RequestContext) -> Iterator[None]:
    """Translate the exceptions of Google's libraries in the block into `StoreError`."""
    try:
        yield
    except GOOGLE_ERRORS as error:
        raise from_google(error, context) from error


def from_google(error: Exception, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an exception of Google's libraries."""
    if isinstance(error, GoogleAPICallError) and error.response is not None:
        return response_error(error.response, context)
    error_class = error_class_for(_BY_EXCEPTION, error, UnavailableError)
    if isinstance(error, auth.GoogleAuthError) and error.retryable:
        error_class = UnavailableError
    message = _message(error, error_class, context.session.endpoint)
    translation = error_class(message, operation=context.operation, key=context.key)
    if error_class is CredentialsError:
        with_advice(translation, _credentials_advice(error, context.session))
    elif error_class is InvalidRequestError:
        with_advice(translation, _SETTINGS_ADVICE)
    return translation


def response_error(response: requests.Response, context: RequestContext) -> StoreError:
    """Return the `StoreError` for a response that is not a success. Reads its body."""
    code, message = _code_and_message(response)
    return from_response(
        ErrorResponse(
            status=response.status_code,
            code=_specific_code(response.status_code, code, message),
            message=message,
            request_id=response.headers.get("x-guploader-uploadid"),
            retry_after_s=retry_after_s(response.headers.get("retry-after")),
        ),
        context,
    )


def error_text(error: BaseException) -> str:
    """Return the text of the innermost cause that has one, on one line."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return error_text(inner)
    parts = [error_text(part) if isinstance(part, BaseException) else part for part in error.args]
    # The other arguments are whole responses: not for messages.
    texts = [part for part in parts if isinstance(part, str) and part]
    return one_line(" ".join(texts))[:_MESSAGE_MAX] or type(error).__name__


def _message(error: Exception, error_class: type[StoreError], endpoint: str) -> str:
    if isinstance(error, _NOT_A_URL):
        return f"{endpoint} is not the URL of a server"
    if error_class is not UnavailableError:
        return error_text(error)
    where = "no access token" if isinstance(error, auth.GoogleAuthError) else endpoint
    return f"{where}: {error_text(error)}"


def _code_and_message(response: requests.Response) -> tuple[str, str]:
    """Return reason and message. Failed downloads have plain text instead of JSON."""
    try:
        error = response.json()["error"]
        first = (error.get("errors") or [{}])[0]
        return str(first.get("reason", "")), one_line(error.get("message", ""))
    except (ValueError, LookupError, TypeError, AttributeError):
        text = one_line(response.text)[:_MESSAGE_MAX]
        return "", "" if text[:1] in {"<", "{", "["} else text


def _specific_code(status: int, code: str, message: str) -> str:
    lowered = message.lower()
    for for_status, words, telling in CODES_BY_MESSAGE:
        if status == for_status and words in lowered:
            return telling
    return code or CODES_BY_STATUS.get(status, "")


def _credentials_advice(error: Exception | None, _: SessionDetails) -> str:
    if isinstance(error, auth.RefreshError):
        return (
            f"log in again, run: {LOGIN}; for a service account check that its key and the"
            " account still exist, and this machine's clock"
        )
    if error is not None and os.environ.get(CREDENTIALS_FILE):
        return f"make {CREDENTIALS_FILE} name a readable file of Google credentials, or unset it"
    if error is not None:
        return f"run: {LOGIN}, or set {CREDENTIALS_FILE}; --no-sign-request reads public buckets"
    return f"renew the credentials (for a login run: {LOGIN})"


ERROR_CODES: Final = ErrorCodes(ERRORS_BY_CODE, ADVICE_BY_CODE, _credentials_advice)
"""The error codes and reasons of Google Cloud Storage."""
