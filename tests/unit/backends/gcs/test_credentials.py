"""Renewal of access tokens; the clock and the credentials are the test's."""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from google.auth import jwt
from google.auth.credentials import Credentials
from google.auth.crypt import RSASigner
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2.credentials import Credentials as UserCredentials

from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.gcs.credentials import GoogleTokenSource, find_token_source
from tests.support.gcs import fake_google
from tests.support.google import TokenIssuer, service_account_file
from tests.support.proxy import Respond, Stall, always, proxy

TIMEOUT = (1.0, 1.0)
HOUR = timedelta(hours=1)


class _Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


class _Credentials(Credentials):
    """Google's credentials whose tokens are numbered; `before` runs in each renewal."""

    def __init__(self, clock: _Clock, life: timedelta | None = HOUR) -> None:
        super().__init__()
        self._clock = clock
        self._life = life
        self.renewals = 0
        self.before: Callable[[], object] = int

    def refresh(self, request: Any) -> None:
        self.renewals += 1
        self.before()
        self.token = f"token-{self.renewals}"
        life = self._life
        self.expiry = None if life is None else (self._clock.now + life).replace(tzinfo=None)


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _source(found: Any, clock: Callable[[], datetime]) -> GoogleTokenSource:
    return GoogleTokenSource(found, requests.Session(), TIMEOUT, clock)


def _fail() -> None:
    raise RefreshError("the issuer is away")


