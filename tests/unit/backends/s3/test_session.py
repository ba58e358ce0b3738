"""Endpoints of S3 and obstore's settings for each way to address a bucket, by botocore's own rules.

An event handler responds to the LIST that shows the endpoint: no request leaves this machine.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from cloudfs_backends.api import Capabilities, StoreOptions
from cloudfs_backends.s3.client import S3Client
from cloudfs_backends.s3.session import S3Session
from cloudfs_backends.url import StoreUrl
from tests.support.environment import fake_aws


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def _answer(request: Any, body: bytes) -> AWSResponse:
    return AWSResponse(request.url, 200, {"content-type": "application/xml"}, _Raw(body))


def _empty_list(request: Any, **_: object) -> AWSResponse:
    return _answer(request, b"<ListBucketResult></ListBucketResult>")


def _new_session(request: Any, **_: object) -> AWSResponse:
    words = b"<AccessKeyId>key</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
    words += b"<SessionToken>t</SessionToken><Expiration>2040-01-01T00:00:00Z</Expiration>"
    return _answer(request, b"<R><Credentials>" + words + b"</Credentials></R>")


def _located(bucket: str, options: StoreOptions) -> dict[str, Any]:
    session = S3Session(bucket, "", options)
    events = session.client().meta.events
    events.register_last("before-send.s3.ListObjectsV2", _empty_list)
    events.register_last("before-send.s3.CreateSession", _new_session)
    session.locate()
    config = dict(session.obstore_client().config)
    assert session.endpoint == config["endpoint"]
    assert session.is_custom or session.region() == config["region"]
    session.close()
    return config


@pytest.mark.parametrize(
    ("bucket", "options", "endpoint", "virtual"),
    [
        ("bucket", StoreOptions(), "https://bucket.s3.amazonaws.com", True),
        (
            "bucket",
            StoreOptions(region="eu-central-1"),
            "https://bucket.s3.eu-central-1.amazonaws.com",
            True,
        ),
        (
            "bucket",
            StoreOptions(region="eu-central-1", force_path_style=True),
            "https://s3.eu-central-1.amazonaws.com",
            False,
        ),
        (
            "dotted.bucket",
            StoreOptions(region="eu-west-1"),
            "https://s3.eu-west-1.amazonaws.com",
            False,
        ),
        (
            "bucket",
            StoreOptions(region="cn-north-1"),
            "https://bucket.s3.cn-north-1.amazonaws.com.cn",
            True,
        ),
        ("bucket", StoreOptions(endpoint_url="http://minio:9000"), "http://minio:9000", False),
        (
            "bucket",
            StoreOptions(endpoint_url="https://host/base/"),
            "https://host/base",
            False,
        ),
    ],
)
def test_location(bucket: str, options: StoreOptions, endpoint: str, virtual: bool) -> None:
    with fake_aws():
        config = _located(bucket, options)
    assert config["endpoint"] == endpoint
    assert config["virtual_hosted_style_request"] in {virtual, str(virtual).lower()}
    assert config["region"] == (options.region or "us-east-1")


def test_region_of_the_environment() -> None:
    with fake_aws(AWS_DEFAULT_REGION="ap-south-1"):
        assert _located("bucket", StoreOptions())["region"] == "ap-south-1"


class TestBeforeAnyRequest:
    """What is known of the place without asking, on which names and bytes are filed."""

    @pytest.mark.parametrize(
        ("options", "environment", "endpoint", "identity"),
        [
            (StoreOptions(), {}, "https://s3.amazonaws.com", "s3://bucket"),
            (
                StoreOptions(region="eu-central-1"),
                {},
                "https://s3.eu-central-1.amazonaws.com",
                "s3://bucket",
            ),
            (
                StoreOptions(endpoint_url="https://s3.eu-west-1.amazonaws.com"),
                {},
                "https://s3.eu-west-1.amazonaws.com",
                "s3://bucket",
            ),
            (
                StoreOptions(region="cn-north-1"),
                {},
                "https://s3.cn-north-1.amazonaws.com.cn",
                "s3://bucket at aws-cn",
            ),
            (
                StoreOptions(region="us-gov-west-1"),
                {},
                "https://s3.us-gov-west-1.amazonaws.com",
                "s3://bucket at aws-us-gov",
            ),
            (
                StoreOptions(endpoint_url="http://minio:9000/"),
                {},
                "http://minio:9000",
                "s3://bucket at http://minio:9000",
            ),
            (
                StoreOptions(endpoint_url="https://amazonaws.com.example.org"),
                {},
                "https://amazonaws.com.example.org",
                "s3://bucket at https://amazonaws.com.example.org",
            ),
            (
                StoreOptions(),
                {"AWS_ENDPOINT_URL_S3": "http://minio:9000"},
                "http://minio:9000",
                "s3://bucket at http://minio:9000",
            ),
            (
                StoreOptions(endpoint_url="nonsense"),
                {},
                "nonsense",
                "s3://bucket at nonsense",
            ),
            (StoreOptions(profile="nobody"), {}, "the S3 endpoint", "s3://bucket"),
        ],
    )
    def test_place(
        self, options: StoreOptions, environment: dict[str, str], endpoint: str, identity: str
    ) -> None:
        with fake_aws(**environment):
            client = S3Client(StoreUrl("s3", "bucket"), options)
            assert (client.endpoint, client.identity) == (endpoint, identity)

    def test_the_client_changes_nothing(self) -> None:
        with fake_aws():
            session = S3Session("bucket", "", StoreOptions(endpoint_url="https://host/base/"))
            before = session.namespace
            session.client()
            assert session.namespace == before == "https://host/base"
            session.close()


class TestCapabilities:
    @pytest.mark.parametrize(
        ("bucket", "endpoint_url", "conditional_put", "append"),
        [
            ("bucket", None, True, False),
            ("bucket--usw2-az1--x-s3", None, True, True),
            ("bucket--usw2-az1--x-s3", "http://minio:9000", False, False),
            ("bucket", "http://minio:9000", False, False),
        ],
    )
    def test_of(
        self, bucket: str, endpoint_url: str | None, conditional_put: bool, append: bool
    ) -> None:
        with fake_aws():
            client = S3Client(StoreUrl("s3", bucket), StoreOptions(endpoint_url=endpoint_url))
            assert client.capabilities == Capabilities(
                metadata_in_list=False,
                conditional_put=conditional_put,
                append=append,
                copy_bytes_max=5 * 2**30,
            )


class TestWhatObstoreIsTold:
    def test_directory_bucket_is_read_by_sessions(self) -> None:
        with fake_aws():
            config = _located("b--usw2-az1--x-s3", StoreOptions(region="us-west-2"))
        assert config["s3_express"] in {True, "true"}
        endpoint = "https://b--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com"
        assert config["endpoint"] == endpoint

    def test_nothing_special(self) -> None:
        with fake_aws(
            AWS_SERVER_SIDE_ENCRYPTION="sse-c",
            AWS_SSE_CUSTOMER_KEY_BASE64="x",
            AWS_S3_EXPRESS="true",
        ):
            config = _located("bucket", StoreOptions())
        assert config["server_side_encryption"] == "AES256"
        assert config["s3_express"] in {False, "false"}
        assert config["request_payer"] in {False, "false"}

    def test_customer_key_and_payer(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        path.write_bytes(b"k" * 32)
        options = StoreOptions(sse_customer_key=path, requester_pays=True)
        with fake_aws():
            config = _located("bucket", options)
        assert config["server_side_encryption"] == "sse-c"
        assert config["sse_customer_key_base64"] == base64.b64encode(b"k" * 32).decode()
        assert config["request_payer"] in {True, "true"}
