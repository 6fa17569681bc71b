"""The cakes estimator: logistic regression beside a small random forest, and how well either does on so few treats.

Eighty treats leave some twenty to hold out. Those compare two versions with one another; how well the model does is
said by repeated cross-validation over all of them.
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
JUDGING_REPETITIONS = 20
CANDIDATES = (
    Candidate("logistic_regression", {"c": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)}),
    Candidate("random_forest", {"depth": (2, 3), "smallest_leaf": (4, 6)}),
)
"""Few on purpose: the best of many trials on sixty treats is the luckiest, and deep trees learn treats by heart."""
TREES = 100
TARGET_OPSET = {"": 21, "ai.onnx.ml": 3}


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
    return Fitted(trial, classifier.fit(arrays(train)["features"], _labels(train).astype(np.int64)))


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

    converted = convert_sklearn(
        fitted.classifier,
        "cakes",
        [("features", FloatTensorType([None, len(FEATURES)]))],
        final_types=[("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, 2]))],
        options={"zipmap": False},
        target_opset=TARGET_OPSET,
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
    """How well the chosen kind with the chosen parameters does on a treat that it has not seen, over all `known`.

    The folds are dealt anew. Each model learns from as many treats as the one that will answer, or a few more."""
    order = {treat.name: place for place, treat in enumerate(known)}
    labels = _labels(known)
    dealt = tuning.stratified_folds(known, labels.tolist(), FOLDS, seed + 1, JUDGING_REPETITIONS)
    judged = []
    for first in range(0, len(dealt), FOLDS):
        answers = np.zeros((len(known), 2), dtype=np.float32)
        for fold in dealt[first : first + FOLDS]:
            places = [order[treat.name] for treat in fold.dev]
            answers[places] = reference(fit(fitted.trial, fold.train, seed), fold.dev)["probabilities"]
        judged.append(_judged({"label": answers.argmax(axis=1), "probabilities": answers}, known))
    return cross_validation.figures(judged, seed)


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
