"""Worlds: namespaces that run the commands of the pages with their literal paths.

A world is a mount, process and network namespace over a copy in memory of this machine's files
(`world.sh`), with a bucket on its loopback and nothing else to reach. The processes and mounts of
the commands end with it.
"""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.docs.bucket_server import ENDPOINT_URL, FILLED
from tests.docs.pages import ROOT, Page
from tests.support.environment import aws_environment, clean_environment
from tests.support.mounting import can_mount
from tests.support.server_process import first_line, server_process
from tests.support.systemd import why_not_booted

BUCKET: Final = "bucket"
MOUNTED: Final = "mounted"
CHECKOUT: Final = "checkout"
SYSTEMD: Final = "systemd"
WORLDS: Final = (BUCKET, MOUNTED, CHECKOUT, SYSTEMD)

TIME_LIMIT_S: Final = 120.0

_TIMED_OUT: Final = 124
_HOME: Final = Path("/root")
_BLOCK: Final = "@@ block "
_MOUNT: Final = "cloudfs mount s3://my-bucket/train /mnt/data --background"
_TRIED: Final = """
mount -t tmpfs none /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work none /mnt/root
"""
# Standard output and standard error are one file, so that the marks divide both.
_PRELUDE: Final = r"""exec 2>&1; trap 'printf "%s:%s: status %s\n" "$0" "$LINENO" "$?"' ERR"""


@dataclass(frozen=True)
class Outcome:
    """Result of the commands of a page: `output` is by the line of their block."""

    status: int
    text: str

    @property
    def output(self) -> dict[int, str]:
        parts = re.split(rf"^{_BLOCK}(\d+)\n", self.text, flags=re.MULTILINE)
        return {int(line): text for line, text in zip(parts[1::2], parts[2::2], strict=True)}


@functools.cache
def cannot_run(world: str) -> str | None:
    """Return why this machine cannot have such a world, None when it can."""
    if world == SYSTEMD:
        return why_not_booted()
    if os.geteuid() != 0:
        return "only root may make the namespaces"
    tried = subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--fork", "sh", "-euc", _TRIED],
        check=False,
        capture_output=True,
        text=True,
    )
    return can_mount() if tried.returncode == 0 else tried.stderr.strip()


def script(page: Page, world: str) -> str:
    """Return the commands of a page as one script of bash, in which every line has its own number.

    So the line numbers in messages of bash are those of the page.
    """
    lines = [""] * (len(page.lines) + 1)
    lines[0] = f"{_PRELUDE}; {_MOUNT}" if world == MOUNTED else _PRELUDE
    for block in page.of_world(world):
        assert block.line > 1, f"{page.name} has no heading"
        lines[block.line - 1] = f"echo '{_BLOCK}{block.line}'"
        commands = block.text.splitlines()
        lines[block.line : block.line + len(commands)] = commands
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Loopback:
    """A network namespace with the bucket in it."""

    process: subprocess.Popen[str]

    def refill(self) -> None:
        """Reset the bucket to the contents that every page starts with."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        first_line(self.process, FILLED)

    def run(self, command: Sequence[str | Path], env: Mapping[str, str], text: str = "") -> Outcome:
        """Run a command in the namespace, with `text` as its input, for at most `TIME_LIMIT_S`."""
        inside = ("nsenter", f"--net=/proc/{self.process.pid}/ns/net", *command)
        try:
            done = subprocess.run(
                ["setpriv", "--pdeathsig", "KILL", *inside],
                check=False,
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=TIME_LIMIT_S,
                env=env,
            )
        except subprocess.TimeoutExpired as expired:
            printed = (expired.stdout or b"").decode(errors="replace")
            return Outcome(_TIMED_OUT, f"{printed}\nnot ended after {TIME_LIMIT_S} s")
        return Outcome(done.returncode, done.stdout)


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Make a network namespace with the S3 server for the duration of the context."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.docs.bucket_server"]
    with server_process(command, {**clean_environment(), "PYTHONPATH": str(ROOT)}) as process:
        yield Loopback(process)


def run(page: Page, world: str, network: Loopback, folder: Path) -> Outcome:
    """Run all commands of a page that belong to `world`, in one shell of a world of its own.

    `folder` is an empty one to build the world in.
    """
    network.refill()
    commands = script(page, world)
    if world == SYSTEMD:
        boot = (sys.executable, "-m", "tests.docs.booted", folder, page.name)
        environ = {**clean_environment(), **_environment(_HOME), "PYTHONPATH": str(ROOT)}
        return network.run(boot, environ, commands)
    keep = dict.fromkeys((sys.base_prefix, str(ROOT)))
    return network.run(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("bash", Path(__file__).with_name("world.sh"), folder, *keep, "--"),
            *("bash", "-euc", commands, page.name),
        ],
        _environment(ROOT if world == CHECKOUT else _HOME),
    )


def not_printed(page: Page, world: str, outcome: Outcome) -> list[str]:
    """Return the lines that a page shows as output and that were not printed in this order.

    `...` stands for anything in a line, and alone for any lines.
    """
    missing = []
    for block in page.of_world(world):
        if (shown := page.output_of(block)) is not None:
            printed = iter(outcome.output[block.line].splitlines())
            for offset, line in enumerate(shown.text.splitlines(), start=1):
                if line.strip() != "..." and not any(_is_like(text, line) for text in printed):
                    missing.append(f"{page.name}:{shown.line + offset}: {line}\n{outcome.text}")
                    break
    return missing


def _is_like(printed: str, shown: str) -> bool:
    """Compare two lines, but for the width of gaps and `...`."""
    pattern = "*".join(_literal(part) for part in " ".join(shown.split()).split("..."))
    return fnmatch.fnmatchcase(" ".join(printed.split()), pattern)


def _literal(text: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def _environment(directory: Path) -> Mapping[str, str]:
    """Return the environment of a login shell of root, with that of the bucket."""
    programs = (str(Path(sys.executable).parent), "/usr/local/sbin", "/usr/local/bin")
    return {
        **aws_environment(),
        "AWS_ENDPOINT_URL": ENDPOINT_URL,
        "AWS_REGION": "us-east-1",
        "DOCS_FOLDER": str(directory),
        "HOME": str(_HOME),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join((*programs, "/usr/sbin", "/usr/bin", "/sbin", "/bin")),
        "TERM": "dumb",
        "USER": "root",
    }
