from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from cloudfs.config import options
from cloudfs.errors import ExitCode
from cloudfs.system import defaults
from tests.cli.conftest import Finished, Run

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
FILE = """\
url = "s3://my-bucket/train"
mountpoint = "/mnt/data"
endpoint-url = "https://me:hunter2@127.0.0.1:9000"
cache-dir = ["/ssd/a:10GiB", "/ssd/b"]
max-downloads = 9
read-only = true

[[policy]]
match = "checkpoints/**"
cache = false
ttl = "indefinite"

[[policy]]
match = "*.h5"
block-size = "8MiB"
"""


@pytest.fixture
def folder(tmp_path: Path, environment: dict[str, str]) -> Path:
    """The user's folder of configuration files, with `data.toml` in it."""
    path = tmp_path / "own" / "cloudfs"
    path.mkdir(parents=True)
    (path / "data.toml").write_text(FILE)
    environment["XDG_CONFIG_HOME"] = str(path.parent)
    return path


def rows(done: Finished) -> dict[str, tuple[object, str]]:
    """The value and origin of each option of a document."""
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["schema"] == 1
    return {row["key"]: (row["value"], row["origin"]) for row in document["options"]}


def test_show_has_values_and_origins(run: Run, folder: Path) -> None:
    arguments = ("--config", "data", "-o", "max_downloads=8", "--uid", "7")
    done = run("config", "show", *arguments, CLOUDFS_REGION="eu")
    file = folder / "data.toml"
    assert (done.code, done.err) == (0, "")
    assert [line.split("  ", 1)[0] for line in done.out.splitlines()] == [
        *("url", "region", "endpoint-url", "mountpoint", "read-only", "uid", "config"),
        *("cache-dir", "max-downloads", "policy 1", "policy 2"),
    ]
    assert re.search(rf"^cache-dir +/ssd/a:10GiB, /ssd/b +{file}: cache-dir$", done.out, re.M)
    assert "hunter2" not in done.out
    found = rows(run("config", "show", "--json", *arguments, CLOUDFS_REGION="eu"))
    assert found["url"] == ("s3://my-bucket/train/", f"{file}: url")
    assert found["region"] == ("eu", "CLOUDFS_REGION")
    assert found["endpoint-url"] == ("https://***@127.0.0.1:9000", f"{file}: endpoint-url")
    assert found["max-downloads"] == (8, "-o max_downloads")
    assert found["uid"] == (7, "--uid")
    assert found["config"] == (str(file), "--config")
    assert found["cache-dir"] == (["/ssd/a:10GiB", "/ssd/b"], f"{file}: cache-dir")
    assert found["read-only"] == (True, f"{file}: read-only")


def test_show_needs_neither_url_nor_mountpoint(run: Run, folder: Path) -> None:
    done = run("config", "show")
    assert (done.code, done.out.count("\n"), done.err) == (0, 1, "")
    assert done.out.startswith("nothing is set: ")
    assert rows(run("config", "show", "--json")) == {}
    found = rows(run("config", "show", "--json", "s3://typed", "/mnt/typed"))
    assert found == {"url": ("s3://typed", "URL"), "mountpoint": ("/mnt/typed", "MOUNTPOINT")}


def test_effective_shows_every_option_with_what_is_derived(run: Run, folder: Path) -> None:
    shown = ("config", "show", "--effective", "--background")
    found = rows(run(*shown, "--json", "s3://bucket", "/mnt/data"))
    assert list(found) == [option.key for option in options.OPTIONS if not option.negates]
    assert found["background"] == (True, "--background")
    assert found["cache-dir"] == ([str(defaults.cache_directory())], "derived")
    assert found["uid"] == (os.getuid(), "derived")
    assert found["log-file"] == (str(defaults.background_log_file(Path("/mnt/data"))), "derived")
    assert found["max-cache-size"] == (None, "derived")
    assert found["metadata-ttl"] == ("1m", "default")
    assert found["file-mode"] == ("0644", "default")
    assert found["sse-customer-key"] == (None, "default")
    assert {origin for _, origin in found.values()} == {
        *("default", "derived", "URL", "MOUNTPOINT", "--background")
    }
    lines = run(*shown).out.splitlines()
    (size,) = (line for line in lines if line.startswith("max-cache-size "))
    assert size.split("  ")[-1] == "derived"
    assert "  as the free space allows  " in size