class TestWhen:
    def test_minutes_before_its_end(self, clock: _Clock) -> None:
        source = _source(_Credentials(clock), clock)
        assert source.token() == "token-1"
        clock.now += HOUR - timedelta(minutes=3, seconds=46)
        assert source.token() == "token-1"
        clock.now += timedelta(seconds=1)
        assert source.token() == "token-2"

    @pytest.mark.parametrize("life", [timedelta(minutes=4), timedelta(seconds=30)])
    def test_short_lived_token_is_used_for_half_of_its_life(
        self, clock: _Clock, life: timedelta
    ) -> None:
        found = _Credentials(clock, life)
        source = _source(found, clock)
        source.token()
        clock.now += life / 2 - timedelta(seconds=1)
        assert source.token() == "token-1"
        clock.now += timedelta(seconds=1)
        assert source.token() == "token-2"

    def test_token_without_an_end_is_kept(self, clock: _Clock) -> None:
        source = _source(_Credentials(clock, None), clock)
        source.token()
        clock.now += 10_000 * HOUR
        assert source.token() == "token-1"

    def test_failure_is_no_harm_while_the_old_one_is_good(
        self, clock: _Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        found = _Credentials(clock)
        source = _source(found, clock)
        source.token()
        found.before = _fail
        clock.now += HOUR - timedelta(minutes=3)
        assert [source.token(), source.token()] == ["token-1", "token-1"]
        assert found.renewals == 2  # the second caller does not try again at once
        clock.now += timedelta(seconds=10)
        assert source.token() == "token-1"
        assert found.renewals == 3
        clock.now += timedelta(minutes=2, seconds=40)  # ten seconds are left
        with pytest.raises(RefreshError, match="the issuer is away"):
            source.token()
        assert "the issuer is away" in caplog.text
        assert "token-" not in caplog.text

    def test_after_a_failure_it_is_tried_again(self, clock: _Clock) -> None:
        found = _Credentials(clock)
        source = _source(found, clock)
        found.before = _fail
        with pytest.raises(RefreshError):
            source.token()
        found.before = int
        assert source.token() == "token-2"


class _Crowd:
    """Threads that all ask for a token; `outcomes` are the tokens, or the errors' texts."""

    def __init__(self, source: GoogleTokenSource, size: int = 32) -> None:
        self.outcomes: list[str] = []
        self._source = source
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(size)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        try:
            self.outcomes.append(self._source.token())
        except RefreshError as error:
            self.outcomes.append(str(error))

    def join(self) -> list[str]:
        for thread in self._threads:
            thread.join()
        return self.outcomes


class TestByWhom:
    @pytest.mark.parametrize("fails", [False, True])
    def test_first_token_is_fetched_once_for_all(self, clock: _Clock, fails: bool) -> None:
        found = _Credentials(clock)
        about_to_wait, released = threading.Semaphore(0), threading.Event()

        def now() -> datetime:
            about_to_wait.release()
            return clock.now

        def before() -> None:
            released.wait()
            if fails:
                _fail()

        source = _source(found, now)
        found.before = _fail
        with pytest.raises(RefreshError):  # an earlier failure is not reported
            source.token()
        about_to_wait.acquire()
        found.before = before
        crowd = _Crowd(source)
        for _ in range(32):
            about_to_wait.acquire()
        released.set()
        assert set(crowd.join()) == {"the issuer is away" if fails else "token-2"}
        assert found.renewals == 2

    def test_while_one_thread_renews_the_others_go_on(self, clock: _Clock) -> None:
        found = _Credentials(clock)
        source = _source(found, clock)
        source.token()
        reached, released = threading.Event(), threading.Event()

        def before() -> None:
            reached.set()
            released.wait()

        found.before = before
        clock.now += HOUR - timedelta(minutes=1)
        renewing = _Crowd(source, 1)
        reached.wait()
        assert set(_Crowd(source).join()) == {"token-1"}
        released.set()
        assert renewing.join() == ["token-2"]
        assert (found.renewals, source.token()) == (2, "token-2")


@pytest.fixture
def login(tmp_path: Path) -> Iterator[tuple[UserCredentials, TokenIssuer, Path]]:
    """The credentials of a login, with an issuer who also tells whose it is."""
    issuer = TokenIssuer()
    with proxy(9, issuer) as running:
        found = UserCredentials(
            None,
            refresh_token="refresh",
            token_uri=f"{running.endpoint_url}/token",
            client_id="client",
            client_secret="secret",
        )
        found._cred_file_path = "/home/me/application_default_credentials.json"
        yield found, issuer, tmp_path


def _id_token(folder: Path, claims: dict[str, str]) -> str:
    key = json.loads(Path(service_account_file(folder / "key.json", "")).read_text())
    signer = RSASigner.from_service_account_info(key)
    return bytes(jwt.encode(signer, claims)).decode()


class TestLogin:
    @pytest.mark.parametrize(
        ("claims", "name"),
        [({"email": "me@lab.org"}, "me@lab.org"), ({}, "unnamed"), (None, "unnamed")],
    )
    def test_whose_it_is(
        self,
        login: tuple[UserCredentials, TokenIssuer, Path],
        claims: dict[str, str] | None,
        name: str,
    ) -> None:
        found, issuer, folder = login
        issuer.more = {"id_token": "nonsense" if claims is None else _id_token(folder, claims)}
        source = GoogleTokenSource(found, requests.Session(), TIMEOUT)
        assert source.identify() == Identity(
            name, "user account", "/home/me/application_default_credentials.json"
        )

    def test_of_gcloud_is_found_without_a_warning(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """google-auth would warn that there is no project to charge, and know of no project."""
        (tmp_path / "application_default_credentials.json").write_text(
            json.dumps(
                {
                    "type": "authorized_user",
                    "client_id": "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur"
                    ".apps.googleusercontent.com",
                    "client_secret": "secret",
                    "refresh_token": "refresh",
                }
            )
        )
        with fake_google(CLOUDSDK_CONFIG=str(tmp_path), PATH=""), warnings.catch_warnings():
            warnings.simplefilter("error")
            source = find_token_source(TIMEOUT)
        assert source.quota_project is None
        assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []

    def test_error_responses_are_not_quoted(
        self, login: tuple[UserCredentials, TokenIssuer, Path]
    ) -> None:
        found, issuer, _ = login
        issuer.error_response = Respond(
            400, b'{"error": "invalid_grant", "refresh_token": "refresh"}'
        )
        with pytest.raises(RefreshError, match="invalid_grant"):
            GoogleTokenSource(found, requests.Session(), TIMEOUT).token()


def test_issuer_that_stalls_is_not_waited_for_for_long(tmp_path: Path) -> None:
    """google-auth's own limit is two minutes."""
    with proxy(9, always(Stall())) as running:
        path = service_account_file(tmp_path / "key.json", f"{running.endpoint_url}/token")
        with fake_google(GOOGLE_APPLICATION_CREDENTIALS=path):
            source = find_token_source((1.0, 0.1))
        with pytest.raises(TransportError, match="timed out"):
            source.token()
        assert len(running.requests) == 1
