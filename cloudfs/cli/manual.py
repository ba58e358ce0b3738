"""The generator of docs/man/cloudfs.1, from the verbs, the option table and the exit codes.

In a checkout: `python -m cloudfs.cli.manual > docs/man/cloudfs.1`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from cloudfs.cli.arguments.flags import GroupedOption
from cloudfs.cli.main import cloudfs
from cloudfs.config import options
from cloudfs.config.option import Heading, Option

_EXIT_CODES: Final = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
_CODE_ROW: Final = re.compile(r"^\| (\d+) \| \S+ \| (.*) \|$", re.MULTILINE)
_ESCAPES: Final = str.maketrans(
    {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
)

_DESCRIPTION: Final = """\
cloudfs mounts a bucket of S3, Google Cloud Storage or Azure, or a part of one, as a read-only
directory, and keeps what was read in memory and on local SSDs. One process serves one mount: it
stays in the foreground, or goes into the background once the mount answers (`--background`).

`cloudfs mount` finds its settings in flags, in `-o` words, in the environment and in a
configuration file; see CONFIGURATION FILES.
"""

_VALUES: Final = """\
Sizes are bytes, or `8MiB`, `8M`, `1.5GiB` (powers of 1024; `8MB` is a power of 1000). Durations are
seconds, or `500ms`, `30s`, `5m`, `2h`, `1d`, `indefinite`. Modes are octal. Paths outside of flags
are absolute. The `-o` word of an option is its TOML key, with dashes or underscores.
"""

_CONFIGURATION: Final = """\
A value is taken from the first of: the flag or argument, `-o`, the variable, the configuration
file, the default. The configuration file is the TOML file that `--config` (or `CLOUDFS_CONFIG`)
names: by its path, or by a NAME, which is looked for as NAME.toml in the folder of the user and
then in that of the system. The first one found is taken whole. Its keys are those given with each
option, modes are strings in it, and a repeatable option has an array. `[[policy]]` tables say how
the files that match a pattern are cached. A key that is not known is an error.

`cloudfs config show` shows the values and where each comes from, `cloudfs config check` finds
mistakes.
"""

_ENVIRONMENT: Final = (
    ("CLOUDFS_*", "The options, see OPTIONS. An empty variable counts as unset."),
    (
        "AWS_*, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_*",
        "Credentials, as the SDKs of the clouds read them. They cannot be options.",
    ),
    ("XDG_CONFIG_HOME, HOME", "Where the folder of the user is."),
    (
        "CACHE_DIRECTORY, RUNTIME_DIRECTORY, LOGS_DIRECTORY, STATE_DIRECTORY",
        "Set by systemd: where the cache, the control socket and the log are by default.",
    ),
)

_FILES: Final = (
    ("$XDG_CONFIG_HOME/cloudfs/NAME.toml, ~/.config/cloudfs/NAME.toml", "Of the user."),
    ("/etc/cloudfs/NAME.toml", "Of the system: the configuration called NAME."),
    ("/var/cache/cloudfs, ~/.cache/cloudfs", "The disk cache of root, and of other users."),
    ("/run/cloudfs", "Control sockets of the mounts of root."),
    ("/var/log/cloudfs", "Logs of the mounts of root in the background."),
)

_EXAMPLES: Final = (
    ("cloudfs mount s3://my-bucket/train /mnt/data --background", "Mount a prefix."),
    ("cloudfs mount --config data", "Mount what /etc/cloudfs/data.toml says."),
    ("cloudfs status /mnt/data", "Show what the mount does."),
    ("cloudfs umount /mnt/data", "End it."),
)


def render() -> str:
    """Return the manual page, for groff's man macros."""
    context = click.Context(cloudfs, info_name="cloudfs")
    verbs = [*_verbs(context)]
    lines = [
        '.\\" Written by python -m cloudfs.cli.manual: change that, not this.',
        '.TH CLOUDFS 1 "" "cloudfs" "User Commands"',
        *(".nh", ".ad l"),
        *(".SH NAME", _plain("cloudfs - mount an object-store bucket as a directory")),
        *(".SH SYNOPSIS", *_synopsis(verbs)),
        *(".SH DESCRIPTION", *_paragraphs(_DESCRIPTION)),
        *(".SH VERBS", *(line for verb in verbs for line in _verb(verb))),
        *(".SH OPTIONS", *_paragraphs(_VALUES), *_options()),
        *(".SH CONFIGURATION FILES", *_paragraphs(_CONFIGURATION)),
        *(".SH ENVIRONMENT", *_items(_ENVIRONMENT)),
        *(".SH EXIT STATUS", *_items(_exit_codes())),
        *(".SH FILES", *_items(_FILES)),
        *(".SH EXAMPLES", *_items(_EXAMPLES)),
        *(".SH SEE ALSO", ".BR mount.cloudfs (8),", ".BR fuse (4),", ".BR fusermount3 (1)"),
    ]
    return "\n".join(lines) + "\n"


