"""A secret never comes out of what logs and findings say, at whatever place it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudfs.telemetry.redact import Redactor, redacted

REDACT = Redactor({}).redact

SECRETS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-", min_size=16)
"""The characters of keys, signatures and tokens."""

AROUND = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)

SHAPES = (
    "https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={}&x-id=GetObject",
    "https://b.s3.amazonaws.com/k?X-Amz-Security-Token={}&X-Amz-Date=1",
    "https://b.s3.amazonaws.com/k?X-Amz-Credential={}/20260101/eu/s3/aws4_request",
    "https://storage.googleapis.com/b/o?GoogleAccessId=me@x&Expires=1&Signature={}",
    "https://storage.googleapis.com/b/o?X-Goog-Signature={}&X-Goog-Date=1",
    "https://lab.blob.core.windows.net/c/b?sv=2022-11-02&sp=rl&se=2027&sig={}&skoid=1",
    "DefaultEndpointsProtocol=https;AccountName=lab;AccountKey={};EndpointSuffix=core",
    "BlobEndpoint=https://x/;SharedAccessSignature=sv=1&sig={}",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/x, SignedHeaders=host, Signature={}",
    "Authorization: Bearer {}",
    "Authorization: SharedKey lab:{}",
    "Proxy-Authorization: Basic {}",
    "{{'Authorization': b'AWS4-HMAC-SHA256 Signature={}', 'Host': 'x'}}",
    '{{"authorization": "Bearer {}", "host": "x"}}',
    "b'GET /k HTTP/1.1\\r\\nAuthorization: Bearer {}\\r\\nHost: x'",
    "x-amz-security-token: {}",
    "x-amz-server-side-encryption-customer-key: {}",
    "{{'X-Amz-Server-Side-Encryption-Customer-Key': '{}'}}",
    '{{"access_token": "{}", "expires_in": 3599, "token_type": "Bearer"}}',
    '{{"refresh_token":"{}"}}',
    "{{'SecretAccessKey': '{}', 'SessionToken': 'x'}}",
    "<Credentials><SecretAccessKey>{}</SecretAccessKey></Credentials>",
    "<SessionToken>{}</SessionToken>",
    "grant_type=client_credentials&client_secret={}&scope=x",
    "aws_secret_access_key = '{}'",
    "AWS_SECRET_ACCESS_KEY={}",
    "AWS_SESSION_TOKEN={}",
    "AZURE_CLIENT_SECRET={}",
    "CLOUDFS_PASSWORD={}",
    "secret_access_key: {}",
    "HTTPSConnectionPool(host='x', port=443): Max retries exceeded with url: /b?sig={} (Caused by",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    '"private_key": "-----BEGIN PRIVATE KEY-----\\n{}\\n-----END PRIVATE KEY-----\\n"',
)

SHAPES_WITHOUT_SLASHES = (
    "http://user:{}@proxy.example.com:3128/",
    "socks5h://user:{}@proxy.example.com",
    "assertion eyJhbGciOiJSUzI1NiJ9.{}.c2lnbmF0dXJl is refused",
    "the token ya29.{} is refused",
)
"""Of what RFC 3986 and base64url allow there."""


@pytest.mark.parametrize("shape", SHAPES + SHAPES_WITHOUT_SLASHES)
@given(secret=SECRETS, before=AROUND, after=AROUND)
def test_a_secret_of_a_known_shape_never_comes_out(
    shape: str, secret: str, before: str, after: str
) -> None:
    if shape in SHAPES_WITHOUT_SLASHES:
        secret = secret.replace("/", "_").replace("+", "-")
    text = f"{before} {shape.format(secret)} {after}"
    assert secret not in REDACT(text).replace(before, "").replace(after, "")


@given(st.dictionaries(st.sampled_from(["headers", "url", "AWS_SESSION_TOKEN"]), SECRETS))
def test_documents_hide_what_a_secret_name_stands_for(document: dict[str, str]) -> None:
    redacted_document = Redactor({}).redact_all({"inner": document})["inner"]
    assert redacted_document.get("AWS_SESSION_TOKEN", "***") == "***"
    assert redacted_document.get("url") == document.get("url")


@pytest.mark.parametrize(
    "text",
    [
        "cannot sign: password: set it in the file",
        "the token: is expired, log in again",
        "SignatureDoesNotMatch: the secret key is not that of the access key AKIAEXAMPLE",
        "cannot open 'train/sig/key=3/token-list.csv': No such file or directory",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile",
        "abfss://container@account.dfs.core.windows.net/x is mounted",
        "etag \"0x8DC\", design=modern, assigned=3",
        "--sse-customer-key /etc/customer.key: it has 31 bytes",
        "Basic access is denied",
    ],
)  # fmt: skip
def test_sentences_are_left_as_they_are(text: str) -> None:
    assert REDACT(text) == text


@pytest.mark.parametrize(
    "unit",
    ["a-", 'token="', "eyJ-eyJabcdefgh", "http://a@", "Authorization: ", "x-amz-encryption-", "='"],
)
def test_no_text_takes_long(unit: str) -> None:
    # A pattern that is not linear takes minutes for this, which pytest-timeout ends.
    redacted(unit * (64_000 // len(unit)))
