"""Google's credentials: their identity, and an access token that is always valid.

google-auth finds the credentials and requests tokens. When a token is renewed is decided here, once
for all clients and threads.
"""

from __future__ import annotations

import functools
import logging
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import google.auth
import requests
from google.auth import jwt
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError
from google.auth.transport.requests import Request

from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.gcs.errors import error_text

log = logging.getLogger(__name__)

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_only"

# Any earlier, and the metadata server of a VM returns the same token again.
_RENEW_BEFORE: Final = timedelta(minutes=3, seconds=45)
# The time that a request may take until the store checks its token.
_SPARE: Final = timedelta(seconds=10)
_PAUSE_AFTER_FAILURE: Final = timedelta(seconds=10)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)

_KINDS: Final = {
    "service account credentials": "service account",
    "user credentials": "user account",
    "VM credentials": "service account of this machine",
    "external account credentials": "workload identity",
    "external account authorized user credentials": "workforce identity",
    "impersonated credentials": "impersonated service account",
}

_UNDOCUMENTED_ERRORS: Final = (OSError, ValueError, TypeError, LookupError, AttributeError)
"""What google-auth also raises, for unreadable files and malformed responses."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: datetime
    ends_at: datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


class GoogleTokenSource:
    """The access token of one identity. Safe to use from any thread.

    `found` are google-auth's credentials, which request tokens through `session`. Methods raise the
    exceptions of google-auth.
    """

    def __init__(
        self,
        found: Any,
        session: requests.Session,
        timeout: tuple[float, float],
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._found = found
        self._session = session
        self._request = _request(session, timeout)
        self._now = now
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._attempts = 0
        self._failure: GoogleAuthError | None = None

    @property
    def quota_project(self) -> str | None:
        """The project in the credentials that is billed for requests."""
        project: str | None = getattr(self._found, "quota_project_id", None)
        return project

    def token(self) -> str:
        """Return a token that is valid for some seconds at least.

        One thread renews it, some minutes before its expiry; the others use the old one meanwhile,
        and all continue with it while its renewal fails. Without a valid one the other threads wait
        for the one that requests it, and get the same token or error.
        """
        seen, attempts = self._token, self._attempts
        now = self._now()
        if seen is None or now >= seen.ends_at - _SPARE:
            with self._lock:
                if self._failure is not None and self._attempts > attempts:
                    raise self._failure
                return self._replace(seen).text
        if now >= seen.renew_at and self._lock.acquire(blocking=False):
            try:
                return self._try_replace(seen).text
            finally:
                self._lock.release()
        return seen.text

    def identify(self) -> Identity:
        """Return the identity of the credentials, which takes a token."""
        self.token()
        facts: Mapping[str, str] = self._found.get_cred_info() or {}
        kind = facts.get("credential_type", "")
        return Identity(
            name=facts.get("principal") or self._name(),
            kind=_KINDS.get(kind, kind or type(self._found).__name__),
            source=facts.get("credential_source", ""),
        )

    def close(self) -> None:
        """Close idle connections to the token server."""
        self._session.close()

    def _replace(self, seen: _Token | None) -> _Token:
        """Return the token after `seen`; another thread may have fetched it meanwhile."""
        if self._token is None or self._token is seen:
            self._token = self._fetch()
        return self._token

    def _try_replace(self, seen: _Token) -> _Token:
        try:
            return self._replace(seen)
        except GoogleAuthError as error:
            log.warning("the access token cannot be renewed, it is good until %s: %s",
                         seen.ends_at, error_text(error))  # fmt: skip
            self._token = replace(seen, renew_at=self._now() + _PAUSE_AFTER_FAILURE)
            return self._token

    def _fetch(self) -> _Token:
        self._failure = None
        try:
            self._refresh()
        except GoogleAuthError as error:
            self._failure = error
            raise
        finally:
            self._attempts += 1
        now, expiry = self._now(), self._found.expiry
        ends_at = _NEVER if expiry is None else expiry.replace(tzinfo=UTC)
        # A short-lived token is used for half of its life, and not renewed with each request.
        return _Token(self._found.token, ends_at - min(_RENEW_BEFORE, (ends_at - now) / 2), ends_at)

    def _refresh(self) -> None:
        try:
            self._found.refresh(self._request)
        except GoogleAuthError:
            raise
        except _UNDOCUMENTED_ERRORS as error:
            message = f"what should bring a token makes no sense: {error}"
            raise RefreshError(message) from error  # type: ignore[no-untyped-call]

    def _name(self) -> str:
        """Return a name where google-auth has none: an e-mail address, or the workload pool."""
        id_token = getattr(self._found, "id_token", None)
        if isinstance(id_token, str):
            return _email(id_token) or "unnamed"
        info: Mapping[str, str] = getattr(self._found, "info", {})
        return info.get("audience", "unnamed").removeprefix("//iam.googleapis.com/")


def find_token_source(timeout: tuple[float, float]) -> GoogleTokenSource:
    """Find the Application Default Credentials. `timeout`: to connect and to read, in seconds.

    May block for seconds on a machine without any, while a VM's metadata server is searched.
    """
    # Its warnings are either harmless or followed by an error.
    logging.getLogger("google.auth").setLevel(logging.ERROR)
    session = requests.Session()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found, _ = google.auth.default(scopes=[_SCOPE], request=_request(session, timeout))
    except GoogleAuthError:
        raise
    except _UNDOCUMENTED_ERRORS as error:
        raise DefaultCredentialsError(str(error)) from error  # type: ignore[no-untyped-call]
    return GoogleTokenSource(found, session, timeout)


def _request(session: requests.Session, timeout: tuple[float, float]) -> Any:
    return functools.partial(Request(session), timeout=timeout)


def _email(id_token: str) -> str:
    """Return the e-mail address in an ID token, for display only: the token is not verified."""
    try:
        claims: Mapping[str, Any] = jwt.decode(id_token, verify=False)  # type: ignore[no-untyped-call]
    except ValueError:
        return ""
    return str(claims.get("email", ""))
