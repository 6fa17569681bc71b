"""What the board shows, from git alone: per model what is where, what happened in each environment, and what waits.

Holds the values; `board_page` writes the page. Nothing of delivery, Prometheus or a forge is asked. Only reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from bakehouse.errors import BakehouseError, ReleaseError
from bakehouse.gates import GateResult, misses
from gitops.commits import Blob, Commit, Touch
from gitops.environment import Place, environments, parse_place, release_folder
from gitops.events import EventKind, event_of
from gitops.history import Timeline, released
from gitops.holds import Hold, held
from gitops.promotion_gates import Admission, admission, from_git, settings_path
from gitops.proposal import changes, measured
from gitops.release import Release
from gitops.repository import ENVIRONMENTS, GitopsRepository, Snapshot
from gitops.running_gates import Candidate


@dataclass(frozen=True)
class Happening:
    """One change in an environment. `number` orders those of all environments as they landed; `with_hold` says that
    the same commit left a hold as well, as a rollback does."""

    number: int
    place: Place
    deed: EventKind
    commit: Commit
    model_version: int | None
    with_hold: bool = False


@dataclass(frozen=True)
class Lane:
    """A model in one environment. `earlier` counts the happenings that are left out, `before` is the model version
    that a rollback goes back to, `problem` says what can't be read; a hold that can't be read holds as well
    (`is_held`)."""

    place: Place
    release: Release | None
    landed: Commit | None
    hold: Hold | None
    before: int | None
    happenings: tuple[Happening, ...]
    earlier: int
    problem: str
    is_held: bool


@dataclass(frozen=True)
class Waiting:
    """A release that an environment has not. `branch` and `proposed` are those of an open pull request's branch, empty
    where nothing is proposed yet; `facts` and `metrics` are rows of name, old, new (and what changes)."""

    source: Place
    target: Place
    release: Release
    previous: Release | None
    branch: str
    proposed: Commit | None
    outdated: bool
    facts: tuple[tuple[str, ...], ...]
    metrics: tuple[tuple[str, ...], ...]
    gates: tuple[GateResult, ...]
    problem: str

    @property
    def ready(self) -> bool:
        """Whether git has nothing against it."""
        return not self.problem and not misses(self.gates)


@dataclass(frozen=True)
class ModelBoard:
    """One model, its environments in the order in which releases pass them."""

    name: str
    lanes: tuple[Lane, ...]
    waiting: tuple[Waiting, ...]


@dataclass(frozen=True)
class Board:
    """Everything, as of one commit; `unread` says what of the settings can't be read."""

    head: Commit
    made: datetime
    environments: tuple[str, ...]
    models: tuple[ModelBoard, ...]
    unread: tuple[str, ...]

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """What waits, of every model."""
        return tuple(waiting for model in self.models for waiting in model.waiting)


def board(repository: GitopsRepository, limit: int | None = None) -> Board:
    """The board of the branch's head, with at most `limit` happenings for each model in each environment.

    A document, hold or setting that can't be read is a problem of its own place alone. Raises `ReleaseError` where the
    repository can't be read.
    """
    snapshot = repository.at(repository.fetch())
    return _Reading(repository, snapshot, limit).board()


