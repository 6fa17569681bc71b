"""Whether a pull request is the promotion that it says it is: asked of its merge result, of plain git refs, without
network. The conditions are those of the branch that it is merged into, so that no pull request sets its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from bakehouse.errors import BakehouseError, ReleaseError
from bakehouse.gates import GateResult, at_least, holds
from gitops.clone import NORMAL, Changed, Clone
from gitops.environment import Place, kustomization, release_folder, release_texts
from gitops.history import Timeline, released, timeline
from gitops.integrity import faults
from gitops.promotion_gates import admission, from_git, settings_path, soaked
from gitops.release import RELEASE_FILE, Release
from gitops.repository import ENVIRONMENTS, Snapshot
from gitops.running_gates import Candidate

Kind = Literal["promotion", "rollback", "removal"]
_RELEASE = re.compile(rf"{ENVIRONMENTS}/([^/]+)/([^/]+)/release(/.*)?")
_SHOWN = 5


@dataclass(frozen=True)
class Checked:
    """One place whose release the merge would change, and every gate's verdict on that."""

    place: Place
    kind: Kind
    model_version: int | None
    gates: tuple[GateResult, ...]


def check(
    clone: Clone, head: str, *, approvals: int | None = None, allow_rolled_back: bool = False
) -> tuple[Checked, ...]:
    """Every release that merging `head` into the clone's base would change; none where it touches no release.

    What restores an earlier release of the same environment, or takes one out, is no promotion: only its shape is
    judged, since nothing may stand in the way of a rollback. `approvals` says how many people agreed, where the forge
    was asked. Raises `ReleaseError` where the two can't be merged.
    """
    before, after = clone.at(), clone.merged(head)
    changed = tuple(clone.changed(after))
    matches = (_RELEASE.fullmatch(change.path) for change in changed)
    places = sorted({(found[1], found[2]) for found in matches if found is not None})
    moment = datetime.now(UTC)
    found = []
    for environment, model in places:
        asked = _Question(before, after, changed, Place(environment, model), moment, approvals, allow_rolled_back)
        found.append(asked.answer())
    return tuple(found)


@dataclass(frozen=True)
class _Question:
    before: Snapshot
    after: Snapshot
    changed: Sequence[Changed]
    place: Place
    moment: datetime
    approvals: int | None
    allow_rolled_back: bool

    def answer(self) -> Checked:
        history = timeline(self.before.repository, self.place, self.before.revision)
        if not self.after.under(self.place.release):
            return Checked(self.place, "removal", None, (self._only_this_release(may_hold=True),))
        restored = self._restored(history)
        try:
            release = released(self.after, self.place)
            if release is None:
                raise ReleaseError(f"{self.place.document} is missing.", "A release has one.")
        except ReleaseError as error:
            broken = holds("document", False, "broken", "a release document", self.place.document, str(error))
            return Checked(self.place, restored or "promotion", None, (self._only_this_release(), broken))
        only = self._only_this_release(may_hold=restored is not None)
        gates = (only, *(() if restored else self._as_a_promotion(release, history)))
        return Checked(self.place, restored or "promotion", release.model_version, gates)

    def _restored(self, history: Timeline) -> Literal["rollback"] | None:
        """Whether this brings back, byte for byte, an earlier release of this environment that was not rolled back."""
        document = self.after.files.get(self.place.document)
        if document is None or history.kind_with(document) != "rolled back":
            return None
        earlier = next(entry for entry in history.entries() if entry.blob == document)
        folder = release_folder(history.repository.at(history.last_revision(earlier)), self.place)
        return "rollback" if folder == release_folder(self.after, self.place) else None

    def _only_this_release(self, *, may_hold: bool = False) -> GateResult:
        """The diff touches this release folder alone, and what puts it together where it is the first or the last. What
        takes a release back may leave a hold, as `bakehouse rollback` does, and never lift one."""
        strange = [change.path for change in self.changed if not self._belongs(change, may_hold)]
        more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        said = f"also {', '.join(strange[:_SHOWN])}{more}" if strange else f"only {self.place.release}"
        return holds("only_release", not strange, said, f"only {self.place.release}", "docs/reference/release.md")

    def _belongs(self, change: Changed, may_hold: bool) -> bool:
        if change.path == self.place.hold:
            return may_hold and change.mode == NORMAL
        if change.path == self.place.kustomization:
            if change.mode is None:
                return not self.after.under(self.place.release)
            written = kustomization(self.place.model)
            first = self.place.kustomization not in self.before.files
            return first and change.mode == NORMAL and self.after.text(change.path) == written
        return change.path.startswith(f"{self.place.release}/") and change.mode in (None, NORMAL)

    def _as_a_promotion(self, release: Release, history: Timeline) -> Iterator[GateResult]:
        path = settings_path(self.place.environment)
        try:
            asked = admission(self.before, self.place.environment)
            source = Place(asked.source, self.place.model)
        except BakehouseError as error:
            yield holds("promoted_into", False, "no", "an environment that takes promotions", path, str(error))
            return
        yield self._equals(source)
        wrong = [fault.said for fault in faults(release, release_texts(self.after, self.place))]
        yield holds("whole", not wrong, "; ".join(wrong) or "whole", "whole", self.place.release)
        arriving = timeline(self.before.repository, source, self.before.revision)
        candidate = Candidate(release, arriving, history, self.moment)
        yield from from_git(self.before, candidate, asked, self.allow_rolled_back)
        yield soaked(candidate, asked)
        if asked.approvals:
            given = self.approvals or 0
            said = "the forge was not asked: --approvals" if self.approvals is None else ""
            yield at_least("approvals", given, asked.approvals, f"{path}: approvals", said)

    def _equals(self, source: Place) -> GateResult:
        """The folder is, byte for byte, what the environment before has."""
        there, here = (release_folder(*side) for side in ((self.before, source), (self.after, self.place)))
        wrong = sorted(name for name in {*there, *here} if there.get(name) != here.get(name))
        wanted = f"byte for byte {source.release}"
        said = f"{', '.join(wrong[:_SHOWN])} differs" if wrong else wanted
        if RELEASE_FILE not in there:
            said = f"{source.environment} has no release of {source.model}"
        return holds("equals_source", not wrong, said, wanted, f"{settings_path(self.place.environment)}: from")
