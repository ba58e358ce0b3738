"""The one place where what botocore and obstore raise becomes a `StoreError`.

The S3 error code decides, then the HTTP status, then the exception's class. obstore tells the code
and the status in the message's text only. Nothing of a response body but its code, message and
request id is passed on: a body may quote signatures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from obstore import exceptions as obs

from cloudfs_backends.api import (
    AccessDeniedError,
    CredentialsError,
    InvalidRequestError,
    ObjectChangedError,
    ObjectNotFoundError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.s3_refusals import (
    Refusal,
    RequestContext,
    from_refusal,
    one_line,
    renewal_advice,
    with_advice,
)

OBSTORE_ERRORS = (obs.BaseError, FileNotFoundError, ValueError)
"""What a call of obstore may raise."""

BOTOCORE_ERRORS = (boto.BotoCoreError, boto.ClientError, ResponseParserError, ValueError)
"""What a call of botocore may raise; ValueError is for an endpoint that is no URL."""


# `aws login` came to botocore after the oldest release that is good enough here.
_LOGIN_ERROR: type[Exception] = getattr(boto, "LoginError", boto.SSOError)

_BY_BOTOCORE: tuple[tuple[type[Exception], type[StoreError]], ...] = (
    (boto.NoCredentialsError, CredentialsError),
    (boto.PartialCredentialsError, CredentialsError),
    (boto.CredentialRetrievalError, CredentialsError),
    (boto.MetadataRetrievalError, CredentialsError),
    (boto.ProfileNotFound, CredentialsError),
    (boto.ConfigParseError, CredentialsError),
    (boto.InvalidConfigError, CredentialsError),
    (boto.TokenRetrievalError, CredentialsError),
    (boto.SSOError, CredentialsError),
    (_LOGIN_ERROR, CredentialsError),
    (boto.ParamValidationError, InvalidRequestError),
    (boto.InvalidRegionError, InvalidRequestError),
    (boto.InvalidEndpointDiscoveryConfigurationError, InvalidRequestError),
    (boto.HTTPClientError, UnavailableError),
    (boto.ConnectionError, UnavailableError),
    (boto.ResponseStreamingError, UnavailableError),
    (boto.IncompleteReadError, UnavailableError),
)

_BY_OBSTORE: tuple[tuple[type[Exception], type[StoreError]], ...] = (
    (FileNotFoundError, ObjectNotFoundError),
    (obs.PreconditionError, ObjectChangedError),
    (obs.PermissionDeniedError, AccessDeniedError),
    (obs.UnauthenticatedError, CredentialsError),
    (obs.NotModifiedError, InvalidRequestError),
    (obs.NotSupportedError, InvalidRequestError),
    (obs.InvalidPathError, InvalidRequestError),
    (ValueError, InvalidRequestError),
)

# Answers that break HTTP's rules for ranges; asking again would bring the same.
_RULE_BREAKS = {
    "Received non-partial response when range requested": "the store ignores ranged reads",
    "UnexpectedRange": "the store answered another range than asked",
    "Received redirect without LOCATION": "the bucket is in another region",
}

# The path comes first in obstore's text and may contain anything; the last match is the answer's.
_OBSTORE_STATUS = re.compile(
    r".* - Server returned non-2xx status code: (\d{3})[^:]*:(.*)", re.DOTALL
)
_OBSTORE_DEBUG = "\n\nDebug source:"
_OBSTORE_KIND = re.compile(r"\bkind: (Timeout|Connect|Interrupted|Decode|Request)\b")
_OBSTORE_REASON = re.compile(r'\b(?:message|error): "?([A-Za-z][^"\n,]*)')


def from_botocore(error: Exception, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an exception of botocore."""
    if isinstance(error, boto.ClientError):
        return from_refusal(_client_refusal(error.response), context)
    if isinstance(error, ValueError):
        return with_advice(
            InvalidRequestError(one_line(error), operation=context.operation, key=context.key),
            "check --endpoint-url and the profile's endpoint_url",
        )
    error_class = _first(_BY_BOTOCORE, error, UnavailableError)
    message = one_line(error)
    if error_class is UnavailableError and context.surroundings.endpoint not in message:
        message = f"{context.surroundings.endpoint}: {message}"
    translated = error_class(message, operation=context.operation, key=context.key)
    if error_class is CredentialsError:
        with_advice(translated, _credentials_advice(error, message, context.surroundings.profile))
    return translated


def from_obstore(error: Exception, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an exception of obstore."""
    text = str(error)
    answer = _OBSTORE_STATUS.match(text.partition(_OBSTORE_DEBUG)[0])
    if answer:
        return from_refusal(_body_refusal(int(answer[1]), answer[2]), context)
    for mark, meaning in _RULE_BREAKS.items():
        if mark in text:
            return InvalidRequestError(meaning, operation=context.operation, key=context.key)
    error_class = _first(_BY_OBSTORE, error, UnavailableError)
    if error_class is UnavailableError:
        message = f"{context.surroundings.endpoint}: {_obstore_cause(text)}"
    else:
        message = text.partition("\n")[0]
    translated = error_class(message, operation=context.operation, key=context.key)
    if error_class is CredentialsError:
        with_advice(translated, _credentials_advice(error, message, context.surroundings.profile))
    return translated


def _client_refusal(response: Mapping[str, Any]) -> Refusal:
    details = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    code = str(details.get("Code", ""))
    return Refusal(
        status=int(metadata.get("HTTPStatusCode", 0)),
        # botocore invents a code from the status when there is no body, as after a HEAD
        code="" if code.isdecimal() else code,
        message=one_line(details.get("Message", "")),
        request_id=headers.get("x-amz-request-id"),
        retry_after_s=_retry_after_s(headers.get("retry-after")),
    )


def _body_refusal(status: int, body: str) -> Refusal:
    return Refusal(
        status=status,
        code=_element(body, "Code"),
        message=_element(body, "Message"),
        request_id=_element(body, "RequestId") or None,
    )


def _element(body: str, name: str) -> str:
    match = re.search(rf"<{name}>([^<]*)</{name}>", body)
    return one_line(match[1]) if match else ""


def _retry_after_s(header: str | None) -> float | None:
    """Return the pause that a Retry-After header asks for, in seconds."""
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time())
    except ValueError:
        return None


def _obstore_cause(text: str) -> str:
    display, _, debug = text.partition(_OBSTORE_DEBUG)
    kind = _OBSTORE_KIND.search(debug)
    reason = _OBSTORE_REASON.search(debug)
    words = [match[1] for match in (kind, reason) if match]
    return one_line(display.rpartition(" - ")[2] + (f" ({', '.join(words)})" if words else ""))


def _credentials_advice(error: Exception, message: str, profile: str | None) -> str:
    if isinstance(error, boto.ProfileNotFound):
        return "add the profile to ~/.aws/config or name another one with --profile"
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError) or "SSO" in message:
        return f"run: aws sso login --profile {profile or 'default'}"
    if isinstance(error, _LOGIN_ERROR):
        return f"run: aws login --profile {profile or 'default'}"
    if isinstance(error, boto.NoCredentialsError):
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile;"
            " --no-sign-request reads public buckets"
        )
    return renewal_advice(profile)


def _first(
    table: tuple[tuple[type[Exception], type[StoreError]], ...],
    error: Exception,
    default: type[StoreError],
) -> type[StoreError]:
    return next((target for source, target in table if isinstance(error, source)), default)
