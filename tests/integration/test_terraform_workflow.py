"""What the workflow `terraform` tells people and asks of them: its scripts really run, against a forge that answers as
told. What Terraform does in it, tests/infra does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from terraform.policies.settings import environments
from tests.infra import offline

WORKFLOW = offline.CHECKOUT / ".github" / "workflows" / "terraform.yml"
PLANNED = "### staging: storage\n"
TITLE = "staging has drifted from what is written"
# `gh`, as far as the scripts need it: it notes what it was asked, and filters a canned answer as `--jq` says.
GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$FORGE/asked"
for argument in "$@"; do
  case "$argument" in body=@*) cat "${argument#body=@}" >"$FORGE/body" ;; esac
  case "$previous" in --jq) jq --raw-output "$argument" "$FORGE/answer.json" ;; esac
  case "$previous" in --body-file) cat "$argument" >"$FORGE/body" ;; esac
  previous=$argument
done
"""

pytestmark = pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed (./run.sh programs)")


@dataclass(frozen=True)
class Forge:
    """One run of the workflow on a machine of its own, and a forge that gives it one answer."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, job: str, step: str, answer: Any = (), **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one step of a job as GitHub does, by its name's beginning."""
        (self.folder / "answer.json").write_text(json.dumps(answer))
        found = next(item for item in jobs()[job]["steps"] if item.get("name", "").startswith(step))
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-c", found["run"]],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self, what: str) -> list[str]:
        """What the scripts asked of the forge, as far as it begins with `what`."""
        noted = self.folder / "asked"
        return [line for line in noted.read_text().splitlines() if line.startswith(what)] if noted.is_file() else []

    @property
    def body(self) -> str:
        return (self.folder / "body").read_text()


def jobs() -> dict[str, Any]:
    """The jobs of the workflow by name."""
    found: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    return found


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    programs, temporary = tmp_path / "bin", tmp_path / "temp"
    programs.mkdir()
    temporary.mkdir()
    (programs / "gh").write_text(GH)
    (programs / "gh").chmod(0o755)
    (temporary / "plan.md").write_text(PLANNED)
    return Forge(
        tmp_path,
        {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "FORGE": str(tmp_path),
            "RUNNER_TEMP": str(temporary),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_REPOSITORY": "owner/name",
            "GITHUB_SERVER_URL": "https://forge",
            "GITHUB_RUN_ID": "7",
            "ENVIRONMENT": "staging",
            "NUMBER": "12",
        },
    )


def leave_plan(forge: Forge, *actions: str) -> None:
    """A plan of one root that would do something to one resource, and read another."""
    folder = Path(forge.environment["RUNNER_TEMP"]) / "governance" / "staging"
    folder.mkdir(parents=True)
    changes = [
        {"mode": "managed", "change": {"actions": list(actions)}},
        {"mode": "data", "change": {"actions": ["read"]}},
    ]
    (folder / "storage.plan.json").write_text(json.dumps({"resource_changes": changes}))


@pytest.mark.parametrize(
    ("path", "touched"),
    [
        ("terraform/storage/main.tf", "true"),
        ("bentos/cakes/problem.yaml", "true"),
        (".github/workflows/terraform.yml", "true"),
        ("tests/infra/offline.py", "true"),
        ("bentos/cakes/estimator.py", "false"),
        ("docs/terraform/x.md", "false"),
    ],
)
def test_a_pull_request_touches_the_platform_by_its_files(path: str, touched: str, forge: Forge) -> None:
    done = forge.run("changes", "Look", [{"filename": "README.md"}, {"filename": path}])
    assert done.returncode == 0, done.stderr
    assert (forge.folder / "output").read_text() == f"touched={touched}\n"


def test_what_is_moved_out_of_the_platform_touches_it(forge: Forge) -> None:
    forge.run("changes", "Look", [{"filename": "old/main.tf", "previous_filename": "terraform/storage/main.tf"}])
    assert (forge.folder / "output").read_text() == "touched=true\n"


@pytest.mark.parametrize(
    ("changes", "touched", "sources", "plan", "fork", "passes"),
    [
        ("success", "false", "skipped", "skipped", "false", True),
        ("success", "true", "success", "success", "false", True),
        ("success", "true", "success", "skipped", "true", True),
        ("success", "true", "success", "skipped", "false", False),
        ("success", "true", "success", "failure", "false", False),
        ("success", "true", "success", "cancelled", "true", False),
        ("success", "true", "failure", "success", "false", False),
        ("success", "", "skipped", "skipped", "false", False),
        ("failure", "", "skipped", "skipped", "false", False),
    ],
)
def test_the_required_check_passes_only_what_was_judged_or_touches_nothing(
    changes: str, touched: str, sources: str, plan: str, fork: str, passes: bool, forge: Forge
) -> None:
    results = {"CHANGES": changes, "TOUCHED": touched, "SOURCES": sources, "PLAN": plan, "FORK": fork}
    assert (forge.run("terraform-required", "Fail", **results).returncode == 0) is passes


def test_the_required_check_is_there_on_every_pull_request() -> None:
    """One that a filter keeps from running is waited for until for ever."""
    found: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text())
    assert found[True]["pull_request"] is None  # YAML 1.1 reads `on` as true
    assert set(jobs()["terraform-required"]["needs"]) == {"changes", "sources", "plan"}


