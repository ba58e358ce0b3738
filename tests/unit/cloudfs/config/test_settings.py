from __future__ import annotations

import dataclasses
import math
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from types import UnionType

import pytest

from cloudfs.config import options, types
from cloudfs.config import settings as config
from cloudfs.config.path_policy import PolicyTable
from cloudfs.config.settings import MountSettings, Resolution
from cloudfs.config.types import CacheDirSpec
from cloudfs.errors import ExitCode, UserError
from cloudfs.system import defaults

URL = "s3://bucket/prefix"
GIB = 1024**3


def resolve(
    *words: str,
    flags: Mapping[str, str | tuple[str, ...]] | None = None,
    environ: Mapping[str, str] | None = None,
    mountpoint: str = "/mnt/data",
) -> Resolution:
    return config.resolve(URL, mountpoint, flags=flags, words=words, environ=environ)


def toml(folder: Path, text: str) -> dict[str, str]:
    path = folder / "data.toml"
    path.write_text(text)
    return {"config": str(path)}


def error_of(*words: str, **sources: Mapping[str, str]) -> str:
    with pytest.raises(UserError) as caught:
        resolve(*words, **sources)  # type: ignore[arg-type]
    assert caught.value.exit_code is ExitCode.USAGE
    return caught.value.message


def test_defaults() -> None:
    settings = resolve().settings
    assert settings.metadata_ttl == 60
    assert settings.negative_ttl == 5
    assert settings.max_downloads == 32
    assert (settings.umask, settings.file_mode, settings.dir_mode) == (0o022, 0o644, 0o755)
    assert settings.kernel_read_ahead == 1024**2
    assert settings.read_ahead == 128 * 1024**2
    assert settings.retry_budget == 30
    assert settings.memory_limit == defaults.memory_limit()
    assert (settings.max_cache_size, settings.min_free_space) == (None, None)
    assert (settings.cache_dirs, settings.log_file, settings.record_visits) == ((), None, None)
    assert (settings.compress, settings.eviction) == ("auto", "epoch")
    assert settings.policies == ()
    assert (settings.uid, settings.gid) == (None, None)
    assert not settings.read_only
    assert not settings.background


def test_every_value_has_the_type_that_its_field_declares(tmp_path: Path) -> None:
    texts = {
        types.SWITCH: "true",
        types.SIZE: "64MiB",
        types.DURATION: "1s",
        types.COUNT: "7",
        types.MODE: "0700",
        types.TEXT: "text",
        types.ENDPOINT: "http://host",
        types.CACHE_DIRECTORY: f"{tmp_path}:10GiB",
        types.FILE: str(tmp_path / "log"),
        types.COMPRESS: "off",
        types.EVICTION: "lru",
        types.LOG_FORMAT: "json",
        types.LISTEN: "unix:/run/metrics",
        types.PRICE: "0.09",
    }
    words = [f"{o.name}={texts[o.type]}" for o in options.settings_options()]
    words[words.index("kernel_read_ahead=64MiB")] = "kernel_read_ahead=1MiB"
    resolution = resolve(*words)
    declared = typing.get_type_hints(MountSettings)
    for field in dataclasses.fields(resolution.settings):
        hint = declared[field.name]
        expected = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
        value = getattr(resolution.settings, field.name)
        assert value is not None
        if typing.get_origin(hint) is tuple:
            expected = typing.get_args(hint)[:1]
            assert all(type(item) in expected for item in value)
            continue
        # Not isinstance: True is an int, and an int would pass for a float elsewhere.
        assert any(type(value) is kind or (kind is Path and isinstance(value, Path))
                   for kind in expected), field.name  # fmt: skip


