"""Random histories: whatever people and commands do, what is deployed is what a small model expects."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bakehouse.errors import BakehouseError
from gitops import holds
from gitops.adoption import adopt
from gitops.commits import Blob
from gitops.environment import Place, release_folder, release_texts
from gitops.history import released, timeline
from gitops.integrity import faults
from gitops.promotion import commit_release, promote
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from gitops.verification import verify
from tests.gitops_world import World, commit_files, signed_release

STAGING, PRODUCTION = Place("staging", "orders"), Place("production", "orders")
SETTING = "environments/production/settings/note.txt"
ACTIONS = (
    "train train promote promote promote rollback rollback_to adopt hold lift lift revert revert_promotion"
    " revert_promotion setting remove"
).split()
STEPS = int(os.environ.get("BAKEHOUSE_STEPS", "40"))
SEEDS = [int(seed) for seed in os.environ.get("BAKEHOUSE_SEEDS", "1,2,3").split(",")]


@pytest.fixture
def world(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(made.checkout))
    # Nobody can be asked what runs, so that what is adopted is what the revision says.
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-cluster"))
    monkeypatch.setenv("ARGOCD_CONFIG_DIR", str(tmp_path / "no-argocd"))
    for name in ("ARGOCD_SERVER", "ARGOCD_OPTS", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    return made


@dataclass
class Expected:
    """What should be deployed in one environment: the versions one after another (None where there was none), and a
    hold."""

    versions: list[int | None] = field(default_factory=lambda: [None])
    held: bool = False

    @property
    def now(self) -> int | None:
        return self.versions[-1]

    def stack(self) -> list[int]:
        """Independent of how the product reads it: drop everything between a version and its return."""
        left: list[int] = []
        for index, version in enumerate(self.versions):
            if version is None:
                continue
            if version in left:
                left = left[: left.index(version) + 1]
                continue
            if self.versions[index - 1] is None and left:
                left.pop()
            left.append(version)
        return left

    def barred(self) -> int:
        """The newest version that was taken away and has not come back; 0 where there is none."""
        there = set(self.stack()) if self.now is not None else set(self.stack()[:-1])
        return max({version for version in self.versions if version is not None} - there, default=0)


class History:
    """Does one random thing after another, to the repository and to what is expected of it."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.repository = GitopsRepository.open()
        self.chance = random.Random(seed)
        self.staging, self.production = Expected(), Expected()
        self.newest = 0
        self.clone = world.clone()
        self.log: list[str] = []

    def step(self) -> None:
        """One thing, and everything that must be so after it."""
        before = self.repository.fetch()
        name = self.chance.choice(ACTIONS)
        self.log.append(name)
        getattr(self, name)()
        head = self.repository.fetch()
        assert self.repository.contains(before, head)
        self.check()

    def check(self) -> None:
        snapshot = self.repository.at()
        for place, expected in ((STAGING, self.staging), (PRODUCTION, self.production)):
            document = released(snapshot, place)
            assert (document.model_version if document is not None else None) == expected.now
            assert (holds.held(snapshot, place) is not None) == expected.held
            if document is not None:
                assert list(faults(document, release_texts(snapshot, place))) == []
            barred = timeline(self.repository, place).barred
            assert (barred.model_version if barred is not None else 0) == expected.barred()

    def train(self) -> None:
        """A training run releases into staging, or is refused by a hold."""
        self.newest += 1
        document, signature = signed_release(self.world.folder / "signed", self.newest, champion=self.staging.now)
        if self.staging.held:
            with pytest.raises(BakehouseError, match="held"):
                commit_release(self.repository, "staging", document, signature)
            return
        commit_release(self.repository, "staging", document, signature)
        self.staging.versions.append(self.newest)

    def promote(self) -> None:
        version, expected = self.staging.now, self.production
        allowed = self.chance.random() < 0.3

        def act() -> str:
            done = promote(
                self.repository, "orders", "production", allow_rolled_back=allowed, proposals=self.world.bodies
            )
            return done.action

        if version is not None and version == expected.now:
            assert act() == "already there"
        elif version is None or expected.held or (version <= expected.barred() and not allowed):
            with pytest.raises(BakehouseError):
                act()
        else:
            assert act() == "landed"
            expected.versions.append(version)

    def rollback(self) -> None:
        place, expected = self.chance.choice([(STAGING, self.staging), (PRODUCTION, self.production)])
        if expected.held:
            return  # may have been made already; the unit tests say what happens then
        stack = expected.stack()
        target = (stack[-2] if len(stack) > 1 else None) if expected.now is not None else stack[-1] if stack else None
        if target is None:
            with pytest.raises(BakehouseError, match="nothing to go back to"):
                roll_back(self.repository, place)
            return
        assert roll_back(self.repository, place).model_version == target
        expected.versions.append(target)
        expected.held = True

    def rollback_to(self) -> None:
        known = [version for version in self.production.versions if version is not None]
        if not known:
            return
        target = self.chance.choice(known)
        done = roll_back(self.repository, PRODUCTION, str(target))
        if target == self.production.now:
            assert done.action == "already there"
            return
        self.production.versions.append(target)
        self.production.held = True

    def adopt(self) -> None:
        """An operator took production back in the cluster, held or not, and git is made to agree."""
        known = [version for version in self.production.versions if version is not None]
        if not known:
            return
        target = self.chance.choice(known)
        revision = timeline(self.repository, PRODUCTION).find(str(target)).commit.sha
        done = adopt(self.repository, PRODUCTION, revision=revision)
        assert done.release.model_version == target
        if target == self.production.now:
            assert done.action == "already there"
            return
        assert done.action == "adopted"
        self.production.versions.append(target)
        self.production.held = True

    def hold(self) -> None:
        place, expected = self.chance.choice([(STAGING, self.staging), (PRODUCTION, self.production)])
        holds.hold(self.repository, place, f"reason {len(self.log)}")
        expected.held = True

    def lift(self) -> None:
        place, expected = self.chance.choice([(STAGING, self.staging), (PRODUCTION, self.production)])
        holds.lift(self.repository, place)
        expected.held = False

    def revert(self) -> None:
        """Somebody reverts the last commit with plain git, in a clone."""
        git = self.world.git
        git("pull", "--quiet", "--ff-only", at=self.clone)
        if int(git("rev-list", "--count", "HEAD", at=self.clone)) < 2:
            return
        before = self.repository.at("HEAD~1")
        git("revert", "--no-edit", "HEAD", at=self.clone)
        git("push", "--quiet", at=self.clone)
        for place, expected in ((STAGING, self.staging), (PRODUCTION, self.production)):
            document = released(before, place)
            version = document.model_version if document is not None else None
            if version != expected.now:
                expected.versions.append(version)
            expected.held = place.hold in before.files

    def revert_promotion(self) -> None:
        """Somebody reverts the promotion that production stands on, whatever was committed since; a rollback at that
        moment, in another copy of the repository, deploys the same."""
        newest = next(self.repository.log(f"{PRODUCTION.release}/**"), None)
        if newest is None or not newest.commit.subject.startswith("Promote"):
            return
        git, promotion = self.world.git, newest.commit.sha
        before = released(self.repository.at(f"{promotion}^"), PRODUCTION)
        restored = self._rolled_back_elsewhere(promotion) if before is not None else {}
        git("pull", "--quiet", "--ff-only", at=self.clone)
        git("revert", "--no-edit", promotion, at=self.clone)
        git("push", "--quiet", at=self.clone)
        self.repository.fetch()
        assert release_folder(self.repository.at(), PRODUCTION) == restored
        self.production.versions.append(before.model_version if before is not None else None)

    def _rolled_back_elsewhere(self, promotion: str) -> dict[str, Blob]:
        copy = self.world.folder / f"copy-{len(self.log)}.git"
        self.world.git("clone", "--quiet", "--bare", str(self.world.bare), str(copy), at=self.world.folder)
        other = GitopsRepository.open(str(copy))
        roll_back(other, PRODUCTION, f"{promotion}^")
        return release_folder(other.at(), PRODUCTION)

    def setting(self) -> None:
        commit_files(self.repository, {SETTING: f"{len(self.log)}"}, "Change a setting")

    def remove(self) -> None:
        """Somebody takes the model out of production by hand; rarely."""
        if self.production.now is None or self.chance.random() < 0.7:
            return
        commit_files(self.repository, dict.fromkeys(self.repository.at().under(PRODUCTION.release)), "Take it out")
        self.production.versions.append(None)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_deployed_is_what_a_small_model_expects(world: World, seed: int) -> None:
    history = History(world, seed)
    for _ in range(STEPS):
        try:
            history.step()
        except BaseException:
            print(f"BAKEHOUSE_SEEDS={seed}: {' '.join(history.log)}")  # noqa: T201
            raise
    assert world.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    world.git("fsck", "--strict")
    assert not [check for check in verify(history.repository) if check.verdict == "broken"]
