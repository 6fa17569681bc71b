"""What a pull request may do to a release: one test for each way to cheat, and the good ones, on real git."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bakehouse.errors import ReleaseError
from bakehouse.gates import GateResult
from gitops import holds
from gitops.clone import Clone
from gitops.environment import Place
from gitops.promotion import commit_release, promote
from gitops.promotion_check import Checked, check
from gitops.release import Release
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from tests.conftest import Asked
from tests.gitops_world import NO_CONDITIONS, SETTINGS, World, commit_files, release

PRODUCTION, STAGING = Place("production", "orders"), Place("staging", "orders")
COMPARED = NO_CONDITIONS.replace("compared_with_champion: false", "compared_with_champion: true")


class Contributor:
    """Somebody with a clone, who changes files on a branch and has that checked as it would be merged."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.folder = world.folder / "contributor"
        if self.folder.exists():
            world.git("remote", "set-url", "origin", str(world.bare), at=self.folder)
            return
        world.clone("contributor")
        world.git("config", "user.name", "Mallory", at=self.folder)
        world.git("config", "user.email", "mallory@example.org", at=self.folder)
        world.git("switch", "--quiet", "--create", "change", at=self.folder)

    def take(self, branch: str) -> None:
        """Start from a branch that is proposed."""
        self.world.git("reset", "--quiet", "--hard", f"origin/{branch}", at=self.folder)

    def commit(self, message: str = "Change it") -> None:
        self.world.git("add", "--all", at=self.folder)
        self.world.git("commit", "--quiet", "--message", message, at=self.folder)

    def copy_release(self, document: Release, place: Place = PRODUCTION) -> None:
        """Write a release folder as it would be written."""
        folder = self.folder / place.release
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in document.files().items():
            (folder / name).write_text(text)

    def checked(self, **options: Any) -> Checked:
        self.world.git("fetch", "--quiet", at=self.folder)
        (found,) = check(Clone(self.folder, "origin/main"), "change", **options)
        return found

    def misses(self, **options: Any) -> dict[str, GateResult]:
        return {gate.name: gate for gate in self.checked(**options).gates if not gate.passed}


@pytest.fixture(scope="module")
def proposed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository in which production has orders 1, and with a clone whose branch promotes 2."""
    folder = tmp_path_factory.mktemp("proposed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(folder / "state"))
        world = World(folder)
        patch.setenv("BAKEHOUSE_ROOT", str(world.checkout))
        repository = GitopsRepository.open()
        commit_release(repository, "staging", release(1))
        promote(repository, "orders", "production", proposals=world.bodies)
        commit_release(repository, "staging", release(2, champion=1))
        commit_files(repository, {SETTINGS: f"{COMPARED}policy: review\n"})
        done = promote(repository, "orders", "production", proposals=world.bodies)
        Contributor(world).take(done.branch)
    return folder


@pytest.fixture
def contributor(world: World, repository: GitopsRepository, proposed: Path) -> Contributor:
    """A clone in which the promotion of orders 2 is the branch's only commit; production has 1."""
    shutil.rmtree(world.bare)
    shutil.copytree(proposed / "state" / "gitops.git", world.bare)
    shutil.copytree(proposed / "contributor", world.folder / "contributor")
    return Contributor(world)


def test_a_promotion_as_it_was_written_passes(contributor: Contributor) -> None:
    found = contributor.checked()
    assert (found.place, found.kind, found.model_version) == (PRODUCTION, "promotion", 2)
    assert all(gate.passed for gate in found.gates)
    assert {"only_release", "equals_source", "whole", "no_hold", "not_rolled_back", "soak_seconds"} <= {
        gate.name for gate in found.gates
    }


def test_a_first_release_may_bring_what_puts_it_together(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1, policy="review"))
    done = promote(repository, "orders", "production", proposals=world.bodies)
    somebody = Contributor(world)
    somebody.take(done.branch)
    assert somebody.misses() == {}
    (somebody.folder / PRODUCTION.kustomization).write_text("kind: Kustomization\nresources: [../../evil]\n")
    somebody.commit()
    assert set(somebody.misses()) == {"only_release"}


def test_a_promotion_is_judged_as_it_would_be_merged(contributor: Contributor, repository: GitopsRepository) -> None:
    """The base has moved on since the branch was made: what others did meanwhile is not held against it."""
    commit_release(repository, "staging", release(1, model="cakes"))
    assert contributor.misses() == {}


@pytest.mark.parametrize(
    "path", ["README.md", "environments/production/orders/hold.yaml", SETTINGS, "environments/production/orders/extra"]
)
def test_a_file_beside_the_release_is_named(contributor: Contributor, path: str) -> None:
    file = contributor.folder / path
    file.write_text(file.read_text() + "# harmless\n" if file.exists() else "extra\n")
    contributor.commit()
    misses = contributor.misses()
    assert misses["only_release"].figure == f"also {path}"


