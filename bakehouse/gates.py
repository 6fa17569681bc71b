"""What a gate returns. A gate is a named check of one figure against one threshold that is set somewhere findable."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from bakehouse.errors import GateError

Comparison = Literal[">=", "<=", "==", "within", "is"]


class GateResult(BaseModel):
    """The verdict of one gate.

    `figure` and `threshold` are numbers, or words where the gate compares none (`comparison` "is").
    `source` names the file and key where the threshold is set, such as
    `bentos/orders/problem.yaml: gates.acceptance_rate`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")

    name: str
    passed: bool
    figure: float | str
    comparison: Comparison
    threshold: float | str
    source: str
    explanation: str = ""

    def describe(self) -> str:
        """One line for a person: name, figure, threshold, and where the threshold is set."""
        verdict = "passed" if self.passed else "missed"
        tail = f"; {self.explanation}" if self.explanation else ""
        wanted = _show(self.threshold) if self.comparison == "is" else f"{self.comparison} {_show(self.threshold)}"
        return f"{self.name} {verdict}: {_show(self.figure)}, must be {wanted} (set in {self.source}){tail}"


def at_least(name: str, figure: float, threshold: float, source: str, explanation: str = "") -> GateResult:
    """A gate that passes when `figure >= threshold`. A figure that is not a number never passes."""
    return GateResult(
        name=name,
        passed=bool(figure >= threshold),
        figure=figure,
        comparison=">=",
        threshold=threshold,
        source=source,
        explanation=explanation,
    )


def at_most(name: str, figure: float, threshold: float, source: str, explanation: str = "") -> GateResult:
    """A gate that passes when `figure <= threshold`. A figure that is not a number never passes."""
    return GateResult(
        name=name,
        passed=bool(figure <= threshold),
        figure=figure,
        comparison="<=",
        threshold=threshold,
        source=source,
        explanation=explanation,
    )


def holds(name: str, passed: bool, figure: str, wanted: str, source: str, explanation: str = "") -> GateResult:
    """A gate on a fact rather than a figure."""
    return GateResult(
        name=name,
        passed=passed,
        figure=figure,
        comparison="is",
        threshold=wanted,
        source=source,
        explanation=explanation,
    )


def misses(results: Iterable[GateResult]) -> tuple[GateResult, ...]:
    """The gates that were missed, in the order given."""
    return tuple(result for result in results if not result.passed)


def require(results: Iterable[GateResult], context: str = "") -> None:
    """Raise `GateError` with every miss, or return when there is none."""
    missed = misses(results)
    if missed:
        raise GateError(missed, context)


def _show(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "no figure" if math.isnan(value) else f"{value:.6g}"
