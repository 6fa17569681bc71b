"""The cakes estimator: logistic regression beside a small random forest, and how well either does on so few treats.

Eighty treats leave some twenty to hold out. Those compare two versions with one another; how well a model does that is
chosen and fitted in this way is said by repeated nested cross-validation over all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.cakes.contract import Masked, is_liked
from bentos.cakes.features import FEATURES, arrays
from bentos.common import classification, cross_validation, evaluation, tuning
from bentos.common import pictures as usual
from bentos.common.classification import Judged
from bentos.common.estimator import Arrays, Candidate, Figure, Fold, Picture, Predict, Run, Split, Trial

SPLIT = Split(by="hash", train=0.6, dev=0.15)
METRIC = "negative_log_loss"
FOLDS = 5
REPETITIONS = 4
JUDGING_REPETITIONS = 4
"""Few, because each chooses anew in each of its folds, which costs as much as the training did."""
CANDIDATES = (
    Candidate("logistic_regression", {"c": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)}),
    Candidate("random_forest", {"depth": (2, 3), "smallest_leaf": (4, 6)}),
)
"""Few on purpose: the best of many trials on sixty treats is the luckiest, and deep trees learn treats by heart."""
TREES = 40


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier, and the trial that it is of."""

    trial: Trial
    classifier: Any


def search(seed: int) -> tuning.OptunaSearch:
    """Trials of both kinds."""
    return tuning.OptunaSearch(CANDIDATES, seed)


def folds(train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Sequence[Fold]:
    """Repeated cross-validation over all treats that are not for the test: one deal of five folds is mostly luck."""
    known = [*train, *dev]
    return tuning.stratified_folds(known, _labels(known).tolist(), FOLDS, seed, REPETITIONS)


def fit(trial: Trial, train: Sequence[Masked], seed: int) -> Fitted:
    """Weights, or trees, learned from these treats."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    params = trial.params
    make = {
        "logistic_regression": lambda: LogisticRegression(C=params["c"], max_iter=1_000),
        "random_forest": lambda: RandomForestClassifier(
            n_estimators=TREES,
            max_depth=params["depth"],
            min_samples_leaf=params["smallest_leaf"],
            random_state=seed,
        ),
    }
    classifier = make[trial.candidate]()
    # Threads cost more than they gain on some sixty rows, and most of all on a machine that is busy.
    with threadpool_limits(1):
        classifier.fit(arrays(train)["features"], _labels(train).astype(np.int64))
    return Fitted(trial, classifier)


def score(fitted: Fitted, dev: Sequence[Masked], seed: int) -> float:
    """Log loss, its sign turned: of accuracy, ten treats know only eleven values."""
    judged = _judged(reference(fitted, dev), dev)
    return -float(classification.log_loss(judged.probability, judged.truth, np.ones((1, len(dev))))[0])


def finish(trial: Trial, train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Fitted:
    """Fitted on train and dev together."""
    return fit(trial, [*train, *dev], seed)


def convert(fitted: Fitted) -> bytes:
    """scikit-learn's own converter: input `features`, outputs `label` and `probabilities` [rows, 2]."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    from bentos.common.graph_merging import OPSETS

    converted = convert_sklearn(
        fitted.classifier,
        "cakes",
        [("features", FloatTensorType([None, len(FEATURES)]))],
        final_types=[("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, 2]))],
        options={"zipmap": False},
        target_opset=OPSETS,
    )
    return bytes(converted.SerializeToString())


def reference(fitted: Fitted, items: Sequence[Masked]) -> Arrays:
    """scikit-learn's own answer."""
    features = arrays(items)["features"]
    return {
        "label": fitted.classifier.predict(features).astype(np.int64),
        "probabilities": fitted.classifier.predict_proba(features).astype(np.float32),
    }


def figures(predict: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """All of a classifier's, on the held-out treats."""
    return classification.figures(_judged(predict(test), test), seed)


def cross_validated(fitted: Fitted, known: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """How well a model does on a treat that it has not seen, over all `known`; and in what share of the folds the trial
    that was `fitted` would have been chosen.

    The choice belongs to what is judged: each fold's model is chosen anew, by folds within the treats that it learns
    from (nested cross-validation, Varma and Simon 2006). One choice for all folds would have seen the treats that it is
    judged on. Each model learns from as many treats as the one that will answer, or a few more."""
    order = {treat.name: place for place, treat in enumerate(known)}
    labels = _labels(known)
    dealt = tuning.stratified_folds(known, labels.tolist(), FOLDS, seed + 1, JUDGING_REPETITIONS)
    judged, chosen = [], []
    for first in range(0, len(dealt), FOLDS):
        answers = np.zeros((len(known), 2), dtype=np.float32)
        for fold in dealt[first : first + FOLDS]:
            chosen.append(choose(fold.train, seed))
            places = [order[treat.name] for treat in fold.dev]
            answers[places] = reference(fit(chosen[-1], fold.train, seed), fold.dev)["probabilities"]
        judged.append(_judged({"label": answers.argmax(axis=1), "probabilities": answers}, known))
    return cross_validation.figures(judged, [trial == fitted.trial for trial in chosen], seed)


def choose(known: Sequence[Masked], seed: int) -> Trial:
    """The trial that training would choose from these treats."""
    inner = tuning.stratified_folds(known, _labels(known).tolist(), FOLDS, seed)
    return tuning.choose(search(seed), inner, lambda trial, fold: score(fit(trial, fold.train, seed), fold.dev, seed))


def compare(candidate: Predict, champion: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """How much more often it is right than the champion, how often they agree, and what its probabilities gain."""
    own, other = _judged(candidate(test), test), _judged(champion(test), test)
    weights = evaluation.replicates(len(test), seed)
    losses = [classification.log_loss(judged.probability, judged.truth, weights) for judged in (own, other)]
    return {
        **classification.gains(own, other, seed),
        "champion_log_loss_gain": evaluation.figure(losses[1] - losses[0]),
    }


def importance(run: Run, test: Sequence[Masked], seed: int) -> Mapping[str, float]:
    """How far each flavour, form and rank moves the probability of being liked."""

    def probability(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        return {"liked": run(inputs)["probabilities"][:, 1]}

    return evaluation.permutation_importance(probability, arrays(test), "features", FEATURES, "liked", seed)


def pictures(predict: Predict, test: Sequence[Masked], seed: int) -> Sequence[Picture]:
    """The usual ones of a classifier."""
    return usual.of_classes(_judged(predict(test), test))


def _judged(answered: Arrays, treats: Sequence[Masked]) -> Judged:
    probability = answered["probabilities"][:, 1].astype(np.float64)
    return Judged(_labels(treats), answered["label"] == 1, probability, "not_liked", "liked")


def _labels(treats: Sequence[Masked]) -> NDArray[np.bool_]:
    return np.array([is_liked(treat) for treat in treats])
