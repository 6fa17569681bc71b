"""How a release enters an environment: committed by a training run, or copied from the environment before.

Holds the two commits and their conditions; the gates themselves stand in `promotion_gates`, the pull request's text in
`proposal`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bakehouse import workspace
from bakehouse.errors import ReleaseError
from bakehouse.gates import GateResult, misses, require
from bakehouse.signatures import SIGNATURE_FILE
from gitops import promotion_gates, proposal, pull_request
from gitops.code_history import Between, between
from gitops.commits import Change, Commit
from gitops.environment import Place, release_folder, replaced_release, require_environment
from gitops.history import Entry, Timeline, released, timeline
from gitops.holds import refuse_if_held
from gitops.release import Release, sha256
from gitops.repository import PROPOSALS, GitopsRepository, Snapshot
from gitops.running_gates import Candidate

if TYPE_CHECKING:
    from gitops.observations import Observations

logger = logging.getLogger("bakehouse.promotion")

Action = Literal["landed", "proposed", "already there", "already proposed"]


@dataclass(frozen=True)
class Promotion:
    """What `promote` did. `commit` is the one that has it (on the branch, or on the proposal's), `body` the pull
    request's text as a file."""

    action: Action
    source: Place
    target: Place
    release: Release
    previous: Release | None
    commit: str
    gates: tuple[GateResult, ...] = ()
    branch: str = ""
    body: Path | None = None
    policy: str = ""
    pull_request: str = ""


def commit_release(
    repository: GitopsRepository, environment: str, release: Release, signature: bytes | None = None
) -> str:
    """Release into an environment by one commit, and return its name. A release that is there already makes none.

    `signature` is the bundle that the evidence names by its digest; it goes into git beside the document.

    Raises `ReleaseError` where the model is held there; where the version was rolled back or is bound to something
    else; and where the champion is another one than the evidence names.
    """
    place = Place(environment, release.model)
    if release.evidence.signature != (sha256(signature) if signature is not None else None):
        raise ReleaseError(f"The signature is not the one that the evidence of {place} names.", "Package it again.")

    def plan(snapshot: Snapshot) -> Change | None:
        require_environment(snapshot, environment)
        current = released(snapshot, place)
        if current is not None and _same_binding(current, release):
            return None
        refuse_if_held(snapshot, place)
        _refuse_unfit(timeline(repository, place, snapshot.revision), current, release)
        files = replaced_release(snapshot, place, {})
        files |= {f"{place.release}/{name}": text.encode() for name, text in release.files().items()}
        if signature is not None:
            files[f"{place.release}/{SIGNATURE_FILE}"] = signature
        return Change(
            f"Release {release.model} {release.model_version} to {environment}",
            files,
            {"Environment": environment} | release.trailers(),
            proposal.summary(release, current),
        )

    made = repository.commit(plan, watch=[place.folder])
    if made is not None:
        logger.info("released %s %d to %s (commit %s)", release.model, release.model_version, environment, made.short)
        return made.sha
    there = _landed(timeline(repository, place))
    logger.info("%s %d is in %s already (commit %s)", release.model, release.model_version, environment, there.short)
    return there.sha


def promote(
    repository: GitopsRepository,
    model: str,
    environment: str,
    *,
    source: str | None = None,
    observations: Callable[[], Observations] | None = None,
    allow_rolled_back: bool = False,
    open_pr: bool = False,
    proposals: Path,
) -> Promotion:
    """Copy a model's release, byte for byte, into `environment` when every gate passes.

    Where the model's policy (or the environment's) asks for review, the commit goes to a branch of its own instead. The
    pull request's text is written to the folder `proposals` either way. With `open_pr` it always goes to a branch, and
    the pull request is opened; where nobody has to agree, the forge merges it when its checks have passed. Raises
    `GateError` with every miss, and `ReleaseError` where there is nothing to promote or the pull request can't be
    opened.
    """
    forge = pull_request.forge(repository.url, repository.branch) if open_pr else None
    attempt = _Attempt(repository, model, environment, source, observations, allow_rolled_back, forge, proposals)
    return attempt.run()


@dataclass
class _Attempt:
    """One call of `promote`: it is planned anew on each head that it meets, and keeps what it found there last."""

    repository: GitopsRepository
    model: str
    environment: str
    wanted_source: str | None
    observe: Callable[[], Observations] | None
    allow_rolled_back: bool
    forge: pull_request.Forge | None
    proposals: Path
    outcome: Promotion = field(init=False)

    def run(self) -> Promotion:
        """Plan on the head; land it, propose it, or say that it is there."""
        change = self.plan(self.repository.at(self.repository.fetch()))
        if change is None:
            return self.outcome
        if self.forge is not None:
            return self._opened(self._propose(change), self.forge)
        if self.outcome.policy == "review":
            return self._propose(change)
        watch = [self.outcome.source.release, self.outcome.target.folder]
        made = self.repository.commit(self.plan, watch)
        return self.outcome if made is None else self._concluded("landed", made)

    def plan(self, snapshot: Snapshot) -> Change | None:
        """The commit that copies the release, or None where it is there already."""
        require_environment(snapshot, self.environment)
        asked = promotion_gates.admission(snapshot, self.environment)
        source, target = self._places(asked.source)
        require_environment(snapshot, source.environment)
        release = released(snapshot, source)
        if release is None:
            raise ReleaseError(
                f"{source.environment} has no release of {self.model}.", "`bakehouse status` shows what is where."
            )
        arriving, there = timeline(self.repository, source, snapshot.revision), self._timeline(target, snapshot)
        previous = _readable(snapshot, target)
        if release_folder(snapshot, source) == release_folder(snapshot, target):
            self.outcome = Promotion("already there", source, target, release, previous, _landed(there).sha)
            return None
        candidate = Candidate(release, arriving, there, datetime.now(UTC))
        gates = promotion_gates.verdicts(snapshot, candidate, asked, self.observe, self.allow_rolled_back)
        require(gates, f"{self.model} {release.model_version} is not let into {self.environment}")
        policy = "review" if asked.policy == "review" or asked.approvals else release.promotion_policy
        name = f"{self.model}-{release.model_version}-to-{self.environment}"
        merges = _who_merges(target, policy, asked.approvals)
        text = proposal.Proposal(source, target, release, previous, gates, _code_between(previous, release), merges)
        path = _written(self.proposals / f"{name}.md", proposal.body(text))
        self.outcome = Promotion(
            "already there", source, target, release, previous, "", gates, _branch(name, there), path, policy
        )
        return Change(
            proposal.subject(target, release.model_version),
            replaced_release(snapshot, target, release_folder(snapshot, source)),
            {"Environment": self.environment, "Promoted-From": source.environment} | release.trailers(),
            proposal.summary(release, previous),
        )

    def _places(self, takes_from: str) -> tuple[Place, Place]:
        if self.wanted_source not in (None, takes_from):
            raise ReleaseError(
                f"{self.environment} takes releases from {takes_from}, not from {self.wanted_source}.",
                f"That is set in {promotion_gates.settings_path(self.environment)}: from.",
            )
        return Place(takes_from, self.model), Place(self.environment, self.model)

    def _timeline(self, place: Place, snapshot: Snapshot) -> Timeline:
        return timeline(self.repository, place, snapshot.revision)

    def _propose(self, change: Change) -> Promotion:
        branch, folder = self.outcome.branch, self.outcome.target.release
        there = self.repository.proposal(branch)
        wanted = {path: content for path, content in change.files.items() if content and path.startswith(f"{folder}/")}
        if there is not None and there.under(folder) == wanted:
            return self._concluded("already proposed", self.repository.commit_at(there.revision))
        return self._concluded("proposed", self.repository.propose(change, branch))

    def _opened(self, proposed: Promotion, forge: pull_request.Forge) -> Promotion:
        if proposed.body is None:
            raise AssertionError("what is proposed has a text")
        title = proposal.subject(proposed.target, proposed.release.model_version)
        pull = pull_request.Pull(proposed.branch, proposed.commit, title, proposed.body)
        address = pull_request.open_pull_request(forge, pull, merge=proposed.policy != "review")
        return replace(proposed, pull_request=address)

    def _concluded(self, action: Action, made: Commit) -> Promotion:
        branch = self.outcome.branch if action in ("proposed", "already proposed") else ""
        return replace(self.outcome, action=action, commit=made.sha, branch=branch)


def _refuse_unfit(history: Timeline, current: Release | None, release: Release) -> None:
    """Raise `ReleaseError` where this release can't follow what the environment has had."""
    place, version = history.place, release.model_version
    for entry in history.entries():
        if entry.model_version == version and not _binds_the_same(entry, release):
            raise ReleaseError(
                f"Model version {version} of {place} is bound to another image, data or code"
                f" (commit {entry.commit.short}); a version is never bound anew.",
                "Register the model again, so that it gets a number of its own.",
            )
    barred = history.barred
    if barred is not None and version <= (barred.model_version or 0):
        raise ReleaseError(
            f"{place.environment} went back from model version {barred.model_version} of {place.model};"
            f" model version {version} is not newer.",
            "Train a newer one, or restore it with `bakehouse rollback --to`.",
        )
    champion = None if current is None else current.model_version
    if release.evidence.champion != champion:
        raise ReleaseError(
            f"The evidence of {place.model} {version} names {_named(release.evidence.champion)}, but"
            f" {place.environment} now has {_named(champion)}.",
            "Train again, so that it is measured against what it would replace.",
        )
    if missed := misses(release.evidence.gates):
        require(missed, f"{place.model} {version} is not let into {place.environment}")


def _branch(name: str, target: Timeline) -> str:
    """Named by the commit that made the target what it is, too, so that the branch of an earlier promotion, merged in
    whatever way and not deleted, is never taken for it."""
    return "-".join([f"{PROPOSALS}{name}", *(touch.commit.short for touch in target.touches[:1])])


def _landed(history: Timeline) -> Commit:
    """The commit that made the release what it is."""
    current = history.current
    if current is None:
        raise ReleaseError(f"{history.place} has no release.", "`bakehouse status` shows what is where.")
    return current.commit


def _same_binding(one: Release, other: Release) -> bool:
    """Whether two documents bind the same things; when and by which run the document was written may differ."""
    return all(
        getattr(one, name) == getattr(other, name)
        for name in ("model", "model_version", "image", "model_digest", "data", "code")
    )


def _binds_the_same(entry: Entry, release: Release) -> bool:
    try:
        return entry.release is not None and _same_binding(entry.release, release)
    except ReleaseError:
        return True  # what can't be read bound nothing


def _readable(snapshot: Snapshot, place: Place) -> Release | None:
    """What is released; None as well where the document is broken, since a promotion repairs it."""
    try:
        return released(snapshot, place)
    except ReleaseError:
        return None


def _code_between(previous: Release | None, release: Release) -> Between | None:
    return None if previous is None else between(workspace.root(), previous.code.commit, release.code.commit)


def _who_merges(target: Place, policy: str, approvals: int) -> str:
    if policy != "review":
        return "Nobody has to agree: the policy is `automatic`, so it lands when every gate has passed."
    asked = f" {approvals} approval{'' if approvals == 1 else 's'} must be given." if approvals else ""
    return f"It waits for the review of those whom CODEOWNERS names for `{target.release}/`.{asked}"


def _named(version: int | None) -> str:
    return "no champion" if version is None else f"model version {version}"


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
