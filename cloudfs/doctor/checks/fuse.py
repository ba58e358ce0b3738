"""The checks of FUSE for this user: the device, the library, fusermount3 and fuse.conf.

Nothing is mounted.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

import trio

from cloudfs.doctor.context import Context
from cloudfs.doctor.findings import Finding, failure, ok, skipped, user_error, warning
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints

DEVICE: Final = Path("/dev/fuse")
CONFIGURATION: Final = Path("/etc/fuse.conf")
MOUNTS_MAX: Final = 1000
"""The default of `mount_max` in fuse.conf."""

_VERSION_S_MAX: Final = 5.0
_MOUNTS_LEFT_MIN: Final = 10
_CONTAINER: Final = "start the container with '--device /dev/fuse --cap-add SYS_ADMIN'"
_OPEN_PROBLEMS: Final = {
    errno.ENOENT: ("is missing", f"run 'modprobe fuse', or {_CONTAINER}"),
    errno.EACCES: ("may not be opened by this user", f"as root: chmod 666 {DEVICE}"),
    errno.EPERM: ("is closed to this container or service", f"{_CONTAINER}; in a unit of systemd"
                  f" write DeviceAllow={DEVICE} rw"),
    errno.ENODEV: ("has no driver", "load it as root: modprobe fuse"),
    errno.ENXIO: ("has no driver", "load it as root: modprobe fuse"),
}  # fmt: skip


async def fuse(_: Context) -> Finding:
    """Open the device, load the library, and check that root may mount."""
    return await trio.to_thread.run_sync(_fuse, abandon_on_cancel=True)


def _fuse() -> Finding:
    try:
        # Nothing is mounted on the descriptor: closing it leaves no trace in the kernel.
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        unknown = (f"cannot be opened: {error.strerror}", "see 'dmesg'")
        problem, fix = _OPEN_PROBLEMS.get(error.errno or 0, unknown)
        return failure(ExitCode.FUSE, f"{DEVICE} {problem}", fix, device=str(DEVICE))
    try:
        import pyfuse3  # noqa: PLC0415 - it loads a library that may be missing
    except ImportError as error:
        text = f"the FUSE library cannot be loaded: {error}"
        return failure(ExitCode.FUSE, text, "as root: apt-get install libfuse3-3 fuse3")
    facts = {"device": str(DEVICE), "pyfuse3": pyfuse3.__version__}
    if os.geteuid() == 0:
        try:
            mountpoints.check_fuse(allow_other=False)
        except UserError as error:
            return user_error(error, **facts)
    return ok(f"{DEVICE} can be opened, pyfuse3 {pyfuse3.__version__}", **facts)


async def fusermount(_: Context) -> Finding:
    """Check the program that mounts for users who are not root."""
    return await trio.to_thread.run_sync(_fusermount, abandon_on_cancel=True)


def _fusermount() -> Finding:
    program = shutil.which("fusermount3")
    is_root = os.geteuid() == 0
    if program is None:
        if is_root:
            return ok("not installed, and not needed by root", path=None, version=None)
        fix = "as root: apt-get install fuse3"
        return failure(ExitCode.FUSE, "fusermount3 is not installed", fix, path=None)
    version = _version(program)
    facts = {"path": program, "version": version}
    if not is_root and (problem := _setuid_problem(program)):
        return failure(ExitCode.FUSE, f"{program} {problem[0]}", problem[1], **facts)
    use = "not needed by root" if is_root else "setuid root"
    return ok(f"{program} {version or 'of an unknown version'}, {use}", **facts)


def _version(program: str) -> str | None:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            check=False,
            timeout=_VERSION_S_MAX,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+(\.\d+)+", os.fsdecode(done.stdout))
    return match and match[0]


def _setuid_problem(program: str) -> tuple[str, str] | None:
    """Return why the program does not become root when it is started, and the fix."""
    status = os.stat(program)
    if status.st_uid != 0 or not status.st_mode & stat.S_ISUID:
        path = os.path.realpath(program)
        return "is not setuid root", f"as root: chown root {path}; chmod u+s {path}"
    if os.statvfs(program).f_flag & os.ST_NOSUID:
        return "is on a file system mounted nosuid", "install it on one without nosuid"
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        if re.search(r"^NoNewPrivs:\s*1", file.read(), re.MULTILINE):
            return (
                "cannot become root: new privileges are forbidden here",
                "leave NoNewPrivileges and what implies it out of the unit, or"
                " allowPrivilegeEscalation: false out of the pod",
            )
    return None


async def fuse_conf(context: Context) -> Finding:
    """Compare fuse.conf with --allow-other and the number of mounts, unless this is root."""
    await trio.lowlevel.checkpoint()
    asked = context.settings.allow_other
    if os.geteuid() == 0:
        who = "every user reads the mount" if asked else "only root reads the mount"
        more = "" if asked else " (others: --allow-other)"
        return skipped(f"not needed by root; {who}{more}")
    try:
        text = CONFIGURATION.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    return judge_configuration(text, len(_fuse_mounts()), allow_other=asked)


def judge_configuration(text: str, mounts: int, *, allow_other: bool) -> Finding:
    """Return the finding for the text of fuse.conf and the number of FUSE mounts."""
    lines = [line.strip() for line in text.splitlines()]
    permitted = "user_allow_other" in lines
    limits = [match[1] for line in lines if (match := re.fullmatch(r"mount_max = (\d+)", line))]
    most = int(limits[-1]) if limits else MOUNTS_MAX
    facts = {"user_allow_other": permitted, "mount_max": most, "fuse_mounts": mounts}
    if allow_other and not permitted:
        fix = f"as root: echo user_allow_other >> {CONFIGURATION}"
        problem = "--allow-other is not permitted to this user"
        return failure(ExitCode.FUSE, problem, fix, **facts)
    if mounts + _MOUNTS_LEFT_MIN > most:
        fix = f"as root, write 'mount_max = {most * 10}' into {CONFIGURATION}"
        problem = f"{mounts} FUSE mounts are made, and {most} are permitted"
        return warning(problem, fix, **facts)
    who = "others may be let in" if permitted else "only this user can read the mount"
    return ok(f"{who}, up to {most} FUSE mounts", **facts)


def _fuse_mounts() -> list[mountpoints.Mount]:
    return [mount for mount in mountpoints.mounts() if mount.is_fuse]