class _Reading:
    """One reading of the whole history by one walk, and what it is asked for while the board is put together."""

    def __init__(self, repository: GitopsRepository, snapshot: Snapshot, limit: int | None) -> None:
        self.repository, self.snapshot, self.limit = repository, snapshot, limit
        self.moment = datetime.now(UTC)
        self.admissions, self.unread = _admissions(snapshot)
        self.environments = _in_order(environments(snapshot), self.admissions)
        self.touches = self._walk()
        self.timelines = {place: self._timeline(place) for place in self.touches}

    def board(self) -> Board:
        """Everything, of every model that history knows."""
        models = sorted({place.model for place in self.touches})
        return Board(
            head=self.repository.commit_at(self.snapshot.revision),
            made=self.moment.replace(microsecond=0),
            environments=self.environments,
            models=tuple(self._model(name) for name in models),
            unread=self.unread,
        )

    def _model(self, name: str) -> ModelBoard:
        there = [place for environment in self.environments if (place := Place(environment, name)) in self.touches]
        return ModelBoard(name, tuple(self._lane(place) for place in there), tuple(self._waiting(name)))

    def _walk(self) -> dict[Place, list[tuple[int, Touch]]]:
        """Every change of a release document or hold, newest first, each with its place in the order of them all."""
        found: dict[Place, list[tuple[int, Touch]]] = {}
        paths = (f"{ENVIRONMENTS}/*/*/release/release.json", f"{ENVIRONMENTS}/*/*/hold.yaml")
        for number, touch in enumerate(self.repository.log(*paths, revision=self.snapshot.revision)):
            place, _ = parse_place(touch.path)
            if place is not None and place.environment in self.environments:
                found.setdefault(place, []).append((-number, touch))
        return found

    def _timeline(self, place: Place) -> Timeline:
        own = tuple(touch for _, touch in self.touches.get(place, ()) if touch.path == place.document)
        return Timeline(self.repository, place, self.snapshot.revision, own)

    def _lane(self, place: Place) -> Lane:
        release, hold, before, problems = None, None, None, []
        try:
            release = released(self.snapshot, place)
            earlier = self.timelines[place].before
            before = earlier.model_version if earlier is not None else None
        except ReleaseError as error:
            problems.append(error.message)
        try:
            hold = held(self.snapshot, place)
        except ReleaseError as error:
            problems.append(error.message)
        own = self.timelines[place].touches
        landed = own[0].commit if own and own[0].blob is not None else None
        happenings, left_out = self._happenings(place)
        return Lane(
            place,
            release,
            landed,
            hold,
            before,
            happenings,
            left_out,
            " ".join(problems),
            place.hold in self.snapshot.files,
        )

    def _happenings(self, place: Place) -> tuple[tuple[Happening, ...], int]:
        """The newest, and how many are left out. A rollback's own hold is part of it."""
        touches = self.touches[place]
        of_releases = {touch.commit.sha for _, touch in touches if touch.path == place.document}
        holds = {touch.commit.sha for _, touch in touches if touch.path == place.hold and touch.blob is not None}
        told = [it for it in touches if it[1].path == place.document or it[1].commit.sha not in of_releases]
        chosen = told[: self.limit]
        count = sum(touch.path == place.document for _, touch in chosen)
        entries = {entry.commit.sha: entry for entry in self.timelines[place].entries(count)}
        from_before = self._arrived_from(place)
        happenings = tuple(
            Happening(
                number,
                place,
                event_of(place, touch, entry, from_before).kind,
                touch.commit,
                entry.model_version if entry is not None else None,
                with_hold=entry is not None and touch.commit.sha in holds,
            )
            for number, touch in chosen
            for entry in [entries.get(touch.commit.sha) if touch.path == place.document else None]
        )
        return happenings, len(told) - len(chosen)

    def _arrived_from(self, place: Place) -> set[Blob]:
        """The documents that the environment before has ever had: one of them was promoted, whoever committed it."""
        asked = self.admissions.get(place.environment)
        source = Place(asked.source, place.model) if asked is not None else None
        return {touch.blob for _, touch in self.touches.get(source, ()) if touch.blob is not None} if source else set()

    def _waiting(self, model: str) -> Iterator[Waiting]:
        for environment in self.environments:
            asked = self.admissions.get(environment)
            if asked is None or asked.source not in self.environments:
                continue
            source, target = Place(asked.source, model), Place(environment, model)
            there = release_folder(self.snapshot, source)
            branches = [it for it in self._proposals if it[2] == target]
            offered = [release_folder(proposed, target) for _, proposed, _ in branches]
            for (branch, proposed, _), folder in zip(branches, offered, strict=True):
                if folder != release_folder(self.snapshot, target):
                    yield from self._offer(asked, source, target, proposed, branch, outdated=folder != there)
            if there and there != release_folder(self.snapshot, target) and there not in offered:
                yield from self._offer(asked, source, target, self.snapshot)

    def _offer(
        self,
        asked: Admission,
        source: Place,
        target: Place,
        where: Snapshot,
        branch: str = "",
        outdated: bool = False,
    ) -> Iterator[Waiting]:
        problem = ""
        gates: tuple[GateResult, ...] = ()
        try:
            release = released(where, target if branch else source)
        except ReleaseError:
            return  # the lane of the source says so; nothing can be said of what a branch proposes
        if release is None:
            return
        previous = None
        try:
            previous = released(self.snapshot, target)
            candidate = Candidate(release, self._of(source), self._of(target), self.moment)
            gates = from_git(self.snapshot, candidate, asked, allow_rolled_back=False)
        except BakehouseError as error:
            problem = error.message
        yield Waiting(
            source=source,
            target=target,
            release=release,
            previous=previous,
            branch=branch,
            proposed=self.repository.commit_at(where.revision) if branch else None,
            outdated=outdated,
            facts=tuple(changes(release, previous)),
            metrics=tuple(measured(release, previous)),
            gates=gates,
            problem=problem,
        )

    def _of(self, place: Place) -> Timeline:
        return self.timelines.get(place) or self._timeline(place)

    @cached_property
    def _proposals(self) -> list[tuple[str, Snapshot, Place]]:
        return list(_proposals(self.repository))


def _proposals(repository: GitopsRepository) -> Iterator[tuple[str, Snapshot, Place]]:
    """Each open branch with each place whose release it changes."""
    for name, base, proposed in repository.proposals():
        changed = {path for path, blob in proposed.files.items() if base.files.get(path) != blob}
        for path in sorted(changed):
            place, _ = parse_place(path)
            if place is not None and path == place.document:
                yield name, proposed, place


def _admissions(snapshot: Snapshot) -> tuple[dict[str, Admission], tuple[str, ...]]:
    """What each environment that is promoted into asks, and what of that can't be read."""
    found, unread = {}, []
    for name in environments(snapshot):
        if settings_path(name) in snapshot.files:
            try:
                found[name] = admission(snapshot, name)
            except BakehouseError as error:
                unread.append(error.message)
    return found, tuple(unread)


def _in_order(names: Sequence[str], admissions: Mapping[str, Admission]) -> tuple[str, ...]:
    """The order in which a release passes the environments."""

    def depth(name: str) -> int:
        passed: list[str] = []
        while name in admissions and name not in passed:
            passed.append(name)
            name = admissions[name].source
        return len(passed)

    return tuple(sorted(names, key=lambda name: (depth(name), name)))
