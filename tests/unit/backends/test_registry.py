"""Opening by URL: the right backend, the right options, nothing imported before it is needed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cloudfs_backends.api import StoreOptions
from cloudfs_backends.common.introspection import StoreInspector
from cloudfs_backends.errors import InvalidRequestError, UnavailableError
from cloudfs_backends.registry import open_inspector, open_store
from cloudfs_backends.url import UrlError
from tests.contract.in_trio import in_trio
from tests.support.environment import clean_environment

S3_SDKS = ("boto3", "botocore")
OTHER_SDKS = ("google", "azure")


def _run(*lines: str) -> str:
    """Run a program of its own, whose imports are then known, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        check=True,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def _assert_not_imported(*packages: str) -> str:
    return f"import sys; early = set({packages!r}) & set(sys.modules); assert not early, early"


@in_trio
async def test_open_and_read_a_folder(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789")
    store = open_store(f"file://{tmp_path}/")
    assert store.url == store.identity == f"file://{tmp_path}"
    await store.probe()
    received = bytearray()
    await store.get_range("key", 2, 5, etag=None, sink=received.extend)
    assert received == b"234"
    assert store.statistics().operations["get"].received_bytes == 3
    await store.aclose()


def _interrupted(_: object) -> os.stat_result:
    raise OSError(errno.EIO, "I/O error")


@in_trio
async def test_the_inspector_asks_once(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"")
    store: StoreInspector = open_inspector(f"file://{tmp_path}")
    assert store.endpoint is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "stat", _interrupted)
        with pytest.raises(UnavailableError) as caught:
            await store.head("key")
    assert caught.value.attempts == 1
    assert store.statistics().operations["head"].retries == 0


def test_bad_url() -> None:
    with pytest.raises(UrlError):
        open_store("ftp://bucket")


class TestOptions:
    @pytest.mark.parametrize(
        ("url", "options", "flag", "takers"),
        [
            ("gs://bucket", StoreOptions(region="r"), "--region", "s3://"),
            ("az://cont", StoreOptions(profile="p"), "--profile", "s3://"),
            ("az://cont", StoreOptions(requester_pays=True), "--requester-pays", "s3://"),
            ("gs://bucket", StoreOptions(sse_customer_key=Path("k")), "--sse-customer-key", "s3:"),
            ("s3://bucket", StoreOptions(user_project="p"), "--user-project", "gs://"),
            ("az://cont", StoreOptions(user_project="p"), "--user-project", "gs://"),
            ("s3://bucket", StoreOptions(azure_account="a"), "--azure-account", "az://"),
            ("file:///", StoreOptions(endpoint_url="http://h"), "--endpoint-url", "s3:// or gs://"),
            ("file:///", StoreOptions(no_sign_request=True), "--no-sign-request", "az://"),
        ],
    )
    def test_one_that_means_nothing_is_refused(
        self, url: str, options: StoreOptions, flag: str, takers: str
    ) -> None:
        with pytest.raises(InvalidRequestError, match=flag) as caught:
            open_store(url, options)
        scheme = url.partition("//")[0]
        assert f"means nothing for {scheme}//" in str(caught.value)
        assert takers in caught.value.advice
        assert scheme not in caught.value.advice

    def test_common_ones_are_for_all(self, tmp_path: Path) -> None:
        open_store(f"file://{tmp_path}", StoreOptions(max_downloads=3, read_timeout_s=1.0))

    def test_no_anonymous_payer(self) -> None:
        options = StoreOptions(requester_pays=True, no_sign_request=True)
        with pytest.raises(InvalidRequestError, match="--requester-pays") as caught:
            open_store("s3://bucket", options)
        assert "--no-sign-request" in caught.value.advice


class TestPackages:
    @pytest.mark.parametrize(
        ("url", "package", "extra"),
        [("gs://bucket", "google", "gcs"), ("az://cont", "azure", "azure")],
    )
    def test_a_missing_extra_says_what_to_install(self, url: str, package: str, extra: str) -> None:
        printed = _run(
            "import sys",
            f"sys.modules[{package!r}] = None",
            "from cloudfs_backends.errors import InvalidRequestError",
            "from cloudfs_backends.registry import open_store",
            "try:",
            f"    open_store({url!r})",
            "except InvalidRequestError as error:",
            "    print(error)",
            "    print(error.advice)",
        )
        message, advice = printed.splitlines()
        assert url.partition("//")[0] in message
        assert package in message
        assert advice == f"install them: pip install 'cloudfs-mount[{extra}]'"

    def test_a_missing_part_of_the_base_is_no_mistake_of_the_user(self) -> None:
        printed = _run(
            "import sys",
            "sys.modules['boto3'] = None",
            "from cloudfs_backends.registry import open_store",
            "try:",
            "    open_store('s3://bucket')",
            "except ImportError as error:",
            "    print(error.name)",
        )
        assert printed == "boto3\n"

    def test_the_command_line_and_a_folder_import_no_sdk(self, tmp_path: Path) -> None:
        _run(
            "import cloudfs.cli.commands.mount, cloudfs.daemon.lifecycle",
            "from cloudfs_backends.registry import open_store",
            f"open_store('file://{tmp_path}')",
            _assert_not_imported(*S3_SDKS, "obstore", *OTHER_SDKS),
        )

    def test_s3_imports_no_other_cloud(self) -> None:
        _run(
            "from cloudfs_backends.registry import open_store",
            "open_store('s3://bucket')",
            _assert_not_imported(*OTHER_SDKS),
        )

    @pytest.mark.parametrize(
        ("url", "others"), [("gs://bucket", ("azure",)), ("az://cont", ("google",))]
    )
    def test_the_other_clouds_import_neither_boto_nor_each_other(
        self, url: str, others: tuple[str, ...]
    ) -> None:
        _run(
            "from cloudfs_backends.api import StoreOptions",
            "from cloudfs_backends.errors import StoreError",
            "from cloudfs_backends.registry import open_store",
            "try:",
            f"    open_store({url!r}, StoreOptions(no_sign_request=True))",
            "except StoreError:",
            "    pass",
            _assert_not_imported(*S3_SDKS, *others),
        )
