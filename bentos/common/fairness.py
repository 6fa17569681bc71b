"""How differently a model does for groups of people: the same figure for each group, and the gap between groups.

Holds computations on arrays; knows no record, no threshold and not which groups matter. Replicates and weights are
those of `bentos.common.evaluation`. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from bentos.common import evaluation
from bentos.common.evaluation import Floats

Groups = Mapping[str, NDArray[np.str_]]
"""For each attribute, the group of each row [rows]."""
Measure = Callable[[Floats], Floats]
"""A figure by replicate, from weights [replicates, rows]."""


def by_group(groups: Groups, weights: Floats, measure: Measure) -> dict[str, dict[str, Floats]]:
    """The measure on the rows of each group alone, by attribute and group."""
    return {
        attribute: {str(group): measure(weights * (membership == group)) for group in np.unique(membership)}
        for attribute, membership in groups.items()
    }


def gap(by_attribute: Mapping[str, Mapping[str, Floats]]) -> Floats:
    """How far the two groups that differ most lie apart, over all attributes, by replicate."""
    spreads = [np.ptp(np.vstack(list(found.values())), axis=0) for found in by_attribute.values()]
    return np.asarray(np.max(spreads, axis=0), dtype=np.float64)


def least_ratio(by_attribute: Mapping[str, Mapping[str, Floats]]) -> Floats:
    """The least group's figure over the greatest's, over all attributes, by replicate: 1 where all are alike. The
    four-fifths rule of the US Uniform Guidelines on Employee Selection Procedures (1978) asks for 0.8."""
    ratios = []
    for found in by_attribute.values():
        figures = np.vstack(list(found.values()))
        ratios.append(evaluation.divide(figures.min(axis=0), figures.max(axis=0)))
    return np.asarray(np.min(ratios, axis=0), dtype=np.float64)
