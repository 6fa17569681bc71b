"""What keeps a team's workflows in their place: who may push, what waits for what, what a page and a summary show, and
that docs/how-to names all that they need. What `check-promotion` asks the forge, test_promotion_workflows.py tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.promotion_gates import Admission
from gitops.repository import GitopsRepository
from tests.conftest import CHECKOUT
from tests.gitops_world import World
from tests.workflows import evaluated, names, program, run, step, workflow

MAIN = "github.ref == 'refs/heads/main'"
APP = "actions/create-github-app-token"
HOW_TO = CHECKOUT / "docs" / "how-to"


def jobs() -> dict[str, dict[str, Any]]:
    """Every job of every workflow by `workflow/job`."""
    return {f"{name}/{job}": it for name in names() for job, it in workflow(name)["jobs"].items()}


def jobs_of(name: str) -> list[dict[str, Any]]:
    return list(workflow(name)["jobs"].values())


def pushing() -> list[str]:
    return [name for name, job in jobs().items() if (job["permissions"] or {}).get("contents") == "write"]


@pytest.mark.parametrize("name", pushing())
def test_what_pushes_to_main_runs_there_alone_and_as_the_app(name: str) -> None:
    """`github-actions` is every branch's identity, so no rule may let it push; only main's jobs get the App's key."""
    job = jobs()[name]
    assert MAIN in job["if"].replace("\n", " ")
    assert job["environment"] in ("training", "promotion", "rollback")
    (app,) = [it for it in job["steps"] if it.get("uses", "").startswith(APP)]
    assert app["with"]["permission-contents"] == "write", "no more than it needs"
    tokens = [it["env"]["GH_TOKEN"] for it in job["steps"] if "GH_TOKEN" in it.get("env", {})]
    contexts = {"github": {"token": "github-actions"}, "steps": {"app": {"outputs": {"token": "app"}}}}
    assert [evaluated(token, **contexts) for token in tokens] == ["app"]
    assert [evaluated(token, github=contexts["github"]) for token in tokens] == ["github-actions"]
    assert "GH_TOKEN" not in job["env"]


def test_the_jobs_that_push_are_known() -> None:
    assert set(pushing()) == {"train.yml/release", "promote.yml/promote", "rollback.yml/rollback"}


@pytest.mark.parametrize("name", names())
def test_no_token_is_given_to_a_whole_job(name: str) -> None:
    """A job's variables reach whatever its steps run, a pull request's own code among it."""
    for job, it in workflow(name)["jobs"].items():
        given = {**workflow(name).get("env", {}), **it.get("env", {})}
        assert not [key for key, value in given.items() if "token" in f"{key} {value}".lower()], job


def test_a_training_that_waits_is_replaced_by_none_of_another_model() -> None:
    train = workflow("train.yml")
    whole, job = train["concurrency"], train["jobs"]["release"]["concurrency"]

    def groups(run_id: int, model: str) -> set[str]:
        contexts = {"github": {"run_id": run_id, "event": {}}, "matrix": {"model": model}}
        return {evaluated(whole["group"], **contexts), evaluated(job["group"], **contexts)}

    assert groups(1, "orders") & groups(2, "cakes") == set()
    assert groups(1, "orders") & groups(2, "orders") == {"train-orders"}
    assert job["cancel-in-progress"] is False
    pulls = [{"event": {"pull_request": {"number": 5}}, "run_id": number} for number in (1, 2)]
    assert len({evaluated(whole["group"], github=it) for it in pulls}) == 1, "a newer commit takes an older one's place"


def test_a_nightly_plan_takes_no_apply_s_place() -> None:
    group = workflow("terraform.yml")["concurrency"]["group"]
    events = [
        {"event_name": "push", "ref": "refs/heads/main"},
        {"event_name": "schedule", "ref": "refs/heads/main"},
        {"event_name": "pull_request", "ref": "refs/pull/1/merge"},
        {"event_name": "pull_request", "ref": "refs/pull/2/merge"},
    ]
    assert len({evaluated(group, github=it) for it in events}) == len(events)