def test_precedence_and_origins(tmp_path: Path) -> None:
    text = "max-downloads = 1\nregion = 'file'\nprofile = 'file'\nno-sign-request = true\n"
    resolution = resolve(
        "max_downloads=3,profile=word",
        flags={"max_downloads": "4", **toml(tmp_path, text)},
        environ={
            "CLOUDFS_MAX_DOWNLOADS": "2",
            "CLOUDFS_REGION": "variable",
            "CLOUDFS_PROFILE": "variable",
        },
    )
    settings, origins = resolution.settings, resolution.origins
    assert (settings.max_downloads, origins["max_downloads"]) == (4, "--max-downloads")
    assert (settings.profile, origins["profile"]) == ("word", "-o profile")
    assert (settings.region, origins["region"]) == ("variable", "CLOUDFS_REGION")
    assert settings.no_sign_request is True
    assert origins["no_sign_request"] == f"{tmp_path}/data.toml: no-sign-request"
    assert origins["umask"] == config.DEFAULT_ORIGIN


@pytest.mark.parametrize("source", ["flags", "environ", "words"])
def test_the_file_may_be_named_by_every_other_source(tmp_path: Path, source: str) -> None:
    path = toml(tmp_path, "max-downloads = 9")["config"]
    if source == "words":
        resolution = resolve(f"config={path}")
    elif source == "flags":
        resolution = resolve(flags={"config": path})
    else:
        resolution = resolve(environ={"CLOUDFS_CONFIG": path})
    assert resolution.settings.max_downloads == 9


def test_toml_takes_numbers_strings_and_both_spellings(tmp_path: Path) -> None:
    text = """
    max-cache-size = "10GiB"
    min_free_space = 1073741824
    metadata-ttl = "indefinite"
    negative-ttl = 0.5
    umask = "077"
    """
    settings = resolve(flags=toml(tmp_path, text)).settings
    assert settings.max_cache_size == 10 * GIB
    assert settings.min_free_space == GIB
    assert settings.metadata_ttl == math.inf
    assert settings.negative_ttl == 0.5
    assert settings.umask == 0o077


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("max-cachesize = 1", "'max-cachesize': did you mean max-cache-size?"),
        ("xyzzy = 1", "'xyzzy': see 'cloudfs mount --help'"),
        ("config = '/x'", "'config'"),
        ("[mount]\nuid = 1", "'mount'"),
        ("max-downloads = 1\nmax_downloads = 2", "max-downloads is written twice"),
        ("umask = 22", "umask has the wrong type"),
        ("read-only = 1", "read-only has the wrong type"),
        ("max-downloads = true", "max-downloads has the wrong type"),
        ("cache-dir = '~/cache'", "bad value '~/cache' for"),
        ("cache-dir = ", "is not valid TOML"),
        ("cache-dir = ['/a', 5]", "cache-dir has the wrong type"),
        ("cache-dir = []", "cache-dir has the wrong type"),
        ("compress = false", 'compress = "..."'),
        ("policy = 5", "write [[policy]]"),
        ("[policy]\nmatch = '*'", "write [[policy]]"),
        ("[[policy]]\nmatch = '*'\nchache = true", "[[policy]] 1: unknown key 'chache'"),
    ],
)
def test_a_bad_file_is_named_with_its_key(tmp_path: Path, text: str, named: str) -> None:
    message = error_of(flags=toml(tmp_path, text))
    assert f"{tmp_path}/data.toml" in message
    assert named in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    message = error_of(flags={"config": str(tmp_path / "none.toml")})
    assert message.startswith(f"{tmp_path}/none.toml: No such file")


def test_cache_directories_of_each_source(tmp_path: Path) -> None:
    expected = (CacheDirSpec(Path("/a"), 10 * GIB), CacheDirSpec(Path("/b,c")))
    array = toml(tmp_path, "cache-dir = ['/a:10GiB', '/b,c']")
    for resolution in (
        resolve(flags={"cache_dir": ("/a:10GiB", "/b,c")}),
        resolve(environ={"CLOUDFS_CACHE_DIR": r"/a:10GiB,/b\,c"}),
        resolve(r"cache_dir=/a:10GiB,ro,cache-dir=/b\,c"),
        resolve("cache_dir=/a:10GiB", r"cache_dir=/b\,c"),
        resolve(flags=array),
    ):
        assert resolution.settings.cache_dirs == expected
    single = resolve(flags=toml(tmp_path, "cache-dir = '/a:10GiB'"))
    assert single.settings.cache_dirs == expected[:1]


