"""The commands as typed: exit codes, messages, JSON, and what they leave alone."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bakehouse import workspace
from commands.main import main
from gitops import holds
from gitops.environment import Place
from gitops.promotion import commit_release
from gitops.repository import GitopsRepository
from tests import fake_bento
from tests.gitops_world import World, commit_files, release


@dataclass
class Bakehouse:
    """Runs `bakehouse` in a process of its own."""

    checkout: Path

    def __call__(self, *arguments: str, code: int = 0, at: Path | None = None) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "commands.main", *arguments],
            env={**os.environ, "PYTHONPATH": str(self.checkout)},
            cwd=at or self.checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def bakehouse(checkout: Path) -> Bakehouse:
    return Bakehouse(checkout)


@pytest.fixture
def repository(world: World) -> GitopsRepository:
    """Version 1 is in staging."""
    made = GitopsRepository.open()
    commit_release(made, "staging", release(1))
    return made


def test_the_way_there_and_back(world: World, repository: GitopsRepository, bakehouse: Bakehouse) -> None:
    """Promote, promote the next, roll back, be refused, lift the hold: as a person types it."""
    assert "Promoted orders 1 to production" in bakehouse("promote", "orders", "--to", "production")
    repository.fetch()
    commit_release(repository, "staging", release(2, champion=1))
    landed = bakehouse.json("promote", "orders", "--to", "production")
    assert (landed["action"], landed["model_version"], landed["replaces"]) == ("landed", 2, 1)
    assert Path(landed["body"]).is_file()
    assert "has orders 2 already" in bakehouse("promote", "orders", "--to", "production")
    back = bakehouse.json("rollback", "orders", "--env", "production", "--reason", "too many alarms")
    assert (back["model_version"], back["away_from"], back["hold"]["reason"]) == (1, 2, "too many alarms")
    refusal = bakehouse("promote", "orders", "--to", "production", code=1)
    assert "too many alarms" in refusal
    assert "bakehouse hold orders --env production --lift" in refusal
    held = {(row["environment"], row["model_version"], bool(row["hold"])) for row in bakehouse.json("status")}
    assert held == {("production", 1, True), ("staging", 2, False)}
    assert "no longer held" in bakehouse("hold", "orders", "--env", "production", "--lift")
    kinds = [event["kind"] for event in bakehouse.json("history", "orders", "--env", "production")]
    assert kinds == ["hold lifted", "rolled back", "promoted", "promoted"]


def test_a_hold_of_a_model_that_is_nowhere_says_that_the_name_may_be_a_slip(
    repository: GitopsRepository, bakehouse: Bakehouse
) -> None:
    slip = "No environment has a release of"
    assert slip in bakehouse("hold", "order", "--env", "production", "--reason", "stocktaking")
    assert slip not in bakehouse("hold", "orders", "--env", "production", "--reason", "stocktaking")
    lifted = bakehouse.json("hold", "orders", "--env", "production", "--lift")
    commit = repository.at(repository.fetch()).revision
    assert lifted == {
        "environment": "production",
        "model": "orders",
        "hold": None,
        "commit": commit,
        "is_released": True,
    }


def test_questions_answer_in_columns_and_in_json(repository: GitopsRepository, bakehouse: Bakehouse) -> None:
    bakehouse("promote", "orders", "--to", "production")
    repository.fetch()
    commit_release(repository, "staging", release(2, champion=1))
    assert bakehouse("status").splitlines()[0].split()[:3] == ["model", "environment", "version"]
    lineage = bakehouse.json("lineage", "orders", "--env", "staging")
    assert lineage[0]["release"]["model_version"] == 2
    parts = {part["name"]: part["command"] for part in lineage[0]["parts"]}
    assert parts["code"] == f"git checkout {release(2).code.commit}"
    show = next(line for line in bakehouse("lineage", "orders").splitlines() if line.strip().startswith("release: "))
    printed = subprocess.run(
        show.split(maxsplit=1)[1].split(), cwd=bakehouse.checkout, capture_output=True, text=True, check=True
    ).stdout
    assert "Promote orders 1 to production" in printed
    differences = {row["what"] for row in bakehouse.json("diff", "orders")["differences"]}
    assert {"model version", "image", "data version", "code"} <= differences
    assert "are the same release" in bakehouse("diff", "orders", "staging@1", "production")
    assert bakehouse.json("history", "orders", "--at", "2020-01-01T00:00Z") == {"production": None, "staging": None}
    assert bakehouse.json("history", "orders", "--at", "2100-01-01")["production"]["model_version"] == 1
    for at, version in (("1", 1), ("main~2", 1), ("2100-01-01", 2)):
        shown = json.loads(bakehouse("release", "show", "orders", "--env", "staging", "--at", at))
        assert shown["model_version"] == version
    assert json.loads(bakehouse("release", "schema"))["title"] == "Release"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("promote orders --to nowhere", 1, "There is no environment nowhere. There are: production, staging."),
        ("promote cakes --to production", 1, "staging has no release of cakes."),
        ("rollback orders --env production", 1, "orders in production has no release: there is nothing to go back to."),
        ("history cakes", 1, "cakes was never released in any environment."),
        ("lineage cakes", 1, "There is no release of cakes in any environment."),
        ("diff orders", 1, "production has no release of orders."),
        ("diff orders here there", 1, "here names no environment."),
        ("release show orders --env production", 1, "production has no release of orders."),
        ("release show orders --env staging --at 2020-01-01", 1, "staging has no release of orders at 2020-01-01."),
        ("release verify cakes", 1, "There is no release of cakes."),
        ("hold orders --env production", 2, "give a reason to hold"),
        ("history orders --at yesterday", 2, "yesterday is not a time"),
        ("bake", 2, "No such command"),
    ],
)
def test_a_failing_command_says_why_without_a_traceback(
    repository: GitopsRepository, bakehouse: Bakehouse, arguments: str, code: int, said: str
) -> None:
    words = arguments.split()
    complaint = bakehouse(*words, code=code)
    assert said in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("arguments", "shows"),
    [
        (["--debug", "lineage", "cakes"], True),
        (["lineage", "cakes", "--debug"], True),
        (["release", "--debug", "verify", "cakes"], True),
        (["release", "verify", "--env", "staging", "cakes", "--debug"], True),
        (["lineage", "--", "--debug"], False),
        (["adopt", "cakes", "--reason", "--debug", "--env", "nowhere"], False),
    ],
    ids=["before the command", "after it", "within", "at the end", "an argument", "an option's value"],
)
def test_debug_shows_the_traceback_wherever_it_stands(
    repository: GitopsRepository, bakehouse: Bakehouse, arguments: list[str], shows: bool
) -> None:
    assert ("Traceback" in bakehouse(*arguments, code=1)) == shows


def test_a_failure_is_answered_as_json_where_json_was_asked_for(
    repository: GitopsRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    holds.hold(repository, Place("production", "orders"), "stocktaking")
    code, answer, complaint = ended(capsys, "promote", "orders", "--to", "production", "--json")
    (miss,) = answer["misses"]
    assert (code, miss["name"], miss["figure"]) == (1, "no_hold", "held")
    assert answer["error"] in complaint
    code, answer, complaint = ended(capsys, "lineage", "cakes", "--json")
    assert (code, answer["error"], answer["misses"]) == (1, "There is no release of cakes in any environment.", [])
    assert complaint == f"{answer['error']} {answer['hint']}\n"


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, Any, str]:
    """What a command ends with, answers as JSON, and complains of."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return ended.value.code, json.loads(said.out), said.err


