"""How an environment goes back, and how its history reads: through our commands, plain reverts and commits by hand."""

from __future__ import annotations

import os

import pytest

from bakehouse.errors import GateError, ReleaseError
from gitops import holds
from gitops.environment import Place
from gitops.events import state_at
from gitops.history import champion, releases, timeline
from gitops.moments import moment
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


def test_a_rollback_takes_out_and_brings_back_a_file_whose_name_is_no_utf8(repository: GitopsRepository) -> None:
    name = os.fsdecode(f"{PRODUCTION.release}/caf".encode() + b"\xe9.txt")
    commit_files(repository, {name: "coffee"})
    first = repository.fetch()
    roll_back(repository, PRODUCTION)
    assert name not in repository.at(repository.fetch()).files
    roll_back(repository, PRODUCTION, to=first)
    assert name in repository.at(repository.fetch()).files


def test_a_rollback_restores_the_release_before_and_nothing_else(world: World, repository: GitopsRepository) -> None:
    commit_files(repository, {SETTING: "kind: Component\n# changed since\n"})
    done = roll_back(repository, PRODUCTION, reason="too many false alarms")
    assert (done.action, done.away_from, done.model_version) == ("rolled back", 3, 2)
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


def test_a_rollback_run_again_goes_no_further_though_its_hold_got_another_reason(repository: GitopsRepository) -> None:
    roll_back(repository, PRODUCTION)
    holds.hold(repository, PRODUCTION, "the cause is not found yet")
    hold = holds.held(repository.at(), PRODUCTION)
    assert hold is not None and (hold.reason, hold.model_version) == ("the cause is not found yet", 3)
    assert (roll_back(repository, PRODUCTION).action, version(repository)) == ("already there", 2)


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
    assert roll_back(repository, PRODUCTION, to).model_version == 1
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
    assert roll_back(repository, PRODUCTION).model_version == 3


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
    assert roll_back(repository, PRODUCTION).model_version == 3


@pytest.fixture
def dated(world: World, monkeypatch: pytest.MonkeyPatch) -> GitopsRepository:
    """Version 1 in production since noon of 1 March, 2 since noon of the 2nd, back to 1 and held at noon of the 3rd."""
    made = GitopsRepository.open()
    for day in (1, 2):
        monkeypatch.setenv("GIT_COMMITTER_DATE", f"2026-03-0{day}T12:00:00Z")
        commit_release(made, "staging", release(day, champion=day - 1 or None))
        promote(made, "orders", "production", proposals=world.bodies)
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-03T12:00:00Z")
    roll_back(made, PRODUCTION, reason="too many false alarms")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2026-03-04T12:00:00Z")
    return made


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("2026-03-01T11:59:59Z", (None, None)),
        ("2026-03-01T12:00Z", (1, None)),
        ("2026-03-02T12:59:59+01:00", (1, None)),
        ("2026-03-02T13:00+01:00", (2, None)),
        ("2026-03-03T12:00Z", (1, "too many false alarms")),
        ("2100-01-01", (1, "too many false alarms")),
    ],
    ids=["before the first", "to the second", "in another zone", "a second later", "held", "in the future"],
)
def test_history_answers_what_was_released_and_held_at_any_time(
    dated: GitopsRepository, asked: str, expected: tuple[int | None, str | None]
) -> None:
    then = moment(asked)
    assert then is not None
    state = state_at(dated, "orders", then)[PRODUCTION]
    held = state.hold.reason if state.hold is not None else None
    assert (state.entry.model_version if state.entry is not None else None, held) == expected


@pytest.mark.parametrize("text", ["7", "20260301", "main~4", "2026-13-01", "deadbeef20"])
def test_neither_a_version_nor_a_revision_is_taken_for_a_time(text: str) -> None:
    assert moment(text) is None


def test_a_rollback_goes_to_what_was_there_at_a_time(world: World, dated: GitopsRepository) -> None:
    done = roll_back(dated, PRODUCTION, "2026-03-02T18:00Z")
    assert (done.action, done.away_from, done.model_version) == ("rolled back", 1, 2)
    revision = dated.commit_at(done.commit).trailers["Restored-From"]
    assert dated.commit_at(revision).subject == "Promote orders 2 to production"
    assert world.git("diff", revision, "main", "--", PRODUCTION.release) == ""
    assert roll_back(dated, PRODUCTION, "2026-03-02T18:00Z").action == "already there"
    with pytest.raises(ReleaseError, match="production had no release of orders at 2026-02-28"):
        roll_back(dated, PRODUCTION, "2026-02-28T12:00Z")


def test_a_rollback_says_what_else_has_changed_and_leaves_it(world: World, repository: GitopsRepository) -> None:
    shared = "environments/base/deployment.yaml"
    for number in (1, 2):
        commit_release(repository, "staging", release(number, model="cakes", champion=number - 1 or None))
        promote(repository, "cakes", "production", proposals=world.bodies)
    elsewhere = "environments/staging/settings/kustomization.yaml"
    commit_files(repository, {SETTING: "kind: Component\n# new\n", shared: "kind: Deployment\n", elsewhere: "{}\n"})
    done = roll_back(repository, PRODUCTION, reason="too many false alarms")
    assert done.untouched == ("cakes: model version none, now 2", shared, SETTING)
    said = world.git("show", "-s", "--format=%B", done.commit)
    assert "and left as it is:\n- cakes: model version none, now 2\n- environments/base/deployment.yaml\n" in said
    assert repository.at().text(SETTING) == "kind: Component\n# new\n"
    document = champion(repository, "production", "cakes")
    assert document is not None and document.model_version == 2


def test_lifting_a_hold_that_is_not_there_makes_no_commit(repository: GitopsRepository) -> None:
    assert holds.lift(repository, PRODUCTION) is None
    assert holds.hold(repository, PRODUCTION, "stocktaking") is not None
    assert holds.hold(repository, PRODUCTION, "stocktaking") is None
    assert holds.hold(repository, PRODUCTION, "still stocktaking") is not None


def test_while_held_nothing_undoes_a_rollback_and_afterwards_an_older_version_needs_the_flag_too(
    world: World, repository: GitopsRepository
) -> None:
    """Neither a training run, nor a promotion, nor one that says it knows better."""
    roll_back(repository, PRODUCTION)
    for allowed in (False, True):
        with pytest.raises(GateError, match="no_hold missed"):
            promote(repository, "orders", "production", allow_rolled_back=allowed, proposals=world.bodies)
    with pytest.raises(ReleaseError, match="is held"):
        commit_release(repository, "production", release(4, champion=2))
    holds.lift(repository, PRODUCTION)
    roll_back(repository, Place("staging", "orders"), "1")
    with pytest.raises(GateError, match="--allow-rolled-back lets it in all the same"):
        promote(repository, "orders", "production", proposals=world.bodies)
    promote(repository, "orders", "production", allow_rolled_back=True, proposals=world.bodies)
    assert version(repository) == 1
