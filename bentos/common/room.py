"""A model's room: its problem statement, and its modules by name. Finds rooms; knows none of them.

Importing this stays cheap: a room's modules, some of which need scikit-learn or Great Expectations, load on first use.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, cast

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import bentos
from bakehouse import gates, workspace
from bakehouse.errors import ConfigurationError
from bakehouse.gates import GateResult
from bentos.common.feature_store import Definitions

Text = Annotated[str, Field(min_length=1)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Stated(BaseModel):
    """What every part of a problem statement is: unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(Stated):
    """What a figure must reach: `at_least`, `at_most`, or a `target` with a `tolerance`; and `why` it is set there."""

    at_least: Finite | None = None
    at_most: Finite | None = None
    target: Finite | None = None
    tolerance: Annotated[Finite, Field(ge=0)] | None = None
    why: Text

    @model_validator(mode="after")
    def _states_one_thing(self) -> Threshold:
        stated = {name for name in ("at_least", "at_most", "target", "tolerance") if getattr(self, name) is not None}
        if stated not in ({"at_least"}, {"at_most"}, {"target", "tolerance"}):
            raise ValueError("state exactly one of at_least, at_most, or target together with tolerance")
        return self


class Kpi(Stated):
    """The business figure that the model moves, and how it is computed from feedback."""

    name: Text
    unit: Text
    how: Text


class Problem(Stated):
    """A model's `problem.yaml`: why it exists, when it is good enough, and who answers for it."""

    model: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: Text
    problem: Text
    kpi: Kpi
    owner: Text
    intended_use: tuple[Text, ...]
    out_of_scope: tuple[Text, ...]
    promotion: Literal["review", "automatic"]
    gates: dict[str, Threshold]

    def threshold(self, name: str) -> Threshold:
        """The threshold set under `gates`. Raises `ConfigurationError` where the problem sets none of that name."""
        try:
            return self.gates[name]
        except KeyError:
            raise ConfigurationError(
                f"bentos/{self.model}/problem.yaml sets no gate {name}.",
                f"It sets: {', '.join(sorted(self.gates)) or 'none'}.",
            ) from None

    def gate(self, name: str, figure: float) -> GateResult:
        """Hold `figure` against the threshold `name`. A figure that is not a number never passes."""
        threshold = self.threshold(name)
        source = f"bentos/{self.model}/problem.yaml: gates.{name}"
        if threshold.at_least is not None:
            return gates.at_least(name, figure, threshold.at_least, source, threshold.why)
        if threshold.at_most is not None:
            return gates.at_most(name, figure, threshold.at_most, source, threshold.why)
        target, tolerance = cast(float, threshold.target), cast(float, threshold.tolerance)
        return GateResult(
            name=name,
            passed=abs(figure - target) <= tolerance,
            figure=figure,
            comparison="within",
            threshold=f"{target:g} ± {tolerance:g}",
            source=source,
            explanation=threshold.why,
        )


@dataclass(frozen=True)
class Room:
    """One folder under `bentos/`: the problem it states, and its modules, each imported on first use."""

    name: str
    folder: Path
    problem: Problem

    @cached_property
    def contract(self) -> ModuleType:
        return self._module("contract")

    @cached_property
    def features(self) -> ModuleType:
        return self._module("features")

    @cached_property
    def checks(self) -> ModuleType:
        return self._module("checks")

    @cached_property
    def estimator(self) -> ModuleType:
        return self._module("estimator")

    @cached_property
    def service(self) -> ModuleType:
        return self._module("service")

    @cached_property
    def feature_store(self) -> Definitions | None:
        """The room's definitions for a feature store, where it has any; they import Feast."""
        if not (self.folder / "feature_store" / "definitions.py").is_file():
            return None
        return cast("Definitions", importlib.import_module(f"bentos.{self.name}.feature_store.definitions"))

    def _module(self, name: str) -> ModuleType:
        if not (self.folder / f"{name}.py").is_file():
            raise ConfigurationError(f"bentos/{self.name} has no {name}.py.", "Every room holds the same files.")
        return importlib.import_module(f"bentos.{self.name}.{name}")


def rooms(root: Path | None = None) -> tuple[str, ...]:
    """The models that have a room in the checkout at `root`, sorted."""
    return tuple(sorted(path.parent.name for path in _folder(root).glob("*/problem.yaml")))


def load_room(name: str, root: Path | None = None) -> Room:
    """The room of the model `name` in the checkout at `root` (else the workspace's).

    Raises `ConfigurationError` that lists the rooms where there is none of that name, and one that lists every fault
    where its problem.yaml is not valid.
    """
    known = rooms(root)
    if name not in known:
        raise ConfigurationError(
            f"There is no model {name!r}.", f"The models are: {', '.join(known) or 'none; add a folder under bentos/'}."
        )
    bentos_folder = _folder(root)
    # A room of another checkout than the one this package was imported from must be importable too.
    if str(bentos_folder) not in bentos.__path__:
        bentos.__path__.append(str(bentos_folder))
    return Room(name=name, folder=bentos_folder / name, problem=_problem(bentos_folder / name / "problem.yaml", name))


def _folder(root: Path | None) -> Path:
    return (root or workspace.root()).resolve() / "bentos"


def _problem(path: Path, name: str) -> Problem:
    where = f"bentos/{name}/problem.yaml"
    try:
        problem = Problem.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{where} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in error.errors()
        )
        raise ConfigurationError(f"{where} is not a problem statement: {faults}.") from error
    if problem.model != name:
        raise ConfigurationError(f"{where} is about {problem.model!r}.", f"Its folder says {name!r}: make them agree.")
    return problem
