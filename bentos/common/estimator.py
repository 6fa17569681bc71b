"""What a room's estimator.py says, as types: candidates and their search, fitting, conversion to ONNX, and evaluation.

Holds the protocol and the searches that rooms share; fits nothing itself and knows no tracking server and no pipeline.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Items = Sequence[Any]
"""Masked records of the room's contract."""
Predict = Callable[[Items], Arrays]
"""Any model under test, from masked records to the ONNX graph's outputs by name."""
Run = Callable[[Mapping[str, NDArray[Any]]], Arrays]
"""Any model under test, from the ONNX graph's inputs by name to its outputs by name."""


@dataclass(frozen=True)
class Split:
    """How held-out rows are chosen: the latest ones (`time`), or by a hash of the record's id that never changes
    (`hash`). `train` and `dev` are shares of the rows; what remains is the test set."""

    by: Literal["time", "hash"]
    train: float
    dev: float

    def __post_init__(self) -> None:
        if min(self.train, self.dev) <= 0 or self.train + self.dev >= 1:
            raise ValueError(f"shares must be positive and leave a test set, not train {self.train}, dev {self.dev}")


@dataclass(frozen=True)
class Candidate:
    """A kind of estimator, with the values that each of its parameters may take."""

    name: str
    space: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Trial:
    """One candidate with one choice of parameters."""

    candidate: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Figure:
    """A figure on held-out rows, with its 95 % interval where one can be computed. `greater_is_better` is None where
    neither way is, as with a rate that is held to a target."""

    value: float
    low: float | None = None
    high: float | None = None
    greater_is_better: bool | None = True


@dataclass(frozen=True)
class Picture:
    """A plot as data: the room says what there is to see, a step draws it.

    `series` maps a legend to its points (x, y), or for a histogram to the sample alone (x, empty).
    """

    title: str
    kind: Literal["histogram", "line", "bar"]
    x: str
    y: str
    series: Mapping[str, tuple[Sequence[Any], Sequence[float]]]
    caption: str = ""


class Search(Protocol):
    """Where trials come from. Adaptive searches learn from `tell`; `ask` returns None when nothing is left to try."""

    def ask(self) -> Trial | None: ...

    def tell(self, trial: Trial, score: float) -> None: ...


class Estimator(Protocol):
    """What `bentos/<model>/estimator.py` fulfils, as a module."""

    SPLIT: Split
    """How train, dev and test are cut."""

    METRIC: str
    """The name of the primary metric that `score` returns."""

    def search(self, seed: int) -> Search:
        """The trials to make."""

    def fit(self, trial: Trial, train: Items, seed: int) -> Any:
        """The trial's estimator, fitted."""

    def score(self, fitted: Any, dev: Items, seed: int) -> float:
        """The primary metric on the dev set; greater is better. It may not depend on what `calibrate` sets."""

    def calibrate(self, fitted: Any, trial: Trial, train: Items, dev: Items, seed: int) -> Any:
        """The winning trial's estimator with its thresholds or probabilities set, where it has any to set."""

    def convert(self, fitted: Any) -> bytes:
        """The ONNX graph."""

    def reference(self, fitted: Any, items: Items) -> Arrays:
        """What the fitted estimator itself answers, under the graph's output names and types, for parity."""

    def figures(self, predict: Predict, test: Items, seed: int) -> Mapping[str, Figure]:
        """The evaluation of one model, by name. The same seed gives every model the same rows."""

    def compare(self, candidate: Predict, champion: Predict, test: Items, seed: int) -> Mapping[str, Figure]:
        """Figures that need both models, each name beginning with `champion_`."""

    def importance(self, run: Run, test: Items, seed: int) -> Mapping[str, float]:
        """How much each feature moves the answer, greatest first."""

    def pictures(self, predict: Predict, test: Items, seed: int) -> Sequence[Picture]:
        """What to look at beside the figures."""


class RandomSearch:
    """Every candidate's grid in one seeded random order without repetition. Learns nothing from scores."""

    def __init__(self, candidates: Sequence[Candidate], seed: int) -> None:
        trials = list(_grid(candidates))
        order = np.random.default_rng(seed).permutation(len(trials))
        self._remaining = (trials[place] for place in order)

    def ask(self) -> Trial | None:
        return next(self._remaining, None)

    def tell(self, trial: Trial, score: float) -> None:
        """Scores change nothing here."""


def _grid(candidates: Sequence[Candidate]) -> Iterator[Trial]:
    for candidate in candidates:
        names = sorted(candidate.space)
        for values in itertools.product(*(candidate.space[name] for name in names)):
            yield Trial(candidate.name, dict(zip(names, values, strict=True)))
