"""`uv tool install` and `make install`, each into folders of its own and without a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cloudfs import __version__
from tests.install.conftest import ROOT, lend_packages

DISTRIBUTION = "cloudfs-mount"
UV = Path(sys.executable).with_name("uv")

pytestmark = pytest.mark.slow


def run(*command: str | Path, environ: dict[str, str]) -> str:
    done = subprocess.run(
        command,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not UV.exists(), reason="uv is not installed")
def test_uv_tool_install_exposes_both_commands(wheel: Path, tmp_path: Path) -> None:
    binaries = tmp_path / "a bin"
    environ = {
        "HOME": str(tmp_path),
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(binaries),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_NO_CONFIG": "1",
    }
    run(UV, "tool", "install", "--offline", "--python", sys.executable, wheel, environ=environ)
    tool = tmp_path / "tools" / DISTRIBUTION
    lend_packages(tool)
    for name in ("cloudfs", "mount.cloudfs"):
        assert (binaries / name).is_symlink()
        assert run(binaries / name, "--version", environ={}) == f"{name} {__version__}\n"
    for path in ("share/cloudfs/systemd/cloudfs@.service", "share/man/man1/cloudfs.1"):
        assert (tool / path).exists()
    run(UV, "tool", "uninstall", DISTRIBUTION, environ=environ)
    assert list(binaries.iterdir()) == []


def files_below(folder: Path) -> set[str]:
    """Every file and link, but for the insides of the virtual environment."""
    home = folder / "usr/lib/cloudfs"
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not path.is_relative_to(home) and (path.is_symlink() or path.is_file())
    }


def test_make_install_and_uninstall(wheel: Path, tmp_path: Path) -> None:
    """Into a folder that stands for /, twice; files of other programs stay."""
    root = tmp_path / "a root"
    other = root / "usr/bin/other"
    other.parent.mkdir(parents=True)
    other.write_text("of another program")
    environ = {
        "PACKAGE": str(wheel),
        "PYTHON": sys.executable,
        "PIP_NO_INDEX": "1",
        "HOME": str(tmp_path),
    }
    make = ("make", "--no-print-directory", "-C", ROOT, "PREFIX=/usr", f"DESTDIR={root}")
    environment = root / "usr/lib/cloudfs"
    make_environment(environment)
    run(*make, "install", environ=environ)
    first = files_below(root)
    run(*make, "install", environ=environ)
    assert files_below(root) == first
    assert {
        *("usr/bin/cloudfs", "sbin/mount.cloudfs", "usr/lib/systemd/system/cloudfs@.service"),
        *("usr/lib/systemd/system/cloudfs.target", "usr/lib/systemd/user/cloudfs@.service"),
        *("usr/share/bash-completion/completions/cloudfs", "usr/share/zsh/site-functions/_cloudfs"),
        *("usr/share/fish/vendor_completions.d/cloudfs.fish",),
        *("usr/share/man/man1/cloudfs.1", "usr/share/man/man8/mount.cloudfs.8"),
        *("usr/share/doc/cloudfs/examples/daemonset.yaml",),
    } <= first
    assert os.readlink(root / "usr/bin/cloudfs") == "/usr/lib/cloudfs/bin/cloudfs"
    assert os.readlink(root / "sbin/mount.cloudfs") == "/usr/lib/cloudfs/bin/mount.cloudfs"
    version = run(environment / "bin/cloudfs", "--version", environ={})
    assert version == f"cloudfs {__version__}\n"
    run(*make, "uninstall", environ=environ)
    assert files_below(root) == {"usr/bin/other"}
    assert not environment.exists()
    run(*make, "uninstall", environ=environ)


def make_environment(folder: Path) -> None:
    """The environment of the first installation, made beforehand to lend packages to it."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    lend_packages(folder)


def test_uninstall_leaves_alone_what_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/cloudfs").mkdir(parents=True)
    (tmp_path / "usr/lib/cloudfs/precious").write_text("mine")
    command = [shutil.which("make") or "make", "-C", ROOT, "PREFIX=/usr", f"DESTDIR={tmp_path}"]
    done = subprocess.run(
        [*command, "uninstall"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "is not what this script made" in done.stderr
    assert (tmp_path / "usr/lib/cloudfs/precious").exists()
