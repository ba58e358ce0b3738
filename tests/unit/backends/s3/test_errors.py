"""Translation of botocore's exceptions and error responses, misleading ones included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from obstore import exceptions as obs

from cloudfs_backends.common.http_errors import ErrorCodes, RequestContext
from cloudfs_backends.common.obstore_errors import from_obstore
from cloudfs_backends.errors import (
    AccessDeniedError,
    CredentialsError,
    InvalidRequestError,
    StoreError,
    ThrottledError,
    UnavailableError,
)
from cloudfs_backends.s3.errors import CUSTOMER_KEY_ERROR_CODES, ERROR_CODES, from_botocore


@dataclass
class _Session:
    endpoint: str = "http://endpoint"
    profile: str | None = "lab"


CONTEXT = RequestContext("head", "key", _Session(), ERROR_CODES)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (boto.NoCredentialsError(), "--profile"),
        (boto.ProfileNotFound(profile="lab"), "~/.aws/config"),
        (boto.UnauthorizedSSOTokenError(), "aws sso login --profile lab"),
        (boto.SSOTokenLoadError(error_msg="no token"), "aws sso login --profile lab"),
        (
            boto.TokenRetrievalError(provider="sso", error_msg="Token has expired"),
            "aws sso login --profile lab",
        ),
        (boto.PartialCredentialsError(provider="env", cred_var="secret"), "renew"),
        (boto.CredentialRetrievalError(provider="process", error_msg="it failed"), "renew"),
        (RuntimeError("the refreshed credentials are still expired"), "renew"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_identity(error: Exception, advice: str) -> None:
    translated = from_botocore(error, CONTEXT)
    assert isinstance(translated, CredentialsError)
    assert advice in translated.advice
    assert "\n" not in translated.describe()


def test_credentials_that_fail_in_obstore() -> None:
    error = obs.UnauthenticatedError(
        "The operation lacked valid authentication credentials for path External AWS credential"
        " provider: UnauthorizedSSOTokenError: The SSO session has expired\n\nDebug source:\nx"
    )
    translated = from_obstore(error, CONTEXT)
    assert isinstance(translated, CredentialsError)
    assert "aws sso login --profile lab" in translated.advice
    assert "Debug" not in str(translated)


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url="http://endpoint"),
        boto.ReadTimeoutError(endpoint_url="http://endpoint"),
        boto.ConnectionClosedError(endpoint_url="http://endpoint"),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        ResponseParserError("garbage"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_network(error: Exception) -> None:
    translated = from_botocore(error, CONTEXT)
    assert isinstance(translated, UnavailableError)
    assert "http://endpoint" in str(translated)


def _error_response(
    status: int = 403,
    code: str = "",
    headers: dict[str, str] | None = None,
    codes: ErrorCodes = ERROR_CODES,
) -> StoreError:
    """What botocore makes of an answer; without a body it takes the status for the code."""
    response: Any = {
        "Error": {"Code": code or str(status), "Message": "made\n by the test"},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
    }
    context = RequestContext("head", "key", _Session(), codes)
    return from_botocore(boto.ClientError(response, "HeadObject"), context)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), ("", None)])
def test_retry_after(header: str, seconds: float | None) -> None:
    error = _error_response(429, headers={"retry-after": header})
    assert isinstance(error, ThrottledError)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize("name", ["x-amz-request-id", "x-amzn-requestid"])
def test_request_id(name: str) -> None:
    assert _error_response(headers={name: "id-7"}).request_id == "id-7"


@pytest.mark.parametrize(
    ("status", "code", "error_class", "advice"),
    [
        (403, "AccessDenied", AccessDeniedError, ["s3:GetObject", "kms:", "--requester-pays"]),
        (403, "", AccessDeniedError, ["s3:GetObject", "--requester-pays"]),
        (400, "", InvalidRequestError, ["expired", "--sse-customer-key"]),
        (400, "InvalidRequest", InvalidRequestError, ["--sse-customer-key", "request id"]),
        (403, "KMS.AccessDeniedException", AccessDeniedError, ["kms:Decrypt"]),
        (400, "KMS.DisabledException", AccessDeniedError, ["enable"]),
        (400, "KMS.KMSInvalidStateException", AccessDeniedError, ["deletion"]),
        (400, "KMS.NotFoundException", AccessDeniedError, ["gone"]),
        (400, "KMS.ThrottlingException", ThrottledError, ["quota"]),
        (400, "KMS.InvalidKeyUsageException", InvalidRequestError, []),
        (500, "KMS.KMSInternalException", UnavailableError, []),
        (403, "InvalidClientTokenId", CredentialsError, ["access key"]),
        (403, "ExpiredTokenException", CredentialsError, ["renew"]),
    ],
)
def test_error_responses(
    status: int, code: str, error_class: type[StoreError], advice: list[str]
) -> None:
    error = _error_response(status, code)
    assert type(error) is error_class
    assert "\n" not in error.describe()
    for words in advice:
        assert words in error.advice


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AccessDenied", "whether --sse-customer-key is the key"),
        (403, "", "whether --sse-customer-key is the key"),
        (400, "InvalidRequest", "not encrypted with --sse-customer-key"),
        (400, "", "not encrypted with --sse-customer-key"),
        (400, "KMS.DisabledException", "enable"),
    ],
)
def test_advice_to_those_with_a_customer_key(status: int, code: str, advice: str) -> None:
    assert advice in _error_response(status, code, codes=CUSTOMER_KEY_ERROR_CODES).advice