def test_a_file_within_the_release_is_named(contributor: Contributor) -> None:
    (contributor.folder / PRODUCTION.release / "patch.yaml").write_text("kind: Patch\n")
    contributor.commit()
    misses = contributor.misses()
    assert misses["equals_source"].figure == "patch.yaml differs"
    assert "patch.yaml does not belong there" in str(misses["whole"].figure)


@pytest.mark.parametrize("how", ["executable", "link"])
def test_a_release_file_that_is_no_plain_file_is_named(contributor: Contributor, how: str) -> None:
    file = contributor.folder / PRODUCTION.document
    if how == "executable":
        file.chmod(0o755)
    else:
        file.unlink()
        file.symlink_to("../../../staging/orders/release/release.json")
    contributor.commit()
    assert contributor.misses()["only_release"].figure == f"also {PRODUCTION.document}"


def test_a_link_in_place_of_the_whole_folder_is_named(contributor: Contributor) -> None:
    folder = contributor.folder / PRODUCTION.release
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.symlink_to("../../staging/orders/release")
    contributor.commit()
    assert contributor.misses()["only_release"].figure == f"also {PRODUCTION.release}"


def test_an_edited_metric_is_found_also_where_the_pin_was_written_anew(contributor: Contributor) -> None:
    document = release(2, champion=1, average_precision=0.99)
    contributor.copy_release(document)
    contributor.commit()
    misses = contributor.misses()
    assert misses["equals_source"].figure == "kustomization.yaml, release.json differs"


def test_an_edited_metric_alone_disagrees_with_the_pin_as_well(contributor: Contributor) -> None:
    file = contributor.folder / PRODUCTION.document
    file.write_text(file.read_text().replace('"value": 0.9\n', '"value": 0.99\n'))
    contributor.commit()
    misses = contributor.misses()
    assert misses["equals_source"].figure == "release.json differs"
    assert "was written for" in str(misses["whole"].figure)


def test_an_edited_pin_is_found(contributor: Contributor) -> None:
    file = contributor.folder / PRODUCTION.pin
    file.write_text(file.read_text().replace("bakehouse/orders\n", "elsewhere/orders\n"))
    contributor.commit()
    misses = contributor.misses()
    assert misses["equals_source"].figure == "kustomization.yaml differs"
    assert "kustomization.yaml is not as Bakehouse writes it" in str(misses["whole"].figure)


def test_a_release_that_is_no_document_is_named(contributor: Contributor) -> None:
    (contributor.folder / PRODUCTION.document).write_text("{")
    contributor.commit()
    assert "is not a release document" in contributor.misses()["document"].explanation


def test_an_environment_that_takes_no_promotions_takes_none_by_pull_request(
    world: World, repository: GitopsRepository
) -> None:
    commit_release(repository, "staging", release(1))
    somebody = Contributor(world)
    somebody.copy_release(release(2, champion=1), STAGING)
    somebody.commit()
    assert "Nothing is promoted into staging" in somebody.misses()["promoted_into"].explanation


def test_a_second_environment_in_the_same_change_is_named(contributor: Contributor) -> None:
    contributor.copy_release(release(3, champion=2), STAGING)
    contributor.commit()
    found = check(Clone(contributor.folder, "origin/main"), "change")
    missed = {(checked.place, gate.name) for checked in found for gate in checked.gates if not gate.passed}
    assert {(PRODUCTION, "only_release"), (STAGING, "only_release"), (STAGING, "promoted_into")} <= missed


def test_a_hold_that_landed_meanwhile_stops_it(contributor: Contributor, repository: GitopsRepository) -> None:
    holds.hold(repository, PRODUCTION, "stocktaking")
    misses = contributor.misses()
    assert set(misses) == {"no_hold"}
    assert "stocktaking" in misses["no_hold"].explanation


def test_a_champion_that_the_evidence_does_not_know_makes_it_stale(
    contributor: Contributor, repository: GitopsRepository
) -> None:
    """Production got 7 meanwhile, which staging's versions were never compared with."""
    commit_files(
        repository, {f"{PRODUCTION.release}/{name}": text for name, text in release(7).files().items()}, "By hand"
    )
    world = contributor.world
    world.git("fetch", "--quiet", at=contributor.folder)
    world.git("reset", "--quiet", "--hard", "origin/main", at=contributor.folder)
    contributor.copy_release(release(2, champion=1))
    contributor.folder.joinpath(PRODUCTION.document).write_text(staged(repository))
    contributor.folder.joinpath(PRODUCTION.pin).write_text(str(repository.at().text(STAGING.pin)))
    contributor.commit()
    misses = contributor.misses()
    assert set(misses) == {"compared_with_champion"}
    assert "the comparison is stale: production has model version 7 now; train again" in (
        misses["compared_with_champion"].explanation
    )


