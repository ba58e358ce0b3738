"""`cloudfs status`: what the mounts of this machine do, asked over their control sockets.

No mountpoint is touched, so this works while a mount hangs. It does not know how the daemon comes
by its figures, and shows whatever document it gets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from cloudfs import control, mountpoints, options, units
from cloudfs.cli import local
from cloudfs.cli.daemons import AS_OWNER, fix_of_silence
from cloudfs.cli.errors import printable, say
from cloudfs.cli.places import MountTable, Place, require_path
from cloudfs.control import ControlError, NoDaemonError, NotPermittedError
from cloudfs.errors import ExitCode

SCHEMA: Final = 2
ANSWER_S_MOST: Final = 5.0

DEAD: Final = "dead"
SILENT: Final = "not answering"
_EXIT_CODES: Final = {DEAD: ExitCode.FUSE, SILENT: ExitCode.TIMEOUT}


@click.command("status", short_help="Show what the mounts do.")
@click.argument("path", metavar="[PATH]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the document, or a list of them.")
def command(path: str | None, *, as_json: bool) -> int:
    """Show the mount at PATH, or every cloudfs mount of this machine.

    For a PATH below a mountpoint: how much of that file or tree is local.
    """
    if path is None:
        documents = _all_documents()
        click.echo(_as_json(documents) if as_json else _as_text(documents))
        return ExitCode.OK
    require_path(path)
    place = MountTable().find(path)
    if place is not None and place.key:
        document = local.document_of(place)
        click.echo(_as_json(document) if as_json else local.as_text(document))
        return ExitCode.OK
    return _show_mount(path, place, as_json=as_json)


def _show_mount(path: str, place: Place | None, *, as_json: bool) -> int:
    # A path that no mount of the table has may be one of another mount namespace.
    document = _document_at(mountpoints.canonical(path) if place is None else place.mountpoint)
    click.echo(_as_json(document) if as_json else _as_text([document]))
    code = _EXIT_CODES.get(str(document.get("health")), ExitCode.OK)
    if code is not ExitCode.OK:
        say(f"{document['mountpoint']} is {document['health']}: {document['fix']}")
    return code


def _document_at(path: Path) -> dict[str, Any]:
    mount = mountpoints.mount_at(path)
    if mount is not None and mount.is_cloudfs:
        return _document(path, mount.source)
    socket_path = control.find_socket(path)
    if socket_path is None:
        raise mountpoints.not_mounted(path)
    try:
        return control.request(socket_path, "status", timeout_s=ANSWER_S_MOST)
    except ControlError:
        raise mountpoints.not_mounted(path) from None


def _all_documents() -> list[dict[str, Any]]:
    """Return a document for each mount in the table, then for daemons of other namespaces."""
    sources = {mount.path: mount.source for mount in mountpoints.cloudfs_mounts()}
    documents = [_document(path, source) for path, source in sources.items()]
    seen = {control.find_socket(path) for path in sources}
    for socket_path in control.sockets():
        if socket_path not in seen:
            try:
                documents.append(control.request(socket_path, "status", timeout_s=ANSWER_S_MOST))
            except ControlError:
                continue
    return documents


def _document(path: Path, source: str) -> dict[str, Any]:
    """Return what the daemon says of a mount in the table, or what is known without it."""
    socket_path = control.find_socket(path)
    try:
        if socket_path is None:
            # Handled below like that of another user.
            raise NotPermittedError("no control socket that this user may see")  # noqa: TRY301
        return control.request(socket_path, "status", timeout_s=ANSWER_S_MOST)
    except NoDaemonError as error:
        health, reason = DEAD, str(error)
        fix = f"clear it with 'cloudfs umount {path}' and mount it again"
    except NotPermittedError as error:
        health, reason = SILENT, str(error)
        fix = AS_OWNER
    except ControlError as error:
        health, reason = SILENT, str(error)
        fix = fix_of_silence(path)
    return {
        "schema": SCHEMA,
        "url": source,
        "mountpoint": str(path),
        "health": health,
        "reason": reason,
        "fix": fix,
    }


def _as_json(document: object) -> str:
    return json.dumps(_finite(document), indent=2)


def _finite(value: object) -> object:
    """Return `value` with infinity as `indefinite`: JSON has no number for it."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "indefinite" if value > 0 else None
    return value


def _as_text(documents: list[dict[str, Any]]) -> str:
    if not documents:
        return "no cloudfs mounts"
    return "\n\n".join("\n".join(_lines("", document)) for document in documents)


def _lines(name: str, value: Mapping[str, Any]) -> Iterator[str]:
    """Yield `key: value` lines; of a nested document, one with its figures and one per part."""
    flat = {key: item for key, item in value.items() if not isinstance(item, Mapping)}
    if not name:
        yield from (f"{_words(key)}: {_shown(key, item)}" for key, item in flat.items())
    elif name == "options":
        yield from (f"option {_option_key(k)}: {_option(k, item)}" for k, item in flat.items())
    elif flat:
        yield f"{name}: {', '.join(_figures(name, flat))}"
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _lines(f"{name} {_words(key)}".strip(), item)


def _figures(name: str, flat: Mapping[str, Any]) -> Iterator[str]:
    """Yield the figures of one part; what is wrong with it stands behind its state.

    Left out is what says nothing: an empty text, and the directory that the line is about.
    """
    for key, item in flat.items():
        if key == "reason" or item == "" or (key == "directory" and name == f"disks {item}"):
            continue
        reason = flat.get("reason") if key == "state" else None
        yield f"{_words(key)} {_shown(key, item)}" + (f" ({printable(reason)})" if reason else "")


def _option_key(field: str) -> str:
    """Return how an option is written in the TOML file."""
    option = options.BY_FIELD.get(field)
    return printable(field.replace("_", "-")) if option is None else option.key


def _words(key: str) -> str:
    """Return the name of a figure without the unit that its value shows; a path as it is."""
    if not key.isidentifier():
        return printable(key)
    for unit in ("_bytes", "_s"):
        key = key.removesuffix(unit)
    return printable(key.replace("_", " "))


def _shown(key: str, value: object) -> str:
    """Return a value with the unit that its key names."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.endswith("_bytes"):
        return units.format_size(value)
    if isinstance(value, int | float) and (key.endswith("_s") or key == "seconds"):
        return units.format_duration(value)
    if isinstance(value, list):
        return printable("; ".join(map(str, value))) or "none"
    return "-" if value is None else printable(str(value))


def _option(name: str, value: object) -> str:
    """Return the value of an option as it would be written."""
    option = options.BY_FIELD.get(name)
    if value is None:
        return (option.default_text if option else "") or "unset"
    if isinstance(value, list):
        return _shown(name, value) if value else _option(name, None)
    if option is not None and isinstance(value, bool | int | float | str):
        try:
            return printable(option.kind.show(value))
        except ValueError:
            return printable(str(value))
    return printable(str(value))
