"""The rules and the dashboard that are shipped use metrics that there are, and do what they say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloudfs.status.prometheus.definitions import BY_NAME
from cloudfs.status.prometheus.metric import MetricType
from cloudfs_backends import errors as backends
from cloudfs_cache.api import WaitsFor

DOCS = Path(__file__).parents[5] / "docs"
EXAMPLES = DOCS / "examples"
ALERTS = EXAMPLES / "prometheus-alerts.yml"
DASHBOARD = EXAMPLES / "grafana-dashboard.json"

_SUFFIX = re.compile("_(bucket|count|sum)$")
_PROCESS = {"process_start_time_seconds", "process_cpu_seconds_total", "process_open_fds"}
_PROCESS |= {"process_resident_memory_bytes"}


def metrics_of(expression: str) -> set[str]:
    """The metrics that a PromQL expression names."""
    return set(re.findall(r"(?<![:\w])(?:cloudfs|process)_\w+(?!:)", expression))


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    rules = [rule["expr"] for rule in alerts()]
    return rules + [target["expr"] for panel in panels() for target in panel.get("targets", ())]


@pytest.mark.parametrize("expression", expressions())
def test_rules_and_panels_use_metrics_that_there_are(expression: str) -> None:
    names = metrics_of(expression)
    assert names or "up{" in expression or "cloudfs:" in expression
    for name in names - _PROCESS:
        base = _SUFFIX.sub("", name)
        assert BY_NAME.keys() & {name, base}, f"{name} is no metric"
        assert name == base or BY_NAME[base].type is MetricType.HISTOGRAM


@pytest.mark.parametrize("expression", expressions())
def test_counters_are_never_shown_as_they_are(expression: str) -> None:
    for name in metrics_of(expression):
        if name.endswith(("_total", "_bucket")):
            assert re.search(rf"(rate|increase)\({name}\b", expression), name


def test_labels_of_rules_have_values_that_occur() -> None:
    text = ALERTS.read_text()
    kinds = set(re.findall(r'kind!?[=~]+"([a-z_|]+)"', text))
    known = {error("x").kind for error in backends.StoreError.__subclasses__()}
    assert {kind for group in kinds for kind in group.split("|")} <= known
    assert {cause.value for cause in WaitsFor} == {"store", "disk", "memory", "other"}


def test_every_alert_says_what_it_is_and_where_to_go_on() -> None:
    page = (DOCS / "metrics.md").read_text()
    for rule in (rule for rule in alerts() if "alert" in rule):
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}
        assert rule["annotations"]["runbook"] == f"docs/metrics.md#{rule['alert'].lower()}"
        assert f"\n### {rule['alert']}\n" in page


def test_the_dashboard_is_one_that_grafana_loads() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["schemaVersion"] >= 36
    assert [v["name"] for v in dashboard["templating"]["list"]] == [
        "datasource", "mountpoint", "instance"
    ]  # fmt: skip
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    for panel in (panel for panel in panels() if panel["type"] != "row"):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('=~"$instance"' in target["expr"] for target in panel["targets"])
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_the_rules_and_the_configuration() -> None:
    assert "SUCCESS" in promtool("check", "rules", ALERTS)
    assert "SUCCESS" in promtool("check", "config", EXAMPLES / "prometheus.yml")


def test_every_alert_fires_when_it_should() -> None:
    cases = Path(__file__).with_name("prometheus-alerts-test.yml")
    tested = set(re.findall(r"alertname: (\w+)", cases.read_text()))
    assert tested == {rule["alert"] for rule in alerts() if "alert" in rule}
    assert "SUCCESS" in promtool("test", "rules", cases)
