"""How well a model with two classes does: figures with their uncertainty, on labelled rows and all replicates at once.

Holds computations on arrays; knows no record and no threshold. Replicates and weights are those of
`bentos.common.evaluation`. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bentos.common import evaluation
from bentos.common.estimator import Figure
from bentos.common.evaluation import Bools, Floats

BINS = 10
LEAST = 1e-15
"""A probability of 0 or 1 that is wrong would cost infinitely much; scikit-learn's bound for float64 is like it."""


@dataclass(frozen=True)
class Judged:
    """What a model said of labelled rows: their `truth`, which it `flagged` as positive, and the `probability` of that,
    [rows] each; and the names of the two classes."""

    truth: Bools
    flagged: Bools
    probability: Floats
    negative: str
    positive: str


def figures(judged: Judged, seed: int, weights: Floats | None = None) -> dict[str, Figure]:
    """Accuracy, macro F1, and precision, recall and F1 of each class; and of the probability: log loss, the area under
    the ROC curve, average precision and calibration error. Each with its 95 % bootstrap interval, rows drawn alike for
    every model of the same seed, or as `weights` says."""
    weights = evaluation.replicates(len(judged.truth), seed) if weights is None else weights
    truth, flagged, probability = judged.truth, judged.flagged, judged.probability
    found = {"accuracy": evaluation.figure(evaluation.mean(truth == flagged, weights))}
    by_class = {
        judged.negative: (~flagged, ~truth),
        judged.positive: (flagged, truth),
    }
    found["macro_f1"] = evaluation.figure(
        np.mean([f1(called, actual, weights) for called, actual in by_class.values()], axis=0)
    )
    for name, (called, actual) in by_class.items():
        found[f"precision_{name}"] = evaluation.figure(evaluation.precision(called, actual, weights))
        found[f"recall_{name}"] = evaluation.figure(evaluation.recall(called, actual, weights))
        found[f"f1_{name}"] = evaluation.figure(f1(called, actual, weights))
    found["roc_auc"] = evaluation.figure(roc_auc(probability, truth, weights))
    found["average_precision"] = evaluation.figure(evaluation.average_precision(probability, truth, weights))
    found["log_loss"] = evaluation.figure(log_loss(probability, truth, weights), greater_is_better=False)
    error = calibration_error(probability, truth, weights)
    found["calibration_error"] = evaluation.figure(error, greater_is_better=False)
    return found


def gains(candidate: Judged, champion: Judged, seed: int, weights: Floats | None = None) -> dict[str, Figure]:
    """How much more often the candidate is right than the champion, and how often they agree, on the same rows drawn
    together, or as `weights` says."""
    weights = evaluation.replicates(len(candidate.truth), seed) if weights is None else weights
    right = (candidate.flagged == candidate.truth).astype(np.float64) - (champion.flagged == champion.truth)
    return {
        "champion_accuracy_gain": evaluation.figure(evaluation.mean(right, weights)),
        "champion_agreement": evaluation.figure(
            evaluation.mean(candidate.flagged == champion.flagged, weights), greater_is_better=None
        ),
    }


def report(judged: Judged) -> Mapping[str, Mapping[str, float]]:
    """The classification report as scikit-learn's: precision, recall, F1 and support of each class."""
    once = np.ones((1, len(judged.truth)))
    by_class = {
        judged.negative: (~judged.flagged, ~judged.truth),
        judged.positive: (judged.flagged, judged.truth),
    }
    return {
        name: {
            "precision": float(evaluation.precision(called, actual, once)[0]),
            "recall": float(evaluation.recall(called, actual, once)[0]),
            "F1": float(f1(called, actual, once)[0]),
            "support": float(actual.sum()),
        }
        for name, (called, actual) in by_class.items()
    }


def f1(flagged: Bools, positive: Bools, weights: Floats) -> Floats:
    """The harmonic mean of precision and recall, by replicate; 0 where nothing is flagged rightly, not a number where
    nothing is flagged or positive at all."""
    return evaluation.divide(2 * (weights @ (flagged & positive)), weights @ flagged + weights @ positive)


def log_loss(probability: Floats, positive: Bools, weights: Floats) -> Floats:
    """The mean negative natural logarithm of the probability given to what is true, by replicate."""
    bounded = np.clip(probability, LEAST, 1 - LEAST)
    return evaluation.mean(-np.where(positive, np.log(bounded), np.log1p(-bounded)), weights)


def roc_auc(scores: Floats, positive: Bools, weights: Floats) -> Floats:
    """The area under the ROC curve, a greater score meaning positive and ties counting half, by replicate."""
    false, true = roc(scores, positive, weights)
    from_origin = [np.pad(rates, ((0, 0), (1, 0))) for rates in (false, true)]
    return np.asarray(np.trapezoid(from_origin[1], from_origin[0], axis=1), dtype=np.float64)


def roc(scores: Floats, positive: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates [replicates, thresholds], the threshold at each distinct score, greatest first."""
    drawn, hit, last_of_ties = evaluation.ranked(scores, positive, weights)
    hits, alarms = np.cumsum(drawn * hit, axis=1), np.cumsum(drawn * ~hit, axis=1)
    return (
        evaluation.divide(alarms[:, last_of_ties], alarms[:, -1:]),
        evaluation.divide(hits[:, last_of_ties], hits[:, -1:]),
    )


def calibration(probability: Floats, positive: Bools, bins: int = BINS) -> tuple[Floats, Floats, Floats]:
    """The mean probability, the share of positive rows, and the number of rows, of each bin of equal width that holds
    any."""
    members = _members(probability, bins)
    counts = members.sum(axis=0)
    kept = counts > 0
    return (
        (probability @ members)[kept] / counts[kept],
        (positive @ members)[kept] / counts[kept],
        counts[kept],
    )


def calibration_error(probability: Floats, positive: Bools, weights: Floats, bins: int = BINS) -> Floats:
    """The expected calibration error (Naeini et al. 2015) over bins of equal width, by replicate: how far the share of
    positive rows is from the mean probability, bin by bin, weighted by their rows."""
    gaps = weights @ (_members(probability, bins) * (positive - probability)[:, None])
    return evaluation.divide(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def _members(probability: Floats, bins: int) -> Floats:
    """Which row is in which bin, [rows, bins]."""
    places = np.minimum((probability * bins).astype(np.int64), bins - 1)
    return np.eye(bins)[places]