def test_a_hold_is_told_alike_wherever_json_tells_of_it(
    world: World, repository: GitopsRepository, bakehouse: Bakehouse
) -> None:
    commit_files(repository, {"environments/production/orders/hold.yaml": ": ["}, "Break it")
    made = bakehouse.json("hold", "orders", "--env", "staging", "--reason", "stocktaking")["hold"]
    assert (made["reason"], made["by"], made["model_version"]) == ("stocktaking", repository.identity(), None)
    rows = {row["environment"]: row for row in bakehouse.json("status")}
    then = bakehouse.json("history", "orders", "--at", "2100-01-01")
    board = {lane["environment"]: lane for lane in bakehouse.json("board")["models"][0]["environments"]}
    assert rows["staging"]["hold"] == then["staging"]["hold"] == board["staging"]["hold"] == made
    assert rows["production"]["hold"] is then["production"]["hold"] is board["production"]["hold"] is None
    for told in (rows, then, board):
        assert "can't be read" in told["production"]["problem"]
        assert told["staging"]["problem"] is None
    assert "stocktaking" in bakehouse("history", "orders", "--at", "2100-01-01")


def test_a_terminal_gets_a_table_and_red_errors(repository: GitopsRepository, bakehouse: Bakehouse) -> None:
    """A pipe gets neither colours nor borders."""
    shown = on_terminal(bakehouse.checkout, "status")
    assert "\x1b[" in shown
    assert "orders" in shown
    assert "\x1b[31m" in on_terminal(bakehouse.checkout, "lineage", "cakes")
    assert "\x1b" not in bakehouse("status") + bakehouse("lineage", "cakes", code=1)


