"""A booted machine as docs/systemd.md leaves it: units copied, one configuration per mount."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.support.mounting import wait_until
from tests.support.systemd import CHECKOUT, Machine

UNIT = "cloudfs@data.service"
MOUNTPOINT = "/mnt/data"
ANSWER_S = 20.0

_UNITS = CHECKOUT / "systemd"
_DROP_IN = f"/run/systemd/system/{UNIT}.d/test.conf"
_BUCKET = "/srv/bucket"
_CLEAN = f"""
systemctl stop --quiet cloudfs.target {UNIT} train.service mnt-data.automount mnt-data.mount
systemctl disable --quiet {UNIT}
rm -rf {_DROP_IN} /etc/cloudfs /etc/systemd/system/{UNIT}.d {_BUCKET}
rm -f /etc/systemd/system/train.service /etc/systemd/system/mnt-data.*
umount -l {MOUNTPOINT}
rm -rf {MOUNTPOINT} /var/cache/cloudfs
mkdir -p /etc/cloudfs {MOUNTPOINT} {_BUCKET}
echo 1 >{_BUCKET}/a.txt
systemctl daemon-reload
systemctl reset-failed
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """The machine and what a test does to it."""

    machine: Machine

    @property
    def bucket(self) -> str:
        """The folder that `file_config` mounts; it holds a.txt."""
        return _BUCKET

    def clean(self) -> None:
        """Stop and remove everything that a test has made."""
        self.machine.run("bash", "-c", _CLEAN, check=False)

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file inside, making its folder."""
        script = 'mkdir -p "${0%/*}" && cat >"$0" && chmod "$1" "$0"'
        self.machine.run("bash", "-c", script, path, mode, text=text)

    def configure(self, text: str) -> None:
        """Write the configuration of the mount."""
        self.write("/etc/cloudfs/data.toml", f'mountpoint = "{MOUNTPOINT}"\n{text}')

    def file_config(self) -> None:
        """Configure a mount of the folder `bucket` with a metadata TTL of an hour."""
        self.configure(f'url = "file://{_BUCKET}"\nmetadata-ttl = "1h"\nnegative-ttl = "1h"\n')

    def drop_in(self, text: str) -> None:
        """Override directives of the mount's unit."""
        self.write(_DROP_IN, text)
        self.machine.run("systemctl", "daemon-reload")

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """Run systemctl and return what it printed."""
        done = self.machine.run("systemctl", *arguments, check=check)
        return done.stdout + done.stderr

    def start(self) -> None:
        """Start the mount; an AssertionError has the journal."""
        done = self.machine.run("systemctl", "start", UNIT, check=False)
        assert done.returncode == 0, self.machine.journal(UNIT)

    def daemon(self) -> str:
        """The process id of the daemon, inside."""
        return self.machine.show(UNIT, "MainPID")

    def is_mounted(self) -> bool:
        """The first process of the machine sees the mount."""
        found = self.machine.run("findmnt", "-n", "-t", "fuse.cloudfs", MOUNTPOINT, check=False)
        return found.returncode == 0

    def names(self) -> list[str]:
        """The names that other processes see in the mountpoint."""
        return self.machine.run("ls", MOUNTPOINT).stdout.split()

    def wait_for_restart(self) -> None:
        """Wait until the unit was started again after a failure, and is up."""

        def restarted() -> bool:
            shown = self.machine.run("systemctl", "show", "-p", "NRestarts,ActiveState", UNIT)
            values = dict(re.findall(r"^(\w+)=(.*)$", shown.stdout, re.MULTILINE))
            return values["NRestarts"] != "0" and values["ActiveState"] == "active"

        wait_until(restarted, ANSWER_S, self.machine.journal(UNIT))


def installed_on(machine: Machine) -> Installed:
    """Install the units, the launcher of mount(8) where there is one, and the cleaning."""
    _copy(machine, [_UNITS / "cloudfs@.service", _UNITS / "cloudfs.target"], "/etc/systemd/system")
    _copy(machine, list((_UNITS / "user").iterdir()), "/etc/systemd/user")
    machine.run("systemctl", "daemon-reload")
    return Installed(machine)


def _copy(machine: Machine, files: list[Path], folder: str) -> None:
    machine.run("install", "-D", "-m", "644", "-t", folder, *map(str, files))
