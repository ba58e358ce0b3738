"""Where options are given: flags, `-o` words, `CLOUDFS_*` variables and a TOML file, as text.

Each source becomes a `Layer`, from option names to what was written for them, and every text goes
through the parser of its option, so a value means the same wherever it was written. This module
does not know which layer wins over which, nor what the settings are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cloudfs.config import files, options, path_policy
from cloudfs.config.files import Document
from cloudfs.config.option import ENVIRONMENT_PREFIX, Option
from cloudfs.config.path_policy import PolicyTable
from cloudfs.config.types import CacheDirectory, Value, without_password
from cloudfs.errors import ExitCode, UserError, did_you_mean, nearest

IGNORED_WORDS: Final = re.compile(
    r"rw|user|nouser|users|auto|noauto|_netdev|nofail|nodev|nosuid|dev|suid|defaults|exec|noexec"
    r"|noatime|x-.*"
)

_CREDENTIALS: Final = "use a profile, the environment or an instance role"
_HELP: Final = "see 'cloudfs mount --help'"
SECRET_WORD: Final = re.compile(r"access.?key|secret|token|passw|credential|account.?key|sas", re.I)
# Kubernetes gives every container the addresses of the services of its namespace, and those of a
# service called cloudfs, or cloudfs-metrics, begin like our variables. They are nobody's mistake.
_OF_A_SERVICE: Final = re.compile(
    rf"{ENVIRONMENT_PREFIX}(.+_)?"
    r"(SERVICE_HOST=|SERVICE_PORT(_.+)?=|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?="
    # Somebody may well think that this short name is an option: there the value decides.
    r"|PORT=(tcp|udp|sctp)://).*"
)


@dataclass(frozen=True, slots=True)
class Given:
    """What a source has for one option: the texts of its values, several only for a repeated one.

    `spelling` is how the source writes the option. `file` and `place` (`FILE:LINE`) are those of a
    TOML key, else empty.
    """

    texts: tuple[str, ...]
    spelling: str
    is_flag: bool = False
    file: str = ""
    place: str = ""

    @property
    def origin(self) -> str:
        """Where the value comes from, for people: `--region`, `CLOUDFS_REGION`, `FILE: region`."""
        return f"{self.file}: {self.spelling}" if self.file else self.spelling

    def error(self, problem: str) -> UserError:
        """Return the error that begins with the file and line, if there is one."""
        return UserError(ExitCode.USAGE, f"{self.place}: {problem}" if self.place else problem)

    def parsed(self, option: Option) -> Value | tuple[Value, ...]:
        """Return the value of `option`, or raise `UserError` that says what is accepted."""
        if option.repeated:
            return tuple(self._parsed(option, text) for text in self.texts)
        return self._parsed(option, self.texts[-1])

    def path(self, option: Option) -> Path:
        """Return the value of an option whose values are paths."""
        path = self._parsed(option, self.texts[-1])
        assert isinstance(path, Path)
        return path

    def _parsed(self, option: Option, text: str) -> Value:
        """Return what one text stands for, with paths made absolute."""
        try:
            value = option.parse(text)
            if isinstance(value, Path):
                return self._absolute(value)
            if isinstance(value, CacheDirectory):
                return replace(value, path=self._absolute(value.path))
        except ValueError as error:
            shown = without_password(text)
            raise self.error(f"bad value {shown!r} for {self.spelling}: {error}") from None
        return value

    def _absolute(self, path: Path) -> Path:
        """Return an absolute path. Only a person typing a flag has a working folder in mind."""
        if not self.is_flag and not path.is_absolute():
            raise ValueError("write an absolute path, beginning with /")
        return Path(os.path.abspath(path))


Layer = dict[str, Given]


def typed_layer(typed: Mapping[str, str | tuple[str, ...]]) -> Layer:
    """Return the layer of flags and arguments, from the text of each by option name."""
    return {
        name: Given(
            (text,) if isinstance(text, str) else text, options.BY_NAME[name].flag, is_flag=True
        )
        for name, text in typed.items()
    }


def environment_layer(environ: Mapping[str, str]) -> Layer:
    """Return what `CLOUDFS_*` says. Empty counts as unset: units and pods set such variables."""
    return {
        option.name: Given(_split(option, environ[option.variable]), option.variable)
        for option in options.OPTIONS
        if environ.get(option.variable)
    }


def unknown_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the `CLOUDFS_*` variables that no option has, each with how to mend it."""
    known = {option.name.upper(): option.variable for option in options.OPTIONS}
    for name, value in sorted(environ.items()):
        rest = name.removeprefix(ENVIRONMENT_PREFIX)
        if rest in known or rest == name or not value:
            continue
        if not _OF_A_SERVICE.fullmatch(f"{name}={value}"):
            close = nearest(rest.upper(), known)
            yield name, f"did you mean {known[close]}?" if close else _HELP