def on_terminal(checkout: Path, *arguments: str) -> str:
    """What a command shows on a terminal."""
    ours, theirs = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [sys.executable, "-m", "commands.main", *arguments],
        env={**variables, "PYTHONPATH": str(checkout), "TERM": "xterm-256color", "COLUMNS": "160"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:
        pass  # Linux's way to say that the other side was closed
    os.close(ours)
    process.wait()
    return shown.decode()


@pytest.mark.parametrize("damage", ["lost", "changed"])
def test_a_damaged_copy_is_made_again_unnoticed(
    repository: GitopsRepository, bakehouse: Bakehouse, damage: str
) -> None:
    """Even where a fetch does not see that objects of the private copy are gone or broken."""
    blob = repository.at().files["environments/staging/orders/release/release.json"].oid
    path = repository.cache / "objects" / blob[:2] / blob[2:]
    assert path.is_file()
    path.unlink()
    if damage == "changed":
        path.write_bytes(b"not an object")
    assert json.loads(bakehouse("release", "show", "orders", "--env", "staging"))["model_version"] == 1


def test_garbage_in_one_folder_leaves_the_others_readable(repository: GitopsRepository, bakehouse: Bakehouse) -> None:
    commit_files(
        repository,
        {
            "environments/staging/cakes/release/release.json": "{",
            "environments/staging/NotAName/release/release.json": "{}",
            "environments/README.md": "not an environment",
            "environments/production/orders/hold.yaml": ": [",
        },
    )
    rows = {(row["model"], row["environment"]): row for row in bakehouse.json("status")}
    assert rows["orders", "staging"]["problem"] is None
    assert "is not a release document" in rows["cakes", "staging"]["problem"]
    assert "can't be read" in rows["orders", "production"]["problem"]
    assert "environments/staging/cakes/release/release.json" in bakehouse("lineage", "cakes", code=1)
    assert "document is broken" in bakehouse("release", "verify", "cakes", code=1)
    assert "can't be read" in bakehouse("promote", "orders", "--to", "production", code=1)


def test_verify_names_what_was_tampered_with(
    world: World, repository: GitopsRepository, bakehouse: Bakehouse, tmp_path: Path
) -> None:
    document = fake_bento.build(tmp_path, 3, model="cakes")
    commit_release(repository, "staging", document)
    verdicts = {check["check"]: check["verdict"] for check in bakehouse.json("release", "verify", "orders")}
    assert verdicts["pin"] == verdicts["document"] == verdicts["kustomization"] == "good"
    assert verdicts["image"] == "not here"
    pin = "environments/staging/orders/release/kustomization.yaml"
    original = repository.at().text(pin)
    assert original is not None
    commit_files(repository, {pin: original.replace(release(1).image.digest, release(2).image.digest)})
    complaint = bakehouse("release", "verify", "orders", code=1)
    assert "orders in staging: pin is broken" in complaint
    commit_files(repository, {pin: original, "environments/staging/orders/kustomization.yaml": "other"})
    assert "kustomization is broken" in bakehouse("release", "verify", "orders", code=1)
    image = workspace.images() / f"{document.image.digest.removeprefix('sha256:')}.bento"
    image.write_bytes(image.read_bytes()[:-1] + b"?")
    assert "cakes in staging: image is broken" in bakehouse("release", "verify", "cakes", code=1)


def test_a_dirty_working_tree_is_never_touched(
    world: World, repository: GitopsRepository, bakehouse: Bakehouse
) -> None:
    """Neither the checkout's files, index and branch, nor those of a clone that the commands are run in."""
    clone = world.clone()
    setting = clone / "environments/staging/settings/kustomization.yaml"
    setting.write_text("kind: Component\n# being edited\n")
    (clone / "new.txt").write_text("not in git\n")
    world.git("add", "new.txt", at=clone)
    before = (world.git("status", "--porcelain", at=clone), world.git("rev-parse", "HEAD", at=clone))
    files = {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()}
    bakehouse("promote", "orders", "--to", "production", at=clone)
    repository.fetch()
    commit_release(repository, "staging", release(2, champion=1))
    bakehouse("promote", "orders", "--to", "production", at=clone)
    bakehouse("rollback", "orders", "--env", "production", at=clone)
    bakehouse("hold", "orders", "--env", "staging", "--reason", "stocktaking", at=clone)
    assert (world.git("status", "--porcelain", at=clone), world.git("rev-parse", "HEAD", at=clone)) == before
    assert {path: path.read_bytes() for path in clone.rglob("*") if path.is_file()} == files


def test_another_repository_and_branch_are_used_where_named(
    world: World, repository: GitopsRepository, bakehouse: Bakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    team = tmp_path / "team.git"
    world.git("clone", "--quiet", "--bare", str(world.bare), str(team), at=tmp_path)
    world.git("branch", "live", "main", at=team)
    monkeypatch.setenv("BAKEHOUSE_GITOPS_URL", team.as_uri())
    monkeypatch.setenv("BAKEHOUSE_GITOPS_BRANCH", "live")
    bakehouse("promote", "orders", "--to", "production")
    assert world.git("log", "-1", "--format=%s", "live", at=team) == "Promote orders 1 to production"
    assert world.git("log", "-1", "--format=%s", "main", at=team) == "Release orders 1 to staging"
    monkeypatch.setenv("BAKEHOUSE_GITOPS_BRANCH", "nowhere")
    assert "has no branch nowhere" in bakehouse("status", code=1)
