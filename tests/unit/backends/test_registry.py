"""Opening by URL: the right backend, nothing imported before it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloudfs_backends.api import InvalidRequestError
from cloudfs_backends.registry import open_store
from cloudfs_backends.url import UrlError
from tests.contract.in_trio import in_trio


@in_trio
async def test_open_and_read_a_folder(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789")
    store = open_store(f"file://{tmp_path}/")
    assert store.url == f"file://{tmp_path}"
    await store.probe()
    received = bytearray()
    await store.get_range("key", 2, 5, etag=None, sink=received.extend)
    assert received == b"234"
    assert store.statistics().operations["get"].received_bytes == 3
    await store.aclose()


def test_bad_url() -> None:
    with pytest.raises(UrlError):
        open_store("gs://bucket")


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("cloudfs_backends.s3")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(InvalidRequestError, match="obstore") as caught:
        open_store("s3://bucket")
    assert "pip install boto3 obstore" in caught.value.advice


def test_sdks_are_imported_for_their_scheme_only(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from cloudfs_backends.registry import open_store\n"
        f"open_store('file://{tmp_path}')\n"
        "assert not {'boto3', 'botocore', 'obstore'} & set(sys.modules), 'imported too early'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
