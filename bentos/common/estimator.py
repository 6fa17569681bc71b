"""What a room's estimator.py says, as types: candidates and their search, fitting, conversion to ONNX, and evaluation.

Holds the protocol alone; the searches that fulfil `Search` stand in `bentos.common.tuning`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
class Range:
    """Every number from `low` to `high`, both included: whole ones where both are, and evenly by order of magnitude
    where `log`."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Candidate:
    """A kind of estimator, with the values that each of its parameters may take: some that are listed, or a range."""

    name: str
    space: Mapping[str, Sequence[Any] | Range]


@dataclass(frozen=True)
class Trial:
    """One candidate with one choice of parameters."""

    candidate: str
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Fold:
    """The records that a trial learns from, and those that it is scored on."""

    train: Items
    dev: Items


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
    """A plot or a table as data: the room says what there is to see, a step draws it.

    `series` maps a legend to its points (x, y). A histogram has the sample alone (x, empty); a bar has names and
    lengths; a matrix or a table has a row for each legend (column names, values). `guide` is the line that a reader
    compares with: where y equals x, or where y is 0.
    """

    title: str
    kind: Literal["histogram", "line", "scatter", "bar", "matrix", "table"]
    x: str
    y: str
    series: Mapping[str, tuple[Sequence[Any], Sequence[float]]]
    caption: str = ""
    guide: Literal["", "diagonal", "zero"] = ""


class Search(Protocol):
    """Where trials come from, one at a time: `ask` for one, `gives_up` after each of its folds, `tell` how it ended.
    Adaptive searches learn from what they are told."""

    def ask(self) -> Trial | None:
        """The next trial; None when nothing is left to try."""

    def gives_up(self, fold: int, score: float) -> bool:
        """Whether the trial asked for last is given up, its mean score being `score` after the fold number `fold`
        (from 0)."""

    def tell(self, score: float, *, given_up: bool = False) -> None:
        """The mean score of the trial asked for last, over the folds that it was tried on."""


class Estimator(Protocol):
    """What `bentos/<model>/estimator.py` fulfils, as a module."""

    SPLIT: Split
    """How train, dev and test are cut."""

    METRIC: str
    """The name of the primary metric that `score` returns."""

    def search(self, seed: int) -> Search:
        """The trials to make."""

    def folds(self, train: Items, dev: Items, seed: int) -> Sequence[Fold]:
        """On what each trial is fitted and scored: one fold, or several for cross-validation. The test set is in none;
        every trial gets the same folds."""

    def fit(self, trial: Trial, train: Items, seed: int) -> Any:
        """The trial's estimator, fitted."""

    def score(self, fitted: Any, dev: Items, seed: int) -> float:
        """The primary metric on a fold's dev records; greater is better. It may not depend on what `finish` sets."""

    def finish(self, trial: Trial, train: Items, dev: Items, seed: int) -> Any:
        """The winning trial's estimator as it will answer: fitted on all that it may learn from, its thresholds or
        probabilities set where it has any to set."""

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
        """What to look at beside the figures. `bentos.common.pictures` makes the usual ones."""


class FewRecords(Estimator, Protocol):
    """What the estimator of a room with few records may say as well: a test set of twenty says next to nothing."""

    def cross_validated(self, fitted: Any, known: Items, seed: int) -> Mapping[str, Figure]:
        """Figures of how well a model that is chosen and `fitted` as this one does, chosen and fitted again on parts of
        all the records `known` and judged on the others. `bentos.common.cross_validation` makes the usual ones."""
