"""Everything that happened to a model, newest first: releases, rollbacks, removals and holds. Only reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bakehouse.errors import BakehouseError, ReleaseError
from gitops.commits import Blob, Commit, Touch
from gitops.environment import Place, environments, require_environment
from gitops.history import Entry, Kind, Timeline, timeline
from gitops.holds import Hold, held
from gitops.promotion_gates import admission, settings_path
from gitops.repository import GitopsRepository, Snapshot

EventKind = Kind | Literal["promoted", "held", "hold lifted"]


@dataclass(frozen=True)
class Event:
    """One change; `entry` is the release, where it is about one."""

    place: Place
    kind: EventKind
    commit: Commit
    entry: Entry | None


def events(
    repository: GitopsRepository, model: str, environment: str | None = None, limit: int | None = None
) -> list[Event]:
    """What happened to a model in one environment, or in all. Raises `ReleaseError` where nothing ever did."""
    snapshot = repository.at(repository.fetch())
    by_path: dict[str, Place] = {}
    for place in _places(snapshot, model, environment):
        by_path |= {place.document: place, place.hold: place}
    touches = [(by_path[touch.path], touch) for touch in repository.log(*by_path, revision=snapshot.revision)]
    of_releases = {(place, touch.commit.sha) for place, touch in touches if touch.path == place.document}
    # A rollback's own hold is part of it.
    touches = [it for it in touches if it[1].path == it[0].document or (it[0], it[1].commit.sha) not in of_releases]
    if not touches:
        where = environment or "any environment"
        raise ReleaseError(f"{model} was never released in {where}.", "`bakehouse status` shows what is where.")
    chosen = touches[:limit]
    entries = _entries(repository, snapshot, touches, chosen)
    sources = {place: _arrived_from(repository, snapshot, place) for place in {place for place, _ in chosen}}
    return [event_of(place, touch, entries.get((place, touch.commit.sha)), sources[place]) for place, touch in chosen]


def event_of(place: Place, touch: Touch, entry: Entry | None, from_before: set[Blob]) -> Event:
    """What a change was. A release whose document the environment before has had (`from_before`) was promoted, whoever
    committed it."""
    if entry is None or touch.path != place.document:
        return Event(place, "hold lifted" if touch.blob is None else "held", touch.commit, None)
    promoted = entry.kind == "released" and touch.blob in from_before
    return Event(place, "promoted" if promoted else entry.kind, touch.commit, entry)


@dataclass(frozen=True)
class State:
    """What an environment had of a model at a moment: the release and the hold, each None where there was none.
    `problem` says why the hold can't be read, which holds as well."""

    entry: Entry | None
    hold: Hold | None
    problem: str = ""

    @property
    def why_held(self) -> str:
        """The hold's reason, or why it can't be read; empty where nothing held."""
        return self.problem if self.hold is None else self.hold.reason


def state_at(
    repository: GitopsRepository, model: str, moment: datetime, environment: str | None = None
) -> dict[Place, State]:
    """What each environment had at a moment. Raises `ReleaseError` where there is no such environment."""
    snapshot = repository.at(repository.fetch())
    return {
        place: State(
            timeline(repository, place, snapshot.revision).at(moment),
            *_hold_at(repository, place, snapshot.revision, moment),
        )
        for place in _places(snapshot, model, environment)
    }


def _hold_at(repository: GitopsRepository, place: Place, revision: str, moment: datetime) -> tuple[Hold | None, str]:
    """The hold at a moment, and why it can't be read, where it can't."""
    touches = repository.log(place.hold, revision=revision)
    last = next((touch for touch in touches if touch.commit.time <= moment), None)
    if last is None or last.blob is None:
        return None, ""
    try:
        return held(repository.at(last.commit.sha), place), ""
    except ReleaseError as error:
        return None, error.message


def _arrived_from(repository: GitopsRepository, snapshot: Snapshot, place: Place) -> set[Blob]:
    """The documents that the environment before has ever had; none where no settings that can be read name one."""
    if settings_path(place.environment) not in snapshot.files:
        return set()
    try:
        source = Place(admission(snapshot, place.environment).source, place.model)
    except BakehouseError:
        return set()
    return {touch.blob for touch in repository.log(source.document, revision=snapshot.revision) if touch.blob}


def _places(snapshot: Snapshot, model: str, environment: str | None) -> list[Place]:
    if environment is not None:
        require_environment(snapshot, environment)
    return [Place(name, model) for name in environments(snapshot) if environment in (None, name)]


def _entries(
    repository: GitopsRepository,
    snapshot: Snapshot,
    touches: Sequence[tuple[Place, Touch]],
    chosen: Sequence[tuple[Place, Touch]],
) -> dict[tuple[Place, str], Entry]:
    """The releases among the chosen touches, each read against the whole history of its environment."""
    found: dict[tuple[Place, str], Entry] = {}
    for place in dict.fromkeys(place for place, _ in chosen):
        own = tuple(touch for where, touch in touches if where == place and touch.path == place.document)
        count = sum(where == place and touch.path == place.document for where, touch in chosen)
        entries = Timeline(repository, place, snapshot.revision, own).entries(count)
        found |= {(place, entry.commit.sha): entry for entry in entries}
    return found
