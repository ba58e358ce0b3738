"""URLs: one spelling for each store, one clear line for each mistake, never a secret repeated."""

from __future__ import annotations

import pytest

from cloudfs_backends.url import StoreUrl, UrlError, parse_url


@pytest.mark.parametrize(
    ("text", "parsed", "canonical"),
    [
        ("s3://bucket", StoreUrl("s3", "bucket"), "s3://bucket"),
        ("s3://bucket/", StoreUrl("s3", "bucket"), "s3://bucket"),
        ("S3://bucket/a", StoreUrl("s3", "bucket", "a/"), "s3://bucket/a/"),
        ("s3://bucket/a/b/", StoreUrl("s3", "bucket", "a/b/"), "s3://bucket/a/b/"),
        ("s3://bucket//a", StoreUrl("s3", "bucket", "/a/"), "s3://bucket//a/"),
        ("s3://b.u-c_K/a%20b@c:d", StoreUrl("s3", "b.u-c_K", "a%20b@c:d/"), None),
        ("file:///", StoreUrl("file", "/"), "file:///"),
        ("file:///data", StoreUrl("file", "/data"), "file:///data"),
        ("file:////data//sub/./", StoreUrl("file", "/data/sub"), "file:///data/sub"),
        ("file:///with space%20#?", StoreUrl("file", "/with space%20#?"), None),
    ],
)
def test_accepted(text: str, parsed: StoreUrl, canonical: str | None) -> None:
    assert parse_url(text) == parsed
    assert canonical is None or str(parsed) == canonical
    assert parse_url(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("bucket/a", ["'bucket/a'", "no scheme", "s3://bucket", "file:///path"]),
        ("gs://bucket", ["gs://", "not supported yet", "s3://", "file://"]),
        ("az://bucket", ["az://", "not supported yet"]),
        ("ftp://host/a", ["'ftp'", "unknown scheme", "s3://", "file://"]),
        ("s3://", ["'s3://'", "no bucket"]),
        ("s3:///key", ["'s3:///key'", "no bucket"]),
        ("s3://my bucket/a", ["'s3://my bucket/a'", "'my bucket'", "no valid bucket name"]),
        ("s3://bück", ["no valid bucket name"]),
        ("s3://host:9000/bucket", ["--endpoint-url"]),
        ("file://relative/a", ["'file://relative/a'", "not absolute", "file:///path"]),
        ("file://", ["not absolute"]),
        ("file:///a/../b", ["'..'", "absolute path"]),
        ("s3://two\nlines", ["no valid bucket name"]),
    ],
)
def test_refused(text: str, parts: list[str]) -> None:
    with pytest.raises(UrlError) as caught:
        parse_url(text)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message.replace('"', "'")


@pytest.mark.parametrize(
    "text",
    [
        "s3://AKIAKEY:hidden@bucket/a",
        "s3://AKIAKEY:hid/hidden@bucket",
        "s3://hidden@bucket",
        "https://user:hidden@host/bucket",
        "gs://user:hidden@bucket",
    ],
)
def test_secrets_are_not_repeated(text: str) -> None:
    with pytest.raises(UrlError) as caught:
        parse_url(text)
    assert "hidden" not in str(caught.value)
