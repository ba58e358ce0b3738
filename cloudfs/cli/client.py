"""The daemon of a mount as the commands ask it: every failure is one line for the user.

Every request has a time limit, and no mount is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cloudfs.control import client, sockets
from cloudfs.control.protocol import (
    HANDLER_S_MAX,
    ArgumentsT,
    BadMessageError,
    Command,
    ControlError,
    NoArguments,
    NoDaemonError,
    NotPermittedError,
    RefusedError,
    ResultT,
)
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import mountpoints

ANSWER_S_MAX: Final = 10.0
"""The longest that a reply may take, beside the time that the daemon works for it."""

AS_OWNER: Final = "ask as root or as the user who mounted it"
ONE_VERSION: Final = "mount again with one version"

_PROBE: Final[Command[NoArguments, dict[str, Any]]] = Command("status", NoArguments, dict)
"""Any result will do, also that of a daemon of another version."""


class Daemon:
    """The daemon of the mount at a canonical mountpoint."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._socket_path = sockets.find_socket(mountpoint)
        self._has_answered = False

    def ask(
        self,
        command: Command[ArgumentsT, ResultT],
        arguments: ArgumentsT,
        *,
        work_s: float = HANDLER_S_MAX,
    ) -> ResultT:
        """Return the daemon's result, for which it may work `work_s`, or raise `UserError`."""
        if work_s and not self._has_answered:
            # A daemon that hangs is detected without the time that the work may take.
            self._request(_PROBE, NoArguments(), ANSWER_S_MAX)
        return self._request(command, arguments, ANSWER_S_MAX + work_s)

    def _request(
        self, command: Command[ArgumentsT, ResultT], arguments: ArgumentsT, timeout_s: float
    ) -> ResultT:
        if self._socket_path is None:
            message = f"the mount at {self.mountpoint} has no control socket that this user may see"
            raise UserError(ExitCode.TIMEOUT, f"{message}: {AS_OWNER}")
        try:
            result = client.request(self._socket_path, command, arguments, timeout_s=timeout_s)
        except RefusedError as error:
            raise UserError(error.exit_code, f"{self.mountpoint}: {error}") from None
        except NoDaemonError:
            raise self._gone() from None
        except NotPermittedError as error:
            raise UserError(ExitCode.TIMEOUT, f"{error}: {AS_OWNER}") from None
        except BadMessageError as error:
            message = f"{self.mountpoint}: {error}: {ONE_VERSION}"
            raise UserError(ExitCode.USAGE, message) from None
        except ControlError as error:
            problem = f"the mount at {self.mountpoint} cannot be asked, {error}"
            fix = fix_of_silence(self.mountpoint)
            raise UserError(ExitCode.TIMEOUT, f"{problem}: {fix}") from None
        self._has_answered = True
        return result

    def _gone(self) -> UserError:
        if mountpoints.mount_at(self.mountpoint) is None:
            message = f"the mount at {self.mountpoint} has ended: mount it again"
            return UserError(ExitCode.NOT_MOUNTED, message)
        problem = f"the process of the mount at {self.mountpoint} is gone"
        fix = f"clear it with 'cloudfs umount {self.mountpoint}' and mount it again"
        return UserError(ExitCode.FUSE, f"{problem}: {fix}")


def fix_of_silence(mountpoint: Path) -> str:
    """Return the fix for a daemon that runs and does not answer."""
    pid = sockets.daemon_pid(mountpoint)
    if pid is not None and is_stopped(pid):
        return f"its process is stopped, let it go on with 'kill -CONT {pid}'"
    return f"look at its log, or end it with 'cloudfs umount {mountpoint}'"


def is_stopped(pid: int) -> bool:
    """Return True when a signal (or a debugger) has stopped a process until SIGCONT."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # After the name of the program, which may hold anything.
            return stat.read().rpartition(")")[2].split()[0] in "tT"
    except OSError:
        return False
