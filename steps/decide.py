"""Decide: every gate of every step in one verdict. Nothing is registered or released after a missed one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict
from zenml import get_step_context, step

from bakehouse import gates
from bakehouse.gates import GateResult, holds
from bentos.common.room import Problem, load_room
from steps import reports, tracking
from steps.admit import Acceptance
from steps.champion import Champion
from steps.check import Expectations
from steps.evaluate import Evaluation
from steps.export import Parity


class Verdict(BaseModel):
    """Every gate, all passed where a later step reads this, and by file name
    the digests of the reports that stand behind them."""

    model_config = ConfigDict(frozen=True)

    gates: tuple[GateResult, ...]
    reports: dict[str, str]


@step
def decide(
    model: str,
    mlflow_run: str,
    acceptance: Acceptance,
    expectations: Expectations,
    champion: Champion,
    parity: Parity,
    evaluation: Evaluation,
    expectations_result: Path,
    expectations_report: Path,
    profile_report: Path,
    model_report: Path,
    model_card: Path,
    card_gate: GateResult,
) -> Annotated[Verdict, "verdict"]:
    """Keep the reports, write the gates to the MLflow run, and raise `GateError` with every miss where there is one."""
    measured = (*acceptance.gates, *expectations.gates, *champion.gates, *parity.gates, *evaluation.gates, card_gate)
    verdict = Verdict(
        gates=(*measured, *unmeasured(load_room(model).problem, measured)),
        reports={
            "expectations.json": reports.keep(expectations_result, ".json"),
            "expectations.html": reports.keep(expectations_report, ".html"),
            "profile.html": reports.keep(profile_report, ".html"),
            "model.html": reports.keep(model_report, ".html"),
            "model_card.md": reports.keep(model_card, ".md"),
        },
    )
    record(mlflow_run, verdict)
    tracking.client().set_tag(mlflow_run, "zenml_run", str(get_step_context().pipeline_run.id))
    gates.require(verdict.gates, f"{model} is not released")
    return verdict


def unmeasured(problem: Problem, measured: Iterable[GateResult]) -> tuple[GateResult, ...]:
    """A miss for each gate that the problem sets and no step measured: a misspelt name must not open a gate."""
    names = {result.name for result in measured}
    return tuple(
        holds(name, False, "not measured", "measured", f"bentos/{problem.model}/problem.yaml: gates.{name}")
        for name in problem.gates
        if name not in names
    )


def record(mlflow_run: str, verdict: Verdict) -> None:
    """Write gates and reports to the MLflow run, and mark it as failed, with every miss, where one was missed."""
    client = tracking.client()
    for name, digest in verdict.reports.items():
        client.log_text(mlflow_run, reports.path(digest, Path(name).suffix).read_text(), f"reports/{name}")
    listed = [gate.model_dump(mode="json") for gate in verdict.gates]
    client.log_text(mlflow_run, json.dumps(listed, indent=2, ensure_ascii=False), "gates.json")
    missed = gates.misses(verdict.gates)
    client.set_tag(mlflow_run, "gates", f"{len(verdict.gates) - len(missed)} of {len(verdict.gates)} passed")
    if missed:
        client.set_tag(mlflow_run, "misses", "\n".join(miss.describe() for miss in missed))
        client.set_terminated(mlflow_run, "FAILED")
