"""What differs between two releases of one model, wherever and whenever they were. Only reads."""

from __future__ import annotations

from dataclasses import dataclass

from bakehouse.errors import ReleaseError
from gitops.environment import Place, environments
from gitops.history import Entry, timeline
from gitops.promotion_gates import admission, settings_path
from gitops.proposal import changes
from gitops.release import Metric, Release
from gitops.repository import GitopsRepository, Snapshot


@dataclass(frozen=True)
class Comparison:
    """Two releases: rows of what differs (name, old, new)."""

    old: Entry
    new: Entry
    rows: tuple[tuple[str, str, str], ...]


def compare(repository: GitopsRepository, model: str, old: str = "", new: str = "") -> Comparison:
    """Compare two releases. Each is `ENV`, `ENV@REVISION` or `ENV@VERSION`; a bare revision or model version is looked
    up in the other's environment. Where neither is named, it is what promotions go into against where they come from.

    Raises `ReleaseError` where one of them can't be found.
    """
    snapshot = repository.at(repository.fetch())
    if not old and not new:
        new, old = _promotion_pair(snapshot)
    elif not new:
        raise ReleaseError("One side is missing.", "Name two, or none for the two ends of a promotion.")
    known = environments(snapshot)
    fallback = next((side.split("@")[0] for side in (old, new) if side.split("@")[0] in known), None)
    entries = [_side(repository, snapshot, model, side, fallback) for side in (old, new)]
    documents = [entry.release for entry in entries]
    before, after = documents
    if before is None or after is None:
        raise ReleaseError(f"{model} has no release on one side.", "`bakehouse status` shows what is where.")
    return Comparison(entries[0], entries[1], (*changes(after, before), *_metrics(after, before)))


def _promotion_pair(snapshot: Snapshot) -> tuple[str, str]:
    """The first environment that is promoted into, and where its releases come from."""
    for name in environments(snapshot):
        if settings_path(name) in snapshot.files:
            return admission(snapshot, name).source, name
    raise ReleaseError("No environment takes promotions.", "Name the two to compare.")


def _side(repository: GitopsRepository, snapshot: Snapshot, model: str, side: str, fallback: str | None) -> Entry:
    environment, _, wanted = side.partition("@")
    if environment not in environments(snapshot):
        if fallback is None or wanted:
            known = ", ".join(environments(snapshot))
            raise ReleaseError(f"{side} names no environment.", f"There are: {known}; write ENV or ENV@REVISION.")
        environment, wanted = fallback, side
    history = timeline(repository, Place(environment, model), snapshot.revision)
    entry = history.find(wanted) if wanted else history.current
    if entry is None:
        raise ReleaseError(f"{environment} has no release of {model}.", "`bakehouse status` shows what is where.")
    return entry


def _metrics(new: Release, old: Release) -> list[tuple[str, str, str]]:
    before, after = old.evidence.metrics, new.evidence.metrics
    rows = [(name, _shown(before.get(name)), _shown(after.get(name))) for name in sorted({*before, *after})]
    return [row for row in rows if row[1] != row[2]]


def _shown(metric: Metric | None) -> str:
    return "none" if metric is None else f"{metric.value:.6g}"
