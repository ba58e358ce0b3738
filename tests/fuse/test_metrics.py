"""The metrics of a real mount, read by Prometheus's own tools."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.mounting import Mounted, cloudfs, wait_until

MountFunction = Callable[..., Mounted]
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
ANSWER_S = 20.0


def url_of(mount: Mounted) -> str:
    """Where the log says that metrics are."""
    return mount.wait_for_log("metrics on ").split(" metrics on ")[1].strip()


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=ANSWER_S) as answer:
        text: str = answer.read().decode()
    return text


def value(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    assert found, f"no {name} in\n{text}"
    return float(found[1])


def need(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


def test_a_scrape_says_what_was_read(mount: MountFunction, folder: Path) -> None:
    need("promtool")
    (folder / "secret-name.h5").write_bytes(os.urandom(3 << 20))
    one = mount(f"file://{folder}", "--metrics-address", "0")
    assert len((one.path / "secret-name.h5").read_bytes()) == 3 << 20
    received = 'cloudfs_store_received_bytes_total{backend="file"}'
    # The bytes of a request are counted when it ends, which its reader does not wait for.
    wait_until(lambda: value(get(url_of(one)), received) >= 3 << 20, 20, "they are counted")
    text = get(url_of(one))
    assert value(text, "cloudfs_fuse_read_bytes_total") >= 3 << 20
    assert value(text, 'cloudfs_fuse_request_errors_total{errno="EIO",op="read"}') == 0
    assert value(text, 'cloudfs_health{state="ok"}') == 1
    mountpoint = f'cloudfs_mount_info{{backend="file",mountpoint="{one.path}"}}'
    assert value(text, mountpoint) == 1
    assert "secret-name" not in text
    assert str(folder) not in text
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert one.status()["metrics_address"] == url_of(one)
    assert get(url_of(one).replace("/metrics", "/healthz")) == "ok\n"


def test_a_unix_socket_goes_with_the_mount_and_a_crash_leaves_no_obstacle(
    mount: MountFunction, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "metrics"
    one = mount(f"file://{folder}", "--metrics-address", f"unix:{path}")
    one.process.send_signal(signal.SIGKILL)
    one.wait()
    assert path.exists()
    assert cloudfs("umount", str(one.path)).returncode == 0
    two = mount(f"file://{folder}", "--metrics-address", f"unix:{path}")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(ANSWER_S)
        client.connect(os.fspath(path))
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK")
    assert two.stop() == 0
    assert not path.exists()


def test_a_port_in_use_ends_the_mount_before_it_is_made(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mnt").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = cloudfs(
            *("mount", f"file://{folder}", str(tmp_path / "mnt"), "--cache-dir"),
            *(str(tmp_path / "cache"), "--metrics-address", str(port)),
        )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        f"cloudfs: cannot serve metrics on 127.0.0.1:{port}: Address already in use: "
        "give another address with --metrics-address"
    )
    assert not os.path.ismount(tmp_path / "mnt")


@contextmanager
def prometheus(targets: list[str], folder: Path) -> Iterator[str]:
    """A Prometheus with the shipped rules that scrapes `targets` every second; yields its URL."""
    folder.mkdir()
    configuration = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())
    configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration["rule_files"] = [str(EXAMPLES / "prometheus-alerts.yml")]
    job = configuration["scrape_configs"][0]
    job["scrape_timeout"] = "1s"
    job["file_sd_configs"][0]["files"] = [str(folder / "targets.json")]
    (folder / "targets.json").write_text(json.dumps([{"targets": targets}]))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{chosen.getsockname()[1]}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml",
             f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(ANSWER_S)


def query(server: str, expression: str) -> list[dict[str, Any]]:
    """The result of a query, empty while the server is not there yet."""
    words = urllib.parse.urlencode({"query": expression})
    try:
        answer = json.loads(get(f"{server}/api/v1/query?{words}"))
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return []
        raise AssertionError(f"{expression}: {error.read().decode()}") from None
    except urllib.error.URLError:
        return []
    assert answer["status"] == "success", expression
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def dashboard_queries() -> list[str]:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    # What Grafana puts in for its variables.
    return [q.replace("$instance", ".*").replace("$__rate_interval", "30s") for q in found]


@pytest.mark.slow
def test_a_real_prometheus_scrapes_and_answers_every_query(
    mount: MountFunction, folder: Path, tmp_path: Path
) -> None:
    need("prometheus")
    (folder / "a.h5").write_bytes(os.urandom(3 << 20))
    one = mount(f"file://{folder}", "--metrics-address", "0")
    target = urllib.parse.urlsplit(url_of(one)).netloc
    with prometheus([target], tmp_path / "prometheus") as server:
        wait_until(lambda: query(server, 'up{job="cloudfs"} == 1'), 60, "nothing was scraped")
        assert len((one.path / "a.h5").read_bytes()) == 3 << 20
        read = "rate(cloudfs_fuse_read_bytes_total[30s]) > 0"
        wait_until(lambda: query(server, read), 60, "the read was not seen")
        # A series that begins with the first read has no rate before its second sample.
        first = 'rate(cloudfs_fuse_request_duration_seconds_count{op="read"}[30s])'
        wait_until(lambda: query(server, first), 60, "the read was not seen twice")
        ratio = "cloudfs:hit_ratio:30m"
        wait_until(lambda: query(server, ratio), 60, "the rules were not evaluated")
        answered = {
            expression: bool(query(server, expression)) for expression in dashboard_queries()
        }
        assert query(server, 'ALERTS{alertstate="firing"}') == []
        assert one.stop() == 0
        gone = 'ALERTS{alertname="CloudfsDaemonGone",alertstate="pending"}'
        wait_until(lambda: query(server, gone), 60, "nobody noticed that the daemon is gone")
    silent = {expression for expression, found in answered.items() if not found}
    # A folder has no price, nothing failed, and no disk is out of use.
    assert {query for query in silent if not re.search("cost|errors|state!=", query)} == set()
