"""Where obstore is pointed on AWS itself: botocore's own answer, for each way to address a bucket.

The LIST that shows the place is answered by an event handler: nothing leaves this machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.s3_session import S3Session
from tests.support.stores import fake_aws


class _Raw:
    def stream(self) -> Iterator[bytes]:
        yield b"<ListBucketResult></ListBucketResult>"


def _empty_list(request: Any, **_: object) -> AWSResponse:
    return AWSResponse(request.url, 200, {"content-type": "application/xml"}, _Raw())


def _located(bucket: str, options: StoreOptions) -> dict[str, Any]:
    session = S3Session(bucket, "", options)
    session.client().meta.events.register_last("before-send.s3.ListObjectsV2", _empty_list)
    session.locate()
    config = dict(session.byte_store().config)
    assert session.endpoint == config["endpoint"]
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
