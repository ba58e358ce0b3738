"""From flags, `-o` words, `CLOUDFS_*` variables, a TOML file and defaults to `MountSettings`.

Every source is brought to text first and goes through the same parsers, so a value means the same
wherever it was written. This module knows the table of options but not what the mount does with
them, and it does not look at the store, the mountpoint or the cache directory.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cloudfs import derive, mountpoints, options, policy
from cloudfs.errors import ExitCode, UserError
from cloudfs.kinds import CacheDirectory, Value
from cloudfs.options import Option
from cloudfs.policy import PolicyTable
from cloudfs_backends import url as urls

IGNORED_WORDS: Final = re.compile(
    r"rw|user|nouser|users|auto|noauto|_netdev|nofail|nodev|nosuid|dev|suid|defaults|exec|noexec"
    r"|noatime|x-.*"
)
DEFAULT_ORIGIN: Final = "default"
NO_MOUNTPOINT: Final = Path(os.devnull)
"""Stands for the mountpoint in the settings of a command that makes no mount."""

_SECRET: Final = re.compile(r"access.?key|secret|token|passw|credential|account.?key|sas", re.I)


@dataclass(frozen=True, slots=True)
class MountSettings:
    """What `cloudfs mount` was told to do: one field per option, all of them checked.

    `url` and `mountpoint` are canonical, and every path is absolute. None, or empty `cache_dirs`,
    means that it was not given and is derived where it is used. A duration is seconds; infinity
    means `indefinite`. `policies` are the `[[policy]]` tables of the TOML file, in their order.
    """

    url: str
    mountpoint: Path
    region: str | None
    force_path_style: bool
    endpoint_url: str | None
    profile: str | None
    no_sign_request: bool
    requester_pays: bool
    sse_customer_key: Path | None
    user_project: str | None
    azure_account: str | None
    read_only: bool
    allow_other: bool
    uid: int | None
    gid: int | None
    umask: int
    file_mode: int
    dir_mode: int
    background: bool
    cache_dirs: tuple[CacheDirectory, ...]
    max_cache_size: int | None
    min_free_space: int | None
    compress: str
    eviction: str
    metadata_ttl: float
    negative_ttl: float
    memory_limit: int
    max_downloads: int
    read_ahead: int
    kernel_read_ahead: int
    retry_budget: float
    debug: bool
    log_file: Path | None
    record_visits: Path | None
    policies: tuple[PolicyTable, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The settings, and where each came from: a flag, `CLOUDFS_REGION`, `default`, ..."""

    settings: MountSettings
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Given:
    """The texts of an option's values (several only for a repeated one), and how its source
    spells the option."""

    texts: tuple[str, ...]
    origin: str
    is_flag: bool = False


_Layer = dict[str, _Given]


