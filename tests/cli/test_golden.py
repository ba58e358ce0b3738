"""One golden page for each renderer of this folder: see tests/support/golden.py."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs.cli.render.findings import FindingLines, verdict_line
from cloudfs.doctor.findings import failure, ok, skipped, warning
from cloudfs.doctor.report import Report, ReportEntry, Section
from cloudfs.errors import ExitCode
from tests.cli.conftest import Run
from tests.support import golden

GOLDEN = Path(__file__).parent / "golden"

ENTRIES = (
    ReportEntry("fuse", ok("/dev/fuse can be opened", device="/dev/fuse"), 0.25, Section.MACHINE),
    ReportEntry("disk", skipped("not measured, because of --quick"), 0.0, Section.MACHINE),
    ReportEntry("cache", warning("/a\nb is small", "give another one"), 1.5, Section.MACHINE),
    ReportEntry("cache", ok("/c can hold 1 GiB", mounts=2), 1.5, Section.MACHINE),
    ReportEntry(
        "reach",
        failure(ExitCode.UNREACHABLE, "no \x1b[31mTLS", "write http://", endpoint="https://h"),
        2.0,
    ),
    ReportEntry("clock", skipped("not tried, because of reach"), 0.0),
)


def reports() -> list[Report]:
    command = "cloudfs mount s3://bucket /mnt/data"
    return [
        Report("s3://bucket/", command, ENTRIES, mountpoint="/mnt/data"),
        Report("s3://bucket/", command, ENTRIES[:4]),
        Report("s3://bucket/", command, ENTRIES[:2]),
        Report("", command, ENTRIES[:2]),
    ]


def text(report: Report) -> str:
    lines = FindingLines()
    found = [line for entry in report.entries for line in lines.of(entry)]
    return "\n".join([*found, "", verdict_line(report)]) + "\n"


@pytest.mark.usefixtures("without_colours")
def test_doctor_as_text() -> None:
    golden.check(GOLDEN / "doctor.txt", "\n".join(map(text, reports())))


def test_doctor_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    golden.check(GOLDEN / "doctor-colour.txt", text(reports()[0]).replace("\x1b", "ESC"))


def test_doctor_as_a_document() -> None:
    documents = [report.as_document() for report in reports()]
    golden.check(GOLDEN / "doctor.json", json.dumps(documents, indent=2) + "\n")


@pytest.fixture
def without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.parametrize("words", ["", "mount", "config show", "doctor"])
def test_help(run: Run, words: str) -> None:
    done = run(*words.split(), "--help", COLUMNS="100")
    assert (done.code, done.err) == (ExitCode.OK, "")
    golden.check(GOLDEN / f"help-{words.replace(' ', '-') or 'cloudfs'}.txt", done.out)


CONFIGURATION = """\
url = "s3://my-bucket/train"
mountpoint = "/mnt/data"
endpoint-url = "https://me:hunter2@127.0.0.1:9000"
cache-dir = ["/ssd/a:10GiB", "/ssd/b"]
memory-limit = "1GiB"
read-only = true

[[policy]]
match = "checkpoints/**"
cache = false
ttl = "indefinite"
"""


PLACEHOLDER = "/tmp/cloudfs-12345678"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path has always the same length, because columns are aligned by it."""
    with tempfile.TemporaryDirectory(prefix="cloudfs-", dir="/tmp") as name:
        assert len(name) == len(PLACEHOLDER)
        yield Path(name)


@pytest.mark.parametrize("more", [(), ("--effective",), ("--json",)])
def test_config_show(run: Run, folder: Path, more: tuple[str, ...]) -> None:
    file = folder / "data.toml"
    file.write_text(CONFIGURATION)
    flags = ("--config", file, "--uid", "7", "-o", "gid=8")
    done = run("config", "show", *flags, *more, CLOUDFS_REGION="eu")
    assert (done.code, done.err) == (ExitCode.OK, "")
    name = "-".join(["config-show", *(word.removeprefix("--") for word in more)])
    suffix = "json" if more == ("--json",) else "txt"
    golden.check(GOLDEN / f"{name}.{suffix}", done.out.replace(str(folder), PLACEHOLDER))
