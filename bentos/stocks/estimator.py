"""The stocks estimator: three kinds of classifier, a search that walks forward in time, and figures beside "always up".

Most attempts at this find nothing, so everything here is about not fooling oneself. Candidates are chosen by what they
say of days after those they learned from, the winner is judged on days after all of these, and it has to beat both a
model that always says up and one that always says how frequent up was, by more than chance makes likely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bakehouse.errors import DataError
from bentos.common import classification, evaluation, tuning
from bentos.common import pictures as usual
from bentos.common.classification import Judged
from bentos.common.estimator import Arrays, Candidate, Figure, Fold, Picture, Predict, Range, Run, Split, Trial
from bentos.stocks.contract import Masked, record_time
from bentos.stocks.features import FEATURES, arrays

SPLIT = Split(by="time", train=0.5, dev=0.2)
METRIC = "brier_gain"
CANDIDATES = (
    Candidate("logistic_regression", {"c": Range(0.0001, 10.0, log=True)}),
    Candidate(
        "xgboost",
        {
            "n_estimators": Range(10, 150),
            "max_depth": Range(1, 3),
            "learning_rate": Range(0.01, 0.3, log=True),
            "min_child_weight": Range(1.0, 30.0, log=True),
            "subsample": (0.5, 0.7, 1.0),
        },
    ),
    Candidate("neural_network", {"neurons": (2, 4, 8), "alpha": Range(0.1, 100.0, log=True)}),
)
FOLDS = 5
FIRST = 0.5
"""The share of the days before the test that every fold learns from."""
BLOCK = 10
"""Trading days that are drawn together: questions of neighbouring days tell nearly the same window."""
DRAWS = 4_000
"""Enough for a percentile as far out as the next line's."""
DOUBT = 0.5
"""The percentile that gates read. A model that knows nothing is still tried again with every batch, so one in forty,
which a 95 % interval would let through, is too many."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """A fitted classifier of [rows, FEATURES], and the share of days that closed higher in what it learned from."""

    classifier: Any
    up_rate: float


def search(seed: int) -> tuning.OptunaSearch:
    """Trials of all three kinds."""
    return tuning.OptunaSearch(CANDIDATES, seed)


def folds(train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Sequence[Fold]:
    """Forward in time through all that is not for the test, each fold learning from all days before its own."""
    return tuning.walk_forward_folds(_in_order([*train, *dev]), FOLDS, FIRST)


def fit(trial: Trial, train: Sequence[Masked], seed: int) -> Fitted:
    """Learned from these days. Raises `DataError` where all of them went one way: there is nothing to tell apart."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    up = _up(train)
    if not 0 < up.mean() < 1:
        raise DataError("Every day that would be learned from went the same way.", "Look at the prices, or add more.")
    classifier = _classifier(trial, seed)
    # Threads cost more than they gain on some hundred rows, and most of all on a machine that is busy.
    with threadpool_limits(1):
        classifier.fit(arrays(train)["features"], up.astype(np.int64))
    return Fitted(classifier, float(up.mean()))


def score(fitted: Fitted, dev: Sequence[Masked], seed: int) -> float:
    """By how much the Brier score (Brier 1950) is less than that of always answering the share of higher closes."""
    return float(_brier_gain(reference(fitted, dev), _up(dev)).mean())


