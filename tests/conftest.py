"""What no test may leave behind: mounts, threads, descriptors, and warnings nobody expected.

Warnings of Python itself (un-awaited coroutines, unclosed files) are errors by pyproject.toml.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support import worker
from tests.support.environment import replace_environment, without_credentials

if TYPE_CHECKING:
    from tests.support.azure import AzureServer
    from tests.support.gcs import GcsServer
    from tests.support.stores import S3Server

_LOGGERS = ("cloudfs", "cloudfs_cache", "cloudfs_backends")
# Trio keeps worker threads for ten seconds; botocore, hypothesis and fonts keep a few descriptors.
_IDLE_THREADS = "Trio thread"
_DESCRIPTORS_SPARE = 8
# Whole modules that `make check` leaves out: together they take most of the time of `make test`.
_SLOW = (
    "tests/cli/test_doctor.py",
    "tests/cli/test_umount.py",
    "tests/contract/test_azure_faults.py",
    "tests/contract/test_azure_identity.py",
    "tests/contract/test_azure_login.py",
    "tests/contract/test_gcs_faults.py",
    "tests/contract/test_gcs_identity.py",
    "tests/contract/test_s3_faults.py",
    "tests/contract/test_s3_features.py",
    "tests/contract/test_s3_identity.py",
    "tests/contract/test_s3_route.py",
    "tests/contract/test_served_dialects.py",
    "tests/demo/",
    "tests/fuse/test_directories.py",
    "tests/fuse/test_faults.py",
    "tests/fuse/test_freshness.py",
    "tests/fuse/test_generations.py",
    "tests/fuse/test_libraries.py",
    "tests/fuse/test_lifecycle.py",
    "tests/fuse/test_policies.py",
    "tests/fuse/test_sharing.py",
    "tests/fuse/test_startup.py",
    "tests/fuse/test_tiers.py",
    "tests/unit/backends/test_s3_session.py",
    "tests/unit/benchmarks/",
    "tests/unit/doctor/test_s3_checks.py",
    "tests/unit/support/",
)

# A shell that starts the tests in the background ignores SIGINT in them, and in all they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Before any SDK is imported: google-auth looks once, and mounted daemons inherit it.
replace_environment(without_credentials(os.environ))


if worker.is_worker():
    worker.have_mounts_of_its_own()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow modules, and those that stay together."""
    for item in items:
        if item.nodeid.startswith(_SLOW):
            item.add_marker("slow")
        if worker.is_worker():
            item.add_marker(pytest.mark.xdist_group(worker.group_of(item.nodeid.split("::")[0])))


# One server of each cloud for all tests, which have buckets of their own.


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """An S3 server in a process of its own."""
    from tests.support import stores  # noqa: PLC0415 - most tests need none of the SDKs

    with stores.s3_server() as running:
        yield running


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[GcsServer]:
    """An emulator of Google Cloud Storage in a process of its own."""
    from tests.support import gcs  # noqa: PLC0415 - as above

    with gcs.gcs_server() as running:
        yield running


@pytest.fixture(scope="session")
def azure_server() -> Iterator[AzureServer]:
    """Azurite in a process of its own; tests are skipped where it is not installed."""
    from tests.support import azure  # noqa: PLC0415 - as above

    azure.need_azurite()
    with azure.azure_server() as running:
        yield running


def _mounts(below: str) -> set[str]:
    """The mounts of this test run: other runs of the machine have their own folders."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        paths = {line.split()[4] for line in table if " fuse.cloudfs " in line}
    return {path for path in paths if path.startswith(below)}


def _threads() -> set[threading.Thread]:
    return {t for t in threading.enumerate() if not t.name.startswith(_IDLE_THREADS)}


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def nothing_left_behind(
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Fail the test that leaks, or logs a warning without asserting anything about the log.

    A test that takes `caplog` itself has read the log and answers for it.
    """
    folder = str(tmp_path_factory.getbasetemp())
    mounts, threads, descriptors = _mounts(folder), _threads(), _descriptors()
    yield
    unexpected = [
        record.getMessage()
        for record in caplog.get_records("call")
        if record.levelno >= logging.WARNING and record.name.split(".")[0] in _LOGGERS
    ]
    if "caplog" not in _asked_for(request):
        assert unexpected == []
    assert _mounts(folder) <= mounts
    leaked = {t for t in _threads() - threads if t.is_alive() and not t.daemon}
    assert leaked == set()
    if _descriptors() > descriptors + _DESCRIPTORS_SPARE:
        gc.collect()
        assert _descriptors() <= descriptors + _DESCRIPTORS_SPARE


def _asked_for(request: pytest.FixtureRequest) -> set[str]:
    """The fixtures in the test's own signature (this fixture itself takes `caplog`)."""
    function = getattr(request.node, "function", None)
    code = getattr(function, "__code__", None)
    return set(code.co_varnames[: code.co_argcount]) if code is not None else set()
