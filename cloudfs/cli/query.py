"""Status documents of mounts: from their daemons, or made of the mount table without one.

Every request has a time limit, and no mount is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from cloudfs.cli.client import AS_OWNER, ONE_VERSION, fix_of_silence
from cloudfs.control import client, sockets
from cloudfs.control.protocol import (
    BadMessageError,
    ControlError,
    NoArguments,
    NoDaemonError,
    NotPermittedError,
    OtherSchemaError,
)
from cloudfs.errors import ExitCode
from cloudfs.status.document import STATUS, AnyDocument, Health, StatusDocument, UnansweredMount
from cloudfs.system import mountpoints

ANSWER_S_MAX: Final = 5.0

EXIT_CODES: Final = {Health.DEAD: ExitCode.FUSE, Health.NOT_ANSWERING: ExitCode.TIMEOUT}
"""The exit code of the command for a mount without an answer."""


def document_at(path: Path) -> AnyDocument:
    """Return the document of the mount at a canonical mountpoint; `UserError` without one."""
    mount = mountpoints.mount_at(path)
    if mount is not None and mount.is_cloudfs:
        return _document(path, mount.source)
    socket_path = sockets.find_socket(path)
    if socket_path is None:
        raise mountpoints.not_mounted(path)
    try:
        return _request(socket_path)
    except OtherSchemaError as error:
        return _other_version(error)
    except ControlError:
        raise mountpoints.not_mounted(path) from None


def require_mounted(path: Path) -> None:
    """Raise `UserError` when there is neither a mount at a canonical path nor a socket for it."""
    mount = mountpoints.mount_at(path)
    if not (mount is not None and mount.is_cloudfs) and sockets.find_socket(path) is None:
        raise mountpoints.not_mounted(path)


def all_documents() -> list[AnyDocument]:
    """Return a document for each mount in the table, then for daemons of other namespaces."""
    sources = {mount.path: mount.source for mount in mountpoints.cloudfs_mounts()}
    documents = [_document(path, source) for path, source in sources.items()]
    seen = {sockets.find_socket(path) for path in sources}
    for socket_path in sockets.all_sockets():
        if socket_path not in seen:
            try:
                documents.append(_request(socket_path))
            except OtherSchemaError as error:
                documents.append(_other_version(error))
            except ControlError:
                continue
    return documents


def without_answer(path: Path, error: ControlError) -> UnansweredMount:
    """Return the document of a mount whose daemon gave none, with the reason and the fix."""
    mount = mountpoints.mount_at(path)
    if mount is None or not mount.is_cloudfs:
        return _unanswered(path, "", Health.NOT_MOUNTED, str(error), "mount it")
    return _without_answer(path, mount.source, error)


def _request(socket_path: Path) -> StatusDocument:
    return client.request(socket_path, STATUS, NoArguments(), timeout_s=ANSWER_S_MAX)


def _document(path: Path, source: str) -> AnyDocument:
    """Return the document of a mount in the table, from its daemon or without it."""
    socket_path = sockets.find_socket(path)
    try:
        if socket_path is None:
            # Handled below like that of another user.
            raise NotPermittedError("no control socket that this user may see")
        return _request(socket_path)
    except ControlError as error:
        return _without_answer(path, source, error)


def _without_answer(path: Path, source: str, error: ControlError) -> UnansweredMount:
    reason = str(error)
    if isinstance(error, OtherSchemaError | BadMessageError):
        return _unanswered(path, source, Health.OTHER_VERSION, reason, ONE_VERSION)
    if isinstance(error, NoDaemonError):
        fix = f"clear it with 'cloudfs umount {path}' and mount it again"
        return _unanswered(path, source, Health.DEAD, reason, fix)
    fix = AS_OWNER if isinstance(error, NotPermittedError) else fix_of_silence(path)
    return _unanswered(path, source, Health.NOT_ANSWERING, reason, fix)


def _other_version(error: OtherSchemaError) -> UnansweredMount:
    """Return what a document of another version says of the mount, which is in no table here."""
    path, source = str(error.result.get("mountpoint")), str(error.result.get("url"))
    return _unanswered(Path(path), source, Health.OTHER_VERSION, str(error), ONE_VERSION)


def _unanswered(path: Path, source: str, health: Health, reason: str, fix: str) -> UnansweredMount:
    return UnansweredMount(url=source, mountpoint=str(path), health=health, reason=reason, fix=fix)