def test_a_file_that_derives_nothing_is_shown_as_it_was_written(run: Run, folder: Path) -> None:
    """What `--effective` shows can be written into a file and means the same."""
    first = rows(run("config", "show", "--effective", "--json", "--config", "data"))
    lines = [
        f"{key} = {json.dumps(value)}"
        for key, (value, _) in first.items()
        if value is not None and key not in {"config", "endpoint-url"}
    ]
    (folder / "again.toml").write_text("\n".join(lines))
    second = rows(run("config", "show", "--effective", "--json", "--config", "again"))
    differing = {key for key in first if first[key][0] != second[key][0]}
    assert differing == {"config", "endpoint-url"}


def test_policies_are_shown_as_they_are_written(run: Run, folder: Path) -> None:
    document = json.loads(run("config", "show", "--json", "--config", "data").out)
    assert document["policies"] == [
        {"match": "checkpoints/**", "cache": False, "ttl": "indefinite"},
        {"match": "*.h5", "block-size": "8MiB"},
    ]


def test_show_ends_at_the_first_mistake(run: Run, folder: Path) -> None:
    (folder / "bad.toml").write_text("regoin = 'x'")
    done = run("config", "show", "--config", "bad")
    assert done.code == ExitCode.USAGE
    assert done.only_error_line().startswith(f"{folder}/bad.toml:1: ")
    assert "'regoin': did you mean region?" in done.only_error_line()


def test_check_names_every_problem_of_every_file(run: Run, folder: Path) -> None:
    (folder / "bad.toml").write_text("regoin = 'x'\nmountpoint = '/mnt/data'\nuid = -1\n")
    done = run("config", "check", CLOUDFS_GIDD="1")
    assert (done.code, done.err) == (ExitCode.USAGE, "")
    for start, named in (
        (f"{folder}/bad.toml:1: ", "'regoin': did you mean region?"),
        (f"{folder}/bad.toml:3: ", "'-1' for uid"),
        (f"{folder}/data.toml:2: mountpoint /mnt/data ", f"{folder}/bad.toml"),
        ("environment: ", "CLOUDFS_GIDD: did you mean CLOUDFS_GID?"),
    ):
        (line,) = (line for line in done.out.splitlines() if line.startswith(start))
        assert named in line
    assert f"{folder}/data.toml: ok" not in done.out


def test_check_takes_names_and_files(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run("config", "check", "data", CLOUDFS_GIDD="1")
    assert (done.code, done.out, done.err) == (0, f"{folder}/data.toml: ok\n", "")
    (folder / "data.toml").chmod(0o666)
    done = run("config", "check", "own/cloudfs/data.toml")
    (line,) = done.out.splitlines()
    assert done.code == ExitCode.OK
    assert line.startswith(f"{folder}/data.toml: ")
    assert f"chmod go-w {folder}/data.toml" in line
    assert line.endswith(" (warning)")
    done = run("config", "check", "nope", "./nope.toml")
    assert done.code == ExitCode.USAGE
    assert [line.split(": ")[0] for line in done.out.splitlines()] == [
        "there is no configuration 'nope'",
        f"{tmp_path}/nope.toml",
    ]


def test_a_misspelt_variable_is_a_warning_of_the_mount(run: Run, tmp_path: Path) -> None:
    variables = {"CLOUDFS_REGOIN": "hunter2", "CLOUDFS_PORT": "tcp://10.0.0.1:80"}
    done = run("mount", "file:///nowhere", tmp_path / "absent", **variables)
    warning, error = done.err.splitlines()
    assert warning.startswith("cloudfs: unknown variable CLOUDFS_REGOIN ")
    assert warning.endswith(": did you mean CLOUDFS_REGION?")
    assert "hunter2" not in done.err
    assert f"{tmp_path}/absent" in error
    assert done.code == ExitCode.MOUNTPOINT


def test_the_example_of_the_documentation_has_no_problem(run: Run, tmp_path: Path) -> None:
    blocks = PAGE.read_text().split("```toml\n")[1:]
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block.partition("```")[0])
        file.chmod(0o644)
        done = run("config", "check", file)
        assert (done.code, done.out) == (0, f"{file}: ok\n")


def test_the_output_in_the_documentation_is_what_is_printed(run: Run, folder: Path) -> None:
    page = PAGE.read_text()
    (file,) = re.findall(r"^cat > /etc/cloudfs/data.toml <<'TOML'\n(.*?)^TOML$", page, re.M | re.S)
    (folder / "data.toml").write_text(file)
    done = run("config", "show", "--config", "data", "-o", "ro", CLOUDFS_UID="1000")
    printed = [line.split() for line in done.out.replace(str(folder), "/etc/cloudfs").splitlines()]
    (shown,) = re.findall(r"The first of these prints:\n\n```text\n(.*?)```", page, re.DOTALL)
    assert [line.split() for line in shown.splitlines()] == printed
