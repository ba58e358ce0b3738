"""The sources of options: flags, `-o` words, `CLOUDFS_*` variables and a TOML file.

Each source becomes `RawOptions`: the texts that it has, by option name. A text goes through the
parser of its option whatever source it is from, so a value means the same in all of them. `merge`
joins the sources; `cloudfs.config.settings` parses the result.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeAlias

from cloudfs.config import files, options, path_policy
from cloudfs.config.files import Document
from cloudfs.config.option import ENVIRONMENT_PREFIX, Option
from cloudfs.config.path_policy import PolicyTable
from cloudfs.config.types import CacheDirSpec, Value, without_password
from cloudfs.errors import ExitCode, UserError, did_you_mean, nearest

IGNORED_WORDS: Final = re.compile(
    r"rw|user|nouser|users|auto|noauto|_netdev|nofail|nodev|nosuid|dev|suid|defaults|exec|noexec"
    r"|noatime|x-.*"
)
SECRET_WORD: Final = re.compile(r"access.?key|secret|token|passw|credential|account.?key|sas", re.I)

_CREDENTIALS: Final = "use a profile, the environment or an instance role"
_HELP: Final = "see 'cloudfs mount --help'"
# Kubernetes gives every container the addresses of the services of its namespace, and those of a
# service called cloudfs, or cloudfs-metrics, begin like our variables.
_KUBERNETES_VARIABLE: Final = re.compile(
    rf"{ENVIRONMENT_PREFIX}(.+_)?"
    r"(SERVICE_HOST=|SERVICE_PORT(_.+)?=|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?="
    # A user may take this short name for an option: there the value decides.
    r"|PORT=(tcp|udp|sctp)://).*"
)


@dataclass(frozen=True, slots=True)
class RawOption:
    """The unparsed texts that a source has for one option, several only for a repeated one.

    `spelling` is how the source writes the option. `file` and `location` (`FILE:LINE`) are those of
    a TOML key, else empty.
    """

    texts: tuple[str, ...]
    spelling: str
    is_flag: bool = False
    file: str = ""
    location: str = ""

    @property
    def origin(self) -> str:
        """Where the value comes from, to be shown: `--region`, `CLOUDFS_REGION`, `FILE: region`."""
        return f"{self.file}: {self.spelling}" if self.file else self.spelling

    def error(self, problem: str) -> UserError:
        """Return the error that begins with the file and line, if there is one."""
        message = f"{self.location}: {problem}" if self.location else problem
        return UserError(ExitCode.USAGE, message)

    def parse(self, option: Option) -> Value | tuple[Value, ...]:
        """Return the value of `option`, or raise `UserError` that says what is accepted."""
        if option.repeated:
            return tuple(self._parse(option, text) for text in self.texts)
        return self._parse(option, self.texts[-1])

    def path(self, option: Option) -> Path:
        """Return the value of an option whose values are paths."""
        path = self._parse(option, self.texts[-1])
        assert isinstance(path, Path)
        return path

    def _parse(self, option: Option, text: str) -> Value:
        """Return the value of one text, with paths made absolute."""
        try:
            value = option.parse(text)
            if isinstance(value, Path):
                return self._absolute(value)
            if isinstance(value, CacheDirSpec):
                return replace(value, path=self._absolute(value.path))
        except ValueError as error:
            shown = without_password(text)
            raise self.error(f"bad value {shown!r} for {self.spelling}: {error}") from None
        return value

    def _absolute(self, path: Path) -> Path:
        # Only the user who types a flag has a working directory in mind.
        if not self.is_flag and not path.is_absolute():
            raise ValueError("write an absolute path, beginning with /")
        return Path(os.path.abspath(path))


RawOptions: TypeAlias = dict[str, RawOption]
"""The options of one source, by name."""


def from_command_line(typed: Mapping[str, str | tuple[str, ...]]) -> RawOptions:
    """Return flags and arguments, given as the text of each by option name."""
    return {
        name: RawOption(
            (text,) if isinstance(text, str) else text, options.BY_NAME[name].flag, is_flag=True
        )
        for name, text in typed.items()
    }


def from_environment(environ: Mapping[str, str]) -> RawOptions:
    """Return the `CLOUDFS_*` variables. An empty one, as units and pods set them, is unset."""
    return {
        option.name: RawOption(_split(option, environ[option.variable]), option.variable)
        for option in options.OPTIONS
        if environ.get(option.variable)
    }


def unknown_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the `CLOUDFS_*` variables that are no options, each with its fix."""
    known = {option.name.upper(): option.variable for option in options.OPTIONS}
    for name, value in sorted(environ.items()):
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if rest in known or rest == name or not value:
            continue
        if not _KUBERNETES_VARIABLE.fullmatch(f"{name}={value}"):
            close = nearest(rest.upper(), known)
            yield name, f"did you mean {known[close]}?" if close else _HELP


def _split(option: Option, text: str) -> tuple[str, ...]:
    return tuple(split_words(text)) if option.repeated else (text,)


