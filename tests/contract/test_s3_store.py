"""S3 through real HTTP: the contract, keys that only S3 has, metadata, identity and location."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import (
    BucketNotFoundError,
    CredentialsError,
    InvalidRequestError,
    ObjectNotFoundError,
    UnavailableError,
)
from cloudfs_backends.registry import open_inspector
from tests.contract.in_trio import in_trio
from tests.contract.suite import DATA, ThreadedStoreContract, all_pages, keys, read
from tests.support.environment import fake_aws
from tests.support.proxy import ProxiedRequest, Proxy, Respond, is_get_object, is_list, script
from tests.support.stores import Bucket, S3Server

pytestmark = pytest.mark.usefixtures("_aws")


class _World:
    """A store on a prefix of the bucket."""

    prefix = "some/prefix/"

    def __init__(self, bucket: Bucket, server: S3Server) -> None:
        self._bucket = bucket
        options = StoreOptions(endpoint_url=server.endpoint_url)
        self.store = open_inspector(f"{bucket.url}/{self.prefix}", options)

    def put(self, key: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
        self._bucket.put(self.prefix + key, data, metadata)

    def delete(self, key: str) -> None:
        self._bucket.delete(self.prefix + key)


def _store(bucket: Bucket, **options: object) -> StoreInspector:
    return open_inspector(bucket.url, StoreOptions(**options))  # type: ignore[arg-type]


def _authorizations(wire: Proxy) -> list[str]:
    return [request.headers.get("authorization", "") for request in wire.requests]


def _keys_used(wire: Proxy, when: Callable[[ProxiedRequest], bool]) -> set[str]:
    """The access keys of the requests that match."""
    return {r.headers["authorization"].partition("/")[0] for r in wire.requests if when(r)}


class TestS3Store(ThreadedStoreContract):
    fills_slowly = True
    same_bytes_same_version = True

    @pytest.fixture
    def world(self, bucket: Bucket, server: S3Server) -> _World:
        bucket.put("another/key", b"not in the prefix")
        return _World(bucket, server)

    @in_trio
    async def test_marker_of_the_prefix_has_no_name(self, world: _World) -> None:
        world.put("", b"")
        world.put("key", b"")
        assert keys(await all_pages(world.store, "", limit=10)) == ["key"]


class TestKeysOfS3:
    @in_trio
    async def test_keys_that_are_no_paths(self, bucket: Bucket, server: S3Server) -> None:
        names = ["/lead", "a//b", "a/", "./a", "a/../b", "..", "a/.", "//", "k" * 1024, "é" * 512]
        for name in names:
            bucket.put(name, name.encode())
        store = _store(bucket, endpoint_url=server.endpoint_url)
        assert keys(await all_pages(store, "", limit=3)) == sorted(names, key=os.fsencode)
        for name in names:
            info = await store.head(name)
            assert await read(store, name, 0, info.size, info.etag) == name.encode()
        await store.aclose()

    @in_trio
    async def test_control_characters_are_sent_as_they_are(
        self, bucket: Bucket, wire: Proxy
    ) -> None:
        """moto cannot store such keys, but the request shows what was asked for."""
        store = _store(bucket, endpoint_url=wire.endpoint_url)
        with pytest.raises(ObjectNotFoundError):
            await read(store, "a\nb\x7f", 0, 1, None)
        assert wire.requests[-1].target == f"/{bucket.name}/a%0Ab%7F"
        await store.aclose()


class TestMetadata:
    @pytest.mark.parametrize(
        ("metadata", "mtime_ns"),
        [
            ({"mtime": "1700000000.123456789"}, 1_700_000_000_123_456_789),
            ({"mtime": "1700000000"}, 1_700_000_000_000_000_000),
            ({"gcsfuse_mtime": "2023-11-14T22:13:20.000000001Z"}, 1_700_000_000_000_000_001),
        ],
    )
    @in_trio
    async def test_mtime(
        self, bucket: Bucket, server: S3Server, metadata: dict[str, str], mtime_ns: int
    ) -> None:
        bucket.put("key", b"1", metadata)
        store = _store(bucket, endpoint_url=server.endpoint_url)
        info = await store.head("key")
        assert (info.mtime_ns, info.metadata_mtime) == (mtime_ns, True)
        await store.aclose()

    @in_trio
    async def test_malformed_mtime_is_last_modified(self, bucket: Bucket, server: S3Server) -> None:
        bucket.put("key", b"1", {"mtime": "yesterday"})
        store = _store(bucket, endpoint_url=server.endpoint_url)
        info = await store.head("key")
        (listed,) = (await store.list_page("")).objects
        assert not info.metadata_mtime
        assert info.mtime_ns == listed.mtime_ns > 0
        await store.aclose()


class TestIdentity:
    @in_trio
    async def test_both_clients_use_the_profile(
        self, bucket: Bucket, wire: Proxy, tmp_path: Path
    ) -> None:
        """Credentials come from a process and expire: what botocore renews, obstore gets."""
        config = _profile_config(tmp_path, wire.endpoint_url, minutes=60)
        bucket.put("key", DATA)
        with fake_aws(AWS_CONFIG_FILE=str(config)):
            store = _store(bucket, profile="special")
            await store.probe()
            assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert len(wire.requests) == 2
        for authorization in _authorizations(wire):
            assert "Credential=process-key-1/" in authorization
            assert "/eu-north-1/s3/" in authorization
        assert wire.requests[-1].headers["x-amz-security-token"] == "process-token"
        await store.aclose()

    @in_trio
    async def test_both_clients_renew_credentials_before_they_expire(
        self, bucket: Bucket, wire: Proxy, tmp_path: Path
    ) -> None:
        """These have four minutes left each time, which both take for too few."""
        config = _profile_config(tmp_path, wire.endpoint_url, minutes=4)
        bucket.put("key", DATA)
        with fake_aws(AWS_CONFIG_FILE=str(config)):
            store = _store(bucket, profile="special")
            await store.head("key")
            await store.head("key")
            while len(_keys_used(wire, is_get_object)) < 2:
                assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert len(_keys_used(wire, lambda request: request.method == "HEAD")) == 2
        await store.aclose()

    @in_trio
    async def test_no_sign_request(self, bucket: Bucket, wire: Proxy) -> None:
        bucket.put("key", DATA)
        bucket.client.put_object_acl(Bucket=bucket.name, Key="key", ACL="public-read")
        bucket.client.put_bucket_acl(Bucket=bucket.name, ACL="public-read")
        store = _store(bucket, endpoint_url=wire.endpoint_url, no_sign_request=True)
        await store.head("key")
        assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert set(_authorizations(wire)) == {""}
        await store.aclose()

    @in_trio
    async def test_no_credentials(self, bucket: Bucket, server: S3Server) -> None:
        with fake_aws():
            del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
            store = _store(bucket, endpoint_url=server.endpoint_url)
            with pytest.raises(CredentialsError) as caught:
                await store.probe()
        assert "--profile" in caught.value.advice
        await store.aclose()

    @in_trio
    async def test_unknown_profile(self, bucket: Bucket, server: S3Server) -> None:
        store = _store(bucket, endpoint_url=server.endpoint_url, profile="nobody")
        with pytest.raises(CredentialsError, match="nobody") as caught:
            await store.probe()
        assert "~/.aws/config" in caught.value.advice


class TestLocation:
    @in_trio
    async def test_obstore_goes_where_botocore_went(self, bucket: Bucket, wire: Proxy) -> None:
        """obstore reads AWS_* variables of its own accord: none may lead it away."""
        nowhere = "http://127.0.0.1:9"
        bucket.put("key", DATA)
        with fake_aws(
            AWS_ENDPOINT_URL=nowhere,
            AWS_ENDPOINT_URL_S3=nowhere,
            AWS_ENDPOINT=nowhere,
            AWS_REGION="eu-west-3",
            AWS_DEFAULT_REGION="eu-west-1",
            AWS_BUCKET="other",
            AWS_SESSION_TOKEN="session",
            AWS_VIRTUAL_HOSTED_STYLE_REQUEST="true",
            AWS_SKIP_SIGNATURE="true",
            AWS_S3_EXPRESS="true",
            AWS_REQUEST_PAYER="true",
            AWS_UNSIGNED_PAYLOAD="true",
        ):
            store = _store(bucket, endpoint_url=wire.endpoint_url)
            await store.probe()
            assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert wire.count(is_get_object) == 1
        assert all("/eu-west-1/s3/" in text for text in _authorizations(wire))
        assert "x-amz-request-payer" not in wire.requests[-1].headers
        await store.aclose()

    @in_trio
    async def test_bucket_in_another_region_is_followed(self, bucket: Bucket, wire: Proxy) -> None:
        body = (
            b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message>"
            b"<Bucket>b</Bucket></Error>"
        )
        moved = Respond(301, body, {"x-amz-bucket-region": "ap-south-1"})
        bucket.put("key", DATA)
        wire.plan = script(moved, when=is_list)
        store = _store(bucket, endpoint_url=wire.endpoint_url)
        await store.probe()
        assert await read(store, "key", 0, 10, None) == DATA[:10]
        await store.head("key")
        first, *_, get, head = _authorizations(wire)
        assert "/us-east-1/" in first
        assert "/ap-south-1/" in get
        assert "/ap-south-1/" in head
        await store.aclose()

    @in_trio
    async def test_read_without_a_probe_finds_the_bucket(self, bucket: Bucket, wire: Proxy) -> None:
        bucket.put("key", DATA)
        store = _store(bucket, endpoint_url=wire.endpoint_url)
        assert await read(store, "key", 0, 10, None) == DATA[:10]
        assert [_kind(request) for request in wire.requests] == ["list", "get"]
        await store.aclose()

    @in_trio
    async def test_missing_bucket(self, server: S3Server) -> None:
        store = open_inspector(
            "s3://no-such-bucket", StoreOptions(endpoint_url=server.endpoint_url)
        )
        with pytest.raises(BucketNotFoundError) as caught:
            await store.probe()
        assert caught.value.http_code == 404
        await store.aclose()

    @in_trio
    async def test_connection_refused(self, bucket: Bucket) -> None:
        store = _store(bucket, endpoint_url="http://127.0.0.1:9")
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9"):
            await store.probe()
        await store.aclose()

    @in_trio
    async def test_endpoint_that_is_no_url(self, bucket: Bucket) -> None:
        store = _store(bucket, endpoint_url="nonsense")
        with pytest.raises(InvalidRequestError, match="nonsense") as caught:
            await store.probe()
        assert "--endpoint-url" in caught.value.advice


def _kind(request: ProxiedRequest) -> str:
    return "list" if is_list(request) else "get" if is_get_object(request) else "other"


_CREDENTIALS_PROGRAM = """
import json
from datetime import UTC, datetime, timedelta
with open({calls!r}, "a+") as file:
    file.write("x")
    number = file.tell()
print(json.dumps({{
    "Version": 1,
    "AccessKeyId": f"process-key-{{number}}",
    "SecretAccessKey": "process-secret",
    "SessionToken": "process-token",
    "Expiration": (datetime.now(UTC) + timedelta(minutes={minutes})).isoformat(),
}}))
"""


def _profile_config(folder: Path, endpoint_url: str, minutes: int) -> Path:
    """Write the profile "special", whose credentials a program hands out and numbers."""
    program = folder / "credentials"
    text = _CREDENTIALS_PROGRAM.format(calls=str(folder / "calls"), minutes=minutes)
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    config = folder / "config"
    config.write_text(
        f"[profile special]\nregion = eu-north-1\nendpoint_url = {endpoint_url}\n"
        f"credential_process = {program}\n"
    )
    return config