def _split(option: Option, text: str) -> tuple[str, ...]:
    return tuple(split_words(text)) if option.repeated else (text,)


def split_words(text: str) -> list[str]:
    r"""Split a list at its commas; `\,` stands for a comma that belongs to a word."""
    parts = re.split(r"(?<!\\),", text)
    return [part.replace("\\,", ",") for part in parts if part]


def words_layer(words: Iterable[str]) -> Layer:
    """Return what the values of `-o` say; `UserError` for unknown words and for credentials."""
    layer: Layer = {}
    for word in (word for text in words for word in split_words(text)):
        key, separator, value = word.partition("=")
        if IGNORED_WORDS.fullmatch(key):
            continue
        option = _option_of_word(key)
        if not separator and not option.is_switch:
            message = f"-o {key} lacks a value: write {key}={option.kind.metavar}"
            raise UserError(ExitCode.USAGE, message)
        texts: tuple[str, ...] = (value if separator else "true",)
        before = layer.get(option.name)
        if before is not None and option.repeated:
            texts = before.texts + texts
        layer[option.name] = Given(texts, f"-o {key}")
    return layer


def _option_of_word(key: str) -> Option:
    """Return the option of a word of `-o`. Never shows a value: it might be a secret."""
    aliases = {option.extra_word: option for option in options.OPTIONS if option.extra_word}
    option = aliases.get(key) or options.find(key)
    if option is not None and not option.argument:
        return option
    if SECRET_WORD.search(key):
        message = f"credentials in -o ({key}) can be read by every user of the machine"
        raise UserError(ExitCode.USAGE, f"{message}: {_CREDENTIALS}")
    hint = _nearest(key, options.flag_options())
    raise UserError(ExitCode.USAGE, f"unknown option -o {key}: {hint}")


def _nearest(key: str, known: Iterable[Option]) -> str:
    """Return the hint that names the option closest to `key`."""
    return did_you_mean(key.replace("_", "-"), (option.key for option in known)) or _HELP


def file_layer(document: Document) -> Layer:
    """Return the options of a configuration file, or raise `UserError` for the first bad key."""
    layer: Layer = {}
    for key in document.values:
        add_key(layer, document, key)
    return layer


def file_policies(document: Document) -> tuple[PolicyTable, ...]:
    """Return the path policies of a configuration file, or raise `UserError`."""
    return path_policy.parse_tables(str(document.path), document.values.get(path_policy.TABLE, []))


def add_key(layer: Layer, document: Document, key: str) -> None:
    """Add one key of a configuration file to its layer; the tables of policies are none."""
    if key == path_policy.TABLE:
        return
    place = document.place(key)
    known = [option for option in options.OPTIONS if option.name != "config"]
    option = options.find(key)
    if option is None or option not in known:
        if SECRET_WORD.search(key):
            message = f"{place}: credentials ({key}) do not belong into this file: {_CREDENTIALS}"
            raise UserError(ExitCode.USAGE, message)
        hint = _nearest(key, known)
        raise UserError(ExitCode.USAGE, f"{place}: unknown key {key!r}: {hint}")
    if option.name in layer:
        raise UserError(ExitCode.USAGE, f"{place}: {option.key} is written twice: remove one")
    texts = _texts_of_toml(option, place, document.values[key])
    layer[option.name] = Given(texts, key, file=str(document.path), place=place)


def _texts_of_toml(option: Option, place: str, value: object) -> tuple[str, ...]:
    """Return a TOML value, or the array of a repeated option, as the texts of flags."""
    values = value if option.repeated and isinstance(value, list) and value else [value]
    if any(type(item) not in option.kind.toml_types for item in values):
        wanted = "true or false" if option.is_switch else f'a string, {option.key} = "..."'
        if option.repeated:
            wanted += ", or an array of them"
        message = f"{place}: {option.key} has the wrong type: write {wanted}"
        raise UserError(ExitCode.USAGE, message)
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def merged(layers: Iterable[Layer]) -> Layer:
    """Return one layer in which the earlier ones win."""
    result: Layer = {}
    for layer in layers:
        result = without_negations(layer) | result
    return result


def without_negations(layer: Layer) -> Layer:
    """Return the layer with `--foreground` and its like said by the switch they turn off."""
    result = dict(layer)
    for option in options.OPTIONS:
        given = result.pop(option.name, None) if option.negates else None
        if given is None:
            continue
        other = result.get(option.negates)
        if other is not None:
            names = f"{given.spelling} and {other.spelling}"
            raise given.error(f"{names} contradict each other: give one of them")
        text = "false" if given.parsed(option) else "true"
        result[option.negates] = replace(given, texts=(text,))
    return result


def configuration(given: Given, environ: Mapping[str, str]) -> Path:
    """Return the file that `--config` means, by its path or by its name."""
    text = given.texts[-1]
    if files.is_name(text):
        return files.find(text, environ)
    return given.path(options.BY_NAME["config"])
