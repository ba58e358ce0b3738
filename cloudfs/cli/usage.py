"""How much of a path in a mount is local, for `cloudfs status PATH`. Asks the daemon only."""

from __future__ import annotations

from typing import Any

from cloudfs.cli import jobs
from cloudfs.cli.arguments.mount_paths import MountPath
from cloudfs.cli.jobs import SCHEMA, RemoteJob
from cloudfs.cli.render.progress import Row
from cloudfs.errors import ExitCode, UserError, printable
from cloudfs.units import format_count, format_size


def document_of(place: MountPath) -> dict[str, Any]:
    """Return what the daemon counts at a path, schema 1. Raises `UserError`."""
    job = jobs.start(place.mountpoint, "local", {"paths": [place.key]})
    jobs.wait([job], _describe)
    code = jobs.outcome(job)
    (counted,) = job.document["paths"]
    if code is not ExitCode.OK or counted["error"]:
        problem = counted["error"] or "it was not counted"
        raise UserError(code or ExitCode.USAGE, f"{place}: {problem}")
    return {
        "schema": SCHEMA,
        "mountpoint": str(place.mountpoint),
        "path": str(place),
        "files": counted["files"],
        "local_files": counted["local_files"],
        "bytes": counted["bytes"],
        "local_bytes": counted["local_bytes"],
        "local_percent": percent(counted["local_bytes"], counted["bytes"]),
        "pinned_bytes": counted["pinned_bytes"],
    }


def as_text(document: dict[str, Any]) -> str:
    """Return the document for people."""
    local, size = format_size(document["local_bytes"]), format_size(document["bytes"])
    lines = {
        "path": document["path"],
        "files": f"{document['local_files']:,} of {document['files']:,} local",
        "size": f"{local} of {size} local ({document['local_percent']:g}%)",
        "pinned": format_size(document["pinned_bytes"]),
    }
    return "\n".join(f"{key}: {printable(text)}" for key, text in lines.items())


def percent(part: int, whole: int) -> float:
    """Return a percentage with one digit, rounded down: 100 is everything."""
    return part * 1000 // whole / 10 if whole else 100.0


def _describe(job: RemoteJob) -> Row:
    (counted,) = job.document["paths"]
    files = format_count(counted["files"], "file")
    return Row(str(job.mountpoint), 0, 0, f"{files} so far, {format_size(counted['bytes'])}")
