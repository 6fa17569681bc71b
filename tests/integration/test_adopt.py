"""Adopting what runs, on plain git: what Argo CD would say is played by programs that print it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bakehouse.errors import BakehouseError, DeliveryError, GateError, ReleaseError
from gitops.adoption import adopt
from gitops.audit import audit
from gitops.commits import Change
from gitops.environment import Place
from gitops.history import releases
from gitops.holds import held
from gitops.promotion import commit_release, promote
from gitops.release import Release
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.conftest import Asked
from tests.gitops_world import World, commit_files, release

MODEL = "orders"
PRODUCTION = Place("production", MODEL)
MADE = datetime(2026, 1, 1, tzinfo=UTC)
FIRST = release(1, made=MADE)
SECOND = release(2, made=MADE, champion=1)
SETTING = "environments/production/settings/kustomization.yaml"
MOUNTED = "orders-release-1234"


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A repository made once, and the commits that brought both versions to production."""
    folder = tmp_path_factory.mktemp("promoted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(folder))
        made = World(folder)
        patch.setenv("BAKEHOUSE_ROOT", str(made.checkout))
        repository = GitopsRepository.open()
        commits = []
        for document in (FIRST, SECOND):
            commit_release(repository, "staging", document)
            commits.append(promote(repository, MODEL, "production", proposals=made.bodies).commit)
        return made.bare, commits


@pytest.fixture
def promotions(world: World, promoted: tuple[Path, list[str]]) -> list[str]:
    """The commits that brought both versions to production, in a repository of this test's own."""
    bare, commits = promoted
    shutil.copytree(bare, world.bare)
    return commits


@pytest.fixture
def repository(promotions: list[str]) -> GitopsRepository:
    return GitopsRepository.open()


def application(revision: str, *, automated: object = None, phase: str = "Succeeded") -> dict[str, Any]:
    """The application as Argo CD has it."""
    return {
        "metadata": {"name": "orders-production"},
        "spec": {
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "bakehouse-production"},
            "syncPolicy": {"automated": automated} if automated is not None else {},
        },
        "status": {
            "resources": [{"kind": "Service", "name": "x"}, {"kind": "Deployment", "name": "orders-bento"}],
            "operationState": {"phase": phase, "syncResult": {"revision": revision}, "message": "timed out"},
        },
    }


def deployment(document: Release) -> dict[str, Any]:
    """The Deployment in the cluster that runs a release."""
    volume = {"name": "release", "configMap": {"name": MOUNTED}}
    pods = {"containers": [{"image": document.image.reference}], "volumes": [volume]}
    metadata = {"name": "orders-bento"}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"template": {"spec": pods}}}


