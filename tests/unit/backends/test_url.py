"""URLs: one canonical spelling for each store, one clear line for each mistake, no secret in it."""

from __future__ import annotations

import pytest

from cloudfs_backends.url import StoreUrl, UrlError, parse_url

WINDOWS = "core.windows.net"
DOTTED = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 30])
ACCOUNT_A = StoreUrl("az", "cont", "a/", "acct", WINDOWS)


@pytest.mark.parametrize(
    ("text", "parsed", "canonical"),
    [
        ("s3://bucket", StoreUrl("s3", "bucket"), "s3://bucket"),
        ("s3://bucket/", StoreUrl("s3", "bucket"), "s3://bucket"),
        ("S3://bucket/a", StoreUrl("s3", "bucket", "a/"), "s3://bucket/a/"),
        ("s3://bucket/a/b/", StoreUrl("s3", "bucket", "a/b/"), "s3://bucket/a/b/"),
        ("s3://bucket//a", StoreUrl("s3", "bucket", "/a/"), "s3://bucket//a/"),
        ("s3://b.u-c_K/a%20b@c:d", StoreUrl("s3", "b.u-c_K", "a%20b@c:d/"), None),
        ("s3://bucket--usw2-az1--x-s3", StoreUrl("s3", "bucket--usw2-az1--x-s3"), None),
        ("gs://bucket/a", StoreUrl("gs", "bucket", "a/"), "gs://bucket/a/"),
        ("gcs://bucket", StoreUrl("gs", "bucket"), "gs://bucket"),
        ("gs://my_bucket-1.example.com", StoreUrl("gs", "my_bucket-1.example.com"), None),
        (f"gs://{'b' * 63}", StoreUrl("gs", "b" * 63), None),
        (f"gs://{DOTTED}", StoreUrl("gs", DOTTED), None),
        ("gs://a-b/x?y=1&z=2#3", StoreUrl("gs", "a-b", "x?y=1&z=2#3/"), None),
        ("az://cont/a/b", StoreUrl("az", "cont", "a/b/"), "az://cont/a/b/"),
        ("azure://cont", StoreUrl("az", "cont"), "az://cont"),
        ("az://a-b", StoreUrl("az", "a-b"), None),
        ("az://$web", StoreUrl("az", "$web"), None),
        (f"az://{'c' * 63}", StoreUrl("az", "c" * 63), None),
        ("az://cont/what?/a=b", StoreUrl("az", "cont", "what?/a=b/"), None),
        (f"abfss://cont@acct.dfs.{WINDOWS}/a", ACCOUNT_A, f"abfss://cont@acct.dfs.{WINDOWS}/a/"),
        (f"abfs://cont@acct.dfs.{WINDOWS}/a/", ACCOUNT_A, None),
        (f"abfss://cont@Acct.blob.{WINDOWS}/a/", ACCOUNT_A, None),
        (f"wasbs://cont@acct.blob.{WINDOWS}/a", ACCOUNT_A, None),
        (f"https://acct.blob.{WINDOWS}/cont/a", ACCOUNT_A, f"abfss://cont@acct.dfs.{WINDOWS}/a/"),
        (f"https://acct.dfs.{WINDOWS}/cont/a/", ACCOUNT_A, None),
        (
            f"https://acct.blob.{WINDOWS}/cont/a%20b%3F",
            StoreUrl("az", "cont", "a b?/", "acct", WINDOWS),
            None,
        ),
        (
            "abfss://cont@acct.dfs.core.chinacloudapi.cn",
            StoreUrl("az", "cont", "", "acct", "core.chinacloudapi.cn"),
            "abfss://cont@acct.dfs.core.chinacloudapi.cn",
        ),
        (
            "https://acct.blob.core.usgovcloudapi.net/cont",
            StoreUrl("az", "cont", "", "acct", "core.usgovcloudapi.net"),
            None,
        ),
        ("file:///", StoreUrl("file", "/"), "file:///"),
        ("file:///data", StoreUrl("file", "/data"), "file:///data"),
        ("file:////data//sub/./", StoreUrl("file", "/data/sub"), "file:///data/sub"),
        ("file:///with space%20#?sig=1", StoreUrl("file", "/with space%20#?sig=1"), None),
    ],
)
def test_accepted(text: str, parsed: StoreUrl, canonical: str | None) -> None:
    assert parse_url(text) == parsed
    assert canonical is None or str(parsed) == canonical
    assert parse_url(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("bucket/a", ["'bucket/a'", "no scheme", "s3://bucket", "gs://", "az://", "file:///path"]),
        ("ftp://host/a", ["'ftp'", "unknown scheme", "s3://", "gs://", "az://", "file://"]),
        ("https://s3.amazonaws.com/bucket", ["'https'", "unknown scheme", "s3://bucket"]),
        ("s3://", ["'s3://'", "no bucket"]),
        ("gs:///key", ["'gs:///key'", "no bucket"]),
        ("s3:///key", ["'s3:///key'", "no bucket"]),
        ("s3://my bucket/a", ["'s3://my bucket/a'", "'my bucket'", "no valid bucket name"]),
        ("s3://bück", ["no valid bucket name"]),
        ("s3://host:9000/bucket", ["--endpoint-url"]),
        ("gs://Bucket", ["'Bucket'", "no valid bucket name", "small letters"]),
        ("gs://ab", ["no valid bucket name"]),
        ("gs://-ab", ["no valid bucket name"]),
        ("gs://a..b", ["no valid bucket name"]),
        (f"gs://{'b' * 64}", ["no valid bucket name", "3 to 63"]),
        (f"gs://{DOTTED}x", ["no valid bucket name"]),
        ("az://my_cont", ["'my_cont'", "no valid container name", "single dashes"]),
        ("az://a--b", ["no valid container name"]),
        ("az://ab", ["no valid container name"]),
        (f"az://{'c' * 64}", ["no valid container name", "3 to 63"]),
        (f"abfss://My@acct.dfs.{WINDOWS}", ["no valid container name", "abfss://container@"]),
        (f"abfss://acct.dfs.{WINDOWS}/cont", ["not a container", "abfss://container@account"]),
        ("abfss://cont@acct", ["not a container", "abfss://container@account"]),
        ("abfss://cont@acct.queue.core.windows.net", ["not a container"]),
        (f"https://acct.blob.{WINDOWS}", ["no valid container name", "abfss://container@"]),
        (f"https://acct.blob.{WINDOWS}/c?restype=container", ["query", "abfss://container@"]),
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


SAS = "sv=2024-11-04&se=2027-01-01&sr=c&sp=rl&sig=hidden%3D"
STRING = "AccountName=acct;AccountKey=hidden==;"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("s3://AKIAKEY:hidden@bucket/a", "--profile"),
        ("s3://AKIAKEY:hid/hidden@bucket", "--endpoint-url"),
        ("s3://hidden@bucket", "--profile"),
        ("s3://bucket/a?X-Amz-Algorithm=AWS4&X-Amz-Signature=hidden", "s3://bucket[/prefix]"),
        ("s3://bucket/a?X-Amz-Security-Token=hidden", "--profile"),
        ("s3://bucket/a?AWSAccessKeyId=hidden&Signature=hidden", "--profile"),
        ("https://user:hidden@host/bucket", "s3://"),
        ("https://bucket.s3.amazonaws.com/a?X-Amz-Signature=hidden", "s3://"),
        ("gs://user:hidden@bucket", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("gs://bucket/a?x-goog-signature=hidden", "gs://bucket[/prefix]"),
        ("gs://bucket/a?GoogleAccessId=hidden&Signature=hidden", "gcloud"),
        ("az://hidden@cont", "--azure-account"),
        ("az://cont:hidden@acct", "--azure-account"),
        (f"az://cont/p?{SAS}", "AZURE_STORAGE_SAS_TOKEN"),
        (f"az://cont?{SAS}", "AZURE_STORAGE_SAS_TOKEN"),
        ("az://cont/p?se=hidden", "AZURE_STORAGE_SAS_TOKEN"),
        (f"abfss://cont@acct.dfs.{WINDOWS}/p?{SAS}", "abfss://container@account"),
        (f"abfss://hidden:hidden@acct.dfs.{WINDOWS}/p", "abfss://container@account"),
        ("abfss://cont@hidden/p", "abfss://container@account"),
        (f"https://acct.blob.{WINDOWS}/cont/p?{SAS}", "AZURE_STORAGE_SAS_TOKEN"),
        (f"https://acct.blob.{WINDOWS}/cont?hidden", "abfss://container@account"),
        (f"DefaultEndpointsProtocol=https;{STRING}", "AZURE_STORAGE_CONNECTION_STRING"),
        (f"{STRING}BlobEndpoint=http://127.0.0.1", "AZURE_STORAGE_CONNECTION_STRING"),
        ("bucket?sig=hidden", "s3://"),
        ("user:hidden@bucket", "s3://"),
    ],
)
def test_secrets_are_not_repeated(text: str, fix: str) -> None:
    with pytest.raises(UrlError) as caught:
        parse_url(text)
    message = str(caught.value)
    assert "hidden" not in message
    assert "\n" not in message
    assert fix in message
