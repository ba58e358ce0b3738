from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cloudfs import __version__
from cloudfs.cli import errors
from cloudfs.config import options
from cloudfs.config.option import Heading
from cloudfs.errors import ExitCode, UserError
from tests.cli.conftest import Run

DOCS = Path(__file__).parents[2] / "docs"


def test_version(run: Run) -> None:
    done = run("--version")
    assert (done.code, done.out, done.err) == (0, f"cloudfs {__version__}\n", "")


def test_help_groups_every_option_by_its_heading(run: Run) -> None:
    done = run("mount", "--help", COLUMNS="200")
    assert done.code == 0
    sections = re.split(r"^([A-Z].*):$", done.out, flags=re.MULTILINE)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    assert list(texts)[: len(Heading)] == [str(heading) for heading in Heading]
    for option in options.flag_options():
        assert f"{option.flag} " in texts[option.heading]
    assert "-o OPT[,OPT...]" in texts["Mount"]


@pytest.mark.parametrize("command", [("doctor",), ("config", "show")])
def test_help_has_no_heading_without_options(run: Run, command: tuple[str, ...]) -> None:
    done = run(*command, "--help")
    sections = re.split(r"^([A-Z].*):$", done.out, flags=re.MULTILINE)
    assert {"Bucket", "Credentials and endpoint", "Help"} <= {*sections[1::2]}
    assert all("  -" in text for text in sections[2::2])


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--version"], ["--help"], ["mount", "--help"], ["status", "--help"]),
        *(["warmup", "--help"], ["doctor", "--help"], ["config", "show", "--help"]),
    ],
)
def test_nothing_heavy_is_imported_for_help(arguments: list[str]) -> None:
    program = f"""
import sys
from cloudfs.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0
print(sorted({{"trio", "boto3", "botocore", "obstore", "pyfuse3", "rich"}} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "mount, umount, status, warmup, cache, config, doctor, bench or completion"),
        (["mout"], "'mout': did you mean mount?"),
        (["xyzzy"], "'xyzzy': use mount, umount"),
        (["cache"], "info, pin, unpin, evict, invalidate or verify"),
        (["cache", "verfy"], "'verfy': did you mean verify?"),
        (["cache", "pin"], "'PATH...': see 'cloudfs cache pin --help'"),
        (["mount"], "no URL given: "),
        (["mount", "s3://bucket"], "or mountpoint = "),
        (["dcotor"], "'dcotor': did you mean doctor?"),
        (["umount"], "no MOUNTPOINT given: "),
        (["config"], "show or check; 'cloudfs config --help'"),
        (["completion"], "'bash|zsh|fish'"),
        (["--verison"], "--verison: did you mean --version?"),
        (["mount", "--cahce-dir", "/x"], "--cahce-dir: did you mean --cache-dir?"),
        (["mount", "--xyzzy"], "--xyzzy: see 'cloudfs mount --help'"),
    ],
)
def test_a_wrong_command_line_is_one_line_with_a_hint(
    run: Run, arguments: list[str], named: str
) -> None:
    done = run(*arguments)
    assert done.code == ExitCode.USAGE
    assert named in done.only_error_line()
    assert done.out == ""


def test_a_broken_pipe_is_silent(environment: dict[str, str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cloudfs", "status"],
        stdout=-1,
        stderr=-1,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == errors.BROKEN_PIPE


def ends_with(error: BaseException) -> int:
    def call() -> None:
        raise error

    return errors.run(call)


def test_an_error_that_the_user_can_fix_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(UserError(ExitCode.CACHE, "a\nb\x1b[31m: fix it")) == ExitCode.CACHE
    assert capsys.readouterr().err == "cloudfs: a b\\x1b[31m: fix it\n"


def test_an_interrupt_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(KeyboardInterrupt()) == errors.INTERRUPTED
    assert ends_with(click.Abort()) == errors.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_a_bug_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert ends_with(KeyError("the bug")) == ExitCode.BUG
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("Traceback")
    assert "KeyError: 'the bug'" in said
    assert said[-1] == f"cloudfs: {errors.REPORT}"


def test_the_traceback_of_a_bug_shows_no_signed_address(capsys: pytest.CaptureFixture[str]) -> None:
    ends_with(KeyError("GET http://127.0.0.1/b?X-Amz-Signature=0123456789abcdef"))
    said = capsys.readouterr().err
    assert "X-Amz-Signature=***" in said
    assert "0123456789abcdef" not in said


def test_every_exit_code_is_documented() -> None:
    rows = re.findall(
        r"^\| (\d+) \| (\S+) \|", (DOCS / "troubleshooting.md").read_text(), re.MULTILINE
    )
    documented = {(int(code), name.strip("`")) for code, name in rows}
    named = {(int(code), code.name) for code in ExitCode}
    unnamed = {errors.INTERRUPTED, errors.BROKEN_PIPE, errors.TERMINATED}
    assert documented == named | {(code, "-") for code in unnamed}