Played = Callable[..., None]


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    """Lets `kubectl` answer with an application, and the pods and the document of a release. No `argocd` is there."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for program in ("git", "cat"):
        found = next(Path(it) / program for it in os.environ["PATH"].split(":") if (Path(it) / program).exists())
        (folder / program).symlink_to(found)
    monkeypatch.setenv("PATH", str(folder))

    def play(app: dict[str, Any], runs: Release | None = None, document: Release | None = None) -> None:
        answers: dict[str, Any] = {"applications.argoproj.io": {"items": [app]}}
        if runs is not None:
            answers["Deployment"] = deployment(runs)
            answers["ConfigMap"] = {"data": {"release.json": (document or runs).to_json()}}
        for kind, answer in answers.items():
            (folder / f"{kind}.json").write_text(json.dumps(answer))
        program = folder / "kubectl"
        program.write_text(f'#!/bin/sh\nexec cat "{folder}/$2.json"\n')
        program.chmod(0o755)

    return play


def test_git_gets_what_runs_and_a_hold_and_nothing_else(
    world: World, repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    kubectl(application(promotions[0]), FIRST)
    done = adopt(repository, PRODUCTION, reason="version 2 fails")
    assert (done.action, done.release.model_version, done.away_from) == ("adopted", 1, 2)
    assert done.not_compared == ""
    changed = world.git("diff", "--name-only", "main~1", "main").split()
    assert changed == [PRODUCTION.hold, PRODUCTION.pin, PRODUCTION.document]
    assert world.git("diff", promotions[0], "main", "--", PRODUCTION.release) == ""
    commit = repository.commit_at(done.commit)
    assert commit.trailers["Adopted-From"] == promotions[0]
    assert commit.trailers["Model-Version"] == "1"
    hold = held(repository.at(), PRODUCTION)
    assert hold is not None
    assert (hold.reason, hold.model_version) == ("version 2 fails", 2)
    assert releases(repository, "production", "orders")[0].kind == "rolled back"
    assert audit(repository).breaks == ()


def test_what_was_adopted_away_from_is_let_in_neither_while_held_nor_after(
    world: World, repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    kubectl(application(promotions[0]), FIRST)
    adopt(repository, PRODUCTION)
    with pytest.raises(GateError, match="no_hold"):
        promote(repository, "orders", "production", proposals=world.bodies)
    commit_files(repository, {PRODUCTION.hold: None})
    with pytest.raises(GateError, match="rolled_back"):
        promote(repository, "orders", "production", proposals=world.bodies)


def test_adopting_again_says_that_there_is_nothing_to_adopt(
    repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    kubectl(application(promotions[0]), FIRST)
    first = adopt(repository, PRODUCTION)
    again = adopt(repository, PRODUCTION)
    assert (again.action, again.commit, again.resume) == ("already there", first.commit, first.resume)


@pytest.mark.parametrize("automated", [{}, {"prune": True}, {"enabled": True}])
def test_nothing_is_adopted_while_argo_cd_follows_git_by_itself(
    automated: object, repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    """A release that it has yet to sync is not to be taken for one that somebody rolled back."""
    kubectl(application(promotions[0], automated=automated), FIRST)
    with pytest.raises(ReleaseError, match="follows git by itself.*--sync-policy none"):
        adopt(repository, PRODUCTION)
    assert repository.fetch() == promotions[1]


def test_an_application_whose_automation_was_switched_off_by_the_button_is_paused(
    repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    kubectl(application(promotions[0], automated={"enabled": False, "prune": True}), FIRST)
    done = adopt(repository, PRODUCTION)
    assert done.resume == "argocd app set orders-production --sync-policy automated --auto-prune --self-heal"


def test_a_release_that_does_not_run_in_the_cluster_is_refused(
    repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    kubectl(application(promotions[0]), SECOND)
    with pytest.raises(
        ReleaseError, match="Deployment orders-bento runs bakehouse/orders:2@.* pins bakehouse/orders:1@"
    ):
        adopt(repository, PRODUCTION)
    kubectl(application(promotions[0]), FIRST, document=release(1, made=MADE, average_precision=0.1))
    with pytest.raises(ReleaseError, match="with another release document"):
        adopt(repository, PRODUCTION, promotions[0])
    assert repository.fetch() == promotions[1]


@pytest.mark.parametrize("phase", ["Running", "Failed", "Error"])
def test_a_sync_that_has_not_succeeded_names_nothing_to_adopt_but_a_person_may(
    phase: str, repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    kubectl(application(promotions[0], phase=phase), FIRST)
    with pytest.raises(DeliveryError, match=f"is {phase}: timed out"):
        adopt(repository, PRODUCTION)
    assert adopt(repository, PRODUCTION, promotions[0]).action == "adopted"


def test_where_nobody_can_be_asked_a_revision_is_needed_and_what_was_not_compared_is_said(
    repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    with pytest.raises(DeliveryError, match="kubectl is not installed; argocd is not installed.*--revision"):
        adopt(repository, PRODUCTION)
    done = adopt(repository, PRODUCTION, promotions[0][:12])
    assert (done.action, done.revision) == ("adopted", promotions[0])
    assert "kubectl is not installed" in done.not_compared
    assert done.resume is None


def test_a_model_in_another_cluster_than_argo_cds_is_not_compared_with_that_one(
    repository: GitopsRepository, promotions: list[str], kubectl: Played
) -> None:
    found = application(promotions[0])
    found["spec"]["destination"]["server"] = "https://another.example"
    kubectl(found, SECOND)
    assert "in another" in adopt(repository, PRODUCTION).not_compared


def test_a_revision_that_never_had_the_release_or_is_not_of_the_branch_is_refused(
    world: World, repository: GitopsRepository, kubectl: Played
) -> None:
    start = world.git("rev-list", "--max-parents=0", "main")
    with pytest.raises(ReleaseError, match="no release of orders in production that was ever delivered"):
        adopt(repository, PRODUCTION, start)
    stray = world.git("-c", "user.name=A", "-c", "user.email=a@b.c", "commit-tree", "main^{tree}", "-m", "Stray")
    world.git("push", "--quiet", str(world.bare), f"{stray}:refs/heads/promote/stray")
    with pytest.raises(ReleaseError, match="not in the history of main"):
        adopt(repository, PRODUCTION, stray)
    with pytest.raises(ReleaseError, match="no revision"):
        adopt(repository, PRODUCTION, "f" * 40)


def test_an_adoption_of_what_was_never_there_is_found_in_history(
    repository: GitopsRepository, promotions: list[str]
) -> None:
    document = release(3, made=MADE, champion=2)
    said = {"Environment": "production", "Adopted-From": promotions[0], **document.trailers()}
    files = {f"{PRODUCTION.release}/{name}": text.encode() for name, text in document.files().items()}
    repository.commit(lambda _: Change("Adopt it", files, said))
    (found,) = audit(repository).breaks
    assert "never had" in found.said


def test_what_else_has_changed_stays_and_is_said_to_come_with_the_resumption(
    repository: GitopsRepository, promotions: list[str], kubectl: Played, bakehouse: Asked
) -> None:
    commit_files(repository, {SETTING: "kind: Component\n# changed since\n"})
    kubectl(application(promotions[0]), FIRST)
    said = bakehouse("adopt", MODEL, "--env", "production", "--reason", "at night")
    assert SETTING in said
    assert "--sync-policy automated --auto-prune --self-heal" in said
    assert "restarts nothing" not in said
    assert "changed since" in (repository.at(repository.fetch()).text(SETTING) or "")
    assert bakehouse.json("adopt", MODEL, "--env", "production")["action"] == "already there"


def test_a_failing_revision_is_taken_back_once_however_often_it_is_told(
    repository: GitopsRepository, promotions: list[str]
) -> None:
    failed = promotions[1]
    first = roll_back(repository, PRODUCTION, reason="degraded", if_current=failed)
    assert (first.action, first.away_from) == ("rolled back", 2)
    again = roll_back(repository, PRODUCTION, reason="degraded", if_current=failed)
    assert (again.action, again.commit) == ("not current", first.commit)
    assert repository.fetch() == first.commit


def test_a_notification_of_before_does_nothing_to_a_release_that_came_again(
    world: World, repository: GitopsRepository, promotions: list[str]
) -> None:
    """It is the same release, but somebody decided anew."""
    roll_back(repository, PRODUCTION)
    commit_files(repository, {PRODUCTION.hold: None})
    again = promote(repository, "orders", "production", allow_rolled_back=True, proposals=world.bodies)
    late = roll_back(repository, PRODUCTION, if_current=promotions[1])
    assert (late.action, late.commit) == ("not current", again.commit)
    assert roll_back(repository, PRODUCTION, if_current=again.commit).action == "rolled back"


def test_a_release_that_was_itself_restored_is_not_taken_back_by_itself(
    repository: GitopsRepository, promotions: list[str]
) -> None:
    restored = roll_back(repository, PRODUCTION, if_current=promotions[1])
    with pytest.raises(ReleaseError, match="could go on for ever"):
        roll_back(repository, PRODUCTION, if_current=restored.commit)
    commit_files(repository, {PRODUCTION.hold: None})
    with pytest.raises(ReleaseError, match="could go on for ever"):
        roll_back(repository, PRODUCTION, if_current=repository.fetch())


def test_a_release_is_not_taken_back_for_what_a_later_setting_may_have_broken(
    repository: GitopsRepository, promotions: list[str]
) -> None:
    changed = commit_files(repository, {SETTING: "kind: Component\n# broken\n"})
    with pytest.raises(ReleaseError, match=SETTING):
        roll_back(repository, PRODUCTION, if_current=changed.sha)
    assert roll_back(repository, PRODUCTION, if_current=promotions[1]).action == "rolled back"


def test_a_release_that_was_removed_is_not_brought_back_by_a_late_notification(
    repository: GitopsRepository, promotions: list[str]
) -> None:
    gone = commit_files(repository, dict.fromkeys(repository.at().under(PRODUCTION.folder)))
    done = roll_back(repository, PRODUCTION, if_current=promotions[1])
    assert (done.action, done.release, done.commit) == ("not current", None, gone.sha)


def test_a_first_release_that_fails_has_nothing_to_go_back_to(world: World) -> None:
    repository = GitopsRepository.open()
    commit_release(repository, "staging", FIRST)
    failed = promote(repository, "orders", "production", proposals=world.bodies).commit
    with pytest.raises(BakehouseError, match="nothing to go back to"):
        roll_back(repository, PRODUCTION, if_current=failed)
