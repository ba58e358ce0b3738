"""From flags, `-o` words, `CLOUDFS_*` variables, a TOML file and defaults to `MountSettings`.

This module knows which source wins, but not how each is written, nor what the mount does with the
settings. It does not look at the store, the mountpoint or the cache directory.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloudfs.config import files as config_files
from cloudfs.config import options, sources
from cloudfs.config.option import Option
from cloudfs.config.path_policy import PolicyTable
from cloudfs.config.sources import Given, Layer
from cloudfs.config.types import CacheDirectory, ListenAddress, Value
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults, mountpoints
from cloudfs_backends import url as urls

DEFAULT_ORIGIN: Final = "default"
NO_MOUNTPOINT: Final = Path(os.devnull)
"""Stands for the mountpoint where a command does not need one and none was given."""
NO_URL: Final = ""
"""Stands for the URL where a command does not need one and none was given."""


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
    log_format: str
    metrics_address: ListenAddress | None
    egress_price: float
    record_visits: Path | None
    policies: tuple[PolicyTable, ...]


@dataclass(frozen=True, slots=True)
class Resolution:
    """The settings, and where each came from: a flag, `CLOUDFS_REGION`, `default`, ...

    `origins` has the names of options, and is `DEFAULT_ORIGIN` for what was given nowhere.
    `config_file` is the file that was read, None without one.
    """

    settings: MountSettings
    origins: Mapping[str, str]
    config_file: Path | None


def resolve(
    url: str | None,
    mountpoint: str | os.PathLike[str] | None,
    *,
    flags: Mapping[str, str | tuple[str, ...]] | None = None,
    words: Iterable[str] = (),
    environ: Mapping[str, str] | None = None,
    required: Collection[str] = ("url", "mountpoint"),
) -> Resolution:
    """Return the settings that these sources stand for, or raise `UserError`.

    `url` and `mountpoint` are the arguments that were typed, None for one that was not. `flags`
    maps option names to the text on the command line ("true" for a switch, all of them for a
    repeated option), `words` are the values of `-o`, and `environ` is looked at for `CLOUDFS_*`
    and for where configuration files are. A repeated option is taken from one source: lists are
    not joined. An argument that is `required` must be given somewhere; for others `NO_URL` and
    `NO_MOUNTPOINT` stand.
    """
    environ = environ or {}
    arguments = {"url": url, "mountpoint": None if mountpoint is None else os.fspath(mountpoint)}
    typed = {name: text for name, text in arguments.items() if text is not None}
    layers = [
        sources.typed_layer({**(flags or {}), **typed}),
        sources.words_layer(words),
        sources.environment_layer(environ),
    ]
    config = next((layer["config"] for layer in layers if "config" in layer), None)
    policies: tuple[PolicyTable, ...] = ()
    config_file = None
    if config is not None:
        config_file = sources.configuration(config, environ)
        document = config_files.read(config_file)
        policies = sources.file_policies(document)
        layers.append(sources.file_layer(document))
    given = sources.merged(layers)
    for name in (name for name in arguments if name in required and name not in given):
        raise _not_given(options.BY_NAME[name], config_file)
    resolution = settled(given, policies, config_file)
    for _, problem in place_problems(resolution.settings):
        raise UserError(ExitCode.USAGE, problem)
    return resolution


def settled(
    given: Layer, policies: tuple[PolicyTable, ...] = (), config_file: Path | None = None
) -> Resolution:
    """Return the settings of one layer, defaults for what it lacks; `UserError` for a bad value."""
    values: dict[str, Any] = {}
    origins = {option.name: DEFAULT_ORIGIN for option in options.OPTIONS}
    origins.update((name, texts.origin) for name, texts in given.items())
    for option in options.settings_options():
        texts = given.get(option.name)
        values[option.field] = _default(option) if texts is None else texts.parsed(option)
    settings = MountSettings(
        url=canonical_url(given.get("url")),
        mountpoint=canonical_mountpoint(given.get("mountpoint")),
        policies=policies,
        **values,
    )
    return Resolution(settings, origins, config_file)


def mountpoint_of(name: str, environ: Mapping[str, str]) -> Path:
    """Return the mountpoint that the configuration file of a name or path has.

    Nothing else of the file is looked at: no mistake in it may keep a mount from being ended.
    """
    typed = Given((name,), options.BY_NAME["config"].flag, is_flag=True)
    document = config_files.read(sources.configuration(typed, environ))
    layer: Layer = {}
    if "mountpoint" in document.values:
        sources.add_key(layer, document, "mountpoint")
    if not layer:
        message = (
            f"{document.path} has no mountpoint: write mountpoint = ... there, or name it here"
        )
        raise UserError(ExitCode.USAGE, message)
    return canonical_mountpoint(layer["mountpoint"])


def canonical_url(given: Given | None) -> str:
    """Return the canonical spelling of a URL, `NO_URL` for None; `UserError` for a bad one."""
    if given is None:
        return NO_URL
    try:
        return str(urls.parse_url(given.texts[-1]))
    except urls.UrlError as error:
        is_plain = given.is_flag or given.place
        raise given.error(str(error) if is_plain else f"{given.spelling}: {error}") from None


def canonical_mountpoint(given: Given | None) -> Path:
    """Return the canonical path of a mountpoint, `NO_MOUNTPOINT` for None."""
    if given is None:
        return NO_MOUNTPOINT
    return mountpoints.canonical(given.path(options.BY_NAME["mountpoint"]))


def place_problems(settings: MountSettings) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with places that are the same or lie in each other, by option name.

    The daemon would wait for itself if it kept a file in its own mount.
    """
    directories = [directory.path for directory in settings.cache_dirs]
    yield from (("cache_dir", problem) for problem in _twice(directories))
    mountpoint = settings.mountpoint
    if mountpoint == NO_MOUNTPOINT:
        return
    cache = directories or [defaults.cache_directory()]
    for name, path in _own_places(settings, cache):
        if mountpoints.canonical(path).is_relative_to(mountpoint):
            flag = options.BY_NAME[name].flag
            yield name, f"{flag} {path} lies inside the mountpoint: choose a place outside of it"
    shown = [("the cache directory", path) for path in cache]
    if settings.url.startswith(f"{urls.FILE}:"):
        shown.append(("the folder it shows", Path(urls.parse_url(settings.url).bucket)))
    for what, path in shown:
        if mountpoint.is_relative_to(mountpoints.canonical(path)):
            problem = f"the mountpoint {mountpoint} lies inside {what} {path}: choose another one"
            yield "mountpoint", problem


def _own_places(settings: MountSettings, cache: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield where the daemon writes, by the name of the option that says so."""
    yield from (("cache_dir", path) for path in cache)
    address = settings.metrics_address
    files = {
        "log_file": settings.log_file,
        "record_visits": settings.record_visits,
        "metrics_address": None if address is None else address.path,
    }
    yield from ((name, path) for name, path in files.items() if path is not None)


def _twice(directories: Iterable[Path]) -> Iterator[str]:
    """Yield the cache directories that were given before, in whatever spelling."""
    found: dict[Path, Path] = {}
    for directory in directories:
        path = mountpoints.canonical(directory)
        if path in found:
            also = "" if found[path] == directory else f" (also written {found[path]})"
            yield f"--cache-dir {directory} is given twice{also}: remove one"
        found.setdefault(path, directory)


def _not_given(option: Option, config_file: Path | None) -> UserError:
    where = "a file that --config names" if config_file is None else config_file
    fix = f"write it behind the command, or {option.key} = ... in {where}"
    return UserError(ExitCode.USAGE, f"no {option.flag} given: {fix}")


def _default(option: Option) -> Value | tuple[Value, ...] | None:
    if option.repeated:
        return ()
    return defaults.memory_limit() if option.name == "memory_limit" else option.default
