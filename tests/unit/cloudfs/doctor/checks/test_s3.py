"""The checks against a real S3 server, through a proxy that injects faults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from cloudfs.doctor.checks.read import another_version
from cloudfs.doctor.findings import Finding, Result
from cloudfs.errors import ExitCode
from tests.contract.in_trio import in_trio
from tests.support.proxy import (
    Action,
    Pass,
    Plan,
    ProxiedRequest,
    Proxy,
    Respond,
    always,
    is_get_object,
    is_list,
    script,
)
from tests.support.stores import Bucket, S3Server
from tests.support.tls import make_certificate, tls_server
from tests.unit.cloudfs.doctor.examined import UNKNOWN_DOMAIN, Findings, findings_of, unwell

OK, WARNING, FAILURE, SKIPPED = Result.OK, Result.WARNING, Result.FAILURE, Result.SKIPPED


def refusal(status: int, code: str) -> Respond:
    return Respond(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


def is_signed(request: ProxiedRequest) -> bool:
    return "authorization" in request.headers


def is_first_contact(request: ProxiedRequest) -> bool:
    """Whether this is the anonymous HEAD."""
    return request.method == "HEAD" and not is_signed(request)


async def through(wire: Proxy, bucket: Bucket, plan: Plan, **flags: str) -> Findings:
    wire.plan = plan
    return await findings_of(f"{bucket.url}/data", endpoint_url=wire.endpoint_url, **flags)


class TestWell:
    @in_trio
    async def test_everything(self, bucket: Bucket, server: S3Server) -> None:
        found = await findings_of(f"{bucket.url}/data", endpoint_url=server.endpoint_url)
        not_measured = found.pop("bandwidth")
        assert not_measured.result is SKIPPED
        assert {finding.result for finding in found.values()} == {OK}
        shown = {"setup": "boto3", "reach": server.endpoint_url, "identity": "cloudfs-test-key"}
        shown |= {"list": "2 objects", "read": "'b'", "bytes": "obstore", "region": "us-east-1"}
        shown["features"] = "5 GiB"
        assert all(named in found[check].text for check, named in shown.items())

    @in_trio
    async def test_facts(self, bucket: Bucket, server: S3Server) -> None:
        found = await findings_of(f"{bucket.url}/data", endpoint_url=server.endpoint_url)
        facts = {name: finding.facts for name, finding in found.items()}
        assert facts["setup"]["options"] == {"endpoint-url": "--endpoint-url"}
        assert facts["setup"]["packages"].keys() == {"boto3", "obstore"}
        assert facts["reach"]["endpoint"] == server.endpoint_url
        assert facts["reach"]["steps_s"].keys() == {"name", "tcp", "http"}
        assert abs(facts["clock"]["ahead_s"]) <= 1
        assert facts["identity"]["name"] == "cloudfs-test-key"
        assert (facts["identity"]["kind"], facts["identity"]["source"]) == (
            *("access key", "environment"),
        )
        assert facts["list"]["objects"] == 2
        assert facts["read"]["key"] == "b"
        assert facts["versions"] == {"refused_by": "store"}
        assert facts["bytes"] == {"byte_path": "obstore"}
        assert facts["region"]["region"] == "us-east-1"
        assert facts["features"]["copy_bytes_max"] == 5 * 2**30

    @in_trio
    async def test_anonymous(self, bucket: Bucket, wire: Proxy) -> None:
        """moto refuses anonymous lists without a policy; the wire does so in the form of S3."""
        refuse = always(refusal(403, "AccessDenied"), when=is_list)
        found = await through(wire, bucket, refuse, no_sign_request="true")
        assert found["identity"].facts["name"] == "anonymous"
        assert found["identity"].facts["source"] == "--no-sign-request"
        assert "--no-sign-request" in found["list"].fix
        assert wire.count(is_signed) == 0


class TestClock:
    @in_trio
    async def test_the_date_of_the_anonymous_response_counts(
        self, bucket: Bucket, wire: Proxy
    ) -> None:
        date = format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)
        refused = always(Respond(403, headers={"Date": date}), when=is_first_contact)
        found = await through(wire, bucket, refused)
        assert unwell(found) == {"clock": FAILURE}
        assert found["clock"].facts["ahead_s"] == pytest.approx(86400, abs=5)
        assert found["list"].result is OK


class TestReach:
    @in_trio
    async def test_a_closed_port(self, bucket: Bucket) -> None:
        found = await findings_of(bucket.url, endpoint_url="http://127.0.0.1:9")
        assert unwell(found) == {"reach": FAILURE}
        assert found["reach"].exit_code is ExitCode.UNREACHABLE
        assert "127.0.0.1 port 9" in found["reach"].text
        assert "--endpoint-url" in found["reach"].fix
        assert found["reach"].facts["trouble"] == "refused"
        assert found["read"].result is SKIPPED
        assert "reach" in found["read"].text

    @in_trio
    async def test_a_name_that_does_not_exist(self, bucket: Bucket) -> None:
        found = await findings_of(bucket.url, endpoint_url=f"http://{UNKNOWN_DOMAIN}")
        assert UNKNOWN_DOMAIN in found["reach"].text
        assert "--endpoint-url" in found["reach"].fix

    @in_trio
    async def test_a_proxy_is_named_without_its_password(
        self, bucket: Bucket, server: S3Server, wire: Proxy
    ) -> None:
        os.environ["HTTP_PROXY"] = f"http://user:hunter2@127.0.0.1:{wire.port}"
        found = await findings_of(bucket.url, endpoint_url=server.endpoint_url)
        assert unwell(found) == {}
        assert f"{wire.endpoint_url} of HTTP_PROXY" in found["reach"].text
        assert found["reach"].facts["proxy"] == wire.endpoint_url
        assert "hunter2" not in repr(found)

    @in_trio
    async def test_a_ca_of_ones_own_has_to_be_named(
        self, bucket: Bucket, server: S3Server, tmp_path: Path
    ) -> None:
        certificate = make_certificate(tmp_path)
        with tls_server(server.port, certificate) as port:
            endpoint_url = f"https://127.0.0.1:{port}"
            unnamed = await findings_of(bucket.url, endpoint_url=endpoint_url)
            os.environ["AWS_CA_BUNDLE"] = str(certificate.ca_file)
            named = await findings_of(bucket.url, endpoint_url=endpoint_url)
        assert unwell(unnamed) == {"reach": FAILURE}
        assert unnamed["reach"].facts["trouble"] == "unknown-issuer"
        assert "export AWS_CA_BUNDLE=" in unnamed["reach"].fix
        assert unwell(named) == {}
        assert "TLS" in named["reach"].text

    @in_trio
    async def test_a_ca_in_the_sdks_own_configuration(
        self, bucket: Bucket, server: S3Server, tmp_path: Path
    ) -> None:
        certificate = make_certificate(tmp_path)
        config = tmp_path / "config"
        config.write_text(f"[default]\nca_bundle = {certificate.ca_file}\n")
        os.environ["AWS_CONFIG_FILE"] = str(config)
        with tls_server(server.port, certificate) as port:
            found = await findings_of(bucket.url, endpoint_url=f"https://127.0.0.1:{port}")
        assert unwell(found) == {}
        assert found["clock"].result is SKIPPED

    @in_trio
    async def test_a_bundle_that_is_not_there(self, bucket: Bucket, server: S3Server) -> None:
        os.environ["AWS_CA_BUNDLE"] = "/no/such/bundle"
        found = await findings_of(bucket.url, endpoint_url=f"https://127.0.0.1:{server.port}")
        assert found["reach"].facts["trouble"] == "bundle"
        assert "AWS_CA_BUNDLE" in found["reach"].fix

    @in_trio
    async def test_what_only_the_system_trusts(
        self, bucket: Bucket, server: S3Server, tmp_path: Path
    ) -> None:
        """The SDK brings CA certificates of its own."""
        certificate = make_certificate(tmp_path)
        os.environ["SSL_CERT_FILE"] = str(certificate.ca_file)
        with tls_server(server.port, certificate) as port:
            found = await findings_of(bucket.url, endpoint_url=f"https://127.0.0.1:{port}")
        assert unwell(found) == {"list": FAILURE}
        assert "export AWS_CA_BUNDLE=" in found["list"].fix

    @in_trio
    async def test_an_endpoint_of_a_profile_that_is_no_address(
        self, bucket: Bucket, tmp_path: Path
    ) -> None:
        config = tmp_path / "config"
        config.write_text("[default]\nendpoint_url = nonsense\n")
        os.environ["AWS_CONFIG_FILE"] = str(config)
        found = await findings_of(bucket.url)
        assert unwell(found) == {"reach": FAILURE}
        assert "nonsense" in found["reach"].text
        assert "endpoint_url" in found["reach"].fix


class TestIdentity:
    @in_trio
    async def test_no_credentials(self, bucket: Bucket, server: S3Server) -> None:
        del os.environ["AWS_ACCESS_KEY_ID"]
        found = await findings_of(bucket.url, endpoint_url=server.endpoint_url)
        assert unwell(found) == {"identity": FAILURE}
        assert found["identity"].exit_code is ExitCode.CREDENTIALS
        assert "--profile" in found["identity"].fix

    @in_trio
    async def test_credentials_that_end_soon(self, bucket: Bucket, server: S3Server) -> None:
        os.environ["AWS_SESSION_TOKEN"] = "session-secret"
        ends = datetime.now(UTC) + timedelta(minutes=59)
        os.environ["AWS_CREDENTIAL_EXPIRATION"] = ends.isoformat()
        found = await findings_of(bucket.url, endpoint_url=server.endpoint_url)
        assert unwell(found) == {"identity": WARNING}
        assert found["identity"].facts["expires_at"] == ends.isoformat()
        assert "session-secret" not in repr(found)

    @pytest.mark.parametrize("code", ["InvalidAccessKeyId", "SignatureDoesNotMatch"])
    @in_trio
    async def test_credentials_that_are_refused(
        self, bucket: Bucket, wire: Proxy, code: str
    ) -> None:
        found = await through(wire, bucket, always(refusal(403, code), when=is_signed))
        assert unwell(found) == {"list": FAILURE}
        assert found["list"].exit_code is ExitCode.CREDENTIALS
        assert code in found["list"].text
        assert found["list"].facts["http_code"] == 403
        assert "key" in found["list"].fix


class TestList:
    @in_trio
    async def test_it_may_not(self, bucket: Bucket, wire: Proxy) -> None:
        found = await through(wire, bucket, always(refusal(403, "AccessDenied"), when=is_list))
        assert unwell(found) == {"list": FAILURE}
        assert found["list"].exit_code is ExitCode.CREDENTIALS
        assert "s3:ListBucket" in found["list"].fix

    @in_trio
    async def test_no_bucket(self, server: S3Server) -> None:
        found = await findings_of("s3://no-such-bucket", endpoint_url=server.endpoint_url)
        assert unwell(found) == {"list": FAILURE}
        assert found["list"].exit_code is ExitCode.BUCKET

    @in_trio
    async def test_no_object(self, bucket: Bucket, server: S3Server) -> None:
        found = await findings_of(f"{bucket.url}/none", endpoint_url=server.endpoint_url)
        assert unwell(found) == {"list": WARNING}
        assert f"{bucket.url}/none/" in found["list"].text
        assert "prefix" in found["list"].fix
        assert {found[name].result for name in ("read", "versions", "bytes")} == {SKIPPED}

    @in_trio
    async def test_no_object_with_bytes(self, bucket: Bucket, server: S3Server) -> None:
        bucket.put("empty/marker", b"")
        found = await findings_of(f"{bucket.url}/empty", endpoint_url=server.endpoint_url)
        assert unwell(found) == {}
        assert found["read"].result is SKIPPED

    @in_trio
    async def test_the_store_is_ill(self, bucket: Bucket, wire: Proxy) -> None:
        found = await through(wire, bucket, always(refusal(503, "SlowDown"), when=is_list))
        assert unwell(found) == {"list": FAILURE}
        assert found["list"].exit_code is ExitCode.UNREACHABLE
        assert "--max-downloads" in found["list"].fix


ANSWER = {
    "Content-Range": "bytes 0-4095/10000",
    "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
}


def ignoring_conditions(etag: str | None) -> Plan:
    """A store that ignores If-Match, with and without an ETag in its response."""
    headers: Mapping[str, str] = {**ANSWER, **({"ETag": etag} if etag else {})}
    return always(Respond(206, b"x" * 4096, headers), when=is_get_object)


class TestRead:
    @in_trio
    async def test_it_may_not(self, bucket: Bucket, wire: Proxy) -> None:
        plan = always(refusal(403, "AccessDenied"), when=is_get_object)
        found = await through(wire, bucket, plan)
        assert unwell(found) == {"read": FAILURE}
        assert found["read"].exit_code is ExitCode.CREDENTIALS
        assert "s3:GetObject" in found["read"].fix
        assert found["versions"].result is SKIPPED
        assert found["region"].result is OK

    @in_trio
    async def test_conditions_that_are_ignored(self, bucket: Bucket, wire: Proxy) -> None:
        etag = bucket.client.head_object(Bucket=bucket.name, Key="data/b")["ETag"]
        found = await through(wire, bucket, ignoring_conditions(etag))
        assert unwell(found) == {"versions": WARNING}
        assert "If-Match" in found["versions"].fix

    @in_trio
    async def test_versions_that_could_mix(self, bucket: Bucket, wire: Proxy) -> None:
        found = await through(wire, bucket, ignoring_conditions(None))
        assert found["versions"].result is FAILURE
        assert found["versions"].facts == {"refused_by": None}
        assert found["versions"].exit_code is ExitCode.UNREACHABLE

    @in_trio
    async def test_the_slow_way(self, bucket: Bucket, wire: Proxy) -> None:
        """obstore does not take an answer that only its headers say is partial."""
        etag = bucket.client.head_object(Bucket=bucket.name, Key="data/b")["ETag"]
        whole = Respond(200, b"x" * 4096, {**ANSWER, "ETag": etag})
        found = await through(wire, bucket, always(whole, when=is_get_object))
        assert unwell(found) == {"versions": WARNING, "bytes": WARNING}
        assert str(found["bytes"].facts["byte_path"]).startswith("SDK: ")
        assert "200" in found["bytes"].text

    @pytest.mark.parametrize(
        ("etag", "other"),
        [
            ('"5d41402abc4b2a76b9719d911017c592"', '"5d41402abc4b2a76b9719d911017c591"'),
            ('"5d41402abc4b2a76b9719d911017c591-12f"', '"5d41402abc4b2a76b9719d911017c591-121"'),
            ("1700000000000001", "1700000000000002"),
            ('"0x8D9"', '"0x8D1"'),
        ],
    )
    def test_another_version_has_the_same_form(self, etag: str, other: str) -> None:
        assert another_version(etag) == other


class TestRegion:
    @in_trio
    async def test_another_one_than_configured(self, bucket: Bucket, wire: Proxy) -> None:
        """The server does as S3 does: it names the region, and takes requests signed for it."""
        body = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"
        moved = Respond(301, body, {"x-amz-bucket-region": "us-east-1"})

        def plan(request: ProxiedRequest) -> Action:
            is_foreign = "/eu-west-1/" in request.headers.get("authorization", "")
            return moved if is_list(request) and is_foreign else Pass()

        found = await through(wire, bucket, plan, region="eu-west-1")
        assert unwell(found) == {"region": WARNING}
        assert found["region"].text.startswith("the bucket is in us-east-1, not in eu-west-1")
        assert found["region"].fix == "say --region us-east-1"

    @in_trio
    async def test_a_store_that_does_not_tell(self, bucket: Bucket, wire: Proxy) -> None:
        def plan(request: ProxiedRequest) -> Action:
            is_bucket_head = request.method == "HEAD" and is_signed(request)
            return Respond(501) if is_bucket_head else Pass()

        found = await through(wire, bucket, plan)
        assert found["region"] == Finding(
            OK, "the store does not tell", facts=found["region"].facts
        )

    @in_trio
    async def test_not_to_know_is_no_failure(self, bucket: Bucket, wire: Proxy) -> None:
        """Everything works but the last LISTs, which are what asks for the region."""
        plan = script(*[Pass()] * 2, *[refusal(403, "AccessDenied")] * 9, when=is_list)
        found = await through(wire, bucket, plan)
        assert unwell(found) == {"region": WARNING}
        assert found["bytes"] == Finding(SKIPPED, "the store could not be asked")
