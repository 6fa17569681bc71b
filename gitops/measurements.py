"""What Prometheus has measured of a release: asked over HTTP, as PromQL over the metrics that every service exports.

Holds the questions and their figures, not what they must be (`gitops/running_gates.py`). The services' own labels are
`model` and `model_version`; `environment` is the one that the scrape configuration adds (docs/reference/service.md).
"""

from __future__ import annotations

import base64
import math
import os
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from bakehouse.errors import ReleaseError

URL_VARIABLE = "BAKEHOUSE_PROMETHEUS_URL"
TOKEN_VARIABLE = "BAKEHOUSE_PROMETHEUS_TOKEN"  # noqa: S105  # the name of a variable
HIGHEST_BUCKET_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
_FINEST_STEP_SECONDS = 1.0
_MOST_POINTS = 5_000


class _Row(BaseModel):
    """A series of an answer: one value of it for an instant, or `values` for a range; each with its moment."""

    metric: dict[str, str]
    value: tuple[float, float] = (0.0, math.nan)
    values: tuple[tuple[float, float], ...] = ()


class _Result(BaseModel):
    result: tuple[_Row, ...]


class _Answer(BaseModel):
    status: Literal["success"]
    data: _Result


@dataclass(frozen=True)
class Subject:
    """Whose series: one model version in one environment."""

    environment: str
    model: str
    model_version: int

    def selector(self, extra: str = "") -> str:
        """The PromQL selector of its series."""
        labels = [f'environment="{self.environment}"', f'model="{self.model}"', f'model_version="{self.model_version}"']
        return "{" + ",".join([*labels, *([extra] if extra else [])]) + "}"


class Prometheus:
    """The Prometheus at `url`, which may name user and password. `BAKEHOUSE_PROMETHEUS_URL` names another, and
    `BAKEHOUSE_PROMETHEUS_TOKEN` is sent as a bearer token where it is set. Every question raises `ReleaseError` where
    it is not answered."""

    def __init__(self, url: str) -> None:
        chosen = urllib.parse.urlsplit(os.environ.get(URL_VARIABLE) or url)
        self._credentials = _credentials(chosen)
        host = chosen.netloc.rpartition("@")[2]
        self.url = urllib.parse.urlunsplit((chosen.scheme, host, chosen.path.rstrip("/"), "", ""))

    def requests(self, subject: Subject, window: float, at: datetime) -> float:
        """How many requests were answered in the last `window` seconds. What was counted before the first scrape is
        not seen: it is too few rather than too many."""
        return self._number(f"sum(increase(bakehouse_requests_total{subject.selector()}{_range(window)}))", at, 0.0)

    def error_rate(self, subject: Subject, window: float, at: datetime) -> float:
        """The share of requests answered with a 5xx status; not a number where there was none."""
        failed = subject.selector('status=~"5.."')
        return self._number(
            f"(sum(increase(bakehouse_requests_total{failed}{_range(window)})) or vector(0))"
            f" / sum(increase(bakehouse_requests_total{subject.selector()}{_range(window)}))",
            at,
        )

    def p99_seconds(self, subject: Subject, window: float, at: datetime) -> float:
        """The 99th percentile of the duration, never above `HIGHEST_BUCKET_SECONDS`; not a number without requests."""
        buckets = f"bakehouse_request_duration_seconds_bucket{subject.selector()}{_range(window)}"
        return self._number(f"histogram_quantile(0.99, sum by (le) (increase({buckets})))", at)

    def drift(self, subject: Subject, stable: Subject, window: float, at: datetime) -> float:
        """How far apart the predictions of two releases lie, from 0 (the same shares of every outcome) to 1: the total
        variation distance. Not a number where one of them predicted nothing."""
        new, old = (self._outcomes(whose, window, at) for whose in (subject, stable))
        if not new or not old:
            return math.nan
        return sum(abs(new.get(name, 0.0) - old.get(name, 0.0)) for name in {*new, *old}) / 2

    def answering(self, subject: Subject, at: datetime) -> dict[tuple[str, str], int]:
        """How many processes answer for the subject's model in its environment, whichever version it is: by model
        version and digest of the model."""
        everybody = f'{{environment="{subject.environment}",model="{subject.model}"}}'
        found = self._vector(f"count by (model_version, model_digest) (bakehouse_model_info{everybody})", at)
        return {
            (row.metric.get("model_version", ""), row.metric.get("model_digest", "")): int(row.value[1])
            for row in found
        }

    def answered_for(self, subject: Subject, digest: str, since: datetime, at: datetime) -> float:
        """Seconds up to `at` in which at least one process answered for it without a break, at most since `since`."""
        length = (at - since).total_seconds()
        if length <= 0:
            return 0.0
        step = max(_FINEST_STEP_SECONDS, length / _MOST_POINTS)
        whose = subject.selector(f'model_digest="{digest}"')
        question = f"count(bakehouse_model_info{whose})"
        found = self._ask("query_range", query=question, start=since.timestamp(), end=at.timestamp(), step=step)
        seen = {round((moment - since.timestamp()) / step) for row in found for moment, _ in row.values}
        newest = math.floor(length / step)
        unbroken = newest
        while unbroken >= 0 and unbroken in seen:
            unbroken -= 1
        return 0.0 if unbroken == newest else length - (unbroken + 1) * step

    def _outcomes(self, subject: Subject, window: float, at: datetime) -> dict[str, float]:
        counted = f"increase(bakehouse_predictions_total{subject.selector()}{_range(window)})"
        rows = self._vector(f"sum by (outcome) ({counted})", at)
        total = sum(row.value[1] for row in rows)
        return {row.metric.get("outcome", ""): row.value[1] / total for row in rows} if total > 0 else {}

    def _number(self, query: str, at: datetime, missing: float = math.nan) -> float:
        found = self._vector(query, at)
        return found[0].value[1] if found else missing

    def _vector(self, query: str, at: datetime) -> Sequence[_Row]:
        return self._ask("query", query=query, time=at.timestamp())

    def _ask(self, what: str, **parameters: Any) -> Sequence[_Row]:
        # Imported late: every command that shows a promotion's conditions imports this module, and few ask.
        import urllib.error
        import urllib.request
        from http.client import HTTPException

        body = urllib.parse.urlencode(parameters).encode()
        try:
            request = urllib.request.Request(f"{self.url}/api/v1/{what}", data=body)  # noqa: S310  # checked by settings
            if self._credentials:
                # Not to whom a redirect leads.
                request.add_unredirected_header("Authorization", self._credentials)
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                return _Answer.model_validate_json(response.read()).data.result
        except urllib.error.HTTPError as error:
            raise self._unanswered(f"{error.code} {error.reason}") from error
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise self._unanswered(f"{key}: {first['msg']}") from error
        except (OSError, ValueError, HTTPException) as error:
            raise self._unanswered(str(getattr(error, "reason", "") or error)) from error

    def _unanswered(self, reason: str) -> ReleaseError:
        return ReleaseError(
            f"Prometheus at {self.url} did not answer: {reason}.",
            f"Check `prometheus.url` in the environment's settings, or {URL_VARIABLE}.",
        )


def _credentials(url: urllib.parse.SplitResult) -> str:
    """The Authorization header, or nothing."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        return f"Bearer {token}"
    if url.username is None:
        return ""
    said = f"{urllib.parse.unquote(url.username)}:{urllib.parse.unquote(url.password or '')}"
    return "Basic " + base64.b64encode(said.encode()).decode()


def _range(seconds: float) -> str:
    return f"[{max(1, math.ceil(seconds))}s]"
