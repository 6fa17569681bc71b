"""How an environment goes back, and how its history reads: through our commands, plain reverts and commits by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bakehouse.errors import ReleaseError
from gitops import holds
from gitops.environment import Place
from gitops.history import champion, releases, timeline
from gitops.promotion import commit_release, promote
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.gitops_world import World, commit_files, release

PRODUCTION = Place("production", "orders")
SETTING = "environments/production/settings/kustomization.yaml"


@pytest.fixture
def repository(world: World) -> GitopsRepository:
    """Versions 1, 2 and 3 went to production, one after another."""
    made = GitopsRepository.open()
    for version in (1, 2, 3):
        commit_release(made, "staging", release(version, champion=version - 1 or None))
        promote(made, "orders", "production", proposals=world.bodies)
    return made


def version(repository: GitopsRepository) -> int | None:
    repository.fetch()
    document = champion(repository, "production", "orders")
    return document.model_version if document is not None else None


def test_a_rollback_restores_the_release_before_and_nothing_else(world: World, repository: GitopsRepository) -> None:
    commit_files(repository, {SETTING: "kind: Component\n# changed since\n"})
    done = roll_back(repository, PRODUCTION, reason="too many false alarms")
    assert (done.action, done.away_from, done.release.model_version) == ("rolled back", 3, 2)
    assert world.git("diff", "--name-only", "main~1", "main").split() == [
        PRODUCTION.hold,
        PRODUCTION.pin,
        PRODUCTION.document,
    ]
    assert world.git("diff", "main", "main~3", "--", PRODUCTION.release) == ""
    commit = repository.commit_at(done.commit)
    assert commit.trailers["Rolled-Back-From"] == "3"
    assert commit.trailers["Model-Version"] == "2"


def test_a_rollback_leaves_a_hold_with_its_reason(repository: GitopsRepository) -> None:
    roll_back(repository, PRODUCTION, reason="too many false alarms")
    hold = holds.held(repository.at(), PRODUCTION)
    assert hold is not None
    assert (hold.reason, hold.model_version, hold.by) == ("too many false alarms", 3, repository.identity())


def test_a_rollback_run_again_goes_no_further(repository: GitopsRepository) -> None:
    first = roll_back(repository, PRODUCTION)
    again = roll_back(repository, PRODUCTION)
    assert (again.action, again.commit, version(repository)) == ("already there", first.commit, 2)


def test_a_rollback_after_its_hold_was_lifted_skips_what_was_rolled_back(repository: GitopsRepository) -> None:
    roll_back(repository, PRODUCTION)
    holds.lift(repository, PRODUCTION)
    roll_back(repository, PRODUCTION)
    assert version(repository) == 1
    holds.lift(repository, PRODUCTION)
    with pytest.raises(ReleaseError, match="no release before model version 1: there is nothing to go back to"):
        roll_back(repository, PRODUCTION)


@pytest.mark.parametrize("to", ["1", "main~4"])
def test_a_rollback_goes_to_a_version_or_a_revision(repository: GitopsRepository, to: str) -> None:
    assert roll_back(repository, PRODUCTION, to).release.model_version == 1
    assert version(repository) == 1
    assert roll_back(repository, PRODUCTION, to).action == "already there"


def test_a_version_that_was_never_there_is_named(repository: GitopsRepository) -> None:
    with pytest.raises(ReleaseError, match="Model version 9 of orders in production was never released"):
        roll_back(repository, PRODUCTION, "9")
    with pytest.raises(ReleaseError, match="no revision nowhere"):
        roll_back(repository, PRODUCTION, "nowhere")
    with pytest.raises(ReleaseError, match="has no release of orders in production"):
        roll_back(repository, PRODUCTION, "main~6")


def test_a_release_that_waits_for_review_is_no_target(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(4, champion=3, policy="review"))
    done = promote(repository, "orders", "production", proposals=world.bodies)
    repository.fetch()
    with pytest.raises(ReleaseError, match="has no release of orders in production that was ever delivered"):
        roll_back(repository, PRODUCTION, done.branch)


def test_an_environment_without_a_release_has_nothing_to_go_back_to(repository: GitopsRepository) -> None:
    with pytest.raises(ReleaseError, match="cakes in production has no release"):
        roll_back(repository, Place("production", "cakes"))


def test_a_broken_hold_or_release_does_not_stop_a_rollback(repository: GitopsRepository) -> None:
    commit_files(repository, {PRODUCTION.hold: "{", PRODUCTION.document: "{"}, "Break it")
    assert roll_back(repository, PRODUCTION).release.model_version == 3


def test_a_held_file_that_cannot_be_read_still_holds(world: World, repository: GitopsRepository) -> None:
    commit_files(repository, {PRODUCTION.hold: "reason: no more\n"}, "Hold by hand")
    with pytest.raises(ReleaseError, match=r"held, but .*hold.yaml can't be read: Field required"):
        holds.refuse_if_held(repository.at(), PRODUCTION)


def test_a_plain_revert_deploys_the_same_as_a_rollback(world: World, repository: GitopsRepository) -> None:
    clone = world.clone()
    world.git("revert", "--no-edit", "HEAD", at=clone)
    world.git("push", "--quiet", at=clone)
    assert version(repository) == 2
    newest = releases(repository, "production", "orders")[0]
    assert (newest.kind, newest.model_version) == ("rolled back", 2)
    barred = timeline(repository, PRODUCTION).barred
    assert barred is not None and barred.model_version == 3


def test_a_revert_of_the_first_release_removes_it_and_a_second_revert_brings_it_back(world: World) -> None:
    repository = GitopsRepository.open()
    commit_release(repository, "staging", release(1))
    clone = world.clone()
    world.git("revert", "--no-edit", "HEAD", at=clone)
    world.git("push", "--quiet", at=clone)
    repository.fetch()
    assert champion(repository, "staging", "orders") is None
    with pytest.raises(ReleaseError, match="went back from model version 1"):
        commit_release(repository, "staging", release(1))
    world.git("revert", "--no-edit", "HEAD", at=clone)
    world.git("push", "--quiet", at=clone)
    repository.fetch()
    assert champion(repository, "staging", "orders") is not None
    kinds = [entry.kind for entry in releases(repository, "staging", "orders")]
    assert kinds == ["released", "removed", "released"]


def test_a_rollback_brings_back_what_was_removed(repository: GitopsRepository) -> None:
    commit_files(repository, {PRODUCTION.document: None, PRODUCTION.pin: None}, "Take it out")
    assert version(repository) is None
    assert roll_back(repository, PRODUCTION).away_from is None
    assert version(repository) == 3


def test_a_merge_counts_when_it_landed_not_when_it_was_written(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(4, champion=3, policy="review"))
    done = promote(repository, "orders", "production", proposals=world.bodies)
    commit_files(repository, {SETTING: "kind: Component\n# meanwhile\n"})
    clone = world.clone()
    world.git("merge", "--quiet", "--no-ff", "-m", "Merge it", f"origin/{done.branch}", at=clone)
    world.git("push", "--quiet", at=clone)
    repository.fetch()
    newest, before = releases(repository, "production", "orders")[:2]
    assert (newest.commit.subject, newest.model_version, before.model_version) == ("Merge it", 4, 3)
    assert roll_back(repository, PRODUCTION).release.model_version == 3


def test_history_answers_what_was_released_at_any_time(repository: GitopsRepository) -> None:
    history = timeline(repository, PRODUCTION)
    newest = history.at(datetime.now(UTC) + timedelta(days=1))
    assert newest is not None and newest.model_version == 3
    assert history.at(datetime.now(UTC) - timedelta(days=1)) is None


def test_lifting_a_hold_that_is_not_there_makes_no_commit(repository: GitopsRepository) -> None:
    assert holds.lift(repository, PRODUCTION) is None
    assert holds.hold(repository, PRODUCTION, "stocktaking") is not None
    assert holds.hold(repository, PRODUCTION, "stocktaking") is None
    assert holds.hold(repository, PRODUCTION, "still stocktaking") is not None