def staged(repository: GitopsRepository) -> str:
    return str(repository.at(repository.fetch()).text(STAGING.document))


def test_a_change_of_the_same_release_meanwhile_can_not_be_merged(
    contributor: Contributor, repository: GitopsRepository
) -> None:
    commit_files(
        repository, {f"{PRODUCTION.release}/{name}": text for name, text in release(7).files().items()}, "By hand"
    )
    with pytest.raises(ReleaseError, match=r"can't be merged into origin/main.*promote again"):
        contributor.checked()


def test_a_version_that_was_rolled_back_or_an_older_one_needs_the_flag(
    world: World, repository: GitopsRepository, contributor: Contributor
) -> None:
    commit_files(repository, {SETTINGS: NO_CONDITIONS})
    promote(repository, "orders", "production", proposals=world.bodies)
    roll_back(repository, PRODUCTION)
    holds.lift(repository, PRODUCTION)
    world.git("fetch", "--quiet", at=contributor.folder)
    world.git("reset", "--quiet", "--hard", "origin/main", at=contributor.folder)
    for place_file, production_file in ((STAGING.document, PRODUCTION.document), (STAGING.pin, PRODUCTION.pin)):
        (contributor.folder / production_file).write_bytes((contributor.folder / place_file).read_bytes())
    contributor.commit()
    assert set(contributor.misses()) == {"not_rolled_back"}
    assert contributor.misses(allow_rolled_back=True) == {}


def test_a_release_that_has_not_soaked_is_not_let_in(contributor: Contributor, repository: GitopsRepository) -> None:
    commit_files(repository, {SETTINGS: NO_CONDITIONS.replace("soak_seconds: 0", "soak_seconds: 3600")})
    assert set(contributor.misses()) == {"soak_seconds"}


def test_evidence_that_is_not_complete_or_too_old_is_named(world: World, repository: GitopsRepository) -> None:
    old = release(1, policy="review", made=datetime.now(UTC) - timedelta(days=40))
    evidence = old.evidence.model_copy(update={"sbom": None, "reports": {}})
    commit_release(repository, "staging", old.model_copy(update={"evidence": evidence}))
    done = promote(repository, "orders", "production", proposals=world.bodies)
    commit_files(
        repository, {SETTINGS: NO_CONDITIONS + "max_evidence_age_days: 30\nevidence: [sbom, reports, signature]\n"}
    )
    somebody = Contributor(world)
    somebody.take(done.branch)
    assert set(somebody.misses()) == {
        "evidence_age_days",
        "evidence_sbom",
        "evidence_reports",
        "evidence_signature",
    }


def test_the_thresholds_are_those_of_the_base(contributor: Contributor, repository: GitopsRepository) -> None:
    """A pull request that loosens the settings is judged by what they were."""
    commit_files(repository, {SETTINGS: NO_CONDITIONS.replace("soak_seconds: 0", "soak_seconds: 3600")})
    world = contributor.world
    world.git("fetch", "--quiet", at=contributor.folder)
    world.git("merge", "--quiet", "--no-edit", "origin/main", at=contributor.folder)
    (contributor.folder / SETTINGS).write_text(NO_CONDITIONS)
    contributor.commit()
    assert set(contributor.misses()) == {"only_release", "soak_seconds"}


def test_approvals_are_those_that_the_forge_counts(contributor: Contributor, repository: GitopsRepository) -> None:
    commit_files(repository, {SETTINGS: f"{NO_CONDITIONS}approvals: 2\n"})
    assert "the forge was not asked" in contributor.misses()["approvals"].explanation
    assert contributor.misses(approvals=1)["approvals"].figure == 1
    assert contributor.misses(approvals=2) == {}


def test_a_revert_of_a_promotion_is_a_rollback_and_passes_also_while_held(
    world: World, repository: GitopsRepository, contributor: Contributor
) -> None:
    commit_files(repository, {SETTINGS: NO_CONDITIONS})
    done = promote(repository, "orders", "production", proposals=world.bodies)
    holds.hold(repository, PRODUCTION, "it is broken")
    world.git("fetch", "--quiet", at=contributor.folder)
    world.git("reset", "--quiet", "--hard", "origin/main", at=contributor.folder)
    world.git("revert", "--no-edit", done.commit, at=contributor.folder)
    found = contributor.checked()
    assert (found.kind, found.model_version) == ("rollback", 1)
    assert all(gate.passed for gate in found.gates)
    (contributor.folder / PRODUCTION.pin).write_text("kind: Component\n")
    contributor.commit()
    assert contributor.checked().kind == "promotion"
    assert {"no_hold", "equals_source"} <= set(contributor.misses())