@pytest.mark.parametrize(
    ("name", "job", "called"),
    [
        ("rollback.yml", "rollback", "Restore the earlier release"),
        ("train.yml", "train", "Say what the evidence is"),
        ("train.yml", "release", "Train, and release into this repository"),
    ],
)
def test_a_table_in_a_summary_keeps_its_columns_and_is_no_markdown(
    name: str, job: str, called: str, tmp_path: Path
) -> None:
    row = "production  2  since <b>**evil**"
    machine(tmp_path, f'case $1 in rollback) ;; *) printf "%s\\n" "{row}" "{row}" ;; esac')
    summary = run_on(tmp_path, name, job, called)
    *heading, first, last = summary.splitlines()
    assert heading in ([], ["## orders", ""])
    assert first == last == f"    {row}"


def test_what_can_t_be_shown_fails_the_run(tmp_path: Path) -> None:
    machine(tmp_path, "case $1 in lineage) exit 3 ;; esac")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run_on(tmp_path, "train.yml", "train", "Say what the evidence is")
    assert failed.value.returncode == 3


def machine(folder: Path, bakehouse: str) -> None:
    """A checkout after `make setup`, on a machine whose `bakehouse` does as told."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").touch()
    for name, does in {"bakehouse": bakehouse, "gh": "exit 0", "zenml": "exit 0"}.items():
        program(folder / "programs", name, does)


def run_on(folder: Path, name: str, job: str, called: str, **variables: str) -> str:
    """Run a step there, and return what it wrote to the summary."""
    summary = folder / "summary"
    summary.touch()
    inputs = {"MODEL": "orders", "ENVIRONMENT": "production", "FAILED": "", "TO": "", "REASON": "it is wrong"}
    path = {"PATH": f"{folder / 'programs'}:{os.environ['PATH']}", "GITHUB_STEP_SUMMARY": str(summary)}
    run(step(name, job, called)["run"], folder, **inputs, **path, **variables)
    return summary.read_text()


def test_the_board_s_two_files_are_written_where_they_are_published_from(tmp_path: Path, world: World) -> None:
    GitopsRepository.open()
    machine(tmp_path / "runner", f'PYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m commands.main "$@"')
    run_on(tmp_path / "runner", "board.yml", "write", "Write both from git")
    upload = next(it for it in workflow("board.yml")["jobs"]["write"]["steps"] if "pages" in it.get("uses", ""))
    published = tmp_path / "runner" / upload["with"]["path"]
    assert "<html" in (published / "index.html").read_text()
    assert "bakehouse_board_made_seconds" in (published / "releases.txt").read_text()


def test_the_board_is_published_where_it_is_wanted_alone_and_oftener_than_the_alert_asks() -> None:
    board = workflow("board.yml")
    assert MAIN in board["jobs"]["write"]["if"]
    assert "vars.BOARD_PAGES == 'yes'" in board["jobs"]["write"]["if"]
    assert board["jobs"]["publish"]["needs"] == "write"
    ((minutes, *rest),) = [it["cron"].split() for it in board["on"]["schedule"]]
    first, second = map(int, minutes.split(","))
    assert (second - first, rest) == (30, ["*"] * 4)
    alerts = (CHECKOUT / "gitops/observability/rules/alerts.yml").read_text()
    assert "time() - bakehouse_board_made_seconds > 3600" in alerts


def test_the_published_metrics_are_scraped_where_they_are_published() -> None:
    """The job in the how-to is the shipped one, but for where the file is."""
    ((shown,),) = [it for it in blocks("observe.md") if isinstance(it, list)]
    shipped = yaml.safe_load((CHECKOUT / "gitops/observability/prometheus.yml").read_text())["scrape_configs"]
    (own,) = [it for it in shipped if it["job_name"] == shown["job_name"]]
    elsewhere = {"scheme", "metrics_path", "static_configs"}
    assert {key: value for key, value in shown.items() if key not in elsewhere} == {
        key: value for key, value in own.items() if key not in elsewhere
    }
    assert shown["metrics_path"] == f"/REPOSITORY{own['metrics_path']}"


def test_a_laptop_s_prometheus_finds_each_environment_s_front() -> None:
    (shown,) = [it for it in blocks("observe.md") if isinstance(it, dict) and "scrape_configs" in it]
    delivery = yaml.safe_load((CHECKOUT / "environments/local/delivery.yaml").read_text())
    (job,) = shown["scrape_configs"]
    assert job["metrics_path"] == f"/{job['job_name']}/metrics"
    assert {it["labels"]["environment"]: it["targets"] for it in job["static_configs"]} == {
        name: [f"{delivery['host']}:{it['port']}"] for name, it in delivery["environments"].items()
    }


def test_what_a_cluster_s_production_is_told_to_judge_by_is_taken() -> None:
    shipped = yaml.safe_load((CHECKOUT / "environments/production/settings/promotion.yaml").read_text())
    (told,) = [it for it in blocks("argocd.md") if "health" in it]
    asked = Admission.model_validate({**shipped, **told})
    assert asked.health == "prometheus"
    assert shipped["health"] == "delivery", "else the step is needless"


def blocks(page: str) -> list[Any]:
    """What the YAML blocks of a how-to hold."""
    found = re.findall(r"^```yaml\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)
    return [yaml.safe_load(it) for it in found]


def needed() -> set[tuple[str, str, str, str]]:
    """Workflow, GitHub environment, name and kind of each variable and secret that a workflow takes."""
    found = set()
    for name, job in jobs().items():
        environment = job.get("environment", "")
        environment = environment if isinstance(environment, str) else environment["name"]
        values = job.get("strategy", {}).get("matrix", {}).get("environment", [""])
        where = ", ".join(f"`{evaluated(environment, matrix={'environment': value})}`" for value in values)
        for kind, said in re.findall(r"\b(vars|secrets)\.(\w+)", yaml.safe_dump(job)):
            found.add((name.split(".yml")[0], where, said, {"vars": "variable", "secrets": "secret"}[kind]))
    return found


def test_the_how_to_names_every_variable_and_secret_of_every_workflow_where_it_is_looked_for() -> None:
    """A variable may stand in the repository as well, which every job of it sees; a secret stands in an environment."""
    page = (HOW_TO / "set-up-a-team.md").read_text()
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| `(\w+)` \| (variable|secret) \| .+ \|$", page, re.MULTILINE)
    assert len(rows) == len(set(rows))
    used = needed()
    assert {(name, said, kind) for name, _, said, kind in rows} == {(name, said, kind) for name, _, said, kind in used}
    misplaced = [row for row in rows if row not in used and (row[1], row[3]) != ("repository", "variable")]
    assert not misplaced


def test_a_workflow_s_condition_asks_for_no_variable_of_an_environment() -> None:
    """GitHub decides whether a job runs before it enters its environment."""
    page = (HOW_TO / "set-up-a-team.md").read_text()
    for name, job in jobs().items():
        for said in re.findall(r"\bvars\.(\w+)", str(job.get("if", ""))):
            assert f"| `{name.split('.yml')[0]}` | repository | `{said}` |" in page


def test_code_owners_must_agree_to_a_change_of_what_checks() -> None:
    owners = (CHECKOUT / ".github/CODEOWNERS").read_text().splitlines()
    last = [line.split()[0] for line in owners if line.startswith("/.github/")]
    assert last == ["/.github/"]
    assert next(line for line in owners if line.startswith("/.github/")).split()[1:]
    page = (HOW_TO / "set-up-a-team.md").read_text()
    teams = set(re.findall(r"@bakehouse/([\w-]+)", "\n".join(owners)))
    assert teams == set(re.findall(r"^\| `([\w-]+)` \| [^|]+ \|$", page, re.MULTILINE))


def test_the_checks_that_main_requires_are_jobs() -> None:
    page = (HOW_TO / "set-up-a-team.md").read_text()
    said = re.search(r"^- The checks (.*);", page, re.MULTILINE)
    assert said
    required = re.findall(r"`([^`]+)`", said[1])
    assert set(required) <= {job["name"] for job in jobs().values()}
    queued = {job["name"] for name in names() if "merge_group" in workflow(name)["on"] for job in jobs_of(name)}
    assert [name for name in required if name in queued] == required[:2], "what a merge queue can ask for"
