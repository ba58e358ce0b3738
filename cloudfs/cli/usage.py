"""Cache usage of a path in a mount, for `cloudfs status PATH`."""

from __future__ import annotations

from msgspec import Struct

from cloudfs.admin import messages
from cloudfs.admin.messages import UsagePaths, UsageProgress
from cloudfs.cli import jobs
from cloudfs.cli.arguments.mount_paths import MountPath
from cloudfs.cli.jobs import RemoteJob
from cloudfs.cli.render.progress import Row
from cloudfs.errors import ExitCode, UserError, printable
from cloudfs.units import format_count, format_size


class UsageDocument(Struct, frozen=True, kw_only=True):
    """The local share of a path, as `--json` prints it."""

    schema: int = jobs.SCHEMA
    mountpoint: str
    path: str
    files: int
    local_files: int
    bytes: int
    local_bytes: int
    local_percent: float
    pinned_bytes: int


def document_of(place: MountPath) -> UsageDocument:
    """Return what the daemon counts at a path. Raises `UserError`."""
    job = jobs.start(place.mountpoint, messages.USAGE, UsagePaths((place.key,)))
    jobs.wait([job], _describe)
    code = jobs.outcome(job)
    (counted,) = job.progress_as(UsageProgress).paths
    if code is not ExitCode.OK or counted.error:
        problem = counted.error or "it was not counted"
        raise UserError(code or ExitCode.USAGE, f"{place}: {problem}")
    return UsageDocument(
        mountpoint=str(place.mountpoint),
        path=str(place),
        files=counted.files,
        local_files=counted.local_files,
        bytes=counted.bytes,
        local_bytes=counted.local_bytes,
        local_percent=percent(counted.local_bytes, counted.bytes),
        pinned_bytes=counted.pinned_bytes,
    )


def as_text(document: UsageDocument) -> str:
    """Return the document for the terminal."""
    local, size = format_size(document.local_bytes), format_size(document.bytes)
    lines = {
        "path": document.path,
        "files": f"{document.local_files:,} of {document.files:,} local",
        "size": f"{local} of {size} local ({document.local_percent:g} %)",
        "pinned": format_size(document.pinned_bytes),
    }
    return "\n".join(f"{key}: {printable(text)}" for key, text in lines.items())


def percent(part: int, whole: int) -> float:
    """Return a percentage with one digit, rounded down: 100 is everything."""
    return part * 1000 // whole / 10 if whole else 100.0


def _describe(job: RemoteJob) -> Row:
    (counted,) = job.progress_as(UsageProgress).paths
    files = format_count(counted.files, "file")
    return Row(str(job.mountpoint), 0, 0, f"{files} so far, {format_size(counted.bytes)}")
