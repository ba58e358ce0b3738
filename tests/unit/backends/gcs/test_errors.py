"""Translation of Google's exceptions, and of the error responses of both its interfaces."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import requests
import urllib3.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from obstore import exceptions as obs

from cloudfs_backends.common.http_errors import RequestContext
from cloudfs_backends.common.obstore_errors import from_obstore
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
from cloudfs_backends.gcs.errors import ERROR_CODES, error_text, from_google, response_error
from tests.support.gcs import fake_google


@dataclass
class _Session:
    endpoint: str = "https://endpoint"
    profile: str | None = None


CONTEXT = RequestContext("head", "key", _Session(), ERROR_CODES)
LOGIN = "gcloud auth application-default login"


@pytest.mark.parametrize(
    ("error", "error_class"),
    [
        (auth.DefaultCredentialsError("not found"), CredentialsError),
        (auth.MalformedError("not found"), CredentialsError),
        (auth.RefreshError("invalid_grant: Bad Request", {"a": "b"}), CredentialsError),
        (auth.RefreshError("internal_failure", retryable=True), UnavailableError),
        (auth.ReauthFailError("no terminal"), CredentialsError),
        (auth.OAuthError("Error code invalid_request"), CredentialsError),
        (auth.TransportError(requests.ConnectionError("refused")), UnavailableError),
        (requests.ConnectionError("refused"), UnavailableError),
        (requests.ReadTimeout("timed out"), UnavailableError),
        (requests.exceptions.SSLError("certificate verify failed"), UnavailableError),
        (requests.exceptions.ChunkedEncodingError("broken"), UnavailableError),
        (requests.exceptions.JSONDecodeError("Expecting value", "doc", 0), UnavailableError),
        (requests.exceptions.MissingSchema("No scheme supplied"), InvalidRequestError),
        (requests.exceptions.InvalidSchema("No adapters"), InvalidRequestError),
        (requests.exceptions.InvalidURL("no host"), InvalidRequestError),
        (requests.exceptions.InvalidHeader("a line break"), InvalidRequestError),
        (requests.exceptions.TooManyRedirects("in a circle"), InvalidRequestError),
        (urllib3.exceptions.ProtocolError("broken"), UnavailableError),
        (urllib3.exceptions.ReadTimeoutError(None, "", "timed out"), UnavailableError),  # type: ignore[arg-type]
        (urllib3.exceptions.LocationParseError("host"), InvalidRequestError),
        (api.ServiceUnavailable("without an answer"), UnavailableError),
        (ConnectionResetError(104, "reset"), UnavailableError),
        (TimeoutError("timed out"), UnavailableError),
        (OSError("Could not find a suitable TLS CA bundle"), InvalidRequestError),
        (ValueError("no number"), InvalidRequestError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_exception(error: Exception, error_class: type[StoreError]) -> None:
    translated = from_google(error, CONTEXT)
    assert type(translated) is error_class
    assert (translated.operation, translated.key) == ("head", "key")
    assert "\n" not in translated.describe()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (auth.TransportError(requests.ConnectionError("refused")), "no access token: refused"),
        (requests.ConnectionError("refused"), "https://endpoint: refused"),
        (
            requests.ConnectionError(
                urllib3.exceptions.MaxRetryError(
                    None,  # type: ignore[arg-type]
                    "/path?token=secret",
                    OSError(111, "Connection\nrefused"),
                )
            ),
            "https://endpoint: Connection refused",
        ),
        (requests.ConnectionError("Aborted.", ConnectionResetError(104, "reset by peer")),
         "https://endpoint: Aborted. reset by peer"),
        (requests.ReadTimeout(), "https://endpoint: ReadTimeout"),
        (auth.RefreshError("invalid_grant: no", {"refresh_token": "secret"}), "invalid_grant: no"),
        (auth.RefreshError("x" * 1000), "x" * 300),
    ],
)  # fmt: skip
def test_text_is_that_of_the_cause(error: Exception, text: str) -> None:
    assert str(from_google(error, CONTEXT)) == text
    assert error_text(error) in text


def test_advice_for_credentials() -> None:
    missing, expired = auth.DefaultCredentialsError("not found"), auth.RefreshError("expired")
    with fake_google():
        assert "--no-sign-request" in from_google(missing, CONTEXT).advice
        assert LOGIN in from_google(missing, CONTEXT).advice
        assert LOGIN in from_google(expired, CONTEXT).advice
    with fake_google(GOOGLE_APPLICATION_CREDENTIALS="/key.json"):
        assert "GOOGLE_APPLICATION_CREDENTIALS" in from_google(missing, CONTEXT).advice
        assert LOGIN in from_google(expired, CONTEXT).advice


def _answer(status: int, body: bytes, **headers: str) -> requests.Response:
    answer = requests.Response()
    answer.status_code = status
    answer._content = body
    answer.headers.update(headers)
    return answer


@pytest.mark.parametrize(
    ("status", "body", "error_class", "message"),
    [
        (404, b'{"error": {"message": "No such object: a", "errors": [{"reason": "notFound"}]}}',
         ObjectNotFoundError, "notFound: No such object: a"),
        (404, b"No such object: a", ObjectNotFoundError, "No such object: a"),
        (404, b"<html>\n<title>404</title>", ObjectNotFoundError, "HTTP 404"),
        (404, b"", ObjectNotFoundError, "HTTP 404"),
        (404, b"The specified bucket does not exist.", BucketNotFoundError,
         "NoSuchBucket: The specified bucket does not exist."),
        (412, b"a\nb", ObjectChangedError, "a b"),
        (403, b'{"error": "invalid_grant"}', AccessDeniedError, "forbidden"),
        (403, b'{"error": {"errors": "nonsense"}}', AccessDeniedError, "forbidden"),
        (403, b'[{"error": {}}]', AccessDeniedError, "forbidden"),
        (403, b'{"error": {"message": "m", "errors": [{"reason": "rateLimitExceeded"}]}}',
         ThrottledError, "rateLimitExceeded: m"),
        (503, b'{"error": {"message": "m", "errors": [{"reason": "backendError"}]}}',
         UnavailableError, "backendError: m"),
    ],
)  # fmt: skip
def test_error_response(
    status: int, body: bytes, error_class: type[StoreError], message: str
) -> None:
    error = response_error(_answer(status, body), CONTEXT)
    assert (type(error), str(error)) == (error_class, message)


def test_error_of_the_sdk_is_read_from_its_response() -> None:
    answer = _answer(429, b"", **{"Retry-After": "5", "X-GUploader-UploadID": "id-1"})
    error = from_google(api.TooManyRequests("GET https://url", response=answer), CONTEXT)
    assert isinstance(error, ThrottledError)
    assert (error.retry_after_s, error.request_id) == (5.0, "id-1")
    assert "url" not in str(error)


@pytest.mark.parametrize(
    ("status", "code", "error_class", "advice"),
    [
        (404, "NoSuchKey", ObjectNotFoundError, ""),
        (404, "NoSuchBucket", BucketNotFoundError, ""),
        (416, "InvalidRange", ObjectChangedError, ""),
        (403, "AccessDenied", AccessDeniedError, "Storage Object Viewer"),
        (400, "UserProjectMissing", InvalidRequestError, "--user-project"),
        (403, "UserProjectAccessDenied", AccessDeniedError, "Service Usage Consumer"),
        (400, "ResourceIsEncryptedWithCustomerEncryptionKey", InvalidRequestError, "customer"),
        (401, "AuthenticationRequired", CredentialsError, "--no-sign-request"),
        (429, "SlowDown", ThrottledError, ""),
        (503, "SlowDown", ThrottledError, ""),
        (503, "ServiceUnavailable", UnavailableError, ""),
    ],
)
def test_error_of_the_xml_interface(
    status: int, code: str, error_class: type[StoreError], advice: str
) -> None:
    error = obs.GenericError(
        f"Generic GCS error: Error performing GET https://endpoint/b/k in 1ms - Server returned"
        f" non-2xx status code: {status} X: <?xml version='1.0'?><Error><Code>{code}</Code>"
        "<Message>why</Message><Details>who: ya29.token</Details></Error>"
    )
    translated = from_obstore(error, CONTEXT)
    assert (type(translated), str(translated)) == (error_class, f"{code}: why")
    assert advice in translated.advice
