"""How an environment goes back: an earlier release of its own is restored, nothing else, and a hold keeps it there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from bakehouse.errors import ReleaseError
from gitops import pull_request
from gitops.commits import Change
from gitops.environment import Place, release_folder, require_environment
from gitops.history import Entry, Timeline, timeline
from gitops.holds import Hold, held
from gitops.moments import moment
from gitops.release import Release
from gitops.repository import GitopsRepository, Snapshot
from gitops.restoration import beside_the_release, restoration
from gitops.rollback_request import Request, Requested, open_request

_NAMED = 5
"""So many files are named in an error."""


@dataclass(frozen=True)
class Rollback:
    """What `roll_back` did: `commit` is the one that has the earlier release, `away_from` the version taken away, and
    `untouched` what else has changed since the environment had it, which stays as it is. `release` is what the
    environment has now; none where it was removed meanwhile, and nothing was done. Where it is `proposed`, all that is
    so once the pull request `request` is merged."""

    action: Literal["rolled back", "proposed", "already there", "not current"]
    place: Place
    release: Release | None
    away_from: int | None
    commit: str
    hold: Hold | None
    untouched: tuple[str, ...] = ()
    request: Requested | None = None

    @property
    def model_version(self) -> int | None:
        """That of the release."""
        return None if self.release is None else self.release.model_version


def roll_back(
    repository: GitopsRepository,
    place: Place,
    to: str | None = None,
    reason: str = "",
    *,
    if_current: str | None = None,
    proposals: Path | None = None,
) -> Rollback:
    """Restore the release before the current one, or the one that `to` names: a model version, a revision, or a moment
    (ISO 8601), at which the environment had it.

    A rollback that was made already (a re-run after a crash) makes no second one: while its hold stands, going further
    back takes a `to`. Raises `ReleaseError` where there is nothing to go back to.

    With `if_current`, a revision that failed, nobody has looked yet. Nothing is done where what it has released is not
    current any more, and `ReleaseError` is raised where that is itself what a rollback restored, or where settings
    changed after it came: whether the release is to blame is then for a person to say.

    With `proposals`, a folder for its text, a pull request is opened instead of committing to the branch.
    """
    forge = pull_request.forge(repository.url, repository.branch) if proposals is not None else None
    outcome: list[Rollback] = []
    requests: list[Request] = []

    def plan(snapshot: Snapshot) -> Change | None:
        require_environment(snapshot, place.environment)
        history = timeline(repository, place, snapshot.revision)
        current, hold = history.current, _hold(snapshot, place)
        if if_current is not None:
            if not _is_current(snapshot, history, if_current):
                newest = current.commit.sha if current is not None else snapshot.revision
                outcome[:] = [Rollback("not current", place, _document(current), None, newest, hold)]
                return None
            _refuse_to_guess(repository, history, if_current)
        if to is None and current is not None and _made_already(history, hold):
            outcome[:] = [_unchanged(place, current, hold)]
            return None
        wanted, revision = _wanted(repository, history, to)
        folder = release_folder(repository.at(revision), place)
        if current is not None and folder == release_folder(snapshot, place):
            outcome[:] = [_unchanged(place, current, hold)]
            return None
        left = current.model_version if current is not None else None
        release = _release(wanted)
        back = restoration(
            snapshot,
            place,
            release,
            revision,
            left=left,
            subject=f"Roll back {place.model} in {place.environment} to {release.model_version}",
            reason=reason or f"rolled back to model version {release.model_version}",
            bound={"Rolled-Back-From": str(left or "none"), "Restored-From": revision},
        )
        outcome[:] = [Rollback("rolled back", place, release, left, "", back.hold, back.untouched)]
        taken, why = history.touches[0].commit, back.hold.reason
        requests[:] = [Request(place, release.model_version, back.change, taken, why, back.untouched)]
        return back.change

    if forge is not None and proposals is not None:
        if plan(repository.at(repository.fetch())) is None:
            return outcome[0]
        opened = open_request(repository, requests[0], forge, proposals)
        return replace(outcome[0], action="proposed", commit=opened.commit, request=opened)
    made = repository.commit(plan, watch=[place.folder])
    return outcome[0] if made is None else replace(outcome[0], commit=made.sha)


def _wanted(repository: GitopsRepository, history: Timeline, to: str | None) -> tuple[Entry, str]:
    """The release to restore, and the revision to take its folder from: the last that had it, unless one was named."""
    if to is not None:
        if (then := moment(to)) is not None:
            return _at(repository, history, then)
        entry = history.find(to)
        named_by_version = to.isdigit() and entry.model_version == int(to)
        return entry, history.last_revision(entry) if named_by_version else repository.resolve(to)
    before = history.before
    if before is None:
        current = history.current
        has = (
            "has no release" if current is None else f"has had no release before model version {current.model_version}"
        )
        raise ReleaseError(
            f"{history.place} {has}: there is nothing to go back to.",
            "`git revert` of the commit that brought it takes it out."
            if current is not None
            else f"`bakehouse history {history.place.model} --env {history.place.environment}` lists what was.",
        )
    return before, history.last_revision(before)


def _at(repository: GitopsRepository, history: Timeline, then: datetime) -> tuple[Entry, str]:
    """What was released at a moment, and the last commit up to then that changed its folder."""
    place, entry = history.place, history.at(then)
    if entry is None:
        raise ReleaseError(
            f"{place.environment} had no release of {place.model} at {then:%Y-%m-%d %H:%M %Z}.",
            f"`bakehouse history {place.model} --env {place.environment}` lists what was.",
        )
    touches = repository.log(f"{place.release}/**", revision=history.revision)
    return entry, next(touch.commit.sha for touch in touches if touch.commit.time <= then)


def _is_current(snapshot: Snapshot, history: Timeline, revision: str) -> bool:
    """Whether what a revision has released is so still, by the same commit."""
    current, repository, place = history.current, snapshot.repository, history.place
    failed = repository.resolve(revision)
    if current is None or not repository.contains(current.commit.sha, failed):
        return False
    return release_folder(repository.at(failed), place) == release_folder(snapshot, place)


def _refuse_to_guess(repository: GitopsRepository, history: Timeline, revision: str) -> None:
    """Raise `ReleaseError` where it is not plain that the release is why a revision fails."""
    place, newest = history.place, history.entries(1)[0]
    by_hand = (
        f"Look at it, and name where to go: `bakehouse rollback {place.model} --env {place.environment} --to VERSION`."
    )
    if newest.kind == "rolled back":
        raise ReleaseError(
            f"{place} fails with what it was taken back to (commit {newest.commit.short}): another rollback by itself"
            " could go on for ever.",
            by_hand,
        )
    arrived, failed = repository.at(newest.commit.sha), repository.at(revision)
    changed = list(beside_the_release(arrived, failed, place.environment))
    if changed:
        raise ReleaseError(
            f"{place} may fail by what changed after its release came (commit {newest.commit.short}):"
            f" {', '.join(changed[:_NAMED])}{' and more' if len(changed) > _NAMED else ''}.",
            f"`git revert` what is to blame. {by_hand}",
        )


def _made_already(history: Timeline, hold: Hold | None) -> bool:
    """Whether the last change was a rollback and its hold still stands."""
    if hold is None or hold.model_version is None:
        return False
    newest, *older = history.entries(2)
    return newest.kind == "rolled back" and bool(older) and older[0].model_version == hold.model_version


def _hold(snapshot: Snapshot, place: Place) -> Hold | None:
    """The hold, or None as well where its file is broken: that must not stand in a rollback's way."""
    try:
        return held(snapshot, place)
    except ReleaseError:
        return None


def _unchanged(place: Place, current: Entry, hold: Hold | None) -> Rollback:
    return Rollback("already there", place, _release(current), None, current.commit.sha, hold)


def _document(entry: Entry | None) -> Release | None:
    return None if entry is None else _release(entry)


def _release(entry: Entry) -> Release:
    release = entry.release
    if release is None:
        raise ReleaseError(f"{entry.place} has no release at {entry.commit.short}.", "Name another one with --to.")
    return release
