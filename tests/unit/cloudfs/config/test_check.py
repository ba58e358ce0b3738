from __future__ import annotations

import os
from pathlib import Path

import pytest

from cloudfs.config import check, files
from cloudfs.config.check import FileReport
from cloudfs.errors import UserError
from tests.support import golden

GOLDEN = Path(__file__).parent / "golden"


def checked(folder: Path, text: str, name: str = "data.toml") -> FileReport:
    path = folder / name
    path.write_text(text)
    path.chmod(0o644)
    return check.check_file(path)


def test_a_good_file_has_neither_problem_nor_warning(tmp_path: Path) -> None:
    text = """
    url = "s3://bucket/prefix"
    mountpoint = "/mnt/data"
    cache-dir = ["/ssd:10GiB"]
    [[policy]]
    match = "*.h5"
    pin = true
    """
    item = checked(tmp_path, text)
    assert (item.problems, item.warnings) == ((), ())
    assert item.settings is not None
    assert item.settings.mountpoint == Path("/mnt/data")


def test_every_problem_has_its_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
url = "s3://"
mountpoint = "/mnt/data"
regoin = "x"
"cache-dir" = ["rel"]
max-downloads = 1000
umask = 22
log-file = "/mnt/data/log"
secret-access-key = "hunter2"

[mount]
x = 1

[[policy]]
match = "a"
cahce = false
ttl = "5 parsecs"