def _verbs(context: click.Context) -> Iterator[click.Context]:
    """Yield the contexts of the verbs; a group is replaced by its own."""
    assert isinstance(context.command, click.Group)
    for name, command in context.command.commands.items():
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _verbs(inner)
        else:
            yield inner


def _synopsis(verbs: list[click.Context]) -> Iterator[str]:
    """Yield one line for each verb, with its arguments."""
    for context in verbs:
        pieces = " ".join(context.command.collect_usage_pieces(context))
        yield f"{_bold(context.command_path)} {_plain(pieces)}"
        yield ".br"


def _verb(context: click.Context) -> Iterator[str]:
    """Yield the help of one verb, and those of its options that are not in the table."""
    command = context.command
    yield f".SS {_plain(context.command_path)}"
    yield from _paragraphs(inspect.cleandoc(command.help or ""))
    records = (
        parameter.get_help_record(context)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not _is_table_option(parameter)
    )
    yield from _items(record for record in records if record is not None)
    if any(map(_is_table_option, command.params)):
        yield from _paragraphs("The other options are those below OPTIONS: `--help` says which.")


def _is_table_option(parameter: click.Parameter) -> bool:
    return isinstance(parameter, GroupedOption) and parameter.name in options.BY_NAME


def _options() -> Iterator[str]:
    for heading in Heading:
        yield f".SS {_plain(heading)}"
        rows = (option for option in options.OPTIONS if option.heading is heading)
        for option in rows:
            yield from _option(option)


def _option(option: Option) -> Iterator[str]:
    flag = " ".join(dict.fromkeys(part for part in (option.flag, option.type.metavar) if part))
    yield from (".TP", _bold(f"{option.short}, {flag}" if option.short else flag))
    yield _plain(option.description)
    if accepted := option.range_shown():
        yield _plain(f"Accepted: {accepted}.")
    if option.repeated:
        yield "Repeatable."
    yield ".br"
    facts = [f"TOML key {option.key}", f"variable {option.variable}"]
    if option.name == "config":
        facts.pop(0)
    if option.alias:
        facts.insert(1, f"also -o {option.alias}")
    if option.argument:
        facts.append("no -o word")
    if default := option.default_shown():
        facts.append(f"default: {default}")
    sentence = f"{'; '.join(facts)}."
    yield _plain(sentence[:1].upper() + sentence[1:])


def _exit_codes() -> Iterator[tuple[str, str]]:
    text = _EXIT_CODES.read_text(encoding="utf-8")
    for code, meaning in _CODE_ROW.findall(text):
        yield code, meaning.replace("\\|", "|")


def _items(items: Iterator[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Iterator[str]:
    """Yield a list of terms and their texts."""
    for term, text in items:
        yield from (".TP", _bold(term), _plain(text))


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.strip().split("\n\n"):
        yield from (".PP", _plain(" ".join(paragraph.split())))


def _plain(text: str) -> str:
    """Return escaped text; code in backquotes becomes bold."""
    parts = re.split(r"`([^`]*)`", text)
    escaped = (part.translate(_ESCAPES) for part in parts)
    line = "".join(f"\\fB{p}\\fR" if number % 2 else p for number, p in enumerate(escaped))
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _bold(text: str) -> str:
    return f"\\fB{text.translate(_ESCAPES)}\\fR"


if __name__ == "__main__":
    click.echo(render(), nl=False)
