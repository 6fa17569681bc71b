"""Holds: a file in a model's folder of an environment that lets nothing in until a commit removes it."""

from __future__ import annotations

import json

from pydantic import AwareDatetime, BaseModel, ConfigDict, PositiveInt, ValidationError

from bakehouse.errors import ReleaseError
from gitops.commits import Change, Commit
from gitops.environment import Place, require_environment
from gitops.release import now
from gitops.repository import GitopsRepository, Snapshot


class Hold(BaseModel):
    """`hold.yaml`. `model_version` is the one that a rollback took away, none where a person simply stopped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: str
    since: AwareDatetime
    by: str
    model_version: PositiveInt | None = None

    def to_yaml(self) -> str:
        """The file as it stands in git."""
        import yaml

        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)


def held(snapshot: Snapshot, place: Place) -> Hold | None:
    """The hold, or None. A file that can't be read holds as well: it raises `ReleaseError`, never None."""
    text = snapshot.text(place.hold)
    if text is None:
        return None
    import yaml

    try:
        return Hold.model_validate_json(_json(yaml.safe_load(text)))
    except (yaml.YAMLError, ValidationError) as error:
        reason = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else "it is not YAML"
        raise ReleaseError(
            f"{place} is held, but {place.hold} can't be read: {reason}.", f"Correct it, or {how_to_lift(place)}."
        ) from error


def refuse_if_held(snapshot: Snapshot, place: Place) -> None:
    """Raise `ReleaseError` with the reason and how to lift it where the model is held."""
    hold = held(snapshot, place)
    if hold is not None:
        raise ReleaseError(f"{place} is held: {describe(hold)}.", f"To let releases in again, {how_to_lift(place)}.")


def describe(hold: Hold) -> str:
    """The hold in a few words: why, by whom, since when."""
    return f"{hold.reason} ({hold.by}, {hold.since:%Y-%m-%d %H:%M})"


def how_to_lift(place: Place) -> str:
    """What a person types."""
    return f"run `bakehouse hold {place.model} --env {place.environment} --lift`"


def hold(repository: GitopsRepository, place: Place, reason: str) -> Commit | None:
    """Commit a hold, or return None where the model is held for that reason already. Another reason replaces it, and
    keeps which version a rollback took away."""
    document = Hold(reason=reason, since=now(), by=repository.identity())

    def plan(snapshot: Snapshot) -> Change | None:
        require_environment(snapshot, place.environment)
        there = held(snapshot, place)
        if there is not None and there.reason == reason:
            return None
        made = document.model_copy(update={"model_version": there.model_version if there is not None else None})
        return Change(f"Hold {place}", {place.hold: made.to_yaml().encode()}, trailers(place), body=reason)

    return repository.commit(plan)


def lift(repository: GitopsRepository, place: Place) -> Commit | None:
    """Commit the removal of a hold, or return None where there is none."""

    def plan(snapshot: Snapshot) -> Change | None:
        require_environment(snapshot, place.environment)
        if place.hold not in snapshot.files:
            return None
        return Change(f"Lift the hold of {place}", {place.hold: None}, trailers(place))

    return repository.commit(plan)


def trailers(place: Place) -> dict[str, str]:
    """What binds a commit to one model in one environment."""
    return {"Model": place.model, "Environment": place.environment}


def _json(loaded: object) -> str:
    return json.dumps(loaded, default=lambda value: value.isoformat() if hasattr(value, "isoformat") else str(value))
