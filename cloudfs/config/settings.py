"""The settings of a mount: resolved from flags, `-o` words, variables, a TOML file and defaults.

The sources are read by `cloudfs.config.sources`, merged in their order of precedence and parsed.
Neither the store nor the mountpoint nor a cache directory is accessed.
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
from cloudfs.config.sources import RawOption, RawOptions
from cloudfs.config.types import CacheDirSpec, ListenAddress, Value
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults, mountpoints
from cloudfs_backends import url as urls

DEFAULT_ORIGIN: Final = "default"
NO_MOUNTPOINT: Final = Path(os.devnull)
"""The mountpoint of a command that needs none."""
NO_URL: Final = ""
"""The URL of a command that needs none."""


@dataclass(frozen=True, slots=True)
class MountSettings:
    """The validated options of a mount, one field per option.

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
    cache_dirs: tuple[CacheDirSpec, ...]
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
    """Return the settings of these sources, or raise `UserError`.

    `url` and `mountpoint` are the positional arguments, None for one that is missing. `flags` maps
    option names to the text on the command line ("true" for a switch, all of them for a repeated
    option), `words` are the values of `-o`, and `environ` has `CLOUDFS_*` and the folders of
    configuration files. A repeated option is taken from one source: lists are not joined. An
    argument that is `required` must be given in some source; others default to `NO_URL` and
    `NO_MOUNTPOINT`.
    """
    environ = environ or {}
    arguments = {"url": url, "mountpoint": None if mountpoint is None else os.fspath(mountpoint)}
    typed = {name: text for name, text in arguments.items() if text is not None}
    by_precedence = [
        sources.from_command_line({**(flags or {}), **typed}),
        sources.from_words(words),
        sources.from_environment(environ),
    ]
    config = next((raw["config"] for raw in by_precedence if "config" in raw), None)
    policies: tuple[PolicyTable, ...] = ()
    config_file = None
    if config is not None:
        config_file = sources.config_path(config, environ)
        document = config_files.read(config_file)
        policies = sources.policies_from_file(document)
        by_precedence.append(sources.from_file(document))
    merged = sources.merge(by_precedence)
    for name in (name for name in arguments if name in required and name not in merged):
        raise _missing(options.BY_NAME[name], config_file)
    resolution = parse(merged, policies, config_file)
    for _, problem in path_conflicts(resolution.settings):
        raise UserError(ExitCode.USAGE, problem)
    return resolution


def parse(
    merged: RawOptions, policies: tuple[PolicyTable, ...] = (), config_file: Path | None = None
) -> Resolution:
    """Parse merged options; those that are missing have defaults. `UserError` for a bad value."""
    values: dict[str, Any] = {}
    origins = {option.name: DEFAULT_ORIGIN for option in options.OPTIONS}
    origins.update((name, raw.origin) for name, raw in merged.items())
    for option in options.settings_options():
        raw = merged.get(option.name)
        values[option.field] = _default(option) if raw is None else raw.parse(option)
    settings = MountSettings(
        url=canonical_url(merged.get("url")),
        mountpoint=canonical_mountpoint(merged.get("mountpoint")),
        policies=policies,
        **values,
    )
    return Resolution(settings, origins, config_file)


def mountpoint_of(name: str, environ: Mapping[str, str]) -> Path:
    """Return the mountpoint in the configuration file of a name or path.

    No other key is parsed: a mistake in one must not keep a mount from being ended.
    """
    typed = RawOption((name,), options.BY_NAME["config"].flag, is_flag=True)
    document = config_files.read(sources.config_path(typed, environ))
    raw: RawOptions = {}
    if "mountpoint" in document.values:
        sources.add_key(raw, document, "mountpoint")
    if not raw:
        message = (
            f"{document.path} has no mountpoint: write mountpoint = ... there, or name it here"
        )
        raise UserError(ExitCode.USAGE, message)
    return canonical_mountpoint(raw["mountpoint"])


def canonical_url(raw: RawOption | None) -> str:
    """Return the canonical spelling of a URL, `NO_URL` for None; `UserError` for a bad one."""
    if raw is None:
        return NO_URL
    try:
        return str(urls.parse_url(raw.texts[-1]))
    except urls.UrlError as error:
        is_plain = raw.is_flag or raw.location
        raise raw.error(str(error) if is_plain else f"{raw.spelling}: {error}") from None


def canonical_mountpoint(raw: RawOption | None) -> Path:
    """Return the canonical path of a mountpoint, `NO_MOUNTPOINT` for None."""
    if raw is None:
        return NO_MOUNTPOINT
    return mountpoints.canonical(raw.path(options.BY_NAME["mountpoint"]))


def path_conflicts(settings: MountSettings) -> Iterator[tuple[str, str]]:
    """Yield (option name, problem) for paths that are the same or lie in each other.

    The daemon would deadlock if it kept a file in its own mount.
    """
    directories = [directory.path for directory in settings.cache_dirs]
    yield from (("cache_dir", problem) for problem in _duplicates(directories))
    mountpoint = settings.mountpoint
    if mountpoint == NO_MOUNTPOINT:
        return
    cache = directories or [defaults.cache_directory()]
    for name, path in _written_paths(settings, cache):
        if mountpoints.canonical(path).is_relative_to(mountpoint):
            flag = options.BY_NAME[name].flag
            yield name, f"{flag} {path} lies inside the mountpoint: choose a place outside of it"
    taken = [("the cache directory", path) for path in cache]
    if settings.url.startswith(f"{urls.FILE}:"):
        taken.append(("the folder it shows", Path(urls.parse_url(settings.url).bucket)))
    for what, path in taken:
        if mountpoint.is_relative_to(mountpoints.canonical(path)):
            problem = f"the mountpoint {mountpoint} lies inside {what} {path}: choose another one"
            yield "mountpoint", problem


def _written_paths(settings: MountSettings, cache: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield (option name, path) for what the daemon writes to."""
    yield from (("cache_dir", path) for path in cache)
    address = settings.metrics_address
    files = {
        "log_file": settings.log_file,
        "record_visits": settings.record_visits,
        "metrics_address": None if address is None else address.path,
    }
    yield from ((name, path) for name, path in files.items() if path is not None)


def _duplicates(directories: Iterable[Path]) -> Iterator[str]:
    """Yield a problem for each cache directory that is the same as an earlier one."""
    found: dict[Path, Path] = {}
    for directory in directories:
        path = mountpoints.canonical(directory)
        if path in found:
            also = "" if found[path] == directory else f" (also written {found[path]})"
            yield f"--cache-dir {directory} is given twice{also}: remove one"
        found.setdefault(path, directory)


def _missing(option: Option, config_file: Path | None) -> UserError:
    where = "a file that --config names" if config_file is None else config_file
    fix = f"write it behind the command, or {option.key} = ... in {where}"
    return UserError(ExitCode.USAGE, f"no {option.flag} given: {fix}")


def _default(option: Option) -> Value | tuple[Value, ...] | None:
    if option.repeated:
        return ()
    return defaults.memory_limit() if option.name == "memory_limit" else option.default
