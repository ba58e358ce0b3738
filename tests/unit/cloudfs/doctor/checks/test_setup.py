"""The check of options and packages, before any request."""

from __future__ import annotations

import os
import sys

import pytest

from cloudfs.doctor.findings import Result
from cloudfs.errors import ExitCode
from tests.contract.in_trio import in_trio
from tests.unit.cloudfs.doctor.examined import findings_of, unwell


@in_trio
async def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("cloudfs_backends.gcs")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    found = await findings_of("gs://bucket")
    assert unwell(found) == {"setup": Result.FAILURE}
    assert found["setup"].text.startswith("gs:// needs ")
    assert found["setup"].fix.endswith("pip install 'cloudfs-mount[gcs]'")
    assert found["setup"].exit_code is ExitCode.USAGE


@in_trio
async def test_an_option_of_another_cloud() -> None:
    found = await findings_of("gs://bucket", profile="lab")
    assert unwell(found) == {"setup": Result.FAILURE}
    assert all(word in found["setup"].text for word in ("--profile", "gs://"))
    assert found["setup"].exit_code is ExitCode.USAGE


@in_trio
async def test_a_credential_that_cannot_be_one() -> None:
    os.environ["AZURE_STORAGE_CONNECTION_STRING"] = "hunter2-is-no-connection-string"
    found = await findings_of("az://container")
    assert unwell(found) == {"setup": Result.FAILURE}
    assert "hunter2" not in repr(found)
    assert found["setup"].exit_code is ExitCode.CREDENTIALS
