"""Figures of a model whose records are too few to keep enough of them aside: repeated nested cross-validation.

Every record is judged once in each repetition, by a model that was neither fitted nor chosen with it. Chooses and fits
nothing itself, and knows no record. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bentos.common import classification, evaluation
from bentos.common.classification import Judged
from bentos.common.estimator import Figure
from bentos.common.evaluation import Floats

PREFIX = "cross_validated_"


def figures(repetitions: Sequence[Judged], same_choice: Sequence[bool], seed: int) -> dict[str, Figure]:
    """Accuracy, the area under the ROC curve and the log loss, each the mean over the repetitions with its 95 %
    bootstrap interval; and what accuracy and log loss gain over the base rate: calling every record what most are, and
    giving each the share that is positive, both known with hindsight. And the share of the folds that made the
    `same_choice` as the training whose model will answer: the lower, the more that choice was luck.

    The repetitions judge the same records in the same order. A record is drawn with all that was said of it: the
    repetitions are no further evidence, they only take the luck of one deal out of the figure. The lower ends of the
    area and of the gains stand as figures of their own, `…_low`, for a gate to hold on to.
    """
    truth = repetitions[0].truth
    weights = evaluation.replicates(len(truth), seed)
    share = evaluation.mean(truth, weights)
    base_accuracy = np.maximum(share, 1 - share)
    base_log_loss = _entropy(share)

    def over_all(of_one: Callable[[Judged], Floats]) -> Floats:
        return np.asarray(np.mean([of_one(judged) for judged in repetitions], axis=0), dtype=np.float64)

    accuracy = over_all(lambda judged: evaluation.mean(judged.truth == judged.flagged, weights))
    roc_auc = over_all(lambda judged: classification.roc_auc(judged.probability, judged.truth, weights))
    log_loss = over_all(lambda judged: classification.log_loss(judged.probability, judged.truth, weights))
    found = {
        "accuracy": evaluation.figure(accuracy),
        "roc_auc": evaluation.figure(roc_auc),
        "log_loss": evaluation.figure(log_loss, greater_is_better=False),
        "accuracy_gain": evaluation.figure(accuracy - base_accuracy),
        "log_loss_gain": evaluation.figure(base_log_loss - log_loss),
    }
    for name in ("roc_auc", "accuracy_gain", "log_loss_gain"):
        low = found[name].low
        found[f"{name}_low"] = Figure(float("nan") if low is None else low)
    found["same_choice"] = Figure(float(np.mean(same_choice)), greater_is_better=None)
    return {PREFIX + name: figure for name, figure in found.items()}


def _entropy(share: Floats) -> Floats:
    """The log loss of giving every record the share that is positive."""
    bounded = np.clip(share, classification.LEAST, 1 - classification.LEAST)
    return -(bounded * np.log(bounded) + (1 - bounded) * np.log(1 - bounded))
