"""The wheel of this checkout, as installers of users get it, less what is only in an index."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel without its requirements, which nothing may fetch here: see `lend_packages`."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.whl")
    stripped = folder / "stripped" / built.name
    stripped.parent.mkdir()
    with zipfile.ZipFile(built) as source, zipfile.ZipFile(stripped, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith(".dist-info/METADATA"):
                lines = data.decode().splitlines(keepends=True)
                data = "".join(x for x in lines if not x.startswith("Requires-Dist:")).encode()
            target.writestr(entry, data)
    return stripped


def lend_packages(environment: Path) -> None:
    """Let a virtual environment use the packages that the tests have, but not the checkout."""
    scheme = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    # The .pth files there are not processed, so the editable install stays away.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