def test_cache_directories_of_two_sources_are_not_joined(tmp_path: Path) -> None:
    resolution = resolve(
        flags={"cache_dir": ("/a",), **toml(tmp_path, "cache-dir = ['/x', '/y']")},
        environ={"CLOUDFS_CACHE_DIR": "/b"},
    )
    assert resolution.settings.cache_dirs == (CacheDirSpec(Path("/a")),)
    assert resolution.origins["cache_dir"] == "--cache-dir"


def test_a_cache_directory_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    again = f"{tmp_path}/./real:5GiB"
    message = error_of(flags={"cache_dir": (f"{tmp_path}/real", again)})
    assert f"--cache-dir {tmp_path}/real " in message
    message = error_of(flags={"cache_dir": (f"{tmp_path}/real", f"{tmp_path}/link")})
    assert f"--cache-dir {tmp_path}/link " in message
    assert f"{tmp_path}/real)" in message


def test_every_cache_directory_lies_outside_the_mount() -> None:
    message = error_of(flags={"cache_dir": ("/ssd", "/mnt/data/x:1GiB")})
    assert "--cache-dir /mnt/data/x " in message
    message = error_of(flags={"cache_dir": ("/ssd", "/mnt")})
    assert "mountpoint /mnt/data " in message
    assert "cache directory /mnt:" in message


def test_policies_come_from_the_file(tmp_path: Path) -> None:
    text = """
    region = "x"
    [[policy]]
    match = "checkpoints/**"
    cache = false
    [[policy]]
    match = "*.h5"
    ttl = "5m"
    """
    settings = resolve(flags=toml(tmp_path, text)).settings
    assert settings.region == "x"
    assert settings.policies == (
        PolicyTable("checkpoints/**", cache=False),
        PolicyTable("*.h5", ttl_s=300.0),
    )


def test_an_empty_variable_counts_as_unset() -> None:
    assert resolve(environ={"CLOUDFS_REGION": ""}).settings.region is None


def test_a_bad_variable_is_named() -> None:
    message = error_of(environ={"CLOUDFS_MAX_DOWNLOADS": "many"})
    assert "'many' for CLOUDFS_MAX_DOWNLOADS" in message


def test_words_of_mount_are_ignored_and_ro_is_read_only() -> None:
    words = (
        "rw,user,nouser,users,auto,noauto,_netdev,nofail,nodev,nosuid,dev,suid,defaults,exec,"
        "noexec,noatime,x-systemd.automount,x-initrd.mount=1,,ro"
    )
    resolution = resolve(words)
    assert resolution.settings.read_only
    given = {origin for origin in resolution.origins.values() if origin != "default"}
    assert given == {"-o ro", "URL", "MOUNTPOINT"}


def test_words_take_both_spellings_escaped_commas_and_the_last_of_several() -> None:
    resolution = resolve(r"max-downloads=2,profile=a\,b", "max_downloads=3", "read_only=false")
    assert resolution.settings.max_downloads == 3
    assert resolution.settings.profile == "a,b"
    assert not resolution.settings.read_only


@pytest.mark.parametrize(
    "key",
    ["access_key", "access_key_id", "aws_secret_access_key", "secret", "session-token", "password",
     "passwd", "PASSWORD"],
)  # fmt: skip
def test_secrets_in_words_are_refused_and_not_shown(key: str) -> None:
    message = error_of(f"ro,{key}=hunter2")
    assert key in message
    assert "credentials" in message
    assert "hunter2" not in message


def test_options_of_the_clouds_are_no_secrets() -> None:
    settings = resolve(
        "sse_customer_key=/keys/lab,requester-pays,azure_account=acct",
        flags={"user_project": "project"},
    ).settings
    assert settings.sse_customer_key == Path("/keys/lab")
    assert settings.requester_pays
    assert (settings.azure_account, settings.user_project) == ("acct", "project")


