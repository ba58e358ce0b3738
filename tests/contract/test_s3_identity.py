"""Identities of S3: the access key, its ARN by moto's STS, and where the credentials were found."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import botocore.session
import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import Identity
from cloudfs_backends.errors import CredentialsError
from cloudfs_backends.registry import open_inspector
from tests.contract.in_trio import in_trio
from tests.support.environment import aws_environment, fake_aws
from tests.support.proxy import Proxy, Respond, always
from tests.support.stores import S3Server

KEY = aws_environment()["AWS_ACCESS_KEY_ID"]
SECRET = aws_environment()["AWS_SECRET_ACCESS_KEY"]
ROLE = "arn:aws:iam::123456789012:role/reader"
IN_ROLE = "arn:aws:sts::123456789012:assumed-role/reader/training"
EXPIRATION = datetime(2040, 1, 1, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9"


async def _identify(endpoint_url: str | None = NOWHERE, **options: object) -> Identity:
    settings = StoreOptions(endpoint_url=endpoint_url, **options)  # type: ignore[arg-type]
    store = open_inspector("s3://bucket", settings)
    try:
        return await store.identify()
    finally:
        await store.aclose()


def _error_response(code: str) -> Respond:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    return Respond(403, body.encode(), {"Content-Type": "text/xml"})


def _session_of(server: S3Server) -> dict[str, str]:
    """Variables with the credentials of a role session, from moto's STS."""
    sts = botocore.session.Session().create_client(
        "sts",
        region_name="us-east-1",
        endpoint_url=server.endpoint_url,
        aws_access_key_id=KEY,
        aws_secret_access_key=SECRET,
    )
    answer = sts.assume_role(RoleArn=ROLE, RoleSessionName="training")["Credentials"]
    sts.close()
    return {
        "AWS_ACCESS_KEY_ID": answer["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": answer["SecretAccessKey"],
        "AWS_SESSION_TOKEN": answer["SessionToken"],
    }


@contextmanager
def _without_keys(variables: Mapping[str, str]) -> Iterator[None]:
    """The fake environment, less its access key."""
    with fake_aws(**variables):
        del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        yield


def _file(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


class TestAnotherStore:
    """Its credentials mean nothing to AWS, and AWS is not shown them."""

    @in_trio
    async def test_access_key(self) -> None:
        with fake_aws():
            assert await _identify() == Identity(KEY, "access key", "environment")

    @in_trio
    async def test_session_without_renewal(self) -> None:
        with fake_aws(AWS_SESSION_TOKEN="token"):
            identity = await _identify()
        assert (identity.name, identity.kind) == (KEY, "session credentials")
        assert identity.expires_at is None
        assert "nothing renews" in " ".join(identity.notes)

    @in_trio
    async def test_session_that_says_when_it_ends(self) -> None:
        variables = {"AWS_CREDENTIAL_EXPIRATION": EXPIRATION.isoformat()}
        with fake_aws(AWS_SESSION_TOKEN="token", **variables):
            identity = await _identify()
        assert identity == Identity(KEY, "session credentials", "environment", EXPIRATION)

    @in_trio
    async def test_session_that_has_ended(self) -> None:
        variables = {"AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}
        with (
            fake_aws(AWS_SESSION_TOKEN="token", **variables),
            pytest.raises(CredentialsError, match="expired"),
        ):
            await _identify()

    @in_trio
    async def test_anonymous(self) -> None:
        with fake_aws():
            identity = await _identify(no_sign_request=True)
        assert identity == Identity("anonymous", "anonymous", "--no-sign-request")

    @in_trio
    async def test_no_credentials(self) -> None:
        with _without_keys({}), pytest.raises(CredentialsError, match="credentials") as caught:
            await _identify()
        assert "--profile" in caught.value.advice


class TestSts:
    @in_trio
    async def test_user(self, server: S3Server) -> None:
        with fake_aws(AWS_ENDPOINT_URL_STS=server.endpoint_url):
            for endpoint_url in (None, NOWHERE):
                identity = await _identify(endpoint_url)
                assert identity.name.startswith("arn:aws:sts::123456789012:user/")
                assert (identity.kind, identity.source) == ("access key", "environment")
                assert identity.notes == ()

    @in_trio
    async def test_role(self, server: S3Server) -> None:
        variables = _session_of(server)
        with fake_aws(AWS_ENDPOINT_URL_STS=server.endpoint_url, **variables):
            identity = await _identify()
        assert (identity.name, identity.kind) == (IN_ROLE, "role session")
        assert SECRET not in repr(identity)

    @pytest.mark.parametrize("code", ["AccessDenied", "InvalidAction"])
    @in_trio
    async def test_its_silence_is_no_failure(self, wire: Proxy, code: str) -> None:
        wire.plan = always(_error_response(code))
        with fake_aws(AWS_ENDPOINT_URL_STS=wire.endpoint_url):
            identity = await _identify()
        assert (identity.name, identity.kind) == (KEY, "access key")
        assert code in " ".join(identity.notes)
        assert len(wire.requests) == 1

    @pytest.mark.parametrize("answer", [Respond(200, b"no XML"), Respond(200, b"<a/>")])
    @in_trio
    async def test_neither_is_nonsense(self, wire: Proxy, answer: Respond) -> None:
        wire.plan = always(answer)
        with fake_aws(AWS_ENDPOINT_URL_STS=wire.endpoint_url):
            assert (await _identify()).name == KEY

    @in_trio
    async def test_nor_a_refused_connection(self) -> None:
        with fake_aws(AWS_ENDPOINT_URL_STS=NOWHERE):
            identity = await _identify(None)
        assert identity.name == KEY
        assert NOWHERE in " ".join(identity.notes)

    @pytest.mark.parametrize(
        ("code", "advice"),
        [
            ("ExpiredToken", "renew"),
            ("InvalidClientTokenId", "access key"),
            ("SignatureDoesNotMatch", "secret key"),
        ],
    )
    @in_trio
    async def test_what_it_says_against_the_credentials_counts(
        self, wire: Proxy, code: str, advice: str
    ) -> None:
        wire.plan = always(_error_response(code))
        with (
            fake_aws(AWS_ENDPOINT_URL_STS=wire.endpoint_url),
            pytest.raises(CredentialsError, match=code) as caught,
        ):
            await _identify()
        assert advice in caught.value.advice


class TestSources:
    @in_trio
    async def test_files(self, tmp_path: Path) -> None:
        keys = "aws_access_key_id = {}\naws_secret_access_key = hidden\n"
        files = {
            "AWS_SHARED_CREDENTIALS_FILE": _file(
                tmp_path / "credentials", "[default]\n" + keys.format("first")
            ),
            "AWS_CONFIG_FILE": _file(
                tmp_path / "config", "[profile lab]\n" + keys.format("second")
            ),
        }
        with _without_keys(files):
            first = await _identify()
            second = await _identify(profile="lab")
        assert first == Identity("first", "access key", "profile default in the credentials file")
        assert second == Identity("second", "access key", "profile lab in the configuration file")

    @in_trio
    async def test_process(self, tmp_path: Path) -> None:
        handed = {
            "Version": 1,
            "AccessKeyId": "handed",
            "SecretAccessKey": "hidden",
            "SessionToken": "hidden",
            "Expiration": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        }
        program = tmp_path / "program"
        program.write_text(f"#!{sys.executable}\nprint({json.dumps(json.dumps(handed))})\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        config = _file(tmp_path / "config", f"[profile lab]\ncredential_process = {program}\n")
        with _without_keys({"AWS_CONFIG_FILE": config}):
            identity = await _identify(profile="lab")
        # No end: botocore asks the program again.
        assert identity == Identity(
            "handed", "session credentials", "credential_process of profile lab"
        )

    @in_trio
    async def test_role_of_a_profile(self, server: S3Server, tmp_path: Path) -> None:
        config = _file(
            tmp_path / "config",
            f"[profile lab]\nregion = us-east-1\nrole_arn = {ROLE}\nrole_session_name = training\n"
            "credential_source = Environment\n",
        )
        with fake_aws(AWS_CONFIG_FILE=config, AWS_ENDPOINT_URL_STS=server.endpoint_url):
            identity = await _identify(profile="lab")
        assert identity == Identity(IN_ROLE, "role session", "role of profile lab")

    @in_trio
    async def test_web_identity(self, server: S3Server, tmp_path: Path) -> None:
        variables = {
            "AWS_ROLE_ARN": ROLE,
            "AWS_ROLE_SESSION_NAME": "training",
            "AWS_WEB_IDENTITY_TOKEN_FILE": _file(tmp_path / "token", "hidden"),
            "AWS_ENDPOINT_URL_STS": server.endpoint_url,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with _without_keys(variables):
            identity = await _identify()
        assert identity == Identity(IN_ROLE, "role session", "web identity")
