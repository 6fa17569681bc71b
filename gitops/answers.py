"""What commands answer, as rows for a reader and as plain values for JSON. Looks nothing up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bakehouse.errors import BakehouseError, GateError
from bakehouse.gates import misses
from gitops.display import short, when
from gitops.status import seen_in_words

if TYPE_CHECKING:
    from gitops.adoption import Adoption
    from gitops.board import Board, Lane, Waiting
    from gitops.commits import Commit
    from gitops.comparison import Comparison
    from gitops.environment import Place
    from gitops.events import Event, State
    from gitops.history import Entry
    from gitops.holds import Hold
    from gitops.lineage import Lineage
    from gitops.promotion import Promotion
    from gitops.promotion_check import Checked
    from gitops.rollback import Rollback
    from gitops.status import Row
    from gitops.verification import Check


def error_value(error: BakehouseError) -> dict[str, Any]:
    """An error for JSON; `misses` are the gates that were missed."""
    missed = error.misses if isinstance(error, GateError) else ()
    return {"error": error.message, "hint": error.hint or None, "misses": missed}


def commit_value(commit: Commit | None) -> dict[str, Any] | None:
    """A commit for JSON."""
    if commit is None:
        return None
    return {"sha": commit.sha, "time": commit.time, "author": commit.author, "subject": commit.subject}


def entry_value(entry: Entry | None) -> dict[str, Any] | None:
    """A release in history for JSON, its document included."""
    if entry is None:
        return None
    return {
        "environment": entry.place.environment,
        "kind": entry.kind,
        "model_version": entry.model_version,
        "commit": commit_value(entry.commit),
        "release": json.loads(entry.text) if entry.model_version is not None and entry.text is not None else None,
    }


def event_value(event: Event) -> dict[str, Any]:
    """An event for JSON."""
    return {
        "environment": event.place.environment,
        "kind": event.kind,
        "model_version": event.entry.model_version if event.entry is not None else None,
        "commit": commit_value(event.commit),
    }


def event_in_words(event: Event) -> tuple[str, ...]:
    """An event: when, where, what, version, commit, who, subject."""
    version = event.entry.model_version if event.entry is not None else None
    commit = event.commit
    return (
        when(commit.time),
        event.place.environment,
        event.kind,
        "" if version is None else str(version),
        commit.short,
        commit.author.split(" <")[0],
        commit.subject,
    )


def row_value(row: Row) -> dict[str, Any]:
    """A row of the status for JSON."""
    return {
        "environment": row.place.environment,
        "model": row.place.model,
        "model_version": row.release.model_version if row.release is not None else None,
        "image": row.release.image.reference if row.release is not None else None,
        "data_version": row.release.data.version if row.release is not None else None,
        "commit": commit_value(row.commit),
        "hold": row.hold,
        "problem": row.problem or None,
        "delivery": row.seen,
    }


def row_in_words(row: Row) -> tuple[str, ...]:
    """A row of the status: model, environment, version, image, data, since, who, delivery, hold."""
    release, commit = row.release, row.commit
    return (
        row.place.model,
        row.place.environment,
        str(release.model_version) if release is not None else "unreadable" if row.problem else "none",
        short(release.image.digest) if release is not None else "",
        short(release.data.version) if release is not None else "",
        when(commit.time) if commit is not None else "",
        commit.author.split(" <")[0] if commit is not None else "",
        seen_in_words(row),
        row.hold.reason if row.hold is not None else "",
    )


def promotion_value(done: Promotion) -> dict[str, Any]:
    """A promotion for JSON."""
    return {
        "action": done.action,
        "from": done.source.environment,
        "to": done.target.environment,
        "model": done.release.model,
        "model_version": done.release.model_version,
        "replaces": done.previous.model_version if done.previous is not None else None,
        "commit": done.commit,
        "branch": done.branch or None,
        "body": done.body,
        "pull_request": done.pull_request or None,
        "gates": done.gates,
    }


def checked_value(found: Checked) -> dict[str, Any]:
    """What a pull request does to one release, for JSON."""
    return {
        "environment": found.place.environment,
        "model": found.place.model,
        "kind": found.kind,
        "model_version": found.model_version,
        "passed": not misses(found.gates),
        "gates": found.gates,
    }


def rollback_value(done: Rollback) -> dict[str, Any]:
    """A rollback for JSON."""
    return {
        "action": done.action,
        "environment": done.place.environment,
        "model": done.place.model,
        "model_version": done.model_version,
        "away_from": done.away_from,
        "commit": done.commit,
        "hold": done.hold,
        "untouched": done.untouched,
        "branch": done.request.branch if done.request is not None else None,
        "body": done.request.body if done.request is not None else None,
        "pull_request": done.request.address if done.request is not None else None,
    }


def hold_value(place: Place, hold: Hold | None, made: Commit | None, known: bool) -> dict[str, Any]:
    """A hold or its end for JSON. `known` says whether any environment has a release of the model."""
    return {
        "environment": place.environment,
        "model": place.model,
        "hold": hold,
        "commit": made.sha if made is not None else None,
        "is_released": known,
    }


def adoption_value(done: Adoption) -> dict[str, Any]:
    """An adoption for JSON."""
    return {
        "action": done.action,
        "environment": done.place.environment,
        "model": done.place.model,
        "model_version": done.release.model_version,
        "revision": done.revision,
        "away_from": done.away_from,
        "commit": done.commit,
        "hold": done.hold,
        "untouched": done.untouched,
        "application": done.application,
        "not_compared": done.not_compared or None,
        "resume": done.resume,
    }


def lineage_value(found: Lineage) -> dict[str, Any]:
    """A lineage for JSON."""
    return {
        "environment": found.place.environment,
        "commit": commit_value(found.entry.commit),
        "release": found.release,
        "parts": [{"name": part.name, "said": part.said, "command": part.command} for part in found.parts],
    }


def board_value(found: Board) -> dict[str, Any]:
    """A board for JSON; the documents are `release show`'s to answer."""
    return {
        "head": commit_value(found.head),
        "environments": found.environments,
        "problems": found.unread,
        "models": [
            {
                "model": model.name,
                "environments": [_lane_value(lane) for lane in model.lanes],
                "waiting": [_waiting_value(waiting) for waiting in model.waiting],
            }
            for model in found.models
        ],
    }


