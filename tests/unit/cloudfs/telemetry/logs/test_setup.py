from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cloudfs.errors import ExitCode, UserError
from cloudfs.telemetry import logs
from cloudfs.telemetry.logs.rate_limit import SHOWN_MAX

LOG = logging.getLogger("cloudfs.fuse")


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    """Hide pytest's own handlers from `setup`, and put back what it changes for the process."""
    root = logging.getLogger()
    loggers = [root, *map(logging.getLogger, logs.LOGGERS)]
    levels = [logger.level for logger in loggers]
    hidden, root.handlers[:] = root.handlers[:], []
    yield
    logging.captureWarnings(capture=False)
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = hidden
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


def setup(
    log_file: Path | None = None,
    log_format: str = "text",
    *,
    debug: bool = False,
    environ: Mapping[str, str] | None = None,
) -> None:
    logs.setup(log_file, log_format, debug=debug, environ=environ or {})


def journal_stream() -> dict[str, str]:
    stat = os.fstat(2)
    return {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}


def test_the_terminal_gets_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    LOG.info("mounted %s", "/data")
    logging.getLogger("cloudfs_cache.disk.tier").debug("hidden")
    line = capsys.readouterr().err
    clock_time, level, message = line.rstrip("\n").split(" ", 2)
    assert [len(part) for part in clock_time.split(":")] == [2, 2, 2]
    assert (level, message) == ("INFO", "mounted /data")


def _fail(message: str) -> None:
    try:
        raise OSError(message)  # noqa: TRY301 - a traceback is wanted
    except OSError:
        LOG.exception("bug")


def test_the_journal_gets_priorities_on_every_line(capfd: pytest.CaptureFixture[str]) -> None:
    setup(debug=True, environ=journal_stream())
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        LOG.log(level, "a\nb")
    _fail("x")
    first, *traceback = capfd.readouterr().err.split("<3>bug\n")
    assert first.splitlines() == [f"<{n}>a\\nb" for n in (7, 6, 4, 3, 2)]
    assert traceback[0].splitlines()[-1] == "<3>  OSError: x"
    assert all(line.startswith("<3>  ") for line in traceback[0].splitlines())


def test_json_in_the_journal_has_the_priority_too(capfd: pytest.CaptureFixture[str]) -> None:
    setup(log_format="json", environ=journal_stream())
    LOG.warning("a\nb")
    line = capfd.readouterr().err
    assert line.startswith("<4>{")
    assert json.loads(line[3:])["message"] == "a\nb"


def test_a_stream_that_is_not_the_journals_gets_times(capfd: pytest.CaptureFixture[str]) -> None:
    setup(environ={"JOURNAL_STREAM": "8:1"})
    LOG.info("a")
    assert capfd.readouterr().err.endswith(" INFO a\n")


def test_json_lines_have_everything_in_fields(tmp_path: Path) -> None:
    setup(tmp_path / "log", "json")
    LOG.info("mounted %s", "/data", extra={"size_bytes": 5, "level": "mine", "odd": {1: {2}}})
    _fail("no\ndisk\x1b")
    first, second = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "level": "INFO",
        "logger": "cloudfs.fuse",
        "message": "mounted /data",
        "pid": os.getpid(),
        "size_bytes": 5,
        "odd": {"1": "{2}"},
    }
    assert second["exception"].startswith("Traceback")
    assert second["exception"].endswith("OSError: no\ndisk\x1b")


def test_no_name_passes_for_another_line(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    forged = "a\n12:00:00 ERROR forged\x1b[2J\u202e\udc80"
    LOG.warning("cannot open %s", forged)
    _fail(forged)
    said = capsys.readouterr().err
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert said.splitlines()[0].endswith(
        r"WARNING cannot open a\n12:00:00 ERROR forged\x1b[2J\u202e\udc80"
    )
    assert [line for line in said.splitlines() if line.startswith("12:00:00 ERROR forged")] == []


def test_a_long_message_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    LOG.warning("x" * 1_000_000)
    assert len(capsys.readouterr().err) < 20_000


def test_debug_is_for_cloudfs_only(capsys: pytest.CaptureFixture[str]) -> None:
    setup(debug=True)
    logging.getLogger("cloudfs_backends.s3.client").debug("ours")
    logging.getLogger("botocore.auth").debug("CanonicalRequest: signed headers")
    logging.getLogger("azure.core.pipeline.policies.http_logging_policy").info("Request headers")
    logging.getLogger("google.auth.transport.requests").debug("Making request")
    logging.getLogger("urllib3").info("connection")
    logging.getLogger("urllib3").warning("retry")
    said = capsys.readouterr().err
    assert [line.split(" ", 2)[2] for line in said.splitlines()] == ["ours", "retry"]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_gets_out_wherever_it_is(log_format: str, tmp_path: Path) -> None:
    secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
    url = f"https://b.s3.amazonaws.com/k?X-Amz-Date=1&X-Amz-Signature={secret}"
    setup(tmp_path / "log", log_format, environ={"AWS_SECRET_ACCESS_KEY": "my-own-secret"})
    LOG.warning("GET %s failed", url)
    LOG.warning("headers: %r", {"Authorization": f"Bearer {secret}"})
    LOG.warning("plain", extra={"url": url, "headers": {"x-amz-security-token": secret}})
    LOG.warning("signed with my-own-secret")
    LOG.error("stack", stack_info=True, extra={"authorization": secret})
    _fail(f"403: {url}")
    said = (tmp_path / "log").read_text()
    assert secret not in said
    assert "my-own-secret" not in said
    assert "X-Amz-Date=1" in said


def test_warnings_become_records(capsys: pytest.CaptureFixture[str]) -> None:
    setup()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        # captureWarnings replaced showwarning before; the context must not undo it.
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "WARNING" in capsys.readouterr().err


def test_a_log_file_replaces_stderr_and_is_bounded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_FILE_BYTES_MAX", 1000)
    path = tmp_path / "new" / "cloudfs.log"
    setup(path, debug=True)
    for number in range(100):
        logging.getLogger("cloudfs").debug("line %d", number)
    assert "line 99" in path.read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "cloudfs.log", "cloudfs.log.1", "cloudfs.log.2", "cloudfs.log.3"
    ]  # fmt: skip
    assert all(p.stat().st_size <= 1000 for p in path.parent.iterdir())
    assert capsys.readouterr().err == ""


def test_a_second_setup_replaces_the_first(tmp_path: Path) -> None:
    setup(tmp_path / "one")
    setup(tmp_path / "two")
    logging.getLogger("cloudfs").warning("once")
    assert (tmp_path / "one").read_text() == ""
    assert (tmp_path / "two").read_text().count("once") == 1


def test_a_file_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--log-file") as caught:
        setup(tmp_path / "file" / "log")
    assert caught.value.exit_code is ExitCode.USAGE


def test_a_summary_keeps_its_count_as_a_field(tmp_path: Path) -> None:
    setup(tmp_path / "log", "json")
    for _ in range(SHOWN_MAX + 4):
        LOG.warning("again")
    setup(tmp_path / "other")
    documents: list[dict[str, Any]] = [
        json.loads(line) for line in (tmp_path / "log").read_text().splitlines()
    ]
    assert documents[-1]["suppressed"] == 4
    assert len(documents) == SHOWN_MAX + 1