[[policy]]
match = "b"
"""
    problems = checked(tmp_path, text).problems
    golden.check(GOLDEN / "check.txt", "\n".join(problems).replace(str(tmp_path), "") + "\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = 1\nb = = 2\n", ":2: is not valid TOML: "),
        ("a = ", "data.toml: is not valid TOML: "),
        ("policy = 5", ":1: policy is not a list of tables"),
        ("foreground = true\nbackground = true\n", "foreground and background contradict"),
        ("region = 'a'\nregion = 'b'\nuid = 1", ":2: is not valid TOML: "),
        ("max-downloads = 1\nmax_downloads = 2", ":2: max-downloads is written twice"),
        ("cache-dir = ['/ssd', '/ssd']", ":1: --cache-dir /ssd is given twice"),
        ("url = 'file:///mnt'\nmountpoint = '/mnt/x'", ":2: the mountpoint /mnt/x lies inside"),
        ("mountpoint = '/m'\nmetrics-address = 'unix:/m/s'", ":2: --metrics-address /m/s lies"),
        ("endpoint-url = 'htps://me:hunter2@host'", ":1: bad value 'htps://***@host' for endpoint"),
    ],
)
def test_a_problem_is_reported_once(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = checked(tmp_path, text).problems
    assert problem.startswith(f"{tmp_path}/data.toml:")
    assert said in problem.removeprefix(str(tmp_path))
    assert "hunter2" not in problem


def test_a_file_that_is_no_text_or_too_large_is_named(tmp_path: Path) -> None:
    path = tmp_path / "data.toml"
    path.write_bytes(b"\xff\xfe")
    (problem,) = check.check_file(path).problems
    assert problem.startswith(f"{path}: ")
    assert "UTF-8" in problem
    path.write_bytes(b"#" * 1024 * 1024 + b"#")
    assert "is larger than 1 MiB" in check.check_file(path).problems[0]
    assert "Is a directory" in check.check_file(tmp_path).problems[0]


def test_what_only_one_mount_can_have(tmp_path: Path) -> None:
    text = "mountpoint = '/mnt/data/'\nmetrics-address = 9467\n"
    first = checked(tmp_path, text, "a.toml")
    second = checked(tmp_path, text.replace("9467", "'127.0.0.1:9467'"), "b.toml")
    mountpoint, address = check.conflicts([first, second])
    assert mountpoint.startswith(f"{second.path}:1: mountpoint /mnt/data ")
    assert address.startswith(f"{second.path}:2: metrics-address 127.0.0.1:9467 ")
    assert str(first.path) in mountpoint
    assert str(first.path) in address


def test_a_hidden_file_and_a_port_of_the_kernels_choice_have_no_conflict(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    text = "mountpoint = '/mnt/data'"
    shown, hidden = checked(tmp_path / "user", text), checked(tmp_path, text)
    assert not list(check.conflicts([shown, hidden]))
    text = "mountpoint = '/dev/fd/3'\nmetrics-address = 0"
    items = [checked(tmp_path, text, name) for name in ("a.toml", "b.toml")]
    assert not list(check.conflicts(items))


def test_a_file_that_others_may_change_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "data.toml"
    path.write_text("region = 'x'")
    path.chmod(0o664)
    item = check.check_file(path)
    assert item.problems == ()
    (warning,) = item.warnings
    assert warning.startswith(f"{path}: ")
    assert all(word in warning for word in ("0664", f"chmod go-w {path}"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_another_user_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "data.toml"
    path.touch(mode=0o600)
    os.chown(path, 4321, 0)
    (warning,) = check.check_file(path).warnings
    assert warning.startswith(f"{path}: ")
    assert "user 4321" in warning


def test_variables_are_checked_by_name_and_by_value(tmp_path: Path) -> None:
    environ = {
        "CLOUDFS_REGOIN": "hunter2",
        "CLOUDFS_XYZZY": "hunter2",
        "CLOUDFS_EMPTY": "",
        "CLOUDFS_MAX_DOWNLOADS": "many",
        "CLOUDFS_URL": "no-url",
        "CLOUDFS_CONFIG": "absent",
        "HOME": str(tmp_path),
    }
    assert sorted(check.check_variables(environ)) == [
        "CLOUDFS_URL: 'no-url' has no scheme; write s3://bucket[/prefix], gs://bucket[/prefix],"
        " az://container[/prefix] or file:///path",
        "bad value 'many' for CLOUDFS_MAX_DOWNLOADS: write a whole number",
        f"there is no configuration 'absent': write {tmp_path}/.config/cloudfs/absent.toml or"
        " /etc/cloudfs/absent.toml",
        "unknown variable CLOUDFS_REGOIN: did you mean CLOUDFS_REGION?",
        "unknown variable CLOUDFS_XYZZY: see 'cloudfs mount --help'",
    ]


def test_variables_that_kubernetes_sets_for_a_service_are_no_mistakes() -> None:
    environ = {
        "CLOUDFS_SERVICE_HOST": "10.0.0.1",
        "CLOUDFS_SERVICE_PORT": "9467",
        "CLOUDFS_SERVICE_PORT_METRICS": "9467",
        "CLOUDFS_PORT": "tcp://10.0.0.1:9467",
        "CLOUDFS_PORT_9467_TCP": "tcp://10.0.0.1:9467",
        "CLOUDFS_PORT_9467_TCP_PROTO": "tcp",
        "CLOUDFS_PORT_53_UDP_PORT": "53",
        "CLOUDFS_PORT_9467_TCP_ADDR": "10.0.0.1",
        "CLOUDFS_METRICS_SERVICE_HOST": "10.0.0.1",
        "CLOUDFS_METRICS_PORT": "tcp://10.0.0.1:9467",
    }
    assert check.check_variables(environ) == []
    (problem,) = check.check_variables({"CLOUDFS_METRICS_PORT": "9467"})
    assert problem.startswith("unknown variable CLOUDFS_METRICS_PORT: ")


def test_a_name_is_looked_for_in_the_folder_of_the_user_first(tmp_path: Path) -> None:
    own = tmp_path / "own" / "cloudfs" / "data.toml"
    own.parent.mkdir(parents=True)
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "own"), "HOME": str(tmp_path)}
    with pytest.raises(UserError, match=f"write {own} or /etc/cloudfs/data.toml"):
        files.find("data", environ)
    own.touch()
    assert files.find("data", environ) == own
    home = tmp_path / ".config" / "cloudfs" / "data.toml"
    home.parent.mkdir(parents=True)
    home.touch()
    assert files.find("data", {"HOME": str(tmp_path)}) == home
    # A relative one is to be ignored, says the specification of these variables.
    assert files.find("data", {"XDG_CONFIG_HOME": ".", "HOME": str(tmp_path)}) == home
    assert files.folders({}) == [Path("/etc/cloudfs")]


@pytest.mark.parametrize("text", ["./data", "/x/data", "data.toml", "", ".data", "a/b", "-x", ".."])
def test_what_is_a_path_is_no_name(text: str) -> None:
    assert not files.is_name(text)
