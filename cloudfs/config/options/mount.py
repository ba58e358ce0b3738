"""Options of the mount: where it is, who sees it, how it is served."""

from __future__ import annotations

from typing import Final

from cloudfs.config.option import Heading, Option
from cloudfs.config.types import CONFIG, COUNT, MODE, MOUNTPOINT, SWITCH

_ID_MAX: Final = 2**32 - 2

OPTIONS: Final = (
    Option(
        "mountpoint",
        MOUNTPOINT,
        Heading.MOUNT,
        "Empty directory to mount on, or /dev/fd/N for a FUSE device that the caller has mounted.",
        setting=False,
        argument=True,
    ),
    Option(
        "read_only",
        SWITCH,
        Heading.MOUNT,
        "Refuse every change.",
        default=False,
        alias="ro",
        note="every mount is read-only for now",
    ),
    Option(
        "allow_other",
        SWITCH,
        Heading.MOUNT,
        "Let other users, root included, use the mount.",
        default=False,
    ),
    Option(
        "uid",
        COUNT,
        Heading.MOUNT,
        "User id that owns every file.",
        default_text="the mounting user",
        maximum=_ID_MAX,
    ),
    Option(
        "gid",
        COUNT,
        Heading.MOUNT,
        "Group id that owns every file.",
        default_text="the mounting user's group",
        maximum=_ID_MAX,
    ),
    Option(
        "umask",
        MODE,
        Heading.MOUNT,
        "Permission bits taken away from --file-mode and --dir-mode.",
        default=0o022,
        maximum=0o777,
    ),
    Option(
        "file_mode",
        MODE,
        Heading.MOUNT,
        "Permission bits of files.",
        default=0o644,
        maximum=0o777,
    ),
    Option(
        "dir_mode",
        MODE,
        Heading.MOUNT,
        "Permission bits of directories.",
        default=0o755,
        maximum=0o777,
    ),
    Option(
        "foreground",
        SWITCH,
        Heading.MOUNT,
        "Stay in the foreground until unmounted. This is the default.",
        default=False,
        short="-f",
        negates="background",
        setting=False,
    ),
    Option(
        "background",
        SWITCH,
        Heading.MOUNT,
        "Return as soon as the mount answers and serve it in the background.",
        default=False,
    ),
    Option(
        "config",
        CONFIG,
        Heading.MOUNT,
        "TOML file with options, or the NAME of one in ~/.config/cloudfs or /etc/cloudfs.",
        setting=False,
    ),
)
