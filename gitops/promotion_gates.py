"""What an environment asks of a release before it lets it in: gates as data in its settings, and their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, ValidationError

from bakehouse.errors import ConfigurationError, ReleaseError
from bakehouse.gates import GateResult, at_least, at_most, holds
from gitops.environment import Place, release_folder
from gitops.history import Timeline
from gitops.holds import describe, held, how_to_lift
from gitops.release import Release
from gitops.repository import ENVIRONMENTS, Snapshot

if TYPE_CHECKING:
    from gitops.observations import Observations

Piece = Literal["sbom", "signature", "reports"]


class Admission(BaseModel):
    """`settings/promotion.yaml` of the environment that is promoted into."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str = Field(alias="from")
    policy: Literal["as the model says", "review"] = "as the model says"
    soak_seconds: NonNegativeFloat = 0
    require_healthy: bool = True
    max_evidence_age_days: PositiveFloat | None = None
    compared_with_champion: bool = True
    evidence: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A release on its way: what would enter, where it stands now, and both histories."""

    release: Release
    source: Timeline
    target: Timeline
    moment: datetime


def settings_path(environment: str) -> str:
    """Where an environment says what it asks."""
    return f"{ENVIRONMENTS}/{environment}/settings/promotion.yaml"


def admission(snapshot: Snapshot, environment: str) -> Admission:
    """What an environment asks. Raises `ReleaseError` where nothing is promoted into it, and `ConfigurationError`
    naming file, key and reason where its settings are wrong."""
    import yaml

    path = settings_path(environment)
    text = snapshot.text(path)
    if text is None:
        raise ReleaseError(
            f"Nothing is promoted into {environment}: there is no {path}.",
            "Releases enter it by training, or add that file to say where they come from.",
        )
    try:
        return Admission.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} in the GitOps repository is not YAML: {error}.", "Correct it.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ConfigurationError(
            f"{path} in the GitOps repository: {key}: {first['msg']}.",
            f"It may say {', '.join(field.alias or name for name, field in Admission.model_fields.items())}.",
        ) from error


def verdicts(
    snapshot: Snapshot,
    candidate: Candidate,
    asked: Admission,
    observations: Observations | None,
    allow_rolled_back: bool,
) -> tuple[GateResult, ...]:
    """Every gate's verdict, passed or missed."""
    path = settings_path(candidate.target.place.environment)
    results = [
        no_hold(snapshot, candidate.target.place),
        _not_rolled_back(candidate, allow_rolled_back),
        _pin_agrees(snapshot, candidate),
        _evidence_passed(candidate.release),
    ]
    results += [_evidence_has(candidate.release, piece, f"{path}: evidence") for piece in asked.evidence]
    if asked.compared_with_champion:
        results.append(_compared_with_champion(candidate, f"{path}: compared_with_champion"))
    if asked.max_evidence_age_days is not None:
        age = (candidate.moment - candidate.release.created_at).total_seconds() / 86400
        results.append(at_most("evidence_age_days", age, asked.max_evidence_age_days, f"{path}: max_evidence_age_days"))
    if asked.require_healthy:
        results.append(_healthy(candidate, observations, f"{path}: require_healthy"))
    results.append(
        at_least(
            "soak_seconds",
            _soaked(candidate, asked, observations),
            asked.soak_seconds,
            f"{path}: soak_seconds",
            f"how long {candidate.source.place.environment} has had it"
            + (" and answered well" if asked.require_healthy else ""),
        )
    )
    return tuple(results)


def no_hold(snapshot: Snapshot, target: Place) -> GateResult:
    """Whether anything is let into that place at all. A hold that can't be read holds as well."""
    try:
        hold = held(snapshot, target)
    except ReleaseError as error:
        return holds("no_hold", False, "held", "no hold", target.hold, str(error))
    if hold is None:
        return holds("no_hold", True, "no hold", "no hold", target.hold)
    explanation = f"{describe(hold)}; to let releases in again, {how_to_lift(target)}"
    return holds("no_hold", False, "held", "no hold", target.hold, explanation)


