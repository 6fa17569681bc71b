"""How releases enter an environment, by training and by promotion, and what each condition says when it is not met."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bakehouse.errors import ConfigurationError, GateError, ReleaseError
from gitops import holds
from gitops.environment import Place
from gitops.history import champion, releases
from gitops.promotion import Promotion, commit_release, promote
from gitops.release import Release
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.gitops_world import NO_CONDITIONS, SETTINGS, World, ask, commit_files, release
from tests.waiting import eventually

PRODUCTION = Place("production", "orders")


def promoted(world: World, repository: GitopsRepository, **options: Any) -> Promotion:
    return promote(
        repository, "orders", "production", observations=world.observations, proposals=world.bodies, **options
    )


def test_a_release_is_one_commit_that_binds_everything(world: World, repository: GitopsRepository) -> None:
    document = release(1)
    sha = commit_release(repository, "staging", document)
    commit = repository.commit_at(sha)
    assert commit.subject == "Release orders 1 to staging"
    assert commit.trailers == {"Environment": "staging"} | document.trailers()
    assert world.git("diff", "--name-only", "main~1", "main").split() == [
        "environments/staging/orders/kustomization.yaml",
        "environments/staging/orders/release/kustomization.yaml",
        "environments/staging/orders/release/release.json",
    ]
    assert champion(repository, "staging", "orders") == document


def test_the_same_release_again_makes_no_commit(repository: GitopsRepository) -> None:
    first = commit_release(repository, "staging", release(1))
    later = release(1, made=datetime.now(UTC) + timedelta(minutes=5))
    assert commit_release(repository, "staging", later) == first
    assert len(releases(repository, "staging", "orders")) == 1


def test_a_version_is_never_bound_to_another_image(repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    with pytest.raises(ReleaseError, match="Model version 1 of orders in staging is bound to another image"):
        commit_release(repository, "staging", release(1, image="other", champion=1))


def test_a_release_whose_evidence_compares_with_another_champion_is_stale(repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    with pytest.raises(ReleaseError, match="names no champion, but staging now has model version 1"):
        commit_release(repository, "staging", release(2))


def test_a_release_replaces_and_is_promoted_over_a_champion_that_it_could_not_be_compared_with(
    world: World, repository: GitopsRepository
) -> None:
    """Other features than the champion's: no metric has the champion's figure, and the note says why."""
    commit_release(repository, "staging", release(1))
    promoted(world, repository)
    ask(repository, NO_CONDITIONS.replace("compared_with_champion: false", "compared_with_champion: true"))
    document = release(2, champion=1)
    note = "Model version 1 does not take today's features."
    metrics = {name: metric.model_copy(update={"champion": None}) for name, metric in document.evidence.metrics.items()}
    evidence = document.evidence.model_copy(update={"metrics": metrics, "champion_note": note})
    commit_release(repository, "staging", document.model_copy(update={"evidence": evidence}))

    done = promoted(world, repository)

    assert done.action == "landed"
    assert note in _body(done)
    (compared,) = [gate for gate in done.gates if gate.name == "compared_with_champion"]
    assert compared.explanation == note


def test_a_release_that_missed_a_gate_is_refused(repository: GitopsRepository) -> None:
    with pytest.raises(GateError, match=r"average_precision missed: 0\.5, must be >= 0\.8"):
        commit_release(repository, "staging", release(1, average_precision=0.5))
    assert champion(repository, "staging", "orders") is None


def test_a_held_model_refuses_a_release_and_says_how_to_lift_it(repository: GitopsRepository) -> None:
    place = Place("staging", "orders")
    holds.hold(repository, place, "stocktaking")
    with pytest.raises(ReleaseError, match=r"orders in staging is held: stocktaking .*--env staging --lift"):
        commit_release(repository, "staging", release(1))
    assert holds.lift(repository, place) is not None
    commit_release(repository, "staging", release(1))


def test_a_version_that_staging_went_back_from_is_not_released_again(repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    commit_release(repository, "staging", release(2, champion=1))
    roll_back(repository, Place("staging", "orders"))
    holds.lift(repository, Place("staging", "orders"))
    with pytest.raises(ReleaseError, match="staging went back from model version 2"):
        commit_release(repository, "staging", release(2, champion=1))
    commit_release(repository, "staging", release(3, champion=1))


def test_an_unknown_environment_lists_those_there_are(repository: GitopsRepository) -> None:
    with pytest.raises(ReleaseError, match=r"no environment prod\. There are: production, staging"):
        commit_release(repository, "prod", release(1))


def test_a_promotion_copies_the_release_byte_for_byte(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    done = promoted(world, repository)
    assert done.action == "landed"
    for folder in ("orders/release", "orders/kustomization.yaml"):
        same = [world.git("rev-parse", f"main:environments/{name}/{folder}") for name in ("staging", "production")]
        assert same[0] == same[1]
    commit = repository.commit_at(done.commit)
    assert commit.subject == "Promote orders 1 to production"
    assert commit.trailers["Promoted-From"] == "staging"


def test_a_promotion_that_is_there_already_says_so(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    first = promoted(world, repository)
    again = promoted(world, repository)
    assert (again.action, again.commit) == ("already there", first.commit)


def test_nothing_in_staging_is_nothing_to_promote(world: World, repository: GitopsRepository) -> None:
    with pytest.raises(ReleaseError, match="staging has no release of orders"):
        promoted(world, repository)


def test_an_environment_takes_releases_only_from_where_its_settings_say(
    world: World, repository: GitopsRepository
) -> None:
    commit_release(repository, "staging", release(1))
    with pytest.raises(ReleaseError, match="production takes releases from staging, not from production"):
        promoted(world, repository, source="production")
    with pytest.raises(ReleaseError, match="Nothing is promoted into staging"):
        promote(repository, "orders", "staging", proposals=world.bodies)


def test_every_miss_is_listed_and_nothing_is_committed(world: World, repository: GitopsRepository) -> None:
    old = datetime.now(UTC) - timedelta(days=40)
    commit_release(repository, "staging", release(1, made=old))
    ask(
        repository,
        "from: staging\nrequire_healthy: true\nsoak_seconds: 60\nmax_evidence_age_days: 30\nevidence: [signature]\n",
    )
    holds.hold(repository, PRODUCTION, "stocktaking")
    head = repository.fetch()
    with pytest.raises(GateError) as raised:
        promoted(world, repository)
    assert {miss.name for miss in raised.value.misses} == {
        "no_hold",
        "healthy",
        "soak_seconds",
        "evidence_age_days",
        "evidence_signature",
    }
    assert f"(set in {SETTINGS}: soak_seconds)" in str(raised.value)
    assert repository.fetch() == head
    assert not world.bodies.exists()


def test_health_and_soak_are_those_of_this_very_release(world: World, repository: GitopsRepository) -> None:
    document = release(1)
    commit_release(repository, "staging", document)
    ask(repository, "from: staging\nrequire_healthy: true\nsoak_seconds: 1000\n")
    world.observe(release(1, image="other"))
    with pytest.raises(GateError, match="healthy missed: model version 1 is running, must be healthy"):
        promoted(world, repository)
    world.observe(document, healthy=False)
    with pytest.raises(GateError, match="it does not answer"):
        promoted(world, repository)
    world.observe(document, seconds=0)
    with pytest.raises(GateError, match="soak_seconds missed"):
        promoted(world, repository)
    ask(repository, "from: staging\nrequire_healthy: true\nsoak_seconds: 0.2\n")
    world.observe(document, seconds=10)

    def landed() -> bool:
        try:
            return promoted(world, repository).action == "landed"
        except GateError:
            return False

    eventually("it has soaked", landed)


def test_a_candidate_never_compared_with_what_production_has_is_refused(
    world: World, repository: GitopsRepository
) -> None:
    commit_release(repository, "staging", release(1))
    commit_release(repository, "staging", release(2, champion=1))
    promoted(world, repository)
    roll_back(repository, Place("staging", "orders"))
    holds.lift(repository, Place("staging", "orders"))
    commit_release(repository, "staging", release(3, champion=1))
    ask(repository, NO_CONDITIONS.replace("compared_with_champion: false", "compared_with_champion: true"))
    with pytest.raises(GateError, match="compared with 1, must be compared with 2"):
        promoted(world, repository)


def test_a_comparison_by_way_of_the_versions_between_counts(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    promoted(world, repository)
    commit_release(repository, "staging", release(2, champion=1))
    commit_release(repository, "staging", release(3, champion=2))
    ask(repository, NO_CONDITIONS.replace("compared_with_champion: false", "compared_with_champion: true"))
    assert promoted(world, repository).action == "landed"


def test_a_version_that_production_went_back_from_needs_an_explicit_flag(
    world: World, repository: GitopsRepository
) -> None:
    commit_release(repository, "staging", release(1))
    promoted(world, repository)
    commit_release(repository, "staging", release(2, champion=1))
    promoted(world, repository)
    roll_back(repository, PRODUCTION)
    with pytest.raises(GateError) as raised:
        promoted(world, repository)
    assert {miss.name for miss in raised.value.misses} == {"no_hold", "not_rolled_back"}
    holds.lift(repository, PRODUCTION)
    with pytest.raises(GateError, match="--allow-rolled-back"):
        promoted(world, repository)
    assert promoted(world, repository, allow_rolled_back=True).action == "landed"
    assert champion(repository, "production", "orders") == release_of(repository, 2)


def release_of(repository: GitopsRepository, version: int) -> Release | None:
    return next(entry.release for entry in releases(repository, "staging", "orders") if entry.model_version == version)


def test_a_newer_version_needs_no_flag_after_a_rollback(world: World, repository: GitopsRepository) -> None:
    for version, before in ((1, None), (2, 1)):
        commit_release(repository, "staging", release(version, champion=before))
        promoted(world, repository)
    roll_back(repository, PRODUCTION)
    holds.lift(repository, PRODUCTION)
    commit_release(repository, "staging", release(3, champion=2))
    assert promoted(world, repository).action == "landed"


def test_a_pin_changed_by_hand_is_not_promoted(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    pin = "environments/staging/orders/release/kustomization.yaml"
    text = repository.at().text(pin)
    assert text is not None
    commit_files(repository, {pin: text.replace("newTag", "newTag ")})
    with pytest.raises(GateError, match="pin_agrees missed: kustomization.yaml is not as"):
        promoted(world, repository)


def test_a_model_with_the_review_policy_waits_on_a_branch(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    head = repository.fetch()
    done = promoted(world, repository)
    assert (done.action, done.branch) == ("proposed", "promote/orders-1-to-production")
    assert repository.fetch() == head
    assert world.git("diff", "--name-only", "main", done.branch).split() == [
        "environments/production/orders/kustomization.yaml",
        "environments/production/orders/release/kustomization.yaml",
        "environments/production/orders/release/release.json",
    ]
    assert promoted(world, repository).action == "already proposed"


def test_an_environment_may_ask_for_review_whatever_the_model_says(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1, policy="automatic"))
    ask(repository, f"{NO_CONDITIONS}policy: review\n")
    assert promoted(world, repository).action == "proposed"


def test_a_merged_proposal_is_there(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    done = promoted(world, repository)
    clone = world.clone()
    world.git("merge", "--quiet", "--no-ff", "-m", "Merge it", f"origin/{done.branch}", at=clone)
    world.git("push", "--quiet", at=clone)
    again = promoted(world, repository)
    assert again.action == "already there"
    (entry,) = releases(repository, "production", "orders")
    assert (entry.commit.subject, entry.kind) == ("Merge it", "released")


@pytest.mark.parametrize(
    "merge",
    [["merge", "--no-ff", "-m", "Merge it"], ["merge", "--ff-only"], ["merge", "--squash"]],
    ids=["merge commit", "fast-forward", "squash"],
)
def test_a_version_that_was_taken_back_is_proposed_again_though_the_branch_of_before_is_still_there(
    world: World, repository: GitopsRepository, merge: list[str]
) -> None:
    commit_release(repository, "staging", release(1))
    promoted(world, repository)
    commit_release(repository, "staging", release(2, champion=1, policy="review"))
    first = promoted(world, repository)
    clone = world.clone()
    world.git(*merge, f"origin/{first.branch}", at=clone)
    if "--squash" in merge:
        world.git("commit", "--quiet", "-m", "Squash it", at=clone)
    world.git("push", "--quiet", at=clone)
    assert promoted(world, repository).action == "already there"
    roll_back(repository, PRODUCTION)
    holds.lift(repository, PRODUCTION)

    again = promoted(world, repository, allow_rolled_back=True)

    assert again.action == "proposed"
    assert world.git("merge-base", "main", again.branch) == world.git("rev-parse", "main")
    assert promoted(world, repository, allow_rolled_back=True).action == "already proposed"


def test_the_pull_requests_text_says_what_changes_why_and_how_to_undo_it(
    world: World, repository: GitopsRepository
) -> None:
    first, second = release(1), release(2, champion=1)
    commit_release(repository, "staging", first)
    assert "the first release there" in _body(promoted(world, repository))
    commit_release(repository, "staging", second)
    text = _body(promoted(world, repository))
    assert "| model version | `1` | `2` |" in text
    assert f"| image | `{first.image.reference}` | `{second.image.reference}` |" in text
    assert "| metric `average_precision` | 0.88 | 0.9 (0.85 to 0.95) | +0.02: within the interval |" in text
    assert "| gate `average_precision` | 0.9 | 0.9 | passed, must be `>= 0.8`" in text
    assert "| gate `no_hold` |  | `no hold` | passed" in text
    assert "bakehouse rollback orders --env production --to 1\n" in text


def _body(done: Promotion) -> str:
    assert done.body is not None
    return done.body.read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from: staging\nsoak_second: 3\n", "soak_second: Extra inputs are not permitted.*soak_seconds"),
        ("from: staging\nsoak_seconds: -1\n", "soak_seconds: Input should be greater than or equal to 0"),
        ("soak_seconds: 3\n", "from: Field required"),
        ("from: [", "is not YAML"),
        ("", "Input should be a valid dictionary"),
    ],
)
def test_wrong_settings_are_named_with_file_key_and_reason(
    world: World, repository: GitopsRepository, text: str, said: str
) -> None:
    commit_release(repository, "staging", release(1))
    ask(repository, text)
    with pytest.raises(ConfigurationError, match=f"(?s){SETTINGS}.*{said}"):
        promoted(world, repository)


@pytest.mark.parametrize(
    ("garbage", "said"),
    [
        ("{", "is not a release document"),
        ("[]", "is not a release document"),
        ('{"schema_version": 9}', "is not a release document"),
        ("\ud800", "is not UTF-8 text"),
    ],
)
def test_garbage_in_place_of_a_release_is_named(
    world: World, repository: GitopsRepository, garbage: str, said: str
) -> None:
    from gitops.commits import Change

    content = garbage.encode(errors="surrogatepass")
    repository.commit(lambda _: Change("Garbage", {"environments/staging/orders/release/release.json": content}))
    with pytest.raises(ReleaseError, match=f"environments/staging/orders/release/release.json {said}"):
        promoted(world, repository)


def test_a_promotion_repairs_garbage_in_its_target(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    commit_files(
        repository,
        {f"{PRODUCTION.release}/release.json": "{", f"{PRODUCTION.release}/left.txt": "over"},
    )
    assert promoted(world, repository).action == "landed"
    assert sorted(repository.at().under(PRODUCTION.release)) == [PRODUCTION.pin, PRODUCTION.document]


@pytest.mark.parametrize("name", ["../orders", "Orders", "", "a" * 41, "-orders"])
def test_a_name_that_is_none_is_refused(world: World, repository: GitopsRepository, name: str) -> None:
    with pytest.raises(ReleaseError, match="can't be the name of a model"):
        promote(repository, name, "production", proposals=world.bodies)
