from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.cli.conftest import Daemon, Run

Complete: TypeAlias = Callable[..., list[str]]

BASH = shutil.which("bash") or "bash"
DRIVER = r"""
eval "$SCRIPT"
compopt() { :; }
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_cloudfs_completion cloudfs
printf '%s\n' "${COMPREPLY[@]}"
"""
"""The steps of bash when the tab key is pressed; compopt works only then."""


@pytest.fixture
def complete(run: Run, environment: dict[str, str], tmp_path: Path) -> Complete:
    """Complete the last of some words with the script and the command that users have."""
    environment["XDG_CONFIG_HOME"] = str(tmp_path)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    script = run("completion", "bash").out

    def complete(*words: str) -> list[str]:
        done = subprocess.run(
            [BASH, "--norc", "-c", DRIVER, "bash", "cloudfs", *words],
            capture_output=True,
            check=False,
            text=True,
            env={**environment, "SCRIPT": script},
            timeout=30,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return complete


def test_bash_completes_verbs_options_and_values(complete: Complete) -> None:
    assert complete("um") == ["umount"]
    assert complete("config", "") == ["check", "show"]
    assert complete("mount", "--cache") == ["--cache-dir"]
    assert complete("config", "show", "--ev") == ["--eviction"]
    assert complete("mount", "--eviction", "") == ["epoch", "lru"]
    assert complete("completion", "") == ["bash", "zsh", "fish"]


def test_bash_completes_names_of_configurations(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "cloudfs").mkdir()
    for name in ("imagenet-zq.toml", "imagine-zq.toml", "imagenet-zq.toml~", ".imagenet-zq.toml"):
        (tmp_path / "cloudfs" / name).touch()
    assert complete("mount", "--config", "imagenet-z") == ["imagenet-zq"]
    assert complete("umount", "--config", "imag") == ["imagenet-zq", "imagine-zq"]
    assert complete("config", "check", "imagi") == ["imagine-zq"]


def test_bash_completes_mountpoints(complete: Complete, daemon: Daemon, mountpoint: Path) -> None:
    beginning = str(mountpoint)[:-1]
    assert complete("umount", beginning) == [""]
    with daemon("serving"):
        for verb in (["umount"], ["status"], ["warmup"], ["cache", "info"]):
            assert complete(*verb, beginning) == [str(mountpoint)]


def test_a_senseless_line_completes_to_nothing(complete: Complete) -> None:
    assert complete("xyzzy", "") == [""]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(run: Run, shell: str) -> None:
    done = run("completion", shell)
    assert (done.code, done.err) == (0, "")
    assert f"_CLOUDFS_COMPLETE={shell}_complete" in done.out
