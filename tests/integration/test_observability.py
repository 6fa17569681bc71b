"""What Prometheus, Alertmanager and Grafana are given: judged by their own tools, and against a real service."""

from __future__ import annotations

import copy
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

from bentos.orders.contract import EXAMPLE
from commands.main import app
from gitops import holds
from gitops.board import board
from gitops.board_metrics import exposition
from gitops.environment import Place
from gitops.promotion import commit_release
from gitops.repository import GitopsRepository
from tests.conftest import CHECKOUT
from tests.gitops_world import commit_files, release
from tests.manifests import only, render
from tests.scraped import Exporter, Scraping, configured, exporter
from tests.served import orders_bento, serve

FOLDER = CHECKOUT / "gitops/observability"
RULES = ("recording.yml", "alerts.yml")
NAMES = re.compile(r"\bbakehouse[_:][a-zA-Z0-9_:]+")


def loaded(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def rules(kind: str) -> list[dict[str, Any]]:
    """All recording rules ("record") or all alerts ("alert")."""
    groups = [group for name in RULES for group in loaded(f"rules/{name}")["groups"]]
    return [rule for group in groups for rule in group["rules"] if kind in rule]


def dashboard() -> Any:
    return json.loads((FOLDER / "dashboards/models.json").read_text())


def drawn() -> list[str]:
    """Every expression of the dashboard, its variables filled in."""
    found = dashboard()
    targets = [target["expr"] for panel in found["panels"] for target in panel["targets"]]
    annotations = [it["expr"] for it in found["annotations"]["list"]]
    return [
        expression.replace("$__rate_interval", "5m").replace("$environment", ".*").replace("$model", ".*")
        for expression in (*targets, *annotations)
    ]


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (./run.sh programs)")
    return found


def run(name: str, *arguments: str | Path, at: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name), *arguments], cwd=at, capture_output=True, text=True, check=False, timeout=120)


def test_every_alert_comes_when_it_should_in_its_very_words_and_no_sooner() -> None:
    """The unit tests of the rules pass."""
    done = run("promtool", "test", "rules", "tests/alerts.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("ratio5m > 0.01", "ratio5m > 0.5"),
        ("model_digest) bakehouse", "environment) bakehouse"),
    ],
)
def test_the_unit_tests_notice_a_changed_rule(said: str, instead: str, tmp_path: Path) -> None:
    """A looser threshold and a comparison that forgets the digest each fail."""
    shutil.copytree(FOLDER, tmp_path / "changed")
    path = tmp_path / "changed/rules/alerts.yml"
    assert said in path.read_text()
    path.write_text(path.read_text().replace(said, instead))
    tests = tmp_path / "changed/tests/alerts.yml"
    asked = yaml.safe_load(tests.read_text())
    asked["tests"] = [test for test in asked["tests"] if "day" not in test["name"]]  # those are of 1,600 minutes
    tests.write_text(yaml.safe_dump(asked))
    assert run("promtool", "test", "rules", "tests/alerts.yml", at=tmp_path / "changed").returncode == 1


def test_every_alert_has_a_test_in_which_it_is_given() -> None:
    given = {
        asked["alertname"]
        for test in loaded("tests/alerts.yml")["tests"]
        for asked in test["alert_rule_test"]
        if asked["exp_alerts"]
    }
    assert given == {rule["alert"] for rule in rules("alert")}


