"""The orders estimator: an Isolation Forest (Liu, Ting and Zhou 2008), its search, its ONNX graph and its evaluation.

Nobody labelled these orders, so evaluation makes anomalies of known kinds out of held-out orders, at the level of the
record, and asks how well each kind is found among the untouched ones. Some untouched orders are odd by themselves;
flagging those counts as a false alarm here, so precision is understated rather than overstated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.common import evaluation
from bentos.common.estimator import Arrays, Candidate, Figure, Fold, Picture, Predict, Run, Split, Trial
from bentos.common.tuning import RandomSearch
from bentos.orders.contract import Masked, MaskedLine
from bentos.orders.features import FEATURES, arrays

EXPECTED_ANOMALY_RATE = 0.095
"""The declared share of orders that a clerk is asked to look at; also how frequent each made kind is taken to be."""

SPLIT = Split(by="time", train=0.6, dev=0.2)
METRIC = "mean_average_precision"
CANDIDATES = (
    Candidate(
        "isolation_forest",
        {"n_estimators": (100, 150), "max_samples": (64, 128, 256), "max_features": (0.4, 0.7, 1.0)},
    ),
)
FOLDS = 5
MOST_PIECES = 12


def search(seed: int) -> RandomSearch:
    """The trials to make, in a random order of their own for each seed."""
    return RandomSearch(CANDIDATES, seed)


def folds(train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Sequence[Fold]:
    """One: the dev orders are later than those that are learnt from, as in use."""
    return (Fold(train, dev),)


def fit(trial: Trial, train: Sequence[Masked], seed: int) -> Any:
    """A forest that ranks orders by oddness; its threshold is not set yet."""
    from sklearn.ensemble import IsolationForest

    params = {**trial.params, "max_samples": min(trial.params["max_samples"], len(train))}
    return IsolationForest(**params, random_state=seed).fit(arrays(train)["features"])


def score(fitted: Any, dev: Sequence[Masked], seed: int) -> float:
    """The mean over kinds of the average precision with which made anomalies are found."""
    tried = _Tried.of(lambda items: reference(fitted, items), dev, seed, replicates=0)
    return float(tried.mean_average_precision()[0])


def finish(trial: Trial, train: Sequence[Masked], dev: Sequence[Masked], seed: int) -> Any:
    """The forest of the training orders, with the threshold set so that the declared share of orders which it did not
    learn from is called anomalies.

    scikit-learn's `contamination` takes the share of the training orders, which the forest knows and finds too normal:
    half as many again would be flagged in use. Here each fold of them, in the order of time, is scored by a forest
    fitted on the other folds, and the dev orders by the forest itself.
    """
    fitted = fit(trial, train, seed)
    parts = np.arange(len(train)) * FOLDS // len(train)
    unseen = [fitted.score_samples(arrays(dev)["features"])]
    for fold in range(FOLDS):
        others = [order for order, place in zip(train, parts, strict=True) if place != fold]
        held_out = [order for order, place in zip(train, parts, strict=True) if place == fold]
        unseen.append(fit(trial, others, seed).score_samples(arrays(held_out)["features"]))
    fitted.offset_ = np.percentile(np.concatenate(unseen), 100 * EXPECTED_ANOMALY_RATE)
    return fitted


def convert(fitted: Any) -> bytes:
    """One flat tree ensemble; inputs `features`, outputs `label` and `score`."""
    from bentos.common.forest_converter import to_onnx

    return to_onnx(fitted)


def reference(fitted: Any, items: Sequence[Masked]) -> Arrays:
    """scikit-learn's own answer."""
    features = arrays(items)["features"]
    decision = fitted.decision_function(features)
    return {"label": np.where(decision < 0, -1, 1).astype(np.int64), "score": decision.astype(np.float32)}


