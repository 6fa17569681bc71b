"""What is released where, and what was seen of it: one row for each model in each environment. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bakehouse.errors import ReleaseError
from gitops.commits import Commit
from gitops.environment import Place, places
from gitops.history import released
from gitops.holds import Hold, held
from gitops.release import Release
from gitops.repository import ENVIRONMENTS, GitopsRepository, Snapshot

if TYPE_CHECKING:
    from gitops.observations import Observation, Observations


@dataclass(frozen=True)
class Row:
    """One model in one environment. `problem` says why its release or hold can't be read; `release` is None where only
    a hold is there, `commit` is the one that made the release what it is."""

    place: Place
    release: Release | None
    commit: Commit | None
    hold: Hold | None
    problem: str
    seen: Observation | None


def status(repository: GitopsRepository, observations: Observations | None = None) -> list[Row]:
    """Every model in every environment. Garbage in one of them is a problem of that row alone."""
    snapshot = repository.at(repository.fetch())
    there = places(snapshot)
    commits = landed(repository, snapshot, there)
    return [_row(snapshot, place, commits.get(place), observations) for place in there]


def landed(repository: GitopsRepository, snapshot: Snapshot, wanted: tuple[Place, ...]) -> dict[Place, Commit]:
    """The commit that made each release what it is, by reading history no further back than the last of them."""
    missing = {place.document: place for place in wanted if place.document in snapshot.files}
    found: dict[Place, Commit] = {}
    for touch in repository.log(f"{ENVIRONMENTS}/*/*/release/release.json", revision=snapshot.revision):
        if touch.path in missing:
            found[missing.pop(touch.path)] = touch.commit
        if not missing:
            break
    return found


def seen_in_words(row: Row) -> str:
    """What delivery saw, in a few words."""
    seen = row.seen
    if seen is None:
        return "not delivered"
    answers = "" if seen.running is None else f"{seen.running.model_version} answers"
    if seen.in_sync and seen.since is not None:
        return f"healthy for {_elapsed(seen.since)} at {seen.url}"
    if seen.status == "failed":
        return "; ".join(filter(None, (f"failed: {seen.message}", answers)))
    if seen.status == "starting" and seen.wanted is not None:
        return "; ".join(filter(None, (f"starting {seen.wanted.model_version}", answers)))
    return seen.message or seen.status


def _row(snapshot: Snapshot, place: Place, commit: Commit | None, observations: Observations | None) -> Row:
    release, hold, problems = None, None, []
    try:
        release = released(snapshot, place)
    except ReleaseError as error:
        problems.append(error.message)
    try:
        hold = held(snapshot, place)
    except ReleaseError as error:
        problems.append(error.message)
    seen = observations.of(place.environment, place.model) if observations is not None else None
    return Row(place, release, commit, hold, " ".join(problems), seen)


def _elapsed(since: datetime) -> str:
    seconds = int((datetime.now(since.tzinfo) - since).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(0, seconds)} s"
