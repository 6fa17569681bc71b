"""What an environment asks of a release where it runs already: health, soak, and the figures of its traffic.

Health is what local delivery observed or what Prometheus has seen, as the settings say; the figures are Prometheus's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from bakehouse.errors import ReleaseError
from bakehouse.gates import GateResult, at_least, at_most, holds
from gitops.environment import Place
from gitops.history import Timeline
from gitops.measurements import HIGHEST_BUCKET_SECONDS, Prometheus, Subject
from gitops.release import Release

if TYPE_CHECKING:
    from gitops.observations import Observations

Share = Annotated[float, Field(ge=0, le=1)]
_DAY = 86_400.0


class Traffic(BaseModel):
    """The section `prometheus` of an environment's settings: which Prometheus, and what its figures must be. A figure
    without a threshold is not asked for. They are of at most the last `window_seconds`, and never of a time before the
    release landed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(pattern=r"^https?://")]
    window_seconds: PositiveFloat = _DAY
    min_requests: PositiveInt | None = None
    max_error_rate: Share | None = None
    # The services' histogram ends there: a slower release could not be told from one that just meets it.
    max_p99_seconds: Annotated[float, Field(gt=0, lt=HIGHEST_BUCKET_SECONDS)] | None = None
    max_drift: Share | None = None


@dataclass(frozen=True)
class Candidate:
    """A release on its way: what would enter, where it stands now, and both histories."""

    release: Release
    source: Timeline
    target: Timeline
    moment: datetime

    @property
    def landed(self) -> datetime:
        """When its source got it."""
        current = self.source.current
        return self.moment if current is None else current.commit.time


@dataclass(frozen=True)
class Health:
    """Whether the candidate answers where it stands ("healthy", or what is wrong), and for how many seconds."""

    figure: str
    seconds: float
    explanation: str = ""


def delivered_health(candidate: Candidate, observe: Callable[[], Observations] | None) -> Health:
    """Health as local delivery observed it last."""
    place = candidate.source.place
    look = f"`bakehouse status` shows what was seen of {place}"
    seen = observe().of(place.environment, place.model) if observe is not None else None
    if seen is None:
        how = "`bakehouse deliver` does on a laptop, and `health: prometheus` asks Prometheus instead"
        return Health("not observed: nothing delivers it here", 0.0, how)
    if seen.running is None or seen.running.release_digest != candidate.release.digest:
        running = f"model version {seen.running.model_version}" if seen.running is not None else "nothing"
        return Health(f"{running} is running" + (f" ({seen.message})" if seen.message else ""), 0.0, look)
    if not seen.healthy:
        return Health(f"unhealthy: {seen.message}", 0.0, look)
    since = max(candidate.landed, seen.since or candidate.moment)
    return Health("healthy", max(0.0, (candidate.moment - since).total_seconds()))


@dataclass(frozen=True)
class Measured:
    """The candidate as Prometheus has measured it."""

    candidate: Candidate
    asked: Traffic
    path: str

    @cached_property
    def _prometheus(self) -> Prometheus:
        return Prometheus(self.asked.url)

    @property
    def _subject(self) -> Subject:
        return _subject(self.candidate.source.place, self.candidate.release.model_version)

    def health(self, soak_seconds: float) -> Health:
        """Health as every process says by `bakehouse_model_info`: this release answers, and no other. Seconds beyond
        `soak_seconds` are not looked for."""
        try:
            return self._health(soak_seconds)
        except ReleaseError as error:
            return Health("not measured", 0.0, str(error))

    def gates(self) -> tuple[GateResult, ...]:
        """The verdict on each figure that is asked for; each is missed where Prometheus does not answer."""
        try:
            return tuple(self._gates())
        except ReleaseError as error:
            return tuple(self._unmeasured(error))

    def _health(self, soak_seconds: float) -> Health:
        candidate, place = self.candidate, self.candidate.source.place
        wanted = (str(candidate.release.model_version), candidate.release.model_digest)
        seen = self._prometheus.answering(self._subject, candidate.moment)
        if not seen:
            return Health(
                "not seen",
                0.0,
                f"Prometheus has no bakehouse_model_info of model {place.model} with environment {place.environment}",
            )
        if set(seen) != {wanted}:
            answering = " and ".join(sorted({f"model version {version}" for version, _ in seen}))
            other = " with another model" if any(version == wanted[0] for version, _ in set(seen) - {wanted}) else ""
            return Health(f"{answering}{other} answers", 0.0)
        # One second more than is asked: the range starts between two scrapes.
        since = max(candidate.landed, candidate.moment - timedelta(seconds=soak_seconds + 1))
        return Health("healthy", self._prometheus.answered_for(self._subject, wanted[1], since, candidate.moment))

    def _gates(self) -> Iterator[GateResult]:
        asked, at = self.asked, self.candidate.moment
        window = min(asked.window_seconds, max(1.0, (at - self.candidate.landed).total_seconds()))
        said = f"over the last {window:,.0f} s in {self.candidate.source.place.environment}"
        figures = self._prometheus
        if asked.min_requests is not None:
            served = figures.requests(self._subject, window, at)
            yield at_least("requests", served, asked.min_requests, f"{self.path}.min_requests", said)
        for name, ask, limit in (
            ("error_rate", figures.error_rate, asked.max_error_rate),
            ("p99_seconds", figures.p99_seconds, asked.max_p99_seconds),
        ):
            if limit is not None:
                figure = ask(self._subject, window, at)
                nothing = "; there was no request" if math.isnan(figure) else ""
                yield at_most(name, figure, limit, f"{self.path}.max_{name}", said + nothing)
        if asked.max_drift is not None:
            yield self._drift(window, asked.max_drift, said)

    def _drift(self, window: float, limit: float, said: str) -> GateResult:
        source, target = f"{self.path}.max_drift", self.candidate.target
        current = target.current
        if current is None or current.model_version is None:
            return holds("drift", True, "no champion yet", "near the champion's predictions", source)
        stable = _subject(target.place, current.model_version)
        figure = self._prometheus.drift(self._subject, stable, window, self.candidate.moment)
        beside = f"against model version {current.model_version} in {target.place.environment}"
        nothing = "; one of them predicted nothing" if math.isnan(figure) else ""
        return at_most("drift", figure, limit, source, f"{said}, {beside}{nothing}")

    def _unmeasured(self, error: ReleaseError) -> Iterator[GateResult]:
        asked = self.asked.model_dump(exclude={"url", "window_seconds"}, exclude_none=True)
        for key, limit in asked.items():
            name = key.removeprefix("max_").removeprefix("min_")
            yield holds(name, False, "not measured", str(limit), f"{self.path}.{key}", str(error))


def _subject(place: Place, version: int) -> Subject:
    return Subject(place.environment, place.model, version)
