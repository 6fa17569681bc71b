"""How an environment goes back: an earlier release of its own is restored, nothing else, and a hold keeps it there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from bakehouse.errors import ReleaseError
from gitops.commits import Change
from gitops.environment import (
    SETTINGS,
    Place,
    environments,
    parse_place,
    release_folder,
    replaced_release,
    require_environment,
)
from gitops.history import Entry, Timeline, released, timeline
from gitops.holds import Hold, held, trailers
from gitops.moments import moment
from gitops.release import Release, now
from gitops.repository import ENVIRONMENTS, GitopsRepository, Snapshot

_LISTED = 20
"""So many lines of what else has changed stand in the commit."""


@dataclass(frozen=True)
class Rollback:
    """What `roll_back` did: `commit` is the one that has the earlier release, `away_from` the version taken away, and
    `untouched` what else has changed since the environment had it, which stays as it is."""

    action: Literal["rolled back", "already there"]
    place: Place
    release: Release
    away_from: int | None
    commit: str
    hold: Hold | None
    untouched: tuple[str, ...] = ()


def roll_back(repository: GitopsRepository, place: Place, to: str | None = None, reason: str = "") -> Rollback:
    """Restore the release before the current one, or the one that `to` names: a model version, a revision, or a moment
    (ISO 8601), at which the environment had it.

    A rollback that was made already (a re-run after a crash) makes no second one: while its hold stands, going further
    back takes a `to`. Raises `ReleaseError` where there is nothing to go back to.
    """
    outcome: list[Rollback] = []

    def plan(snapshot: Snapshot) -> Change | None:
        require_environment(snapshot, place.environment)
        history = timeline(repository, place, snapshot.revision)
        current, hold = history.current, _hold(snapshot, place)
        if to is None and current is not None and _made_already(history, hold):
            outcome[:] = [_unchanged(place, current, hold)]
            return None
        wanted, revision = _wanted(repository, history, to)
        folder = release_folder(repository.at(revision), place)
        if current is not None and folder == release_folder(snapshot, place):
            outcome[:] = [_unchanged(place, current, hold)]
            return None
        left = current.model_version if current is not None else None
        new_hold = Hold(
            reason=reason or f"rolled back to model version {wanted.model_version}",
            since=now(),
            by=repository.identity(),
            model_version=left,
        )
        release = _release(wanted)
        untouched = tuple(_changed_since(repository.at(revision), snapshot, place))
        outcome[:] = [Rollback("rolled back", place, release, left, "", new_hold, untouched)]
        return Change(
            f"Roll back {place.model} in {place.environment} to {release.model_version}",
            replaced_release(snapshot, place, folder) | {place.hold: new_hold.to_yaml().encode()},
            trailers(place) | {"Rolled-Back-From": str(left or "none"), "Restored-From": revision} | release.trailers(),
            body=_body(new_hold, revision, untouched),
        )

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


def _changed_since(then: Snapshot, now: Snapshot, place: Place) -> Iterator[str]:
    """What of the environment, or of what all environments share, is another now; the place itself left aside."""
    known = environments(now)
    changed = {path for path in {*then.files, *now.files} if then.files.get(path) != now.files.get(path)}
    models = {other for path in changed if (other := parse_place(path)[0]) is not None}
    for other in sorted(models, key=lambda it: it.folder):
        if other.environment == place.environment and other != place and other.document in changed:
            yield f"{other.model}: model version {_version(then, other)}, now {_version(now, other)}"
    for path in sorted(changed):
        environment = path.split("/")[1]
        if path.startswith(f"{ENVIRONMENTS}/{place.environment}/{SETTINGS}/") or (
            environment not in known and "/" in path.removeprefix(f"{ENVIRONMENTS}/")
        ):
            yield path


def _version(snapshot: Snapshot, place: Place) -> str:
    try:
        release = released(snapshot, place)
    except ReleaseError:
        return "unreadable"
    return str(release.model_version) if release is not None else "none"


def _body(hold: Hold, revision: str, untouched: Sequence[str]) -> str:
    if not untouched:
        return hold.reason
    listed = [f"- {line}" for line in untouched[:_LISTED]]
    more = [f"- and {len(untouched) - _LISTED} more"] if len(untouched) > _LISTED else []
    return "\n".join([hold.reason, "", f"Changed since {revision[:10]}, and left as it is:", *listed, *more])


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


def _release(entry: Entry) -> Release:
    release = entry.release
    if release is None:
        raise ReleaseError(f"{entry.place} has no release at {entry.commit.short}.", "Name another one with --to.")
    return release
