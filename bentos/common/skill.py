"""Skill: how much of what is unknown a model knows, 1 for all of it and 0 for no more than who says the mean.

The guess is the mean of each stratum, so that a model earns nothing by telling strata apart. numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bentos.common import evaluation
from bentos.common.evaluation import Bools, Floats

LEAST = 1e-15


def of_estimates(truth: Floats, estimate: Floats, strata: NDArray[np.str_], weights: Floats) -> Floats:
    """R² within strata: 1 less the squared error over that of the strata's means, by replicate."""
    variances = {
        stratum: evaluation.mean(truth**2, here) - evaluation.mean(truth, here) ** 2
        for stratum, here in _within(strata, weights).items()
    }
    return 1 - _over_guessing((truth - estimate) ** 2, variances, strata, weights)


def of_probabilities(truth: Bools, probability: Floats, strata: NDArray[np.str_], weights: Floats) -> Floats:
    """1 less the log loss over that of the strata's shares, by replicate."""
    bounded = np.clip(probability, LEAST, 1 - LEAST)
    entropies = {}
    for stratum, here in _within(strata, weights).items():
        share = np.clip(evaluation.mean(truth, here), LEAST, 1 - LEAST)
        entropies[stratum] = -share * np.log(share) - (1 - share) * np.log(1 - share)
    return 1 - _over_guessing(-np.log(np.where(truth, bounded, 1 - bounded)), entropies, strata, weights)


def _over_guessing(losses: Floats, guessed: dict[str, Floats], strata: NDArray[np.str_], weights: Floats) -> Floats:
    guessing = np.zeros(len(weights))
    for stratum, here in _within(strata, weights).items():
        guessing += np.nan_to_num(guessed[stratum]) * here.sum(axis=1)
    return evaluation.divide(weights @ losses, guessing)


def _within(strata: NDArray[np.str_], weights: Floats) -> dict[str, Floats]:
    return {str(stratum): weights * (strata == stratum) for stratum in np.unique(strata)}
