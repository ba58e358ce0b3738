"""Asking the daemon of a mount, with whatever keeps it from answering as one line for people.

Every request has a time limit, and no mount is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cloudfs import control, mountpoints
from cloudfs.control import ControlError, NoDaemonError, NotPermittedError, RefusedError
from cloudfs.errors import ExitCode, UserError

ANSWER_S_MOST: Final = 10.0
"""How long a daemon may take to answer, beside the time that it works for the answer."""

WORK_S_MOST: Final = control.HANDLER_S_MOST
"""The longest that a daemon works for one answer."""


class Daemon:
    """The daemon of the mount at a canonical mountpoint."""

    def __init__(self, mountpoint: Path) -> None:
        self.mountpoint = mountpoint
        self._socket_path = control.find_socket(mountpoint)

    def ask(
        self, command: str, arguments: Mapping[str, object], *, work_s: float = WORK_S_MOST
    ) -> dict[str, Any]:
        """Return the daemon's answer, for which it may work `work_s`, or raise `UserError`."""
        if self._socket_path is None:
            message = f"the mount at {self.mountpoint} has no control socket that this user may see"
            raise UserError(ExitCode.TIMEOUT, f"{message}: {self._as_owner}")
        try:
            return control.request(
                self._socket_path, command, arguments, timeout_s=ANSWER_S_MOST + work_s
            )
        except RefusedError as error:
            raise UserError(error.exit_code, f"{self.mountpoint}: {error}") from None
        except NoDaemonError:
            raise self._gone() from None
        except NotPermittedError as error:
            raise UserError(ExitCode.TIMEOUT, f"{error}: {self._as_owner}") from None
        except ControlError as error:
            problem = f"the mount at {self.mountpoint} cannot be asked, {error}"
            raise UserError(ExitCode.TIMEOUT, f"{problem}: look at its log") from None

    def _gone(self) -> UserError:
        if mountpoints.mount_at(self.mountpoint) is None:
            message = f"the mount at {self.mountpoint} has ended: mount it again"
            return UserError(ExitCode.NOT_MOUNTED, message)
        problem = f"the process of the mount at {self.mountpoint} is gone"
        fix = f"clear it with 'cloudfs umount {self.mountpoint}' and mount it again"
        return UserError(ExitCode.FUSE, f"{problem}: {fix}")

    @property
    def _as_owner(self) -> str:
        return "ask as root or as the user who mounted it"
