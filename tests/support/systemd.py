"""A booted systemd in namespaces of its own, over the files of this machine.

It is the first process of its namespaces (processes, mounts, host name, control groups) and sees
this machine's files through an overlay that discards what is written. The network is the
machine's: servers on loopback are reached from inside. Needs root and a cgroup2 file system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.support.mounting import can_mount, wait_until

CHECKOUT = Path(__file__).parents[2]

_SYSTEMD = "/lib/systemd/systemd"
_BOOT = Path(__file__).with_name("boot.sh")
_NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--cgroup")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BOOT_S = 60.0
_END_S = 10.0
_COMMAND_S = 60.0


def why_not_booted() -> str | None:
    """Return why this machine cannot boot one, or None when it can."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("unshare", "nsenter", "setpriv") if shutil.which(name) is None]
    if not os.access(_SYSTEMD, os.X_OK):
        missing.append("systemd")
    if missing:
        return f"not installed: {', '.join(missing)}"
    if _own_group() is None:
        return "no cgroup2 file system that can be written"
    tried = subprocess.run(
        ["unshare", "--fork", *_NAMESPACES, "true"], capture_output=True, text=True, check=False
    )
    return can_mount() if tried.returncode == 0 else tried.stderr.strip()


@dataclass(frozen=True, slots=True)
class Machine:
    """A booted systemd. `pid` is its first process as this machine counts; `folder` is at the same
    path inside and outside, and what is written there is seen by both. The checkout is there too,
    read-only, and `cloudfs` is on the PATH.
    """

    pid: int
    folder: Path

    def run(
        self,
        *command: str,
        timeout_s: float = _COMMAND_S,
        env: Mapping[str, str] | None = None,
        check: bool = True,
        text: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside to its end, as root in `/`, with `text` as its input.

        With `check`, a failure is an AssertionError with its output. Its environment has PATH, HOME
        and the variables of `env` only.
        """
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--all", "--", *command],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            env={"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", **(env or {})},
            input=text if text is not None else "",
        )
        if check and done.returncode:
            shown = f"{done.stdout}{done.stderr}"
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{shown}")
        return done

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit, as `systemctl show` has it."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def journal(self, unit: str, *options: str) -> str:
        """Return the messages of a unit that the journal has by now, one per line."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "-u", unit, "-o", "cat", "--no-pager", *options).stdout


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot a systemd and wait until it is up; everything of it is gone afterwards.

    `folder` has to exist, and be on a disk: it holds the caches too.
    """
    reason = why_not_booted()
    assert reason is None, reason
    own = _own_group()
    assert own is not None
    group = own / f"cloudfs-test-{os.getpid()}"
    group.mkdir()
    try:
        with open(folder / "boot.log", "wb") as log, _started(folder, group, log.fileno()) as pid:
            machine = Machine(pid, folder)
            _wait_until_up(machine)
            yield machine
    finally:
        _remove_group(group)


@contextmanager
def _started(folder: Path, group: Path, log: int) -> Iterator[int]:
    """Start the first process in its namespaces, and kill all of them on the way out."""
    inside = ["bash", str(_BOOT), str(folder), str(CHECKOUT), os.path.dirname(sys.executable)]
    unshare = ["unshare", "--fork", "--kill-child", *_NAMESPACES, "--", *inside]
    enter = f'echo $$ >{group}/cgroup.procs && exec setpriv --pdeathsig KILL -- "$@"'
    process = subprocess.Popen(
        ["sh", "-c", enter, "sh", *unshare], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    children: Sequence[int] = ()
    try:
        wait_until(lambda: _children(process.pid), _BOOT_S, "nothing was started")
        children = _children(process.pid)
        yield children[0]
    finally:
        process.kill()
        process.wait(_END_S)
        for pid in children:
            wait_until(partial(_is_gone, pid), _END_S, "systemd lives on")


def _wait_until_up(machine: Machine) -> None:
    def up() -> bool:
        assert os.path.exists(f"/proc/{machine.pid}"), _boot_log(machine.folder)
        asked = machine.run("systemctl", "is-system-running", check=False)
        return asked.stdout.strip() in {"running", "degraded"}

    try:
        wait_until(up, _BOOT_S, "systemd is not up")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_boot_log(machine.folder)}") from None


def _boot_log(folder: Path) -> str:
    return (folder / "boot.log").read_text(errors="replace")


def _children(pid: int) -> Sequence[int]:
    with suppress(OSError):
        path = Path(f"/proc/{pid}/task/{pid}/children")
        return [int(child) for child in path.read_text().split()]
    return []


def _is_gone(pid: int) -> bool:
    return not os.path.exists(f"/proc/{pid}")


def _own_group() -> Path | None:
    """This process's group in the cgroup2 file system, which may be beside older hierarchies."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        found = [line.split()[4] for line in table if " - cgroup2 " in line]
    with open("/proc/self/cgroup", encoding="utf-8") as table:
        own = [line.strip().removeprefix("0::") for line in table if line.startswith("0::")]
    if not found or not own:
        return None
    group = Path(found[0] + own[0])
    # In a container the path may be the host's, of which the mount shows a part.
    group = group if group.is_dir() else Path(found[0])
    return group if os.access(group, os.W_OK) else None


def _remove_group(group: Path) -> None:
    """Remove a control group and those below; the kernel may still be counting the dead."""
    deadline = time.monotonic() + _END_S
    for path in [*sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True), group]:
        while True:
            try:
                path.rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