def split_words(text: str) -> list[str]:
    r"""Split a list at its commas; `\,` is a comma that belongs to a word."""
    parts = re.split(r"(?<!\\),", text)
    return [part.replace("\\,", ",") for part in parts if part]


def from_words(words: Iterable[str]) -> RawOptions:
    """Return the options of the values of `-o`; `UserError` for unknown words and credentials."""
    raw: RawOptions = {}
    for word in (word for text in words for word in split_words(text)):
        key, separator, value = word.partition("=")
        if IGNORED_WORDS.fullmatch(key):
            continue
        option = _option_of_word(key)
        if not separator and not option.is_switch:
            message = f"-o {key} lacks a value: write {key}={option.type.metavar}"
            raise UserError(ExitCode.USAGE, message)
        texts: tuple[str, ...] = (value if separator else "true",)
        before = raw.get(option.name)
        if before is not None and option.repeated:
            texts = before.texts + texts
        raw[option.name] = RawOption(texts, f"-o {key}")
    return raw


def _option_of_word(key: str) -> Option:
    """Return the option of a word of `-o`. No error shows the value: it might be a secret."""
    aliases = {option.alias: option for option in options.OPTIONS if option.alias}
    option = aliases.get(key) or options.find(key)
    if option is not None and not option.argument:
        return option
    if SECRET_WORD.search(key):
        message = f"credentials in -o ({key}) can be read by every user of the machine"
        raise UserError(ExitCode.USAGE, f"{message}: {_CREDENTIALS}")
    hint = _hint(key, options.flag_options())
    raise UserError(ExitCode.USAGE, f"unknown option -o {key}: {hint}")


def _hint(key: str, known: Iterable[Option]) -> str:
    return did_you_mean(key.replace("_", "-"), (option.key for option in known)) or _HELP


def from_file(document: Document) -> RawOptions:
    """Return the options of a configuration file, or raise `UserError` for the first bad key."""
    raw: RawOptions = {}
    for key in document.values:
        add_key(raw, document, key)
    return raw


def policies_from_file(document: Document) -> tuple[PolicyTable, ...]:
    """Return the path policies of a configuration file, or raise `UserError`."""
    return path_policy.parse_tables(str(document.path), document.values.get(path_policy.TABLE, []))


def add_key(raw: RawOptions, document: Document, key: str) -> None:
    """Add one key of a configuration file to its options; the policy tables are skipped."""
    if key == path_policy.TABLE:
        return
    location = document.location(key)
    known = [option for option in options.OPTIONS if option.name != "config"]
    option = options.find(key)
    if option is None or option not in known:
        if SECRET_WORD.search(key):
            message = f"credentials ({key}) do not belong into this file: {_CREDENTIALS}"
            raise UserError(ExitCode.USAGE, f"{location}: {message}")
        hint = _hint(key, known)
        raise UserError(ExitCode.USAGE, f"{location}: unknown key {key!r}: {hint}")
    if option.name in raw:
        raise UserError(ExitCode.USAGE, f"{location}: {option.key} is written twice: remove one")
    texts = _texts_of_toml(option, location, document.values[key])
    raw[option.name] = RawOption(texts, key, file=str(document.path), location=location)


def _texts_of_toml(option: Option, location: str, value: object) -> tuple[str, ...]:
    """Return a TOML value, or the array of a repeated option, as the texts of flags."""
    values = value if option.repeated and isinstance(value, list) and value else [value]
    if any(type(item) not in option.type.toml_types for item in values):
        accepted = "true or false" if option.is_switch else f'a string, {option.key} = "..."'
        if option.repeated:
            accepted += ", or an array of them"
        message = f"{location}: {option.key} has the wrong type: write {accepted}"
        raise UserError(ExitCode.USAGE, message)
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def merge(sources: Iterable[RawOptions]) -> RawOptions:
    """Return the options of all sources, of which the earlier ones win."""
    merged: RawOptions = {}
    for raw in sources:
        merged = resolve_negations(raw) | merged
    return merged


def resolve_negations(raw: RawOptions) -> RawOptions:
    """Return the options with `--foreground` and its like replaced by the switch they turn off."""
    resolved = dict(raw)
    for option in options.OPTIONS:
        negation = resolved.pop(option.name, None) if option.negates else None
        if negation is None:
            continue
        other = resolved.get(option.negates)
        if other is not None:
            names = f"{negation.spelling} and {other.spelling}"
            raise negation.error(f"{names} contradict each other: give one of them")
        text = "false" if negation.parse(option) else "true"
        resolved[option.negates] = replace(negation, texts=(text,))
    return resolved


def config_path(raw: RawOption, environ: Mapping[str, str]) -> Path:
    """Return the file of `--config`, given by its path or by its name."""
    text = raw.texts[-1]
    if files.is_name(text):
        return files.find(text, environ)
    return raw.path(options.BY_NAME["config"])
