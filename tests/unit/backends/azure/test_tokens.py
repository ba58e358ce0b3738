"""Access tokens and SAS tokens: renewal, challenges, claims and validity."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError

from cloudfs_backends.azure.errors import LoginError, LoginUnavailableError
from cloudfs_backends.azure.sas import parse_sas
from cloudfs_backends.azure.tokens import SCOPE, AzureTokenSource, token_claims
from tests.support.authority import make_token

HOUR = 3600.0


class _Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class _Login:
    """A credential that numbers its tokens, or fails with `error`."""

    def __init__(self, clock: _Clock) -> None:
        self._clock = clock
        self.lifetime_s = HOUR
        self.error: Exception | None = None
        self.asked: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        self.asked.append((scopes, options))
        if self.error is not None:
            raise self.error
        return AccessToken(str(len(self.asked)), int(self._clock.now + self.lifetime_s))


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def login(clock: _Clock) -> _Login:
    return _Login(clock)


@pytest.fixture
def source(login: _Login, clock: _Clock) -> AzureTokenSource:
    return AzureTokenSource(login, clock)


def test_both_clients_get_the_same(source: AzureTokenSource, login: _Login, clock: _Clock) -> None:
    token = source.get_token("https://storage.azure.com/.default")
    for_obstore = source.for_obstore()
    assert for_obstore["token"] == token.token
    assert for_obstore["expires_at"] == datetime.fromtimestamp(clock.now + HOUR, UTC)
    assert login.asked == [((SCOPE,), {})]


def test_renewed_before_the_clients_ask(
    source: AzureTokenSource, login: _Login, clock: _Clock
) -> None:
    """They ask when less than 5 minutes are left; what they get then has more."""
    source.get_token()
    clock.now += HOUR - 331
    assert source.get_token().token == "1"
    clock.now += 2
    assert source.get_token().token == "2"
    assert source.for_obstore()["token"] == "2"


def test_token_is_used_until_it_expires_when_there_is_no_new_one(
    source: AzureTokenSource, login: _Login, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.get_token()
    login.error = ClientAuthenticationError("the service has a cold")
    clock.now += HOUR - 200
    assert source.get_token().token == "1"
    assert "a cold" in caplog.text
    asked = len(login.asked)
    clock.now += 29
    assert source.get_token().token == "1"
    assert len(login.asked) == asked, "it was asked again too soon"
    clock.now += 2
    assert source.get_token().token == "1"
    assert len(login.asked) == asked + 1
    clock.now += 200
    with pytest.raises(LoginError, match="a cold"):
        source.get_token()
    login.error = None
    assert source.get_token().token == str(len(login.asked))


def test_token_with_a_short_life_is_not_asked_for_at_every_turn(
    source: AzureTokenSource, login: _Login, clock: _Clock
) -> None:
    login.lifetime_s = 100
    for _ in range(5):
        source.get_token()
    assert len(login.asked) == 1
    clock.now += 31
    assert source.get_token().token == "2"


def test_challenge_is_kept_for_the_other_client(source: AzureTokenSource, login: _Login) -> None:
    source.get_token()
    assert source.get_token(SCOPE, tenant_id="theirs", claims=None).token == "2"
    assert source.for_obstore()["token"] == "2"
    assert login.asked[1] == ((SCOPE,), {"tenant_id": "theirs"})


def test_renewal_answers_the_challenge_again(
    source: AzureTokenSource, login: _Login, clock: _Clock
) -> None:
    source.get_token(SCOPE, tenant_id="theirs")
    clock.now += HOUR
    source.get_token()
    assert login.asked[1] == ((SCOPE,), {"tenant_id": "theirs"})


def test_challenge_that_cannot_be_met_changes_nothing(
    source: AzureTokenSource, login: _Login
) -> None:
    source.get_token()
    login.error = ClientAuthenticationError("not for that tenant")
    with pytest.raises(LoginError, match="not for that tenant"):
        source.get_token(SCOPE, tenant_id="theirs")
    login.error = None
    assert source.get_token().token == "1"


def test_threads_share_one_login(source: AzureTokenSource, login: _Login) -> None:
    tokens: list[str] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(source.get_token().token)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == ["1"] * 8


def test_no_response(source: AzureTokenSource, login: _Login) -> None:
    wrapped = ClientAuthenticationError("Authentication failed: no route")
    wrapped.__cause__ = ServiceRequestError("no route")
    login.error = wrapped
    with pytest.raises(LoginUnavailableError, match="no route"):
        source.get_token()


def test_claims() -> None:
    assert token_claims(make_token(60))["appid"] == "the-application"


@pytest.mark.parametrize("token", ["", "opaque", "a.b.c", "a.eyJh.c", "a.WzFd.c", "a.\xff.c"])
def test_claims_of_what_is_no_web_token(token: str) -> None:
    assert token_claims(token) == {}


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("se=2030-01-01T00%3A00%3A00Z", None),
        ("se=2030-01-01&st=2020-01-01T00:00Z", None),
        ("si=policy", None),
        ("se=soon", None),
        ("se=2024-06-01T11:59:59Z", "expired at 2024-06-01 11:59:59 UTC"),
        ("se=2024-06-01", "expired at 2024-06-01 00:00:00 UTC"),
        ("st=2024-06-01T13:00:00Z&se=2030-01-01", "is not valid before 2024-06-01 13:00:00 UTC"),
        ("se=2024-06-01T13:30:00%2B02:00", "expired at 2024-06-01 11:30:00 UTC"),
    ],
)
def test_validity_of_a_sas(said: str, problem: str | None) -> None:
    now = datetime(2024, 6, 1, 12, tzinfo=UTC)
    assert parse_sas(f"sv=2022-11-02&{said}&sig=hush").problem(now) == problem


@pytest.mark.parametrize(
    ("said", "notes"),
    [
        ("sp=rl", ("it permits sp=rl",)),
        ("sp=racwdl", ("it permits sp=racwdl",)),
        ("sp=l", ("it permits sp=l", "it does not permit to read (r)")),
        ("sp=w", ("it permits sp=w", "it does not permit to read (r) or list (l)")),
        ("si=shared", ("its stored access policy is shared",)),
    ],
)
def test_what_a_sas_permits(said: str, notes: tuple[str, ...]) -> None:
    facts = parse_sas(f"{said}&se=2030-01-01T00:00:00Z&sig=hush")
    assert facts.notes() == notes
    assert facts.expires_at == datetime(2030, 1, 1, tzinfo=UTC) + timedelta()