def test_an_unknown_word_gets_a_hint_and_its_value_is_not_shown() -> None:
    message = error_of("max_cachesize=hunter2")
    assert "-o max_cachesize: did you mean max-cache-size?" in message
    assert "hunter2" not in message


def test_a_word_without_its_value() -> None:
    assert error_of("max_downloads").endswith("max_downloads=N")


def test_foreground_wins_over_a_background_of_a_weaker_source(tmp_path: Path) -> None:
    file = toml(tmp_path, "background = true")
    assert resolve(flags=file).settings.background
    resolution = resolve(flags={"foreground": "true", **file})
    assert not resolution.settings.background
    assert resolution.origins["background"] == "--foreground"


def test_foreground_and_background_at_once_contradict() -> None:
    message = error_of(flags={"foreground": "true", "background": "true"})
    assert "--foreground and --background" in message


def test_only_flags_know_a_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (directory,) = resolve(flags={"cache_dir": ("c:1GiB",)}).settings.cache_dirs
    assert directory == CacheDirSpec(tmp_path / "c", GIB)
    assert "absolute path" in error_of("cache_dir=c")
    assert "absolute path" in error_of(environ={"CLOUDFS_CACHE_DIR": "c"})


@pytest.mark.parametrize("name", ["cache_dir", "log_file", "record_visits"])
def test_the_daemon_keeps_no_files_inside_its_own_mount(name: str) -> None:
    assert "inside the mountpoint" in error_of(flags={name: "/mnt/data/x"})
    assert resolve(flags={name: "/mnt/data-cache"})