def finish(trial: Trial, train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Fitted:
    """Fitted on every day before the test."""
    return fit(trial, _in_order([*train, *dev]), seed)


def convert(fitted: Fitted) -> bytes:
    """One graph. Input `features`; outputs by row: `label` (1 where up is as likely as not, or more), `score` (the
    probability of up), `up_rate`."""
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, Int64TensorType

    from bentos.common import xgboost_converter
    from bentos.common.graph_merging import OPSETS, Part, Tensor, merged

    xgboost_converter.register()
    classifier = convert_sklearn(
        fitted.classifier,
        "classifier",
        [("rows", FloatTensorType([None, len(FEATURES)]))],
        final_types=[("label", Int64TensorType([None])), ("probabilities", FloatTensorType([None, 2]))],
        options={"zipmap": False},
        target_opset=OPSETS,
    )
    constants = {
        "last": np.array(-1),
        "half": np.array(0.5, dtype=np.float32),
        "nothing": np.array(0, dtype=np.float32),
        "rate": np.array(fitted.up_rate, dtype=np.float32),
    }
    return merged(
        "stocks",
        inputs={"features": Tensor(columns=len(FEATURES))},
        before=[],
        parts=[Part("classifier", classifier, "features")],
        after=[
            helper.make_node("Gather", ["classifier/probabilities", "last"], ["score"], axis=1),
            helper.make_node("GreaterOrEqual", ["score", "half"], ["is_up"]),
            helper.make_node("Cast", ["is_up"], ["label"], to=TensorProto.INT64),
            helper.make_node("Mul", ["score", "nothing"], ["nothing_by_row"]),
            helper.make_node("Add", ["nothing_by_row", "rate"], ["up_rate"]),
        ],
        outputs={"label": Tensor(TensorProto.INT64), "score": Tensor(), "up_rate": Tensor()},
        constants=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )


def reference(fitted: Fitted, items: Sequence[Masked]) -> Arrays:
    """scikit-learn's or XGBoost's own answer."""
    probability = fitted.classifier.predict_proba(arrays(items)["features"])[:, -1].astype(np.float32)
    return {
        "label": (probability >= np.float32(0.5)).astype(np.int64),
        "score": probability,
        "up_rate": np.full(len(items), fitted.up_rate, dtype=np.float32),
    }


def figures(predict: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """All of a classifier's; the accuracy of always saying up, and what the model gains on it; what its Brier score
    gains on always saying how frequent up was; and the least that either gain may be, beyond reasonable doubt.

    Intervals are of blocks of successive days (see `evaluation.block_replicates`).
    """
    days = _in_order(test)
    answered, up = predict(days), _up(days)
    weights = evaluation.block_replicates(len(days), BLOCK, seed, DRAWS)
    judged = _judged(answered, up)
    gains = {
        "accuracy_gain": evaluation.mean((judged.flagged == up).astype(np.float64) - up, weights),
        "brier_gain": evaluation.mean(_brier_gain(answered, up), weights),
    }
    found = classification.figures(judged, seed, weights)
    found["accuracy_always_up"] = evaluation.figure(evaluation.mean(up, weights), greater_is_better=None)
    for name, by_replicate in gains.items():
        found[name] = evaluation.figure(by_replicate)
        found[f"least_{name}"] = Figure(float(np.percentile(by_replicate[1:], DOUBT)))
    return found


def compare(candidate: Predict, champion: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """How much more often it is right than the champion, and how often they agree."""
    days = _in_order(test)
    up, weights = _up(days), evaluation.block_replicates(len(days), BLOCK, seed, DRAWS)
    return classification.gains(_judged(candidate(days), up), _judged(champion(days), up), seed, weights)


def importance(run: Run, test: Sequence[Masked], seed: int) -> Mapping[str, float]:
    """How far each feature moves the probability."""
    return evaluation.permutation_importance(run, arrays(test), "features", FEATURES, "score", seed)


def pictures(predict: Predict, test: Sequence[Masked], seed: int) -> Sequence[Picture]:
    """The usual ones of a classifier, and what following the model instead of "always up" adds up to, day by day."""
    days = _in_order(test)
    answered, up = predict(days), _up(days)
    judged = _judged(answered, up)
    ahead = np.cumsum((judged.flagged == up).astype(np.float64) - up)
    gained = Picture(
        "Days gained on always saying up",
        "line",
        "held-out trading days",
        "days right, less those that always saying up gets right",
        {"model": (tuple(range(1, len(days) + 1)), tuple(ahead.tolist()))},
        "A model that knows something climbs all along. One jump is one lucky week.",
        guide="zero",
    )
    return (*usual.of_classes(judged), gained)


def _classifier(trial: Trial, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from xgboost import XGBClassifier

    params = trial.params
    if trial.candidate == "xgboost":
        # One thread: some hundred rows gain nothing from more, and the same sums come out on every machine.
        return XGBClassifier(**params, random_state=seed, n_jobs=1, tree_method="hist")
    if trial.candidate == "logistic_regression":
        return make_pipeline(StandardScaler(), LogisticRegression(C=params["c"], random_state=seed))
    network = MLPClassifier(
        (params["neurons"],), alpha=params["alpha"], solver="lbfgs", max_iter=500, random_state=seed
    )
    return make_pipeline(StandardScaler(), network)


def _judged(answered: Arrays, up: NDArray[np.bool_]) -> Judged:
    return Judged(up, answered["label"] == 1, answered["score"].astype(np.float64), "down", "up")


def _brier_gain(answered: Arrays, up: NDArray[np.bool_]) -> Floats:
    """By how much each answer's squared error is less than that of the share of higher closes, [rows]."""
    rate, probability = (answered[name].astype(np.float64) for name in ("up_rate", "score"))
    gain: Floats = (rate - up) ** 2 - (probability - up) ** 2
    return gain


def _up(items: Sequence[Masked]) -> NDArray[np.bool_]:
    """Which closed higher the day after. One that closed at the same price did not."""
    return np.array([item.next.close > item.window[-1].close for item in items])


def _in_order(items: Sequence[Masked]) -> Sequence[Masked]:
    return sorted(items, key=record_time)
