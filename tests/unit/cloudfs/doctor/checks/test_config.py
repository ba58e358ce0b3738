"""The check of the configuration file and of the variables."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudfs.config.settings import resolve
from cloudfs.doctor.checks.config import config
from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Result
from tests.contract.in_trio import in_trio


def context(file: Path | None = None, **environ: str) -> Context:
    flags = {} if file is None else {"config": str(file)}
    return Context(resolve(None, None, flags=flags, required=()), environ)


@in_trio
async def test_without_a_file() -> None:
    (found,) = await config(context())
    assert found.result is Result.SKIPPED


@pytest.mark.parametrize("text", ["region = 'x'\n", "[[policy]]\nmatch = '*'\npin = true\n"])
@in_trio
async def test_a_file_of_options_or_of_policies(tmp_path: Path, text: str) -> None:
    file = tmp_path / "data.toml"
    file.write_text(text)
    file.chmod(0o644)
    (found,) = await config(context(file))
    assert (found.result, found.facts) == (Result.OK, {"files": [str(file)]})
    file.chmod(0o666)
    (found,) = await config(context(file))
    assert (found.result, found.facts) == (Result.WARNING, {"files": [str(file)]})
    assert f"chmod go-w {file}" in found.fix


@in_trio
async def test_an_unknown_variable() -> None:
    (found,) = await config(context(CLOUDFS_REGOIN="x"))
    assert found.result is Result.WARNING
    assert "CLOUDFS_REGOIN" in found.text
    assert "CLOUDFS_REGION" in found.fix
