"""Translation of obstore's exceptions into a `StoreError`, for all clouds.

obstore has the status and the cloud's error code in the text of its message only, and no headers.
Of a response body only code, message and request id are passed on: a body may quote signatures.
"""

from __future__ import annotations

import re
from typing import Final

from obstore import exceptions as obs

from cloudfs_backends.common.http_errors import (
    ErrorResponse,
    RequestContext,
    error_class_for,
    from_response,
    one_line,
    with_advice,
)
from cloudfs_backends.errors import (
    AccessDeniedError,
    CredentialsError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    UnavailableError,
)

OBSTORE_ERRORS: Final = (obs.BaseError, FileNotFoundError, ValueError)
"""What a call of obstore may raise."""


class IncompatibleResponseError(InvalidRequestError):
    """A response that obstore cannot use, though the SDK may; nothing was read."""


_BY_EXCEPTION: Final[tuple[tuple[type[Exception], type[StoreError]], ...]] = (
    (FileNotFoundError, ObjectNotFoundError),
    (obs.PreconditionError, ObjectChangedError),
    (obs.PermissionDeniedError, AccessDeniedError),
    (obs.UnauthenticatedError, CredentialsError),
    (obs.NotModifiedError, InvalidRequestError),
    (obs.NotSupportedError, InvalidRequestError),
    (obs.InvalidPathError, InvalidRequestError),
    (ValueError, InvalidRequestError),
)

# Some servers omit headers, or respond to a range with status 200.
_INCOMPATIBLE: Final = {
    "Last-Modified Header missing": "its answers lack Last-Modified",
    "ETag Header missing": "its answers lack an ETag",
    "Received non-partial response when range requested": "it answers a range with status 200",
}
# Responses that violate HTTP's rules for ranges: a retry would not help.
_RULE_BREAKS: Final = {
    "UnexpectedRange": "the store answered another range than asked",
    "Received redirect without LOCATION": "the bucket is in another region",
}
# A success for a range that begins at the object's end, where other stores respond with 416.
_SHRUNK: Final = {"Wanted range starting at": "the object is shorter now"}
_BY_MARK: Final[tuple[tuple[dict[str, str], type[StoreError]], ...]] = (
    (_INCOMPATIBLE, IncompatibleResponseError),
    (_RULE_BREAKS, InvalidRequestError),
    (_SHRUNK, ObjectChangedError),
)

# The path comes first in obstore's text and may contain anything; the last match is the response's.
_STATUS: Final = re.compile(
    r".* - Server returned non-2xx status code: (\d{3})[^:]*:(.*)", re.DOTALL
)
# Azure appends to its messages what other clouds have elements for.
_TRAILER: Final = re.compile(r" ?RequestId:(\S+) Time:\S+$")
_DEBUG: Final = "\n\nDebug source:"
_KIND: Final = re.compile(r"\bkind: (Timeout|Connect|Interrupted|Decode|Request)\b")
_REASON: Final = re.compile(r'\b(?:message|error): "?([A-Za-z][^"\n,]*)')
_CERTIFICATE: Final = re.compile(r"\bInvalidCertificate\(\s*(\w+)")


def from_obstore(error: Exception, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an exception of obstore."""
    text = str(error)
    response = _STATUS.match(text.partition(_DEBUG)[0])
    if response:
        return from_response(_parse_response(int(response[1]), response[2]), context)
    for marks, error_class in _BY_MARK:
        for mark, meaning in marks.items():
            if mark in text:
                return error_class(meaning, operation=context.operation, key=context.key)
    return _from_transport_error(error, text, context)


def _from_transport_error(error: Exception, text: str, context: RequestContext) -> StoreError:
    """Return the error of a request without a response, or one that obstore rejected itself."""
    found = error_class_for(_BY_EXCEPTION, error, UnavailableError)
    if found is UnavailableError:
        message = f"{context.session.endpoint}: {_cause(text)}"
    else:
        message = text.partition("\n")[0]
    translated = found(message, operation=context.operation, key=context.key)
    if isinstance(translated, CredentialsError):
        with_advice(translated, context.codes.credentials_advice(error, context.session))
    return translated


def _parse_response(status: int, body: str) -> ErrorResponse:
    message = _element(body, "Message")
    trailer = _TRAILER.search(message)
    return ErrorResponse(
        status=status,
        code=_element(body, "Code"),
        message=message[: trailer.start()] if trailer else message,
        request_id=_element(body, "RequestId") or (trailer[1] if trailer else None),
    )


def _element(body: str, name: str) -> str:
    match = re.search(rf"<{name}>([^<]*)</{name}>", body)
    return one_line(match[1]) if match else ""


def _cause(text: str) -> str:
    display, _, debug = text.partition(_DEBUG)
    kind = _KIND.search(debug)
    certificate = _CERTIFICATE.search(debug)
    reason = _REASON.search(debug)
    words = [match[1] for match in (kind, reason if not certificate else None) if match]
    if certificate:
        words.append(f"the server's certificate is not accepted: {certificate[1]}")
    return one_line(display.rpartition(" - ")[2] + (f" ({', '.join(words)})" if words else ""))
