"""Translation of the exceptions of Azure's SDKs into a `StoreError`.

Azure's error code decides, then the HTTP status, then the exception's class. Of a message only the
first line is passed on: the rest quotes what was signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from azure.core import exceptions as core

from cloudfs_backends.azure.account import (
    KEY_VARIABLE,
    SAS_VARIABLE,
    Anonymous,
    AzureAccount,
    Credential,
    SasToken,
    SharedKey,
)
from cloudfs_backends.azure.codes import ADVICE_BY_CODE, ERRORS_BY_CODE
from cloudfs_backends.azure.connection_string import VARIABLE
from cloudfs_backends.azure.sas import parse_sas
from cloudfs_backends.common.http_errors import (
    ErrorCodes,
    ErrorResponse,
    RequestContext,
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


class LoginError(Exception):
    """No token can be obtained. The message is one line, without secrets."""


class NoLoginError(LoginError):
    """Nothing is set up to log in with."""


class LoginUnavailableError(LoginError):
    """No token can be obtained now: the login server did not respond."""


AZURE_ERRORS: Final = (core.AzureError, LoginError, ValueError, OSError)
"""What a call of the SDK may raise; OSError is for a missing file of certificates."""

_BY_EXCEPTION: Final[tuple[tuple[type[Exception], type[StoreError]], ...]] = (
    (LoginUnavailableError, UnavailableError),
    (LoginError, CredentialsError),
    (core.ClientAuthenticationError, CredentialsError),
    (core.ServiceRequestError, UnavailableError),
    (core.ServiceResponseError, UnavailableError),
    (core.HttpResponseError, UnavailableError),  # a body that broke off or makes no sense
    (core.DeserializationError, UnavailableError),
    (ValueError, InvalidRequestError),
    (OSError, InvalidRequestError),
)

_NO_CREDENTIAL: Final = (
    f"set {VARIABLE}, {KEY_VARIABLE} or {SAS_VARIABLE}, or run: az login;"
    " --no-sign-request reads public containers"
)
_CERTIFICATES: Final = "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE"
_CLOCK_WORDS: Final = ("date header", "too old")
_NO_ANSWER: Final = (core.ServiceRequestError, core.ServiceResponseError)
_AAD_ERROR: Final = re.compile(r"AADSTS\d+: [^.\n]*")
# azure-identity's list of the logins it tried; one that is configured but fails ends the list.
_ATTEMPT: Final = re.compile(r"^\t(\w+): ", re.MULTILINE)
_FAILURE: Final = re.compile(r"^\t(\w+): (Authentication failed: .*)", re.MULTILINE)
_REASON: Final = re.compile(r"Operation returned an invalid status '(.*)'")
# The URL of a failed request has the SAS token in it.
_URL: Final = re.compile(r"Max retries exceeded with url: \S* |\?\S*\bsig=\S*")
_MESSAGE_CHARACTERS_MAX: Final = 300


@contextmanager
def translated(context: RequestContext) -> Iterator[None]:
    """Translate the exceptions of the SDKs and of obstore in the block into `StoreError`."""
    try:
        yield
    except AZURE_ERRORS as error:
        raise from_azure(error, context) from error
    except OBSTORE_ERRORS as error:
        raise from_obstore(error, context) from error


def from_azure(error: Exception, context: RequestContext) -> StoreError:
    """Return the `StoreError` for an exception of azure-core, azure-storage-blob or a login."""
    if isinstance(error, core.HttpResponseError) and (error.status_code or 0) >= 300:
        return _from_http_error(error, context)
    error_class = error_class_for(_BY_EXCEPTION, error, UnavailableError)
    message = _first_line(error)
    if error_class is UnavailableError:
        message = f"{context.session.endpoint}: {message}"
    made = error_class(message, operation=context.operation, key=context.key)
    if error_class is CredentialsError:
        with_advice(made, context.codes.credentials_advice(error, context.session))
    elif error_class is InvalidRequestError:
        with_advice(made, _CERTIFICATES if isinstance(error, OSError) else "check --endpoint-url")
    return made


def login_error(error: Exception) -> LoginError:
    """Return azure-identity's exception on one line: its own text lists every login it tried."""
    if any(isinstance(cause, _NO_ANSWER) for cause in _causes(error)):
        return LoginUnavailableError(f"no answer to the login: {_first_line(error)}")
    text = str(error)
    refused = _AAD_ERROR.search(text)
    if refused:
        return LoginError(f"the login was refused: {refused[0]}")
    failure = _FAILURE.search(text)
    if failure:
        return LoginError(f"{failure[1]}: {one_line(failure[2])[:_MESSAGE_CHARACTERS_MAX]}")
    tried = dict.fromkeys(_ATTEMPT.findall(text))
    if tried:
        return NoLoginError(f"azure-identity found no login (tried {', '.join(tried)})")
    return LoginError(f"no login: {_first_line(error)}")


