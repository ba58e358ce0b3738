"""Command that runs the commands of a page under a systemd that was booted for them.

    python -m tests.docs.booted FOLDER PAGE <COMMANDS

A process of its own, because the machine gets the network of the process that boots it. The output
of the commands goes to standard output, and their exit status is that of the process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.docs.pages import ROOT
from tests.support.systemd import Machine, booted

_PASSED_ON = ("AWS_", "LANG")
_TIME_LIMIT_S = 90.0
# As `make install` leaves a node, and with the environment of the bucket for services, too.
_INSTALLED = """
shopt -s nullglob
units=/usr/local/lib/systemd
mkdir -p $units/system $units/user /mnt/data /mnt/nvme
cp -t $units/system "$1"/systemd/*.service "$1"/systemd/*.target
cp -t $units/user "$1"/systemd/user/*.service "$1"/systemd/user/*.target
test ! -e "$2/mount.cloudfs" || ln -sf "$2/mount.cloudfs" /sbin/mount.cloudfs
systemctl import-environment ${!AWS_*}
systemctl daemon-reload
"""


def main() -> int:
    """Return the exit status of the commands."""
    folder, page = sys.argv[1:]
    env = {name: text for name, text in os.environ.items() if name.startswith(_PASSED_ON)}
    with booted(Path(folder)) as machine:
        programs = str(Path(sys.executable).parent)
        machine.run("bash", "-euc", _INSTALLED, "install", str(ROOT), programs, env=env)
        done = machine.run(
            *("bash", "-euc", sys.stdin.read(), page),
            timeout_s=_TIME_LIMIT_S,
            env=env,
            check=False,
        )
        sys.stdout.write(done.stdout)
        if done.returncode:
            sys.stdout.write(_journal(machine))
        return done.returncode


def _journal(machine: Machine) -> str:
    machine.run("journalctl", "--sync")
    return machine.run("journalctl", "--no-pager", "-n", "60", "-o", "cat").stdout


if __name__ == "__main__":
    sys.exit(main())
