"""The shipped units under a systemd that was really booted (`tests/support/systemd.py`).

Run for real: start, reload, stop, crash, watchdog and start limit of the system unit with all of
its hardening; credentials; the target; a training unit that requires the mount; the mount unit and
the automount unit; the unit of an unprivileged user, whose manager was started for the test.
Verified only, by `systemd-analyze verify`: the drop-ins for memory and for a disk of the cache. Not
at all: shutdown of a machine, encrypted credentials, versions of systemd but the machine's.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.mounting import wait_until
from tests.support.stores import S3Server
from tests.systemd.installed import ANSWER_S, MOUNTPOINT, UNIT, Installed

pytestmark = pytest.mark.slow

_ETC = "/etc/systemd/system"
_FAST = "[Service]\nRestartSec=100ms\n"
_EXAMPLES = ("mnt-data.mount", "mnt-data.automount", "train.service")


def _install_example(node: Installed, units: Path, *names: str) -> None:
    for name in names:
        node.write(f"{_ETC}/{name}", (units / "examples" / name).read_text())
    node.systemctl("daemon-reload")


def test_units_are_valid(node: Installed, units: Path) -> None:
    _install_example(node, units, *_EXAMPLES)
    for name in ("scratch-disks.conf", "memory.conf", "credentials.conf"):
        text = (units / "examples" / name).read_text()
        node.write(f"{_ETC}/{UNIT}.d/{name}", text)
    verify = ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no")
    system = node.machine.run(*verify, UNIT, "cloudfs.target", *_EXAMPLES)
    user_units = ("/etc/systemd/user/cloudfs@data.service", "/etc/systemd/user/cloudfs.target")
    user = node.machine.run(*verify, "--user", *user_units, env={"XDG_RUNTIME_DIR": "/run"})
    assert (system.stderr, user.stderr) == ("", "")


def test_started_means_that_the_mount_answers_and_everybody_sees_it(node: Installed) -> None:
    node.file_config()
    node.start()
    assert node.names() == ["a.txt"]
    assert node.is_mounted()
    status = node.machine.show(UNIT, "StatusText")
    assert status.startswith(f"file://{node.bucket} on {MOUNTPOINT}: ")
    listed = json.loads(node.machine.run("cloudfs", "status", MOUNTPOINT, "--json").stdout)
    assert str(listed["pid"]) == node.daemon()


def test_the_daemon_has_the_rights_that_its_work_needs(node: Installed) -> None:
    node.file_config()
    node.start()
    node.systemctl("stop", UNIT)
    # Nothing was refused: the kernel's read-ahead could be set, and no call was filtered.
    assert node.machine.journal(UNIT, "-p", "warning", "--since=-1min", f"_PID={_last(node)}") == ""


def _last(node: Installed) -> str:
    return node.machine.show(UNIT, "ExecMainPID")


def test_a_mountpoint_without_permissions_is_mounted_on(node: Installed) -> None:
    node.file_config()
    node.machine.run("chmod", "0000", MOUNTPOINT)
    node.start()
    assert node.names() == ["a.txt"]


def test_without_its_bucket_it_does_not_start_and_says_why(node: Installed) -> None:
    node.configure('url = "file:///srv/nowhere"\n')
    assert "failed" in node.systemctl("start", UNIT, check=False)
    assert "/srv/nowhere" in node.machine.journal(UNIT, "-p", "warning", "_TRANSPORT=stdout")
    assert node.machine.show(UNIT, "ActiveState") == "failed"
    assert not node.is_mounted()


def test_reload_asks_the_bucket_again(node: Installed) -> None:
    node.file_config()
    node.start()
    assert node.names() == ["a.txt"]
    node.machine.run("test", "!", "-e", f"{MOUNTPOINT}/b.txt")
    node.write(f"{node.bucket}/b.txt", "2\n")
    assert node.names() == ["a.txt"]
    before = node.daemon()
    hold = f"exec 3<{MOUNTPOINT}/a.txt; systemctl reload {UNIT}; cat <&3"
    assert node.machine.run("bash", "-c", hold).stdout == "1\n"
    # The signal is sent when the command returns, not handled yet.
    wait_until(lambda: node.names() == ["a.txt", "b.txt"], 5, "the new file is not seen")
    assert node.machine.run("cat", f"{MOUNTPOINT}/b.txt").stdout == "2\n"
    assert node.daemon() == before
    assert node.machine.show(UNIT, "ActiveState") == "active"
    assert "SIGHUP: invalidated" in node.machine.journal(UNIT)


def test_stop_leaves_an_empty_directory_and_no_complaint(node: Installed) -> None:
    node.file_config()
    node.start()
    node.machine.run("cat", f"{MOUNTPOINT}/a.txt")
    pid = node.daemon()
    node.systemctl("stop", UNIT)
    assert not node.is_mounted()
    assert node.names() == []
    assert node.machine.show(UNIT, "Result") == "success"
    assert node.machine.journal(UNIT, "-p", "warning", f"_PID={pid}") == ""
    (line,) = node.machine.journal(
        UNIT, "-p", "info", f"_PID={pid}", "-g", "^unmounted"
    ).splitlines()
    assert line == f"unmounted {MOUNTPOINT}"


def test_stop_ends_a_mount_that_is_in_use(node: Installed) -> None:
    node.file_config()
    node.start()
    user = "cd /mnt/data && exec 3<a.txt && systemctl stop cloudfs@data && ! ls /mnt/data/a.txt"
    node.machine.run("bash", "-c", user)
    assert not node.is_mounted()
    assert node.machine.show(UNIT, "Result") == "success"


def test_a_killed_daemon_is_replaced_and_the_dead_mountpoint_cleared(node: Installed) -> None:
    node.file_config()
    node.drop_in(_FAST)
    node.start()
    node.machine.run("kill", "-KILL", node.daemon())
    node.wait_for_restart()
    assert node.names() == ["a.txt"]
    mounts = node.machine.run("findmnt", "-n", "-o", "SOURCE", MOUNTPOINT).stdout.split()
    assert mounts == [f"file://{node.bucket}"]


def test_a_daemon_that_is_stuck_is_aborted_and_replaced(node: Installed) -> None:
    node.file_config()
    node.drop_in(f"{_FAST}WatchdogSec=2\n")
    node.start()
    node.machine.run("kill", "-STOP", node.daemon())
    node.wait_for_restart()
    assert node.names() == ["a.txt"]
    journal = node.machine.journal(UNIT)
    assert "Watchdog timeout" in journal
    assert "Fatal Python error: Aborted" in journal


def test_a_daemon_that_keeps_dying_leaves_an_error_and_no_empty_directory(node: Installed) -> None:
    node.file_config()
    node.drop_in("[Unit]\nStartLimitBurst=1\n" + _FAST)
    node.start()
    node.machine.run("kill", "-KILL", node.daemon())
    wait_until(
        lambda: node.machine.show(UNIT, "ActiveState") == "failed", ANSWER_S, "it was started again"
    )
    refused = node.machine.run("ls", MOUNTPOINT, check=False)
    assert "Transport endpoint is not connected" in refused.stderr
    node.systemctl("reset-failed", UNIT)
    node.start()
    assert node.names() == ["a.txt"]


def test_credentials_reach_the_daemon_and_the_mount_everybody(
    node: Installed, units: Path, s3_server: S3Server
) -> None:
    variables = f"AWS_ENDPOINT_URL={s3_server.endpoint_url}\nAWS_REGION=us-east-1\n"
    node.write("/etc/cloudfs/data.env", variables + "AWS_EC2_METADATA_DISABLED=true\n", "600")
    with s3_server.bucket("units") as bucket:
        bucket.put("train/case.csv", b"1,2\n")
        node.configure('url = "s3://units/train"\n')
        assert "failed" in node.systemctl("start", UNIT, check=False)
        assert "credentials" in node.machine.journal(UNIT).lower()
        node.systemctl("stop", UNIT)
        keys = "[default]\naws_access_key_id = testing\naws_secret_access_key = testing\n"
        node.write("/etc/cloudfs/data.aws", keys, "600")
        example = (units / "examples" / "credentials.conf").read_text()
        node.write(f"{_ETC}/{UNIT}.d/credentials.conf", example)
        node.systemctl("daemon-reload")
        node.start()
        assert node.machine.run("cat", f"{MOUNTPOINT}/case.csv").stdout == "1,2\n"
        environment = node.machine.run("cat", f"/proc/{node.daemon()}/environ").stdout.split("\0")
        assert f"AWS_SHARED_CREDENTIALS_FILE=/run/credentials/{UNIT}/aws" in environment
        node.systemctl("stop", UNIT)
        assert "testing" not in node.machine.journal(UNIT)


def test_the_target_starts_and_stops_what_is_enabled(node: Installed) -> None:
    node.file_config()
    node.systemctl("enable", UNIT)
    at_boot = node.machine.run("systemctl", "show", "-P", "Wants", "multi-user.target").stdout
    assert UNIT in at_boot.split()
    node.systemctl("start", "cloudfs.target")
    assert node.names() == ["a.txt"]
    node.systemctl("stop", "cloudfs.target")
    assert not node.is_mounted()


def test_a_job_that_requires_the_mount_starts_it(node: Installed, units: Path) -> None:
    node.file_config()
    node.write(f"{node.bucket}/case.h5", "5\n")
    _install_example(node, units, "train.service")
    node.systemctl("start", "train.service")
    assert f"{MOUNTPOINT}/case.h5" in node.machine.journal("train.service")


def test_a_job_whose_mount_cannot_be_made_fails(node: Installed, units: Path) -> None:
    node.configure('url = "file:///srv/nowhere"\n')
    _install_example(node, units, "train.service")
    said = node.systemctl("start", "train.service", check=False)
    assert "dependency job" in said


@pytest.fixture
def helped(node: Installed, units: Path) -> Installed:
    """The machine with the mount unit and the automount unit, and a job that needs the path."""
    _install_example(node, units, "mnt-data.mount", "mnt-data.automount")
    node.write(f"{_ETC}/train.service", _NEEDS_THE_PATH)
    node.file_config()
    node.write(f"{_ETC}/mnt-data.mount.d/test.conf", f"[Mount]\nWhat=file://{node.bucket}\n")
    node.systemctl("daemon-reload")
    return node


_NEEDS_THE_PATH = f"""
[Unit]
RequiresMountsFor={MOUNTPOINT}
[Service]
Type=oneshot
ExecStart=/bin/cat {MOUNTPOINT}/a.txt
"""


def test_a_mount_unit_answers_to_what_requires_its_path(helped: Installed) -> None:
    helped.systemctl("start", "train.service")
    assert helped.is_mounted()
    assert "\n1\n" in helped.machine.journal("train.service")
    helped.systemctl("stop", "mnt-data.mount")
    assert not helped.is_mounted()


def test_an_automount_unit_mounts_what_is_looked_into(helped: Installed) -> None:
    helped.systemctl("start", "mnt-data.automount")
    assert not helped.is_mounted()
    assert helped.names() == ["a.txt"]
    assert helped.is_mounted()
    assert helped.machine.show("mnt-data.mount", "ActiveState") == "active"


_USER_UNIT = "cloudfs@mine.service"
_USER_PREPARATION = """
chmod 755 /root
id tester 2>/dev/null || useradd --create-home tester
install -d -o tester -m 700 /run/user/$(id -u tester) /home/tester/.config/cloudfs /home/tester/mine
printf 'url = "file:///srv/bucket"\\nmountpoint = "/home/tester/mine"\\n' \
    >/home/tester/.config/cloudfs/mine.toml
"""


def test_the_unit_of_an_unprivileged_user(node: Installed) -> None:
    run = node.machine.run
    run("bash", "-euc", _USER_PREPARATION)
    uid = run("id", "-u", "tester").stdout.strip()
    runtime = f"XDG_RUNTIME_DIR=/run/user/{uid}"
    run(
        "systemd-run", "--unit=manager-of-tester", f"--uid={uid}", "--service-type=notify",
        "-p", "Delegate=yes", "-p", f"Environment={runtime} HOME=/home/tester",
        "/lib/systemd/systemd", "--user",
    )  # fmt: skip

    def as_tester(*command: str) -> str:
        return run("runuser", "-u", "tester", "--", "env", runtime, *command).stdout

    try:
        as_tester("systemctl", "--user", "start", _USER_UNIT)
        assert as_tester("ls", "/home/tester/mine") == "a.txt\n"
        as_tester("systemctl", "--user", "reload", _USER_UNIT)
        as_tester("systemctl", "--user", "stop", _USER_UNIT)
        assert as_tester("ls", "/home/tester/mine") == ""
    finally:
        run("systemctl", "stop", "manager-of-tester", check=False)
