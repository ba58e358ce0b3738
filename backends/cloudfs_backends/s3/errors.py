"""Translation of botocore's exceptions into a `StoreError`.

The S3 error code decides, then the HTTP status, then the exception's class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

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
from cloudfs_backends.common.obstore_errors import OBSTORE_ERRORS, from_obstore
from cloudfs_backends.errors import (
    CredentialsError,
    InvalidRequestError,
    StoreError,
    UnavailableError,
)
from cloudfs_backends.s3.codes import ADVICE_BY_CODE, CUSTOMER_KEY_ADVICE, ERRORS_BY_CODE

BOTOCORE_ERRORS: Final = (
    boto.BotoCoreError,
    boto.ClientError,
    ResponseParserError,
    ValueError,
    RuntimeError,
)
"""What a call of botocore may raise.

ValueError is for an endpoint that is no URL, RuntimeError for credentials that are expired even
after their renewal, as those in the environment.
"""

# The oldest release of botocore that is supported has no `aws login`.
_LOGIN_ERROR: Final[type[Exception]] = getattr(boto, "LoginError", boto.SSOError)

_BY_EXCEPTION: Final[tuple[tuple[type[Exception], type[StoreError]], ...]] = (
    (boto.NoCredentialsError, CredentialsError),
    (boto.PartialCredentialsError, CredentialsError),
    (boto.CredentialRetrievalError, CredentialsError),
    (boto.MetadataRetrievalError, CredentialsError),
    (boto.ProfileNotFound, CredentialsError),
    (boto.ConfigParseError, CredentialsError),
    (boto.InvalidConfigError, CredentialsError),
    (boto.TokenRetrievalError, CredentialsError),
    (boto.SSOError, CredentialsError),
    (RuntimeError, CredentialsError),
    (_LOGIN_ERROR, CredentialsError),
    (boto.ParamValidationError, InvalidRequestError),
    (boto.InvalidRegionError, InvalidRequestError),
    (boto.InvalidEndpointDiscoveryConfigurationError, InvalidRequestError),
    (boto.HTTPClientError, UnavailableError),
    (boto.ConnectionError, UnavailableError),
    (boto.ResponseStreamingError, UnavailableError),
    (boto.IncompleteReadError, UnavailableError),
)


@contextmanager
def translated(context: RequestContext) -> Iterator[None]:
    """Translate the exceptions of botocore and of obstore in the block into `StoreError`."""
    try:
        yield
    except BOTOCORE_ERRORS as error:
        raise from_botocore(error, context) from error
    except OBSTORE_ERRORS as error:
        raise from_obstore(error, context) from error


def from_botocore(error: Exception, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an exception of botocore."""
    if isinstance(error, boto.ClientError):
        return from_response(_error_response(error.response), context)
    if isinstance(error, ValueError):
        return with_advice(
            InvalidRequestError(one_line(error), operation=context.operation, key=context.key),
            "check --endpoint-url and the profile's endpoint_url",
        )
    error_class = error_class_for(_BY_EXCEPTION, error, UnavailableError)
    message = one_line(error)
    if error_class is UnavailableError and context.session.endpoint not in message:
        message = f"{context.session.endpoint}: {message}"
    translated = error_class(message, operation=context.operation, key=context.key)
    if error_class is CredentialsError:
        with_advice(translated, _credentials_advice(error, context.session))
    return translated


def _error_response(response: Mapping[str, Any]) -> ErrorResponse:
    details = response.get("Error", {})
    metadata = response.get("ResponseMetadata", {})
    headers = metadata.get("HTTPHeaders", {})
    code = str(details.get("Code", ""))
    return ErrorResponse(
        status=int(metadata.get("HTTPStatusCode", 0)),
        # botocore makes up a code from the status when there is no body, as after a HEAD
        code="" if code.isdecimal() else code,
        message=one_line(details.get("Message", "")),
        request_id=headers.get("x-amz-request-id") or headers.get("x-amzn-requestid"),
        retry_after_s=retry_after_s(headers.get("retry-after")),
    )


def _credentials_advice(error: Exception | None, session: SessionDetails) -> str:
    profile = session.profile
    login = f"sso login --profile {profile or 'default'}"
    if isinstance(error, boto.ProfileNotFound):
        return "add the profile to ~/.aws/config or name another one with --profile"
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError) or "SSO" in str(error or ""):
        return f"run: aws {login}"
    if isinstance(error, _LOGIN_ERROR):
        return f"run: aws login --profile {profile or 'default'}"
    if isinstance(error, boto.NoCredentialsError):
        return (
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile with --profile;"
            " --no-sign-request reads public buckets"
        )
    return f"renew the credentials (for SSO run: aws {login})"


ERROR_CODES: Final = ErrorCodes(ERRORS_BY_CODE, ADVICE_BY_CODE, _credentials_advice)
"""Those of S3 and compatible stores."""

CUSTOMER_KEY_ERROR_CODES: Final = ErrorCodes(
    ERRORS_BY_CODE, {**ADVICE_BY_CODE, **CUSTOMER_KEY_ADVICE}, _credentials_advice
)
"""The same, for a mount with a customer key."""