def test_every_alert_leads_to_its_section_of_the_runbook_which_names_it() -> None:
    page = (CHECKOUT / "docs/how-to/observe.md").read_text()
    sections = {
        heading.lower().replace(" ", "-"): text
        for heading, text in re.findall(r"^### (.+?)\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    }
    for rule in rules("alert"):
        address, anchor = rule["annotations"]["runbook_url"].split("#")
        assert address == "{{ $externalLabels.repository }}/docs/how-to/observe.md"
        assert rule["alert"] in sections[anchor]
    assert "repository" in loaded("prometheus.yml")["global"]["external_labels"]


def test_every_alert_carries_a_command_that_can_be_typed() -> None:
    """`bakehouse` knows the command and each of its options."""
    for rule in rules("alert"):
        typed = rule["annotations"]["undo"]
        typed = typed.replace("{{ $labels.model }}", "orders").replace("{{ $labels.environment }}", "production")
        words = shlex.split(typed)
        assert words[0] == "bakehouse"
        shown = CliRunner().invoke(app, [words[1], "--help"])
        assert shown.exit_code == 0, typed
        assert all(word in shown.output for word in words if word.startswith("--")), typed


def test_every_expression_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    made = [{"record": f"drawn:{number}", "expr": expression} for number, expression in enumerate(drawn())]
    path = tmp_path / "drawn.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "drawn", "rules": made}]}))
    done = run("promtool", "check", "rules", path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_one_that_grafana_can_show() -> None:
    """Panels have ids of their own, stand beside each other within 24 columns, and ask the chosen Prometheus."""
    found = dashboard()
    assert found["uid"]
    assert found["schemaVersion"] >= 36
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        where = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(where["x"], where["x"] + where["w"])
            for y in range(where["y"], where["y"] + where["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"]["uid"] == "${datasource}"
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    variables = {variable["name"] for variable in found["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(found))) - {"__rate_interval", "__all"} <= variables


def test_a_threshold_that_is_drawn_is_the_one_that_alerts() -> None:
    """The line in a panel stands where its alert begins."""
    begins = {
        match[1]: float(match[2])
        for rule in rules("alert")
        if (match := re.fullmatch(r"(bakehouse:\S+) > ([0-9.]+)", rule["expr"].strip()))
    }
    lines = {
        name: panel["fieldConfig"]["defaults"]["thresholds"]["steps"][1]["value"]
        for panel in dashboard()["panels"]
        for target in panel["targets"]
        for name in NAMES.findall(target["expr"])
        if "thresholds" in panel["fieldConfig"]["defaults"] and name in begins
    }
    assert lines == begins


def test_alertmanager_takes_its_configuration() -> None:
    done = run("amtool", "check-config", "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("environment", "severity", "receiver"),
    [
        ("production", "critical", "pager"),
        ("production", "warning", "chat"),
        ("staging", "critical", "chat"),
        ("", "warning", "chat"),
    ],
)
def test_only_what_fails_in_production_wakes_somebody(environment: str, severity: str, receiver: str) -> None:
    labels = [f"severity={severity}", *([f"environment={environment}"] if environment else [])]
    done = run("amtool", "config", "routes", "test", "--config.file=alertmanager.yml", *labels)
    assert done.stdout.strip() == receiver, done.stderr


def test_the_folder_renders_to_what_the_three_mount() -> None:
    """Each file stands whole in a ConfigMap, and Grafana's sidecar finds the dashboard."""
    objects = render(FOLDER)
    assert only(objects, "ConfigMap", "-rules")["data"].keys() == set(RULES)
    boards = only(objects, "ConfigMap", "-dashboards")
    assert boards["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(boards["data"]["models.json"]) == dashboard()


def test_what_git_says_is_written_for_prometheus(state: Path, world: object, tmp_path: Path) -> None:
    """Each release with its digest, each hold, when it was read: and promtool finds no fault in it. A hold that can't
    be read holds."""
    repository = GitopsRepository.open()
    document = release(1)
    commit_release(repository, "staging", document)
    commit_files(repository, {Place("production", "orders").hold: "reason: ["})
    holds.hold(repository, Place("staging", "orders"), "wait")
    now = datetime(2026, 1, 2, tzinfo=UTC)
    text = exposition(replace(board(repository), made=now))
    digest = document.model_digest
    assert [line for line in text.splitlines() if not line.startswith("#")] == [
        f'bakehouse_release_info{{environment="staging",model="orders",model_version="1",model_digest="{digest}"}} 1',
        'bakehouse_release_held{environment="staging",model="orders"} 1',
        'bakehouse_release_held{environment="production",model="orders"} 1',
        f"bakehouse_board_made_seconds {now.timestamp():.0f}",
    ]
    done = subprocess.run(
        [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def said_by_git() -> Iterator[Exporter]:
    """Git says that production has another file by the same number as the one that answers."""
    with exporter() as made:
        labels = 'environment="production",model="orders",model_version="1"'
        made.tell(
            {
                f'bakehouse_release_info{{{labels},model_digest="sha256:other"}}': 1,
                'bakehouse_release_held{environment="production",model="orders"}': 0,
                "bakehouse_board_made_seconds": datetime.now(UTC).timestamp(),
            }
        )
        yield made


@pytest.fixture(scope="module")
def scraping(tmp_path_factory: pytest.TempPathFactory, said_by_git: Exporter) -> Iterator[Scraping]:
    """A real Prometheus by our own configuration and rules, faster, with a real service in a pod of production.

    Debian's Prometheus is built without Kubernetes, so that what it would have found out there is told to it instead.
    """
    chosen = program("prometheus")
    folder = tmp_path_factory.mktemp("observability")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(folder / "state"))
        _, bento = orders_bento(folder / "bento")
    with serve(bento, folder / "home") as served:
        with served.client() as client:
            assert client.post("/predict", json=EXAMPLE).status_code == 200
        with configured(chosen, folder / "prometheus", _quickened(served.url, said_by_git.url)) as running:
            yield running


def _quickened(service: str, git: str) -> dict[str, Any]:
    """Our configuration with pods that are told, twice a second."""
    made = copy.deepcopy(loaded("prometheus.yml"))
    made["global"] |= {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    made["rule_files"] = [str(FOLDER / "rules/*.yml")]
    del made["alerting"]
    models, told = made["scrape_configs"]
    del models["kubernetes_sd_configs"]
    pod = {
        "__meta_kubernetes_namespace": "bakehouse-production",
        "__meta_kubernetes_pod_container_port_name": "http",
        "__meta_kubernetes_pod_phase": "Running",
        "__meta_kubernetes_pod_name": "orders-bento-1",
    }
    strangers = [
        {"__meta_kubernetes_namespace": "shop", "__meta_kubernetes_pod_name": "shop"},
        {"__meta_kubernetes_pod_container_port_name": "debug", "__meta_kubernetes_pod_name": "debug"},
        {"__meta_kubernetes_pod_phase": "Succeeded", "__meta_kubernetes_pod_name": "smoke"},
    ]
    models["static_configs"] = [
        {"targets": [service.removeprefix("http://")], "labels": pod | other} for other in ({}, *strangers)
    ]
    told["scrape_interval"] = "500ms"
    told["static_configs"] = [{"targets": [git.removeprefix("http://")]}]
    return dict(made)


def test_a_pod_is_scraped_with_its_environment_and_nothing_else_is(scraping: Scraping) -> None:
    """Namespace, port and phase choose; the service's own model and version stay."""
    labels = 'environment="production",namespace="bakehouse-production",pod="orders-bento-1",model="orders"'
    scraping.wait_for(f"bakehouse_model_info{{{labels}}}", lambda value: value == 1)
    assert scraping.value('count(up{job="models"})') == 1


def counted_of_feedback() -> set[str]:
    """What a service of a room that takes feedback says besides; that of orders takes none."""
    code = """
from prometheus_client import generate_latest
from bentos.common.identity import Identity
from bentos.common.metrics import ServiceMetrics
identity = Identity.model_construct(model="m", model_version=1, model_digest="", data_version="", code_commit="")
ServiceMetrics(identity, ("yes",), None).told(["yes"])
print(generate_latest().decode())
"""
    text = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"^(bakehouse_feedback\w+){", text, re.MULTILINE))


def test_every_metric_that_is_asked_for_exists(scraping: Scraping) -> None:
    """What rules and dashboard name is said by a real service or by git, or recorded by a rule."""
    scraping.wait_for("bakehouse_model_info", lambda value: value == 1)
    scraping.wait_for("bakehouse_board_made_seconds", lambda value: value > 0)
    answer = httpx.get(f"{scraping.url}/api/v1/label/__name__/values", timeout=30, trust_env=False).json()
    recorded = {rule["record"] for rule in rules("record")}
    asked = {name for rule in (*rules("record"), *rules("alert")) for name in NAMES.findall(rule["expr"])}
    asked |= {name for expression in drawn() for name in NAMES.findall(expression)}
    assert len(asked) > 10
    assert asked <= {*answer["data"], *recorded, *counted_of_feedback()}


def test_an_answer_that_git_does_not_say_is_noticed_by_its_digest(scraping: Scraping) -> None:
    """The alert waits, as a rollout may be under way, and is pending."""
    pending = 'ALERTS{alertname="BakehouseOtherVersionAnswers",environment="production",alertstate="pending"}'
    scraping.wait_for(pending, lambda value: value == 1)
    assert scraping.value('ALERTS{alertname="BakehouseNotAnswering"}') is None
