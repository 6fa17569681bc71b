"""How differently a model does for groups of people: the same figure for each group, and the gap between groups.

Holds computations on arrays; knows no record, no threshold and not which groups matter. Replicates and weights are
those of `bentos.common.evaluation`. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bentos.common import evaluation
from bentos.common.estimator import Figure, Picture
from bentos.common.evaluation import Bools, Floats

LEAST_ROWS = 20
"""From fewer rows a share is known to no better than 0.2 either way (95 %): shown, but no group is judged by it."""
Groups = Mapping[str, Mapping[str, Bools]]
"""For each attribute, which rows are of which group [rows]. A group that is expected stands here without a row too."""


@dataclass(frozen=True)
class Slice:
    """A figure of one group alone: the number of rows that it is a mean of, and the mean by replicate."""

    rows: int
    mean: Floats


Slices = Mapping[str, Mapping[str, Slice]]
"""By attribute and group."""


def grouped(expected: Mapping[str, Sequence[str]], of: Callable[[str], Sequence[str]]) -> Groups:
    """Which rows are of which group: `of` gives each row's group by an attribute, `expected` all that there are."""
    return {
        attribute: {group: np.array([found == group for found in of(attribute)], dtype=bool) for group in groups}
        for attribute, groups in expected.items()
    }


def by_group(groups: Groups, values: Floats | Bools, chosen: Bools, weights: Floats) -> Slices:
    """The mean of `values` [rows] (or the share of true ones) over the `chosen` rows of each group."""
    return {
        attribute: {group: _slice(values, weights * (members & chosen)) for group, members in found.items()}
        for attribute, found in groups.items()
    }


def gap(slices: Slices) -> Floats:
    """How far the two groups that differ most lie apart, over all attributes, by replicate. Not a number, which passes
    no gate, where an attribute has not two groups of `LEAST_ROWS` rows; smaller ones are left out."""
    spreads = [np.ptp(means, axis=0) for means in _judged(slices)]
    return np.asarray(np.max(spreads, axis=0), dtype=np.float64)


def least_ratio(slices: Slices) -> Floats:
    """The least group's figure over the greatest's, over all attributes, by replicate: 1 where all are alike; not a
    number where `gap` is none. The four-fifths rule of the US Uniform Guidelines on Employee Selection Procedures
    (1978) asks for 0.8."""
    ratios = [evaluation.divide(means.min(axis=0), means.max(axis=0)) for means in _judged(slices)]
    return np.asarray(np.min(ratios, axis=0), dtype=np.float64)


def figures(name: str, slices: Slices, greater_is_better: bool | None = True) -> dict[str, Figure]:
    """The figure of each group, named by `name`, the attribute and the group."""
    return {
        f"{name}_{attribute}_{group}": evaluation.figure(one.mean, greater_is_better=greater_is_better)
        for attribute, found in slices.items()
        for group, one in found.items()
    }


def counts(name: str, slices: Slices) -> dict[str, Figure]:
    """The number of rows that each group's figure is of, named in the same way."""
    return {
        f"{name}_{attribute}_{group}": Figure(one.rows, greater_is_better=None)
        for attribute, found in slices.items()
        for group, one in found.items()
    }


def table(title: str, slices: Mapping[str, Slices], caption: str) -> Picture:
    """Several figures of the same groups, by name, one group a row: the figure, and of how many rows."""
    rows: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {}
    for attribute, groups in next(iter(slices.values())).items():
        for group in groups:
            ones = {name: found[attribute][group] for name, found in slices.items()}
            cells = {key: value for name, one in ones.items() for key, value in _cells(name, one)}
            rows[group] = tuple(cells), tuple(cells.values())
    return Picture(title, "table", "", "group", rows, caption)


def _cells(name: str, one: Slice) -> tuple[tuple[str, float], ...]:
    return (name, float(one.mean[0])), (f"of ({name})", float(one.rows))


def _slice(values: Floats | Bools, weights: Floats) -> Slice:
    return Slice(int(np.count_nonzero(weights[0])), evaluation.mean(values, weights))


def _judged(slices: Slices) -> Iterator[Floats]:
    """The means [groups, replicates] of each attribute's groups that are large enough to compare."""
    for found in slices.values():
        means = [group.mean for group in found.values() if group.rows >= LEAST_ROWS]
        everything = np.vstack([group.mean for group in found.values()])
        yield np.vstack(means) if len(means) > 1 else np.full_like(everything, np.nan)