def resolve(
    url: str,
    mountpoint: str | os.PathLike[str] | None,
    *,
    flags: Mapping[str, str | tuple[str, ...]] | None = None,
    words: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Resolution:
    """Return the settings that these sources stand for, or raise `UserError`.

    `flags` maps option names to the text on the command line ("true" for a switch, all of them
    for a repeated option), `words` are the values of `-o`, and `environ` is looked at for
    `CLOUDFS_*` only. A repeated option is taken from one source: lists are not joined.
    `mountpoint` None is for commands that make no mount: the settings have `NO_MOUNTPOINT`.
    """
    layers = [
        {
            name: _Given(_texts(given), _flag(name), is_flag=True)
            for name, given in (flags or {}).items()
        },
        _words_layer(words),
        _environment_layer(environ or {}),
    ]
    config = next((layer["config"] for layer in layers if "config" in layer), None)
    tables: tuple[PolicyTable, ...] = ()
    if config is not None:
        layer, tables = _file_layer(_parsed_path(options.BY_NAME["config"], config))
        layers.append(layer)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    merged = _merge([_without_negations(layer) for layer in layers])
    for option in options.settings_options():
        given = merged.get(option.name)
        values[option.field] = _default(option) if given is None else _parsed(option, given)
        origins[option.name] = DEFAULT_ORIGIN if given is None else given.origin
    settings = MountSettings(
        url=_canonical_url(url),
        mountpoint=NO_MOUNTPOINT if mountpoint is None else mountpoints.canonical(mountpoint),
        policies=tables,
        **values,
    )
    directories = _cache_directories(settings)
    if mountpoint is not None:
        _check_places(settings, directories)
    return Resolution(settings, origins)


def _flag(name: str) -> str:
    return options.BY_NAME[name].flag


def _texts(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _merge(layers: Iterable[_Layer]) -> _Layer:
    """Return one layer in which the earlier ones win."""
    merged: _Layer = {}
    for layer in layers:
        merged = layer | merged
    return merged


def _without_negations(layer: _Layer) -> _Layer:
    """Replace switches that only turn another one off, such as `--foreground`."""
    result = dict(layer)
    for option in options.OPTIONS:
        given = result.pop(option.name, None) if option.negates else None
        if given is None:
            continue
        other = result.get(option.negates)
        if other is not None:
            message = f"{given.origin} and {other.origin} contradict each other: give one of them"
            raise UserError(ExitCode.USAGE, message)
        text = "false" if _parsed(option, given) else "true"
        result[option.negates] = replace(given, texts=(text,))
    return result


def _default(option: Option) -> Value | tuple[Value, ...] | None:
    if option.repeated:
        return ()
    return derive.memory_limit() if option.name == "memory_limit" else option.default


def _parsed(option: Option, given: _Given) -> Value | tuple[Value, ...]:
    """Return the value of `given`, or raise the one line that names it and what is accepted."""
    if option.repeated:
        return tuple(_parsed_text(option, given, text) for text in given.texts)
    return _parsed_text(option, given, given.texts[-1])


def _parsed_path(option: Option, given: _Given) -> Path:
    path = _parsed_text(option, given, given.texts[-1])
    assert isinstance(path, Path)
    return path


def _parsed_text(option: Option, given: _Given, text: str) -> Value:
    """Return what one text stands for, with paths made absolute."""
    try:
        value = option.parse(text)
        if isinstance(value, Path):
            return _absolute(value, given)
        if isinstance(value, CacheDirectory):
            return replace(value, path=_absolute(value.path, given))
    except ValueError as error:
        message = f"bad value {text!r} for {given.origin}: {error}"
        raise UserError(ExitCode.USAGE, message) from None
    return value


def _absolute(path: Path, given: _Given) -> Path:
    """Return an absolute path. Only a person typing a flag has a working folder in mind."""
    if not given.is_flag and not path.is_absolute():
        raise ValueError("write an absolute path, beginning with /")
    return Path(os.path.abspath(path))


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    """Return what `CLOUDFS_*` says. Empty counts as unset: units and pods set such variables."""
    return {
        option.name: _Given(_split(option, environ[option.variable]), option.variable)
        for option in options.OPTIONS
        if environ.get(option.variable)
    }


def _split(option: Option, text: str) -> tuple[str, ...]:
    return tuple(split_words(text)) if option.repeated else (text,)


def _words_layer(words: Iterable[str]) -> _Layer:
    layer: _Layer = {}
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
        layer[option.name] = _Given(texts, f"-o {key}")
    return layer


def split_words(text: str) -> list[str]:
    r"""Split a list at its commas; `\,` stands for a comma that belongs to a word."""
    parts = re.split(r"(?<!\\),", text)
    return [part.replace("\\,", ",") for part in parts if part]


def _option_of_word(key: str) -> Option:
    """Return the option of a word of `-o`. Never shows a value: it might be a secret."""
    aliases = {option.extra_word: option for option in options.OPTIONS if option.extra_word}
    option = aliases.get(key) or options.find(key)
    if option is not None:
        return option
    if _SECRET.search(key):
        fix = "use a profile, the environment or an instance role"
        message = f"credentials in -o ({key}) can be read by every user of the machine: {fix}"
        raise UserError(ExitCode.USAGE, message)
    raise UserError(ExitCode.USAGE, f"unknown option -o {key}: {nearest(key)}")


def nearest(key: str) -> str:
    """Return the hint that names the option closest to `key`."""
    close = difflib.get_close_matches(key.replace("_", "-"), [o.key for o in options.OPTIONS], n=1)
    return f"did you mean {close[0]}?" if close else "see 'cloudfs mount --help'"


def _file_layer(path: Path) -> tuple[_Layer, tuple[PolicyTable, ...]]:
    """Return the options of the TOML file, and its tables of path policies."""
    layer: _Layer = {}
    document = _read_toml(path)
    tables = policy.parse_tables(str(path), document.pop(policy.TABLE, []))
    for key, value in document.items():
        option = options.find(key)
        if option is None or option.name == "config":
            raise UserError(ExitCode.USAGE, f"{path}: unknown key {key!r}: {nearest(key)}")
        if option.name in layer:
            message = f"{path}: {option.key} is written twice: remove one"
            raise UserError(ExitCode.USAGE, message)
        layer[option.name] = _Given(_texts_of_toml(option, path, value), f"{path}: {key}")
    return layer, tables


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        fix = "give a readable TOML file with --config"
        raise UserError(ExitCode.USAGE, f"{path}: {error.strerror}: {fix}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fix = "write key = value lines"
        raise UserError(ExitCode.USAGE, f"{path} is not valid TOML: {error}: {fix}") from None


def _texts_of_toml(option: Option, path: Path, value: object) -> tuple[str, ...]:
    """Return a TOML value, or the array of a repeated option, as the texts of flags."""
    values = value if option.repeated and isinstance(value, list) and value else [value]
    if any(type(item) not in option.kind.toml_types for item in values):
        wanted = "true or false" if option.is_switch else f'a string, {option.key} = "..."'
        if option.repeated:
            wanted += ", or an array of them"
        raise UserError(ExitCode.USAGE, f"{path}: {option.key} has the wrong type: write {wanted}")
    return tuple(str(item).lower() if isinstance(item, bool) else str(item) for item in values)


def _canonical_url(url: str) -> str:
    try:
        return str(urls.parse_url(url))
    except urls.UrlError as error:
        raise UserError(ExitCode.USAGE, str(error)) from None


def _check_places(settings: MountSettings, directories: Iterable[Path]) -> None:
    """Refuse places that lie in each other: the daemon would wait for itself."""
    mountpoint = settings.mountpoint
    files = {"--log-file": settings.log_file, "--record-visits": settings.record_visits}
    places = [("--cache-dir", path) for path in directories]
    places += [(flag, path) for flag, path in files.items() if path is not None]
    for flag, path in places:
        if mountpoints.canonical(path).is_relative_to(mountpoint):
            message = f"{flag} {path} lies inside the mountpoint: choose a place outside of it"
            raise UserError(ExitCode.USAGE, message)
    url = urls.parse_url(settings.url)
    shown = [("the cache directory", path) for path in directories]
    if url.scheme == urls.FILE:
        shown.append(("the folder it shows", Path(url.bucket)))
    for name, path in shown:
        if mountpoint.is_relative_to(mountpoints.canonical(path)):
            message = f"the mountpoint {mountpoint} lies inside {name} {path}: choose another one"
            raise UserError(ExitCode.USAGE, message)


def _cache_directories(settings: MountSettings) -> list[Path]:
    """Return the directories of the SSD tier, or raise `UserError` when one is given twice."""
    found: dict[Path, Path] = {}
    for directory in settings.cache_dirs:
        path = mountpoints.canonical(directory.path)
        if path in found:
            also = "" if found[path] == directory.path else f" (also written {found[path]})"
            message = f"--cache-dir {directory.path} is given twice{also}: remove one"
            raise UserError(ExitCode.USAGE, message)
        found[path] = directory.path
    return list(found.values()) or [derive.cache_directory()]