def _not_rolled_back(candidate: Candidate, allowed: bool) -> GateResult:
    barred = candidate.target.barred
    version = barred.model_version if barred is not None else None
    place = candidate.target.place
    passed = version is None or candidate.release.model_version > version
    explanation = ""
    if version is not None and not passed:
        explanation = f"{place.environment} went back from model version {version};" + (
            " let in all the same, as asked" if allowed else " --allow-rolled-back lets it in all the same"
        )
    return holds(
        "not_rolled_back",
        passed or allowed,
        f"model version {candidate.release.model_version}",
        "newer than what was rolled back" + (f" ({version})" if version is not None else ""),
        f"the history of {place.release}",
        explanation,
    )


def _pin_agrees(snapshot: Snapshot, candidate: Candidate) -> GateResult:
    source = candidate.source.place
    there = {name: snapshot.text(f"{source.release}/{name}") for name in release_folder(snapshot, source)}
    wanted = candidate.release.files()
    wrong = sorted(name for name in {*there, *wanted} if there.get(name) != wanted.get(name))
    said = f"{', '.join(wrong)} disagrees" if wrong else "as written from the document"
    return holds("pin_agrees", not wrong, said, "as written from the document", source.release)


def _evidence_passed(release: Release) -> GateResult:
    missed = [gate.name for gate in release.evidence.gates if not gate.passed]
    said = f"{len(release.evidence.gates) - len(missed)} of {len(release.evidence.gates)} gates passed"
    return holds("evidence_gates", not missed, said, "all passed", "release.json: evidence.gates", ", ".join(missed))


def _evidence_has(release: Release, piece: Piece, source: str) -> GateResult:
    there = bool(getattr(release.evidence, piece))
    return holds(f"evidence_{piece}", there, "there" if there else "missing", "there", source)


def _compared_with_champion(candidate: Candidate, source: str) -> GateResult:
    """The evidence names one champion, that one's another, and so on: the champion of the target must be among them, or
    the candidate was never held against what answers there. Whether the figures could be compared, the note says."""
    name = "compared_with_champion"
    current = candidate.target.current
    if current is None or current.model_version is None:
        return holds(name, True, "no champion yet", "compared with the champion", source)
    compared = _lineage_of_comparisons(candidate, down_to=current.model_version)
    passed = current.model_version in compared
    listed = ", ".join(str(version) for version in compared) or "none"
    explanation = (
        candidate.release.evidence.champion_note
        if passed
        else (f"{candidate.target.place.environment} has model version {current.model_version}; train again")
    )
    return holds(name, passed, f"compared with {listed}", f"compared with {current.model_version}", source, explanation)


def _lineage_of_comparisons(candidate: Candidate, down_to: int) -> list[int]:
    compared: list[int] = []
    champion = candidate.release.evidence.champion
    entries = candidate.source.entries()
    while champion is not None and champion not in compared:
        compared.append(champion)
        if champion == down_to:
            break
        earlier = next((entry for entry in entries if entry.model_version == champion), None)
        try:
            release = earlier.release if earlier is not None else None
        except ReleaseError:
            release = None
        champion = release.evidence.champion if release is not None else None
    return compared


def _healthy(candidate: Candidate, observations: Observations | None, source: str) -> GateResult:
    figure = _health(candidate, observations)
    place = candidate.source.place
    explanation = "" if figure == "healthy" else f"`bakehouse status` shows what was seen of {place}"
    return holds("healthy", figure == "healthy", figure, "healthy", source, explanation)


def _health(candidate: Candidate, observations: Observations | None) -> str:
    place = candidate.source.place
    seen = observations.of(place.environment, place.model) if observations is not None else None
    if seen is None:
        return "not observed: nothing delivers it (`bakehouse deliver` does on a laptop)"
    if seen.running is None or seen.running.release_digest != candidate.release.digest:
        running = f"model version {seen.running.model_version}" if seen.running is not None else "nothing"
        return f"{running} is running" + (f" ({seen.message})" if seen.message else "")
    return "healthy" if seen.healthy else f"unhealthy: {seen.message}"


def _soaked(candidate: Candidate, asked: Admission, observations: Observations | None) -> float:
    """Seconds since the source has had the release; where health counts, since it has answered without a break."""
    landed = candidate.source.current
    if landed is None:
        return 0.0
    since = landed.commit.time
    if asked.require_healthy:
        place = candidate.source.place
        seen = observations.of(place.environment, place.model) if observations is not None else None
        if seen is None or seen.since is None or _health(candidate, observations) != "healthy":
            return 0.0
        since = max(since, seen.since)
    return max(0.0, (candidate.moment - since).total_seconds())
