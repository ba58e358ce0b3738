"""Azure's access tokens: one for both clients of an account, renewed before it expires."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import AzureError

from cloudfs_backends.azure.errors import LoginError, login_error

if TYPE_CHECKING:
    from obstore.store import AzureBearerToken

log = logging.getLogger(__name__)

SCOPE: Final = "https://storage.azure.com/.default"

# Both clients request a new token when less than 5 minutes are left: it has to have more.
_RENEW_BEFORE_S: Final = 330.0
# Between failed renewals; the old token is used meanwhile, as long as it is valid.
_PAUSE_S: Final = 30.0


class AzureTokenSource:
    """A `TokenCredential` that returns one token until it is due for renewal.

    Safe to use from any thread; threads wait while one of them renews it.
    """

    def __init__(self, credential: TokenCredential, clock: Callable[[], float] = time.time) -> None:
        self._credential = credential
        self._clock = clock
        self._lock = threading.Lock()
        self._token: AccessToken | None = None
        self._requested_at = 0.0
        self._challenge: dict[str, Any] = {}

    def get_token(self, *_: str, **options: Any) -> AccessToken:
        """Return a valid token; raises `LoginError`.

        `options` are the tenant and claims that the service demands. They are kept, so that the
        other client gets such a token as well. The scope is always that of storage.
        """
        challenge = {name: value for name, value in options.items() if value}
        with self._lock:
            token = self._token
            if challenge:
                token = self._request_token(challenge)
                self._challenge = challenge
            elif token is None or self._is_due(token):
                token = self._renew(token)
            self._token = token
            return token

    def for_obstore(self) -> AzureBearerToken:
        """Return the token in obstore's form; obstore calls this in one of its threads."""
        token = self.get_token()
        return {"token": token.token, "expires_at": datetime.fromtimestamp(token.expires_on, UTC)}

    def _is_due(self, token: AccessToken) -> bool:
        now = self._clock()
        left = token.expires_on - now
        return left <= 0 or (left < _RENEW_BEFORE_S and now >= self._requested_at + _PAUSE_S)

    def _renew(self, old: AccessToken | None) -> AccessToken:
        try:
            return self._request_token(self._challenge)
        except LoginError as error:
            if old is None or old.expires_on <= self._clock():
                raise
            log.warning("the login is not renewed yet: %s", error)
            return old

    def _request_token(self, options: Mapping[str, Any]) -> AccessToken:
        self._requested_at = self._clock()
        try:
            return self._credential.get_token(SCOPE, **options)
        except (AzureError, ValueError) as error:
            raise login_error(error) from error


def token_claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a JSON web token, unverified; {} for any other token."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
