"""The container image and the manifests of docs/examples, as far as they can be checked without an
engine and a cluster: their commands, options and paths, and what the image is made of."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudfs import __version__
from cloudfs.cli.main import cloudfs
from cloudfs.config.settings import MountSettings, resolve
from tests.install.conftest import ROOT

EXAMPLES = ROOT / "docs/examples"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text()))


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [one for one in documents("daemonset.yaml") if one["kind"] == kind]
    return found


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = of_kind("DaemonSet")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def settings(tmp_path: Path) -> MountSettings:
    """The settings of the DaemonSet: its arguments with its configuration."""
    (name, text), *others = of_kind("ConfigMap")["data"].items()
    assert not others
    (tmp_path / "cloudfs").mkdir()
    (tmp_path / "cloudfs" / name).write_text(text)
    context = parsed(container()["args"])
    given = {"config": context.params["config"], "foreground": "true"}
    return resolve(None, None, flags=given, environ={"XDG_CONFIG_HOME": str(tmp_path)}).settings


def parsed(arguments: list[str]) -> Any:
    """The arguments of `cloudfs`, which must be ones that it accepts, parsed by their verb."""
    with cloudfs.make_context("cloudfs", list(arguments)) as context:
        name, command, rest = cloudfs.resolve_command(context, context._protected_args)
        assert command is not None
        return command.make_context(name, [*rest, *context.args], parent=context)


def mount_paths(of: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["mountPath"]: one for one in of["volumeMounts"]}


def test_the_mount_of_the_daemonset(settings: MountSettings) -> None:
    assert settings.allow_other
    assert not settings.background
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    paths = mount_paths(container())
    above = paths[str(settings.mountpoint.parent)]
    assert above["mountPropagation"] == "Bidirectional"
    assert container()["securityContext"]["privileged"] is True
    host = volumes[above["name"]]["hostPath"]["path"]
    assert host == str(settings.mountpoint.parent), "paths of status are those of the node"
    (directory,) = settings.cache_dirs
    assert "hostPath" in volumes[paths[str(directory.path)]["name"]]
    config = volumes[paths["/etc/cloudfs"]["name"]]["configMap"]["name"]
    assert config == of_kind("ConfigMap")["metadata"]["name"]
    assert {one["name"] for one in paths.values()} <= volumes.keys()
    ports = {port["containerPort"] for port in container()["ports"]}
    assert settings.metrics_address is not None
    assert ports == {settings.metrics_address.port}


def test_the_probes_ask_the_daemon(settings: MountSettings) -> None:
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        program, *arguments = container()[name]["exec"]["command"]
        assert program == "cloudfs"
        assert parsed(arguments).info_name == "status"
        assert arguments[-1] == str(settings.mountpoint)


def test_the_mountpoint_is_made_first(settings: MountSettings) -> None:
    (first,) = pod()["initContainers"]
    assert f"mkdir -p {settings.mountpoint}" in first["command"][-1]
    assert str(settings.mountpoint.parent) in mount_paths(first)
    assert first["image"] == container()["image"]


def test_the_account_exists() -> None:
    assert pod()["serviceAccountName"] == of_kind("ServiceAccount")["metadata"]["name"]


def test_the_training_pod_sees_the_mount(settings: MountSettings) -> None:
    (document,) = documents("training-pod.yaml")
    spec = document["spec"]
    (volume,) = spec["volumes"]
    assert volume["hostPath"]["path"] == str(settings.mountpoint.parent)
    assert spec["nodeSelector"] == pod()["nodeSelector"]
    for one in (*spec["initContainers"], *spec["containers"]):
        (data,) = one["volumeMounts"]
        assert data["mountPath"] == str(settings.mountpoint.parent)
        assert data["mountPropagation"] == "HostToContainer"
        assert str(settings.mountpoint) in " ".join(one["command"])


# --- the image


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, with what follows each on one line."""
    text = re.sub(r"^#.*\n", "", (EXAMPLES / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    pairs = (line.split(None, 1) for line in lines if line.strip())
    return [(name, rest) for name, rest in pairs]


def of_instruction(name: str) -> list[str]:
    return [rest for found, rest in instructions() if found == name]


def packages() -> set[str]:
    runs = " && ".join(of_instruction("RUN")).split("&&")
    words = [shlex.split(run) for run in runs if "apt-get install" in run]
    return {word for run in words for word in run[2:] if not word.startswith("-")}


def test_the_image_runs_the_command() -> None:
    assert of_instruction("ENTRYPOINT") == ['["cloudfs"]']
    assert of_instruction("STOPSIGNAL") == ["SIGTERM"]
    (health,) = of_instruction("HEALTHCHECK")
    assert "CMD cloudfs status " in health
    assert "fuse3" in packages()
    tag = ".".join(__version__.split(".")[:2])
    assert container()["image"] == f"cloudfs:{tag}"


def test_the_image_is_built_from_all_that_the_wheel_needs() -> None:
    copied = [shlex.split(rest) for rest in of_instruction("COPY") if "--from" not in rest]
    places = {source for *sources, _target in copied for source in sources}
    assert [place for place in places if not (ROOT / place).exists()] == []
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = document["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = [*wheel["packages"], *wheel["shared-scripts"], *wheel["shared-data"]]
    needed += [document["project"]["readme"], *document["project"]["license-files"]]
    missing = [path for path in needed if not any(_holds(place, path) for place in places)]
    assert missing == []
    for *sources, target in copied:
        for source in sources if len(sources) == 1 else []:
            assert target == f"/src/{source}"


def _holds(place: str, path: str) -> bool:
    return path == place or path.startswith(f"{place}/")


@pytest.mark.slow
def test_the_packages_of_the_image_exist() -> None:
    """In Debian, of which this machine may be another release: one name has a version in it."""
    if shutil.which("apt-cache") is None:
        pytest.skip("there is no apt-cache here")
    wanted = sorted(packages() - {"libfuse3-3"})
    assert len(wanted) > 5
    shown = subprocess.run(
        ["apt-cache", "show", "--no-all-versions", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    found = set(re.findall(r"^Package: (.+)$", shown.stdout, re.MULTILINE))
    if not found:
        pytest.skip("apt-cache has no lists: run apt-get update")
    assert found == set(wanted)