def _lane_value(lane: Lane) -> dict[str, Any]:
    return {
        "environment": lane.place.environment,
        "model_version": lane.release.model_version if lane.release is not None else None,
        "commit": commit_value(lane.landed),
        "hold": lane.hold,
        "problem": lane.problem or None,
        "rolls_back_to": lane.before,
        "earlier": lane.earlier,
        "changes": [
            {
                "kind": it.deed,
                "model_version": it.model_version,
                "with_hold": it.with_hold,
                "commit": commit_value(it.commit),
            }
            for it in lane.happenings
        ],
    }


def _waiting_value(waiting: Waiting) -> dict[str, Any]:
    return {
        "from": waiting.source.environment,
        "to": waiting.target.environment,
        "model_version": waiting.release.model_version,
        "replaces": waiting.previous.model_version if waiting.previous is not None else None,
        "branch": waiting.branch or None,
        "proposed": commit_value(waiting.proposed),
        "outdated": waiting.outdated,
        "problem": waiting.problem or None,
        "metrics": [dict(zip(("metric", "old", "new", "change"), figures, strict=True)) for figures in waiting.metrics],
        "gates": waiting.gates,
    }


def comparison_value(found: Comparison) -> dict[str, Any]:
    """A comparison for JSON."""
    rows = [{"what": what, "old": before, "new": after} for what, before, after in found.rows]
    return {"old": entry_value(found.old), "new": entry_value(found.new), "differences": rows}


def check_value(check: Check) -> dict[str, Any]:
    """A check for JSON."""
    place = check.place
    said = {"environment": place.environment, "model": place.model, "check": check.name, "verdict": check.verdict}
    return said | {"said": check.said}


def moment_value(found: Mapping[Place, State]) -> dict[str, Any]:
    """What each environment had, for JSON: null where it had nothing."""
    return {
        place.environment: (entry_value(state.entry) or {}) | {"hold": state.hold, "problem": state.problem or None}
        if state.entry is not None or state.hold is not None or state.problem
        else None
        for place, state in found.items()
    }


def moment_in_words(found: Mapping[Place, State]) -> list[tuple[str, ...]]:
    """What each environment had: environment, version, since when, commit, and why it was held."""
    return [
        (place.environment, str(entry.model_version), when(entry.commit.time), entry.commit.short, state.why_held)
        if (entry := state.entry) is not None
        else (place.environment, "none", "", "", state.why_held)
        for place, state in found.items()
    ]