@pytest.mark.parametrize("job", ["plan", "apply"])
def test_a_job_has_rights_in_aws_only_through_an_environment_of_github(job: str) -> None:
    found = jobs()[job]
    assert found["environment"] == {"plan": "${{ matrix.environment }}-plan", "apply": "${{ matrix.environment }}"}[job]
    assert found["permissions"]["id-token"] == "write"
    others = {name for name, item in jobs().items() if item.get("permissions", {}).get("id-token")}
    assert others == {"plan", "apply"}
    assert (found["if"] == "github.event_name == 'push'") is (job == "apply"), "only a merge applies"


@pytest.mark.parametrize("job", ["plan", "apply"])
def test_nothing_is_installed_with_rights_in_aws(job: str) -> None:
    steps = [step.get("run") or step.get("uses", "") for step in jobs()[job]["steps"]]
    assert steps.index("make setup") < next(at for at, step in enumerate(steps) if "configure-aws-credentials" in step)


@pytest.mark.parametrize("job", ["plan", "apply"])
def test_every_environment_that_there_are_values_for_is_planned_and_applied(job: str) -> None:
    assert tuple(jobs()[job]["strategy"]["matrix"]["environment"]) == offline.ENVIRONMENTS
    assert set(offline.ENVIRONMENTS) == environments()


def test_a_plan_is_judged_before_it_is_applied() -> None:
    (script,) = (step["run"] for step in jobs()["apply"]["steps"] if " apply plan.bin" in step.get("run", ""))
    assert script.index("policies check --before-apply") < script.index(" apply plan.bin")


def test_the_forge_s_token_reaches_neither_terraform_nor_a_pull_request_s_own_code() -> None:
    plan = jobs()["plan"]
    given = [step["name"] for step in plan["steps"] if "GH_TOKEN" in step.get("env", {})]
    assert [name.split()[0] for name in given] == ["Show", "Open"], "the comment and the issue"
    assert "GH_TOKEN" not in plan["env"]


def test_each_environment_has_a_comment_of_its_own(forge: Forge) -> None:
    other = {"id": 1, "user": {"type": "Bot"}, "body": "<!-- terraform: plan of production -->\nold"}
    somebody = {"id": 2, "user": {"type": "User"}, "body": "<!-- terraform: plan of staging -->\nquoted"}
    done = forge.run("plan", "Show", [other, somebody])
    assert done.returncode == 0, done.stderr
    assert forge.asked("api --silent --method POST repos/owner/name/issues/12/comments")
    assert forge.asked("api --silent --method PATCH") == []
    assert forge.body == f"<!-- terraform: plan of staging -->\n{PLANNED}"


def test_the_comment_of_an_environment_is_brought_up_to_date(forge: Forge) -> None:
    own = {"id": 3, "user": {"type": "Bot"}, "body": "<!-- terraform: plan of staging -->\nold"}
    forge.run("plan", "Show", [own, {**own, "id": 4}])
    assert forge.asked("api --silent --method PATCH repos/owner/name/issues/comments/3 ")
    assert forge.asked("api --silent --method POST") == []


def test_drift_opens_an_issue_with_the_plan(forge: Forge) -> None:
    leave_plan(forge, "update")
    done = forge.run("plan", "Open", SO_FAR="success")
    assert done.returncode == 0, done.stderr
    assert len(forge.asked(f"issue create --repo owner/name --title {TITLE} ")) == 1
    assert PLANNED in forge.body
    assert "https://forge/owner/name/actions/runs/7" in forge.body


def test_drift_that_breaks_a_rule_or_the_plan_itself_opens_an_issue_too(forge: Forge) -> None:
    """The step runs whatever failed before it, and there may be no plan at all."""
    step = next(item for item in jobs()["plan"]["steps"] if item.get("name", "").startswith("Open"))
    assert step["if"].startswith("always() &&")
    (Path(forge.environment["RUNNER_TEMP"]) / "plan.md").unlink()
    done = forge.run("plan", "Open", SO_FAR="failure")
    assert done.returncode == 0, done.stderr
    assert len(forge.asked("issue create")) == 1


def test_drift_that_is_known_opens_no_second_issue(forge: Forge) -> None:
    leave_plan(forge, "delete", "create")
    forge.run("plan", "Open", [{"number": 5, "title": TITLE}], SO_FAR="success")
    assert forge.asked("issue create") == forge.asked("issue close") == []


def test_an_issue_of_another_environment_hides_no_drift(forge: Forge) -> None:
    leave_plan(forge, "update")
    forge.run("plan", "Open", [{"number": 5, "title": f"non{TITLE}"}], SO_FAR="success")
    assert len(forge.asked("issue create")) == 1


def test_what_is_as_written_opens_no_issue_and_closes_the_one_that_is_open(forge: Forge) -> None:
    leave_plan(forge, "no-op")
    forge.run("plan", "Open", SO_FAR="success")
    assert forge.asked("issue create") == forge.asked("issue close") == []
    forge.run("plan", "Open", [{"number": 5, "title": TITLE}], SO_FAR="success")
    assert forge.asked("issue close 5 --repo owner/name ")