def test_the_mountpoint_is_canonical(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    settings = resolve(mountpoint=f"{tmp_path}/./link/").settings
    assert settings.mountpoint == tmp_path / "real"


def test_without_a_mountpoint_nothing_can_lie_in_it(tmp_path: Path) -> None:
    """Not even in the device that stands for it."""
    flags = {"cache_dir": ("/dev/cache",)}
    settings = config.resolve("file:///dev", None, flags=flags, required=("url",)).settings
    assert settings.mountpoint == config.NO_MOUNTPOINT
    twice = {"cache_dir": (str(tmp_path), str(tmp_path))}
    with pytest.raises(UserError, match="given twice"):
        config.resolve(URL, None, flags=twice, required=())


def test_the_url_is_canonical() -> None:
    assert resolve().settings.url == "s3://bucket/prefix/"


def test_a_bad_url_is_one_line() -> None:
    with pytest.raises(UserError) as caught:
        config.resolve("no-url", "/mnt/data")
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in caught.value.message


def machine(root: Path, group: str, limits: Mapping[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(group)
    for name, text in limits.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("group", "limits"),
    [
        ("0::/a/b\n", {"a/memory.max": f"{GIB}\n", "a/b/memory.max": "max\n"}),
        ("0::/only/on/the/host\n", {"memory.max": f"{GIB}\n"}),
        ("5:cpu:/x\n3:memory:/a\n", {"memory/a/memory.limit_in_bytes": f"{GIB}\n"}),
    ],
)
def test_memory_is_bounded_by_the_control_group(
    tmp_path: Path, group: str, limits: Mapping[str, str]
) -> None:
    root = machine(tmp_path, group, limits)
    assert defaults.usable_memory(root) == GIB
    assert defaults.memory_limit(root) == GIB // 8


def test_the_memory_limit_is_never_below_the_minimum(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", {"memory.max": "1048576\n"})
    assert defaults.memory_limit(root) == options.BY_NAME["memory_limit"].minimum


def test_memory_without_control_groups_is_the_ram(tmp_path: Path) -> None:
    ram = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert defaults.usable_memory(tmp_path) == ram
    assert defaults.memory_limit(tmp_path) == min(GIB, ram // 8)


def test_folders_given_by_systemd_win() -> None:
    environ = {
        "RUNTIME_DIRECTORY": "/run/a:/run/b",
        "CACHE_DIRECTORY": "/c",
        "LOGS_DIRECTORY": "/l",
    }
    assert defaults.runtime_directory(environ) == Path("/run/a")
    assert defaults.runtime_directories(environ)[0] == Path("/run/a")
    assert defaults.cache_directory(environ) == Path("/c")
    log_file = defaults.background_log_file(Path("/mnt/my data"), environ)
    assert log_file.parent == Path("/l")
    assert log_file.name.startswith("my_data-")


def test_url_and_mountpoint_may_come_from_variables_and_the_file(tmp_path: Path) -> None:
    file = toml(tmp_path, "url = 's3://file/x'\nmountpoint = '/mnt/file'")
    resolution = config.resolve(None, None, flags=file)
    assert resolution.settings.url == "s3://file/x/"
    assert resolution.settings.mountpoint == Path("/mnt/file")
    assert resolution.origins["url"] == f"{tmp_path}/data.toml: url"
    assert resolution.config_file == tmp_path / "data.toml"
    environ = {"CLOUDFS_URL": "s3://variable", "CLOUDFS_MOUNTPOINT": "/mnt/variable"}
    resolution = config.resolve(None, "/mnt/typed", flags=file, environ=environ)
    assert resolution.settings.url == "s3://variable"
    assert resolution.settings.mountpoint == Path("/mnt/typed")
    assert resolution.origins["mountpoint"] == "MOUNTPOINT"


def test_a_missing_argument_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"URL .* url = "):
        config.resolve(None, "/mnt/data")
    file = toml(tmp_path, "url = 's3://bucket'")
    with pytest.raises(UserError, match=f"mountpoint = ... in {tmp_path}/data.toml"):
        config.resolve(None, None, flags=file)
    with pytest.raises(UserError, match="absolute path"):
        config.resolve(None, None, flags=toml(tmp_path, "url = 's3://bucket'\nmountpoint = 'x'"))


def test_arguments_are_no_words_of_mount() -> None:
    assert "-o url: see 'cloudfs mount --help'" in error_of("url=x")


def test_a_name_finds_the_file(tmp_path: Path) -> None:
    (tmp_path / "cloudfs").mkdir()
    toml(tmp_path / "cloudfs", "max-downloads = 7")
    environ = {"XDG_CONFIG_HOME": str(tmp_path), "CLOUDFS_CONFIG": "data"}
    assert resolve(environ=environ).settings.max_downloads == 7


def test_only_the_mountpoint_of_a_file_is_parsed(tmp_path: Path) -> None:
    path = toml(tmp_path, "mountpoint = '/mnt/data'\nxyzzy = 1\nmax-downloads = []")["config"]
    assert config.mountpoint_of(path, {}) == Path("/mnt/data")
    path = toml(tmp_path, "url = 's3://bucket'")["config"]
    with pytest.raises(UserError, match=f"{path} .* mountpoint = ..."):
        config.mountpoint_of(path, {})


def test_a_password_in_an_address_is_never_shown() -> None:
    message = error_of(flags={"endpoint_url": "htps://me:hunter2@host"})
    assert "'htps://***@host' for --endpoint-url" in message
    assert types.ENDPOINT.show("https://me:hunter2@host:9000/x") == "https://***@host:9000/x"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_cache_size", "10GiB"),
        ("max_cache_size", "1500000001"),
        ("metadata_ttl", "61.5s"),
        ("metadata_ttl", "90s"),
        ("metadata_ttl", "5m"),
        ("metadata_ttl", "indefinite"),
        ("cache_dir", "/ssd:1500000001"),
    ],
)
def test_a_value_is_shown_as_it_may_be_written(name: str, text: str) -> None:
    option = options.BY_NAME[name]
    value = option.parse(text)
    assert option.parse(option.type.show(value)) == value
    assert option.type.show(value) == text
