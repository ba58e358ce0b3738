"""The file of a customer key: the forms that are valid, and one clear line for the others."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from cloudfs_backends.errors import InvalidRequestError
from cloudfs_backends.s3.customer_key import read_customer_key, require_private_endpoint

KEY = bytes(range(32))
ENDS_LIKE_A_LINE = b"k" * 31 + b"\n"


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (KEY, KEY),
        (KEY + b"\n", KEY),
        (KEY + b"\r\n", KEY),
        (ENDS_LIKE_A_LINE, ENDS_LIKE_A_LINE),
        (base64.b64encode(KEY), KEY),
        (base64.b64encode(KEY) + b"\n", KEY),
        (b" " + base64.b64encode(KEY) + b" \r\n", KEY),
    ],
)
def test_accepted(tmp_path: Path, content: bytes, key: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert read_customer_key(path) == key


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hidden",
        b"hidden" * 1000,
        KEY[2:] + b"\n",
        base64.b64encode(b"hidden" * 3),
        base64.b64encode(KEY + b"hidden"),
        base64.b64encode(KEY).replace(b"=", b""),
        base64.b64encode(KEY)[:-2] + b"!=",
    ],
    ids=range(8),
)
def test_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(InvalidRequestError, match=str(path)) as caught:
        read_customer_key(path)
    line = caught.value.describe()
    assert "--sse-customer-key" in line
    assert "32 bytes" in line
    assert "base64" in line
    assert "hidden" not in line
    assert "\n" not in line


def test_unreadable(tmp_path: Path) -> None:
    for path, cause in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InvalidRequestError, match=cause) as caught:
            read_customer_key(path)
        assert str(path) in str(caught.value)
        assert "readable file" in caught.value.advice


def test_a_key_in_place_of_its_file_is_not_repeated(tmp_path: Path) -> None:
    text = base64.b64encode(KEY).decode()
    with pytest.raises(InvalidRequestError) as caught:
        read_customer_key(tmp_path / text)
    line = caught.value.describe()
    assert text not in line
    assert "not the key itself" in line


@pytest.mark.parametrize(
    "endpoint",
    ["https://s3.amazonaws.com", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost"],
)
def test_private_endpoints(endpoint: str) -> None:
    require_private_endpoint(endpoint)


@pytest.mark.parametrize("endpoint", ["http://minio:9000", "http://10.0.0.1", "http://localhost.x"])
def test_endpoints_where_others_listen(endpoint: str) -> None:
    with pytest.raises(InvalidRequestError, match=endpoint) as caught:
        require_private_endpoint(endpoint)
    assert "https://" in caught.value.advice
