"""Asking the daemon of a mount, with whatever keeps it from answering as one line for people.

Every request has a time limit, and no mount is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cloudfs.control import server
from cloudfs.control.server import ControlError, NoDaemonError, NotPermittedError, RefusedError
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints

ANSWER_S_MAX: Final = 10.0
"""How long a daemon may take to answer, beside the time that it works for the answer."""

AS_OWNER: Final = "ask as root or as the user who mounted it"

WORK_S_MAX: Final = server.HANDLER_S_MAX
"""The longest that a daemon works for one answer."""


class Daemon:
    """The daemon of the mount at a canonical mountpoint."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._socket_path = server.find_socket(mountpoint)
        self._has_answered = False

    def ask(
        self, command: str, arguments: Mapping[str, object], *, work_s: float = WORK_S_MAX
    ) -> dict[str, Any]:
        """Return the daemon's answer, for which it may work `work_s`, or raise `UserError`."""
        if work_s and not self._has_answered:
            # One that hangs is found out without the time that the work may take.
            self._request("status", {}, ANSWER_S_MAX)
        return self._request(command, arguments, ANSWER_S_MAX + work_s)

    def _request(
        self, command: str, arguments: Mapping[str, object], timeout_s: float
    ) -> dict[str, Any]:
        if self._socket_path is None:
            message = f"the mount at {self.mountpoint} has no control socket that this user may see"
            raise UserError(ExitCode.TIMEOUT, f"{message}: {AS_OWNER}")
        try:
            answer = server.request(self._socket_path, command, arguments, timeout_s=timeout_s)
        except RefusedError as error:
            raise UserError(error.exit_code, f"{self.mountpoint}: {error}") from None
        except NoDaemonError:
            raise self._gone() from None
        except NotPermittedError as error:
            raise UserError(ExitCode.TIMEOUT, f"{error}: {AS_OWNER}") from None
        except ControlError as error:
            problem = f"the mount at {self.mountpoint} cannot be asked, {error}"
            fix = fix_of_silence(self.mountpoint)
            raise UserError(ExitCode.TIMEOUT, f"{problem}: {fix}") from None
        self._has_answered = True
        return answer

    def _gone(self) -> UserError:
        if mountpoints.mount_at(self.mountpoint) is None:
            message = f"the mount at {self.mountpoint} has ended: mount it again"
            return UserError(ExitCode.NOT_MOUNTED, message)
        problem = f"the process of the mount at {self.mountpoint} is gone"
        fix = f"clear it with 'cloudfs umount {self.mountpoint}' and mount it again"
        return UserError(ExitCode.FUSE, f"{problem}: {fix}")


def fix_of_silence(mountpoint: Path) -> str:
    """Return what can be done about a daemon that is there and does not answer."""
    pid = server.daemon_pid(mountpoint)
    if pid is not None and is_stopped(pid):
        return f"its process is stopped, let it go on with 'kill -CONT {pid}'"
    return f"look at its log, or end it with 'cloudfs umount {mountpoint}'"


def is_stopped(pid: int) -> bool:
    """Whether a process was stopped by a signal (or a debugger) and waits for SIGCONT."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # After the name of the program, which may hold anything.
            return stat.read().rpartition(")")[2].split()[0] in "tT"
    except OSError:
        return False