def figures(predict: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """Anomaly rate on untouched orders; precision, recall and average precision for each kind of made anomaly.

    Precision and average precision are as if the declared share of all orders were of that kind.
    """
    tried = _Tried.of(predict, test, seed)
    found: dict[str, Figure] = {
        "anomaly_rate": evaluation.figure(evaluation.mean(tried.flagged, tried.counts), greater_is_better=None),
        METRIC: evaluation.figure(tried.mean_average_precision()),
    }
    for kind, made in tried.made.items():
        found[f"precision_{kind}"] = evaluation.figure(evaluation.precision(made.flagged, made.positive, made.weights))
        found[f"recall_{kind}"] = evaluation.figure(evaluation.recall(made.flagged, made.positive, made.weights))
        found[f"average_precision_{kind}"] = evaluation.figure(made.average_precision())
    return found


def compare(candidate: Predict, champion: Predict, test: Sequence[Masked], seed: int) -> Mapping[str, Figure]:
    """How alike the two rank the untouched orders, and how much better the candidate finds made anomalies, the rows
    drawn for both together."""
    one, other = _Tried.of(candidate, test, seed), _Tried.of(champion, test, seed)
    stability = evaluation.rank_correlation(one.oddness, other.oddness, one.counts)
    gain = one.mean_average_precision() - other.mean_average_precision()
    return {
        "champion_rank_correlation": evaluation.figure(stability),
        f"champion_{METRIC}_gain": evaluation.figure(gain),
    }


def importance(run: Run, test: Sequence[Masked], seed: int) -> Mapping[str, float]:
    """How far each feature moves the score."""
    return evaluation.permutation_importance(run, arrays(test), "features", FEATURES, "score", seed)


def pictures(predict: Predict, test: Sequence[Masked], seed: int) -> Sequence[Picture]:
    """Where untouched and made orders score, and the precision-recall curve for each kind."""
    tried = _Tried.of(predict, test, seed, replicates=0)
    untouched = (tuple(-tried.oddness), ())
    curves = {kind: made.curve() for kind, made in tried.made.items()}
    scores = {kind: (tuple(-made.oddness[made.positive]), ()) for kind, made in tried.made.items()}
    return (
        Picture(
            "Scores of held-out orders",
            "histogram",
            "score (below 0: anomaly)",
            "orders",
            {**scores, "untouched": untouched},
            "Untouched orders, and the same orders altered in one way.",
        ),
        Picture(
            "Precision and recall by kind of anomaly",
            "line",
            "recall",
            "precision",
            curves,
            f"As if {EXPECTED_ANOMALY_RATE:.1%} of all orders were of that kind; a model that guesses stays there.",
        ),
    )


def price_times_100(order: Masked, generator: np.random.Generator) -> Masked | None:
    """A decimal point lost in one line. None where every line is free."""
    priced = [place for place, line in enumerate(order.lines) if line.unit_price > 0]
    if not priced:
        return None
    place = int(generator.choice(priced))
    line = order.lines[place]
    return _with_lines(order, place, [line.model_copy(update={"unit_price": line.unit_price * 100})])


def quantity_sign(order: Masked, generator: np.random.Generator) -> Masked:
    """One line whose quantity has the wrong sign."""
    place = int(generator.integers(len(order.lines)))
    line = order.lines[place]
    return _with_lines(order, place, [line.model_copy(update={"quantity": -line.quantity})])


def impossible_hour(order: Masked, generator: np.random.Generator) -> Masked:
    """Written between midnight and five, when the shop is shut."""
    hour, minute = int(generator.integers(5)), int(generator.integers(60))
    return order.model_copy(update={"time": order.time.replace(hour=hour, minute=minute)})


def split_lines(order: Masked, generator: np.random.Generator) -> Masked | None:
    """The line of the greatest quantity written as up to twelve lines of the same article that add up to it. None where
    no line has a quantity to split."""
    place = max(range(len(order.lines)), key=lambda at: abs(order.lines[at].quantity))
    line = order.lines[place]
    pieces = min(abs(line.quantity), MOST_PIECES)
    if pieces < 2:
        return None
    cuts = np.sort(generator.choice(np.arange(1, abs(line.quantity)), size=pieces - 1, replace=False))
    sizes = np.diff(np.concatenate([[0], cuts, [abs(line.quantity)]]))
    sign = 1 if line.quantity > 0 else -1
    return _with_lines(order, place, [line.model_copy(update={"quantity": sign * int(size)}) for size in sizes])


KINDS: Mapping[str, Callable[[Masked, np.random.Generator], Masked | None]] = {
    kind.__name__: kind for kind in (price_times_100, quantity_sign, impossible_hour, split_lines)
}
"""Every way in which an order is made odd, by name."""


def _with_lines(order: Masked, place: int, lines: list[MaskedLine]) -> Masked:
    return order.model_copy(update={"lines": [*order.lines[:place], *lines, *order.lines[place + 1 :]]})


@dataclass(frozen=True)
class _Made:
    """One kind's anomalies among the untouched orders, which come first."""

    oddness: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    positive: NDArray[np.bool_]
    weights: NDArray[np.float64]

    def average_precision(self) -> NDArray[np.float64]:
        return evaluation.average_precision(self.oddness, self.positive, self.weights)

    def curve(self) -> tuple[Sequence[float], Sequence[float]]:
        precisions, recalls = evaluation.precision_recall(self.oddness, self.positive, self.weights[:1])
        return tuple(recalls[0]), tuple(precisions[0])


@dataclass(frozen=True)
class _Tried:
    """A model's answers to untouched orders and to each kind of anomaly made of them."""

    oddness: NDArray[np.float64]
    flagged: NDArray[np.bool_]
    counts: NDArray[np.float64]
    made: Mapping[str, _Made]

    @classmethod
    def of(cls, predict: Predict, orders: Sequence[Masked], seed: int, replicates: int = 1_000) -> _Tried:
        counts = evaluation.replicates(len(orders), seed, replicates)
        oddness, flagged = _answers(predict, orders)
        made = {}
        for number, (kind, make) in enumerate(KINDS.items()):
            generator = np.random.default_rng([seed, number])
            altered = [make(order, generator) for order in orders]
            origins = np.array([place for place, copy in enumerate(altered) if copy is not None], dtype=np.int64)
            if not len(origins):
                continue
            odd, caught = _answers(predict, [copy for copy in altered if copy is not None])
            made[kind] = _Made(
                oddness=np.concatenate([oddness, odd]),
                flagged=np.concatenate([flagged, caught]),
                positive=np.repeat([False, True], [len(orders), len(origins)]),
                weights=evaluation.at_prevalence(counts, origins, EXPECTED_ANOMALY_RATE),
            )
        return cls(oddness, flagged, counts, made)

    def mean_average_precision(self) -> NDArray[np.float64]:
        by_kind = [made.average_precision() for made in self.made.values()]
        return np.asarray(np.mean(by_kind, axis=0), dtype=np.float64)


def _answers(predict: Predict, orders: Sequence[Masked]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    answered = predict(orders)
    return -answered["score"].astype(np.float64), answered["label"] == -1
