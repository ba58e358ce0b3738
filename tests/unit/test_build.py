"""What a user installs: the wheel built from the sdist, in an environment without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300
IMPORT_ALL = """
import importlib, pkgutil, sys
names = []
for package in ("cloudfs", "cloudfs_cache", "cloudfs_backends", "cloudfs_benchmarks"):
    module = importlib.import_module(package)
    assert module.__file__.startswith(sys.prefix), module.__file__
    names += [found.name for found in pkgutil.walk_packages(module.__path__, package + ".")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""

pytestmark = pytest.mark.slow


def _run(*command: str | Path, cwd: Path) -> str:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    finished = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel built from it; the checkout's backend, no network."""
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel, and our dependencies beside it."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False, symlinks=True)
    binaries = folder / "bin"
    (wheel,) = dist.glob("*.whl")
    _run(
        *(sys.executable, "-m", "pip", "--python", binaries / "python", "install"),
        *("--quiet", "--no-deps", "--no-index", wheel),
        cwd=folder,
    )
    # A plain path line does not process the .pth files there, so the editable install stays away.
    scheme = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", vars=scheme))
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return binaries


def test_the_sdist_holds_what_the_repository_needs(dist: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.split("/", 1)[1] for name in tar.getnames() if "/" in name}
    wanted = {
        *("pyproject.toml", "README.md", "LICENSE", "Makefile", "cloudfs/__main__.py"),
        *("cache/cloudfs_cache/api.py", "backends/cloudfs_backends/api.py"),
        *("benchmarks/cloudfs_benchmarks/training/train.py", "cloudfs/py.typed"),
        *("scripts/cloudfs", "scripts/mount.cloudfs", "scripts/install.sh"),
        *("systemd/cloudfs@.service", "docs/man/cloudfs.1", "docs/examples/Containerfile"),
    }
    assert wanted <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(".venv")]


def test_every_module_imports_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert int(_run(installed / "python", "-c", IMPORT_ALL, cwd=tmp_path)) > 0


def test_the_commands_run_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    version = _run(
        installed / "python", "-c", "import cloudfs; print(cloudfs.__version__)", cwd=tmp_path
    )
    for name in ("cloudfs", "mount.cloudfs"):
        assert _run(installed / name, "--version", cwd=tmp_path) == f"{name} {version}"


def test_the_wheel_brings_manual_pages_and_units(installed: Path) -> None:
    share = installed.parent / "share"
    wanted = ("man/man1/cloudfs.1", "man/man8/mount.cloudfs.8", "cloudfs/systemd/cloudfs@.service")
    assert [path for path in wanted if not (share / path).is_file()] == []
