"""What a check is made on: the sources, and for each environment the plans and states that Terraform showed.

A folder of evidence has a folder for each environment with `<root>.plan.json` and `<root>.state.json`, each what
`terraform show -json` prints. Reads files and judges them; prints nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from bakehouse.errors import ConfigurationError
from terraform.policies.catalogue import catalogue, judge_estate, judge_sources
from terraform.policies.estate import Context, Estate, read_plans, read_states
from terraform.policies.rules import Result, Verdict
from terraform.policies.sources import read_sources
from terraform.policies.waivers import Outcome, Waiver, apply_waivers, read_waivers

TERRAFORM = Path(__file__).resolve().parents[1]
SOURCES = "sources"


@dataclass(frozen=True)
class Evidence:
    """The plans and states of one environment."""

    planned: Estate | None
    recorded: Estate | None
    missing: tuple[str, ...] = ()
    """The roots of which it has no plan."""

    @property
    def context(self) -> Context:
        estate = self.recorded or self.planned
        assert estate is not None, "evidence holds a plan or a state"
        return estate.context


@dataclass(frozen=True)
class Check:
    """Everything that was judged, and what came out."""

    evidence: Mapping[str, Evidence]
    results: Mapping[str, tuple[Result, ...]]
    waivers: tuple[Waiver, ...]
    outcome: Outcome

    def broken_alone(self) -> Check:
        """The same without what can't be told yet, for the plans that are there before anything is applied."""
        certain = tuple(item for item in self.outcome.failures if item.judgement.verdict is Verdict.BROKEN)
        return replace(self, outcome=replace(self.outcome, failures=certain, faults=()))


def read_evidence(folder: Path) -> Mapping[str, Evidence]:
    """The evidence in a folder by environment; empty where the folder is not there. Raises `ConfigurationError` for a
    file that is not what Terraform shows, and for states without a plan: only a plan says which environment it is."""
    if not folder.is_dir():
        return {}
    return {path.name: _read(path) for path in sorted(folder.iterdir()) if path.is_dir() and any(path.glob("*.json"))}


def check(evidence: Mapping[str, Evidence], wanted: Iterable[str], today: date, terraform: Path = TERRAFORM) -> Check:
    """Judge the sources and every environment, and apply the waivers that hold today. An environment that is wanted
    and has no evidence fails every rule: what was not looked at is not in order."""
    waivers = read_waivers()
    results = {
        SOURCES: judge_sources(read_sources(terraform)),
        **{name: judge_estate(None) for name in sorted(set(wanted) - set(evidence))},
        **{name: judge_estate(found.planned, found.recorded) for name, found in evidence.items()},
    }
    outcome = apply_waivers(results, waivers, catalogue(), today)
    unseen = [
        f"{name} has no plan of {', '.join(found.missing)}: what was not looked at is not in order"
        for name, found in evidence.items()
        if found.missing
    ]
    return Check(evidence, results, waivers, replace(outcome, faults=(*outcome.faults, *unseen)))


def _read(folder: Path) -> Evidence:
    plans = {path.name.removesuffix(".plan.json"): _load(path) for path in sorted(folder.glob("*.plan.json"))}
    states = {path.name.removesuffix(".state.json"): _load(path) for path in sorted(folder.glob("*.state.json"))}
    if not plans:
        raise ConfigurationError(
            f"{folder} has no *.plan.json.", "Write `terraform show -json PLAN` of each root into it."
        )
    try:
        planned = read_plans(plans)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"{folder} does not hold the plans of one environment: {error}.") from error
    if planned.context.environment != folder.name:
        raise ConfigurationError(f"{folder} holds plans of {planned.context.environment}, not of {folder.name}.")
    missing = sorted({path.parent.name for path in TERRAFORM.glob("*/backend.tf")} - set(plans))
    return Evidence(planned, read_states(states, planned.context) if states else None, tuple(missing))


def _load(path: Path) -> Mapping[str, Any]:
    try:
        document: Any = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}.", "Write it by `terraform show -json`.") from error
    if not isinstance(document, dict) or "format_version" not in document:
        raise ConfigurationError(f"{path} is not what `terraform show -json` prints.")
    return document