def error_codes_for(account: AzureAccount) -> ErrorCodes:
    """Return Azure's error codes, with advice for this account's kind of credential."""
    advice = dict(ADVICE_BY_CODE)
    if isinstance(account.credential, Anonymous):
        advice["ResourceNotFound"] = (
            "check the names of the container and of the account; to anonymous requests a private"
            " container does not exist: leave --no-sign-request away, and run: az login"
        )
    if isinstance(account.credential, SasToken):
        advice["AuthorizationPermissionMismatch"] = new_sas_advice(account.credential)
    return ErrorCodes(
        ERRORS_BY_CODE,
        advice,
        lambda error, _: _credentials_advice(error, account.name, account.credential),
    )


def _credentials_advice(error: Exception | None, account: str, credential: Credential) -> str:
    if isinstance(credential, SharedKey):
        return f"check that {credential.source} holds a key of the account {account}"
    if isinstance(credential, SasToken):
        problem = parse_sas(credential.token).problem(datetime.now(UTC))
        advice = new_sas_advice(credential)
        return f"the token {problem}: {advice}" if problem else advice
    if isinstance(credential, Anonymous):
        return f"the container is not public: leave --no-sign-request away, and {_NO_CREDENTIAL}"
    if isinstance(error, NoLoginError):
        return _NO_CREDENTIAL
    return "renew the login: run az login, or check AZURE_CLIENT_ID and its secret or certificate"


def new_sas_advice(token: SasToken) -> str:
    """Return the advice to make another token."""
    return f"put a new SAS token with sp=rl (read and list) into {token.source}"


def _from_http_error(error: core.HttpResponseError, context: RequestContext) -> StoreError:
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    code = getattr(error, "error_code", None) or headers.get("x-ms-error-code") or ""
    response = ErrorResponse(
        status=error.status_code or 0,
        code=str(getattr(code, "value", code)),
        message=_first_line(error),
        request_id=headers.get("x-ms-request-id"),
        retry_after_s=_requested_pause_s(headers),
    )
    made = from_response(response, context)
    detail = str(getattr(error, "additional_info", "")).lower()
    if isinstance(made, CredentialsError) and any(word in detail for word in _CLOCK_WORDS):
        return with_advice(made, "set this machine's clock (NTP)")
    return made


def _requested_pause_s(headers: Mapping[str, str]) -> float | None:
    """Return the pause that a response asks for, in seconds, or None."""
    milliseconds = headers.get("x-ms-retry-after-ms") or headers.get("retry-after-ms") or ""
    if milliseconds.strip().isdecimal():
        return int(milliseconds) / 1000
    return retry_after_s(headers.get("retry-after"))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "message", "") or error)
    text = _URL.sub("", one_line(text.strip().partition("\n")[0]))
    without_body = _REASON.fullmatch(text)
    return (without_body[1] if without_body else text)[:_MESSAGE_CHARACTERS_MAX]
