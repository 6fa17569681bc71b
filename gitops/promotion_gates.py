"""What an environment asks of a release before it lets it in: gates as data in its settings, and their verdicts.

Holds the gates that git answers. What is asked of the release where it runs already stands in `running_gates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
    model_validator,
)

from bakehouse.errors import ConfigurationError, ReleaseError
from bakehouse.gates import GateResult, at_least, at_most, holds
from gitops.environment import Place, release_texts
from gitops.holds import describe, held, how_to_lift
from gitops.integrity import distrust, faults
from gitops.release import Release
from gitops.repository import ENVIRONMENTS, Snapshot
from gitops.running_gates import Candidate, Health, Measured, Traffic, delivered_health
from gitops.signing import signers

if TYPE_CHECKING:
    from gitops.observations import Observations

Piece = Literal["sbom", "signature", "reports"]


class Admission(BaseModel):
    """`settings/promotion.yaml` of the environment that is promoted into."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str = Field(alias="from")
    policy: Literal["as the model says", "review"] = "as the model says"
    approvals: NonNegativeInt = 0
    soak_seconds: NonNegativeFloat = 0
    require_healthy: bool = True
    health: Literal["delivery", "prometheus"] = "delivery"
    prometheus: Traffic | None = None
    max_evidence_age_days: PositiveFloat | None = None
    compared_with_champion: bool = True
    evidence: tuple[Piece, ...] = ()

    @model_validator(mode="after")
    def _names_the_prometheus_it_asks(self) -> Admission:
        if self.health == "prometheus" and self.prometheus is None:
            raise ValueError("health comes from prometheus, so that the section prometheus must name its url")
        return self


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
    observe: Callable[[], Observations] | None,
    allow_rolled_back: bool,
) -> tuple[GateResult, ...]:
    """Every gate's verdict, passed or missed."""
    return (*from_git(snapshot, candidate, asked, allow_rolled_back), *_where_it_runs(candidate, asked, observe))


def from_git(
    snapshot: Snapshot, candidate: Candidate, asked: Admission, allow_rolled_back: bool
) -> tuple[GateResult, ...]:
    """The verdicts for which git alone is asked."""
    path = settings_path(candidate.target.place.environment)
    results = [
        no_hold(snapshot, candidate.target.place),
        _not_rolled_back(candidate, allow_rolled_back),
        _folder_is_whole(snapshot, candidate),
        _evidence_passed(candidate.release),
    ]
    results += [_evidence_has(snapshot, candidate, piece, f"{path}: evidence") for piece in asked.evidence]
    if asked.compared_with_champion:
        results.append(_compared_with_champion(candidate, f"{path}: compared_with_champion"))
    if asked.max_evidence_age_days is not None:
        age = (candidate.moment - candidate.release.created_at).total_seconds() / 86400
        results.append(at_most("evidence_age_days", age, asked.max_evidence_age_days, f"{path}: max_evidence_age_days"))
    return tuple(results)


def soaked(candidate: Candidate, asked: Admission, health: Health | None = None) -> GateResult:
    """Whether the source has had the release for long enough; with `health`, has answered well for so long."""
    since_it_landed = max(0.0, (candidate.moment - candidate.landed).total_seconds())
    return at_least(
        "soak_seconds",
        since_it_landed if health is None else min(since_it_landed, health.seconds),
        asked.soak_seconds,
        f"{settings_path(candidate.target.place.environment)}: soak_seconds",
        f"how long {candidate.source.place.environment} has had it" + ("" if health is None else " and answered well"),
    )


def _where_it_runs(
    candidate: Candidate, asked: Admission, observe: Callable[[], Observations] | None
) -> Iterator[GateResult]:
    path = settings_path(candidate.target.place.environment)
    measured = None
    if asked.prometheus is not None:
        measured = Measured(candidate, asked.prometheus, f"{path}: prometheus")
    health: Health | None = None
    if asked.require_healthy:
        if asked.health == "prometheus" and measured is not None:
            health = measured.health(asked.soak_seconds)
        else:
            health = delivered_health(candidate, observe)
        good = health.figure == "healthy"
        yield holds("healthy", good, health.figure, "healthy", f"{path}: require_healthy", health.explanation)
    yield soaked(candidate, asked, health)
    if measured is not None:
        yield from measured.gates()


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


def _folder_is_whole(snapshot: Snapshot, candidate: Candidate) -> GateResult:
    source = candidate.source.place
    wrong = [fault.said for fault in faults(candidate.release, release_texts(snapshot, source))]
    said = "; ".join(wrong) or "as written from the document"
    return holds("pin_agrees", not wrong, said, "as written from the document", source.release)


def _evidence_passed(release: Release) -> GateResult:
    missed = [gate.name for gate in release.evidence.gates if not gate.passed]
    said = f"{len(release.evidence.gates) - len(missed)} of {len(release.evidence.gates)} gates passed"
    return holds("evidence_gates", not missed, said, "all passed", "release.json: evidence.gates", ", ".join(missed))


def _evidence_has(snapshot: Snapshot, candidate: Candidate, piece: Piece, source: str) -> GateResult:
    there = bool(getattr(candidate.release.evidence, piece))
    if there and piece == "signature":
        return _signed(snapshot, candidate, source)
    return holds(f"evidence_{piece}", there, "there" if there else "missing", "there", source)


def _signed(snapshot: Snapshot, candidate: Candidate, source: str) -> GateResult:
    """Whether somebody signed it whom the environment that it would enter believes."""
    believed = signers(snapshot, candidate.target.place.environment)
    texts = release_texts(snapshot, candidate.source.place)
    found = (*faults(candidate.release, texts), *distrust(candidate.release, texts, believed))
    wrong = [fault.said for fault in found if fault.part == "signature"]
    return holds("evidence_signature", not wrong, "; ".join(wrong) or "good", "good", source)


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
        else (
            f"the comparison is stale: {candidate.target.place.environment} has model version {current.model_version}"
            " now; train again"
        )
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
