from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloudfs import logs
from cloudfs.errors import ExitCode, UserError


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


def test_the_terminal_gets_time_level_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(debug=False, log_file=None, environ={})
    logging.getLogger("cloudfs.fuse").info("mounted %s", "/data")
    logging.getLogger("cloudfs_cache.disk").debug("hidden")
    line = capsys.readouterr().err
    time, level, message = line.rstrip("\n").split(" ", 2)
    assert [len(part) for part in time.split(":")] == [2, 2, 2]
    assert (level, message) == ("INFO", "mounted /data")


def test_the_journal_gets_priorities_on_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(debug=True, log_file=None, environ={"JOURNAL_STREAM": "8:1"})
    log = logging.getLogger("cloudfs")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "a\nb")
    prefixes = [line[:4] for line in capsys.readouterr().err.splitlines()]
    assert prefixes == [f"<{n}>{c}" for n in (7, 6, 4, 3, 2) for c in "ab"]


def test_debug_is_for_cloudfs_only(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(debug=True, log_file=None, environ={})
    logging.getLogger("cloudfs_backends.s3").debug("ours")
    logging.getLogger("botocore.auth").debug("signature")
    logging.getLogger("urllib3").info("connection")
    logging.getLogger("urllib3").warning("retry")
    said = capsys.readouterr().err
    assert "ours" in said
    assert "retry" in said
    assert "signature" not in said
    assert "connection" not in said


def test_warnings_become_records(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup(debug=False, log_file=None, environ={})
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
    monkeypatch.setattr(logs, "_FILE_BYTES_MOST", 1000)
    path = tmp_path / "new" / "cloudfs.log"
    logs.setup(debug=False, log_file=path, environ={})
    for number in range(100):
        logging.getLogger("cloudfs").info("line %d", number)
    assert "line 99" in path.read_text()
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "cloudfs.log", "cloudfs.log.1", "cloudfs.log.2", "cloudfs.log.3"
    ]  # fmt: skip
    assert all(p.stat().st_size <= 1000 for p in path.parent.iterdir())
    assert capsys.readouterr().err == ""


def test_a_second_setup_replaces_the_first(tmp_path: Path) -> None:
    logs.setup(debug=False, log_file=tmp_path / "one", environ={})
    logs.setup(debug=False, log_file=tmp_path / "two", environ={})
    logging.getLogger("cloudfs").warning("once")
    assert (tmp_path / "one").read_text() == ""
    assert (tmp_path / "two").read_text().count("once") == 1


def test_a_file_that_cannot_be_written_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--log-file") as caught:
        logs.setup(debug=False, log_file=tmp_path / "file" / "log", environ={})
    assert caught.value.exit_code is ExitCode.USAGE
