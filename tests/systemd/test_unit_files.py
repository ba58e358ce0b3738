"""The shipped units as text, without systemd."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloudfs.config import options

_SYSTEM = "cloudfs@.service"
_USER = "user/cloudfs@.service"
_DIRECTIVE = re.compile(r"^([A-Z][A-Za-z]+)=", re.MULTILINE)

# systemd.exec(5): each gives the service a mount namespace, which hides the mount.
_HIDING = frozenset(
    [
        "PrivateTmp",
        "PrivateDevices",
        "PrivateMounts",
        "PrivateIPC",
        "ProtectSystem",
        "ProtectHome",
        "ProtectProc",
        "ProcSubset",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectControlGroups",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "InaccessiblePaths",
        "ExecPaths",
        "NoExecPaths",
        "BindPaths",
        "BindReadOnlyPaths",
        "TemporaryFileSystem",
        "RootDirectory",
        "RootImage",
        "LogNamespace",
        "DynamicUser",
        "MountFlags",
        "MountImages",
        "ExtensionImages",
        "ExtensionDirectories",
    ]
)
# Each implies NoNewPrivileges= in the manager of a user, without which fusermount3 cannot mount.
_UNPRIVILEGED = frozenset(
    [
        "NoNewPrivileges",
        "SystemCallFilter",
        "SystemCallArchitectures",
        "SystemCallLog",
        "LockPersonality",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "ProtectClock",
        "MemoryDenyWriteExecute",
        "ProtectHostname",
        "RestrictFileSystems",
    ]
)


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^\[(\w+)\]\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", [_SYSTEM, _USER])
def test_every_directive_of_a_service_has_its_reason_above(units: Path, name: str) -> None:
    lines = _sections((units / name).read_text())["Service"].splitlines()
    bare = [
        line
        for before, line in zip(["", *lines], lines, strict=False)
        if _DIRECTIVE.match(line) and not before.startswith("# ")
    ]
    assert bare == []


@pytest.mark.parametrize("name", [_SYSTEM, _USER])
def test_nothing_hides_the_mount(units: Path, name: str) -> None:
    assert not _HIDING & set(_DIRECTIVE.findall((units / name).read_text()))


def test_the_unit_of_a_user_keeps_setuid_programs_working(units: Path) -> None:
    assert not _UNPRIVILEGED & set(_DIRECTIVE.findall((units / _USER).read_text()))


def test_a_closed_device_policy_names_the_device(units: Path) -> None:
    text = (units / _SYSTEM).read_text()
    assert "DevicePolicy=closed" in text
    assert "DeviceAllow=/dev/fuse rw" in text


def test_what_is_left_out_is_listed_with_the_reason(units: Path) -> None:
    text = (units / _SYSTEM).read_text()
    comments = " ".join(line for line in text.splitlines() if line.startswith("#"))
    named_late = {"MountImages", "ExtensionImages", "ExtensionDirectories"}
    assert {name for name in _HIDING - named_late if name not in comments} == set()


def test_the_example_of_variables_names_some_that_exist(units: Path) -> None:
    text = (units / "examples" / "environment.example").read_text()
    named = set(re.findall(r"^#?(CLOUDFS_\w+)=", text, re.MULTILINE))
    assert named
    assert named <= {option.variable for option in options.OPTIONS}
