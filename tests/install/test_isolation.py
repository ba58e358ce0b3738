"""A user's PYTHONPATH, PYTHONHOME and working folder with modules of any name change nothing."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import clean_environment
from tests.support.mounting import can_mount, is_mounted

BIN = Path(sys.executable).parent
_HIJACK = "raise SystemExit('hijacked')\n"
_PACKAGES = ("encodings", "logging", "click", "trio", "cloudfs")

pytestmark = pytest.mark.skipif(not (BIN / "cloudfs").exists(), reason="cloudfs is not installed")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module for every name of the standard library and of what is installed."""
    folder = tmp_path_factory.mktemp("hostile")
    names = {*sys.stdlib_module_names, *importlib.metadata.packages_distributions()}
    names |= {"sitecustomize", "usercustomize"}
    for name in filter(str.isidentifier, names):
        (folder / f"{name}.py").write_text(_HIJACK)
    for name in _PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(_HIJACK)
    return folder


@pytest.fixture
def environ(hostile: Path, tmp_path: Path) -> dict[str, str]:
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    return {
        **clean_environment(),
        "PYTHONPATH": str(hostile),
        "PYTHONSTARTUP": str(hostile / "os.py"),
        "PYTHONHOME": str(hostile),
        "RUNTIME_DIRECTORY": str(runtime),
        "CLOUDFS_LOG_FILE": str(tmp_path / "log"),
        "CLOUDFS_CACHE_DIR": str(tmp_path / "cache"),
        "CLOUDFS_MIN_FREE_SPACE": "1MiB",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "bucket"
    path.mkdir()
    (path / "f").write_bytes(b"1")
    return path


@pytest.fixture
def mountpoint(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mnt"
    path.mkdir()
    yield path
    if is_mounted(path):
        subprocess.run(["fusermount3", "-uz", path], check=True)


def run(
    command: str, *arguments: str | Path, cwd: Path, environ: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command, *arguments],
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_folder_is_hostile(hostile: Path, environ: dict[str, str]) -> None:
    """The other tests prove something: without isolation nothing works."""
    del environ["PYTHONHOME"]
    for command in (["-m", "cloudfs"], ["-c", "import cloudfs"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=hostile, env=environ, capture_output=True, check=False
        )
        assert b"hijacked" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["cloudfs --version", "cloudfs status", "cloudfs bench --help", "mount.cloudfs --version"],
)
def test_a_command(hostile: Path, environ: dict[str, str], command: str) -> None:
    name, *arguments = command.split()
    done = run(name, *arguments, cwd=hostile, environ=environ)
    assert done.returncode == 0, done.stderr
    assert "hijacked" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(can_mount() is not None, reason=str(can_mount()))
@pytest.mark.parametrize("helper", [False, True], ids=["mount", "mount.cloudfs"])
def test_a_mount(
    hostile: Path, environ: dict[str, str], folder: Path, mountpoint: Path, helper: bool
) -> None:
    url = f"file://{folder}"
    if helper:
        started = run("mount.cloudfs", url, mountpoint, cwd=hostile, environ=environ)
    else:
        arguments = ("mount", url, mountpoint, "--background")
        started = run("cloudfs", *arguments, cwd=hostile, environ=environ)
    assert (started.returncode, started.stderr) == (0, "")
    assert (mountpoint / "f").read_bytes() == b"1"
    ended = run("cloudfs", "umount", mountpoint, cwd=hostile, environ=environ)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.slow
def test_children_of_the_benchmarks(hostile: Path, environ: dict[str, str], tmp_path: Path) -> None:
    """`bench` reads and trains in processes of their own, some of them spawned."""
    target, out = tmp_path / "target", tmp_path / "out"
    target.mkdir()
    size = ("--size", "8MiB", "--trials", "1", "--compute-time", "1ms", "--loader", "pool")
    suites = ("--suite", "quick", "--suite", "training", "--epochs", "1")
    arguments = ("bench", "run", "--target", f"a={target}", *size, *suites, "--out", out)
    done = run("cloudfs", *arguments, cwd=hostile, environ=environ)
    assert done.returncode == 0, done.stderr
    logs = [path.read_text(errors="replace") for path in out.rglob("*.log")]
    assert not [text for text in (done.stdout, done.stderr, *logs) if "hijacked" in text]


@pytest.fixture
def launchers(tmp_path: Path) -> Path:
    """The launchers in a folder with a blank in its name, beside an interpreter that shows how it
    was called and ends with 7."""
    folder = tmp_path / "a bin"
    folder.mkdir()
    for name in ("cloudfs", "mount.cloudfs"):
        (folder / name).write_bytes((BIN / name).read_bytes())
        (folder / name).chmod(0o755)
    python = folder / "python"
    python.write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 7\n")
    python.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "module"),
    [("cloudfs", "cloudfs"), ("mount.cloudfs", "cloudfs.cli.mount_helper")],
)
@pytest.mark.parametrize("how", ["path", "link", "searched", "in the folder", "shell"])
def test_the_launcher_passes_everything_on(
    launchers: Path, tmp_path: Path, name: str, module: str, how: str
) -> None:
    given = ["a b", "", "$HOME", "'\"", "*"]
    link = tmp_path / "link"
    link.symlink_to(launchers / name)
    environ: dict[str, str] = {}
    start: list[str | Path] = [launchers / name]
    if how == "link":
        start = [link]
        environ = {"PATH": ""}
    elif how == "searched":
        start = ["/usr/bin/env", name]
        environ = {"PATH": f"{launchers}:/usr/bin"}
    elif how == "in the folder":
        start = [f"./{name}"]
    elif how == "shell":
        start = ["/bin/sh", name]
    done = subprocess.run(
        [*start, *given], cwd=launchers, env=environ, capture_output=True, text=True, check=False
    )
    shown = "".join(f"<{part}>" for part in ["-I", "-m", module, *given])
    assert (done.returncode, done.stdout, done.stderr) == (7, shown, "")


def test_the_launcher_is_replaced_by_the_interpreter(launchers: Path) -> None:
    """A signal to the process, as systemd sends it, reaches cloudfs itself."""
    (launchers / "python").write_text("#!/bin/sh\necho $$\nread line\n")
    with subprocess.Popen(
        [launchers / "cloudfs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid


def test_the_installed_launchers_are_those_of_the_checkout() -> None:
    scripts = Path(__file__).parents[2] / "scripts"
    for name in ("cloudfs", "mount.cloudfs"):
        assert os.access(scripts / name, os.X_OK)
        assert (BIN / name).read_bytes() == (scripts / name).read_bytes()
    texts = [(scripts / name).read_text() for name in ("cloudfs", "mount.cloudfs")]
    ours, helper = ([line for line in text.splitlines() if line[:1] != "#"] for text in texts)
    assert [line.replace(".cli.mount_helper", "") for line in helper] == ours
