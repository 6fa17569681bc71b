"""How well a model that estimates a number does: figures with their uncertainty, on rows whose number is known.

Holds computations on arrays, in the unit of what is estimated; knows no record and no threshold. Replicates and weights
are those of `bentos.common.evaluation`. numpy only.
"""

from __future__ import annotations

import numpy as np

from bentos.common import evaluation
from bentos.common.estimator import Figure
from bentos.common.evaluation import Floats


def figures(truth: Floats, estimate: Floats, seed: int) -> dict[str, Figure]:
    """Root mean square error, mean absolute error, R² and the mean of the residuals (truth less estimate), each with
    its 95 % bootstrap interval, rows drawn alike for every model of the same seed."""
    weights = evaluation.replicates(len(truth), seed)
    residuals = truth - estimate
    return {
        "rmse": evaluation.figure(rmse(residuals, weights), greater_is_better=False),
        "mae": evaluation.figure(evaluation.mean(np.abs(residuals), weights), greater_is_better=False),
        "r2": evaluation.figure(r2(truth, estimate, weights)),
        "mean_residual": evaluation.figure(evaluation.mean(residuals, weights), greater_is_better=None),
    }


def gains(truth: Floats, candidate: Floats, champion: Floats, seed: int) -> dict[str, Figure]:
    """By how much the candidate's root mean square error is below the champion's, rows drawn for both together."""
    weights = evaluation.replicates(len(truth), seed)
    return {"champion_rmse_gain": evaluation.figure(rmse(truth - champion, weights) - rmse(truth - candidate, weights))}


def rmse(residuals: Floats, weights: Floats) -> Floats:
    """The root of the weighted mean square, by replicate."""
    return np.sqrt(evaluation.mean(residuals**2, weights))


def r2(truth: Floats, estimate: Floats, weights: Floats) -> Floats:
    """The share of the truth's variance that the estimate explains, by replicate; not a number where there is none."""
    spread = evaluation.mean(truth**2, weights) - evaluation.mean(truth, weights) ** 2
    return 1 - evaluation.divide(evaluation.mean((truth - estimate) ** 2, weights), np.maximum(spread, 0))