def test_a_rollback_passes_with_its_hold_as_the_command_writes_it_and_lifts_none(
    world: World, repository: GitopsRepository, contributor: Contributor
) -> None:
    commit_files(repository, {SETTINGS: NO_CONDITIONS})
    base = promote(repository, "orders", "production", proposals=world.bodies).commit
    written = roll_back(repository, PRODUCTION, reason="too many false alarms").commit
    world.git("fetch", "--quiet", at=contributor.folder)
    world.git("reset", "--quiet", "--hard", written, at=contributor.folder)
    world.git("update-ref", "refs/heads/main", base)
    found = contributor.checked()
    assert (found.kind, found.model_version) == ("rollback", 1)
    assert all(gate.passed for gate in found.gates)
    repository.fetch()
    holds.hold(repository, PRODUCTION, "it is broken")
    world.git("fetch", "--quiet", at=contributor.folder)
    world.git("reset", "--quiet", "--hard", "origin/main", at=contributor.folder)
    world.git("revert", "--no-edit", base, at=contributor.folder)
    (contributor.folder / PRODUCTION.hold).unlink()
    contributor.commit()
    assert contributor.misses()["only_release"].figure == f"also {PRODUCTION.hold}"


def test_a_promotion_brings_no_hold(contributor: Contributor) -> None:
    (contributor.folder / PRODUCTION.hold).write_text("reason: mine\n")
    contributor.commit()
    assert contributor.misses()["only_release"].figure == f"also {PRODUCTION.hold}"


def test_a_revert_of_the_first_promotion_takes_the_release_out(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    done = promote(repository, "orders", "production", proposals=world.bodies)
    somebody = Contributor(world)
    world.git("revert", "--no-edit", done.commit, at=somebody.folder)
    found = somebody.checked()
    assert (found.kind, found.model_version) == ("removal", None)
    assert all(gate.passed for gate in found.gates)


def test_a_change_that_touches_no_release_is_none_of_its_business(contributor: Contributor) -> None:
    world = contributor.world
    world.git("reset", "--quiet", "--hard", "origin/main", at=contributor.folder)
    (contributor.folder / "environments/production/settings/kustomization.yaml").write_text("kind: Component\n# x\n")
    contributor.commit()
    assert check(Clone(contributor.folder, "origin/main"), "change") == ()


def test_a_clone_without_the_whole_history_is_refused(world: World, contributor: Contributor) -> None:
    shallow = world.folder / "shallow"
    world.git("clone", "--quiet", "--depth", "1", f"file://{world.bare}", str(shallow), at=world.folder)
    with pytest.raises(ReleaseError, match="history of .* is cut off.*fetch-depth: 0"):
        Clone(shallow, "HEAD")
    with pytest.raises(ReleaseError, match="has no revision nowhere"):
        Clone(contributor.folder, "nowhere")
    with pytest.raises(ReleaseError, match="is no git repository"):
        Clone(world.bodies, "HEAD")


def test_the_command_answers_json_lists_every_miss_and_exits_with_1(
    contributor: Contributor, bakehouse: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEHOUSE_GITOPS_URL", "https://forge.invalid/never/asked")
    options = ["--base", "origin/main", "--head", "change", "--clone", str(contributor.folder)]
    assert "promotion of orders in production is as it should be" in bakehouse("release", "check", *options)
    (contributor.folder / "README.md").write_text("changed\n")
    (contributor.folder / PRODUCTION.pin).write_text("kind: Component\n")
    contributor.commit()
    refused = bakehouse.attempt("release", "check", *options, "--json")
    assert refused.returncode == 1
    (answer,) = json.loads(refused.stdout)
    assert (answer["kind"], answer["passed"]) == ("promotion", False)
    for name in ("only_release", "equals_source", "whole"):
        assert f"{name} missed" in refused.stderr


def test_in_a_checkout_of_a_merge_it_needs_no_options(contributor: Contributor, bakehouse: Asked) -> None:
    git, folder = contributor.world.git, contributor.folder
    git("switch", "--quiet", "--detach", "origin/main", at=folder)
    git("merge", "--quiet", "--no-ff", "--no-edit", "change", at=folder)
    assert "equals_source" in bakehouse("release", "check", "--clone", str(folder))


def test_nothing_of_the_clone_is_changed(contributor: Contributor, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1, model="cakes"))
    contributor.checked()

    def state() -> list[str]:
        return [contributor.world.git(*ask, at=contributor.folder) for ask in (("status",), ("for-each-ref",))]

    before = state(), sorted(contributor.folder.iterdir())
    contributor.checked()
    assert (state(), sorted(contributor.folder.iterdir())) == before
