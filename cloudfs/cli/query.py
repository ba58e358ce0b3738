"""The status documents of mounts: asked of their daemons, or what is known without one.

Every request has a time limit, and no mount is touched. It does not know how a document is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from cloudfs.cli.client import AS_OWNER, fix_of_silence
from cloudfs.cli.render.page import SCHEMA
from cloudfs.control import server
from cloudfs.control.server import ControlError, NoDaemonError, NotPermittedError
from cloudfs.errors import ExitCode
from cloudfs.system import mountpoints

ANSWER_S_MAX: Final = 5.0

DEAD: Final = "dead"
SILENT: Final = "not answering"
GONE: Final = "not mounted"

EXIT_CODES: Final = {DEAD: ExitCode.FUSE, SILENT: ExitCode.TIMEOUT}
"""How the command ends for a mount without an answer."""


def document_at(path: Path) -> dict[str, Any]:
    """Return the document of the mount at a canonical mountpoint; `UserError` without one."""
    mount = mountpoints.mount_at(path)
    if mount is not None and mount.is_cloudfs:
        return _document(path, mount.source)
    socket_path = server.find_socket(path)
    if socket_path is None:
        raise mountpoints.not_mounted(path)
    try:
        return server.request(socket_path, "status", timeout_s=ANSWER_S_MAX)
    except ControlError:
        raise mountpoints.not_mounted(path) from None


def require_mounted(path: Path) -> None:
    """Raise `UserError` when there is neither a mount at a canonical path nor a socket for it."""
    mount = mountpoints.mount_at(path)
    if not (mount is not None and mount.is_cloudfs) and server.find_socket(path) is None:
        raise mountpoints.not_mounted(path)


def all_documents() -> list[dict[str, Any]]:
    """Return a document for each mount in the table, then for daemons of other namespaces."""
    sources = {mount.path: mount.source for mount in mountpoints.cloudfs_mounts()}
    documents = [_document(path, source) for path, source in sources.items()]
    seen = {server.find_socket(path) for path in sources}
    for socket_path in server.sockets():
        if socket_path not in seen:
            try:
                documents.append(server.request(socket_path, "status", timeout_s=ANSWER_S_MAX))
            except ControlError:
                continue
    return documents


def without_answer(path: Path, error: ControlError) -> dict[str, Any]:
    """Return what is known of a mount whose daemon gave no document, and what can be done."""
    mount = mountpoints.mount_at(path)
    if mount is None or not mount.is_cloudfs:
        return _absent(path, "", GONE, str(error), "mount it")
    return _unanswered(path, mount.source, error)


def _document(path: Path, source: str) -> dict[str, Any]:
    """Return what the daemon says of a mount in the table, or what is known without it."""
    socket_path = server.find_socket(path)
    try:
        if socket_path is None:
            # Handled below like that of another user.
            raise NotPermittedError("no control socket that this user may see")
        return server.request(socket_path, "status", timeout_s=ANSWER_S_MAX)
    except ControlError as error:
        return _unanswered(path, source, error)


def _unanswered(path: Path, source: str, error: ControlError) -> dict[str, Any]:
    if isinstance(error, NoDaemonError):
        fix = f"clear it with 'cloudfs umount {path}' and mount it again"
        return _absent(path, source, DEAD, str(error), fix)
    fix = AS_OWNER if isinstance(error, NotPermittedError) else fix_of_silence(path)
    return _absent(path, source, SILENT, str(error), fix)


def _absent(path: Path, source: str, health: str, reason: str, fix: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "url": source,
        "mountpoint": str(path),
        "health": health,
        "reason": reason,
        "fix": fix,
    }
