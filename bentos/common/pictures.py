"""The usual pictures of an evaluation, as data: what a room returns from `pictures`, and a step draws.

Holds no drawing. Curves are the sample's own, without replicates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bentos.common import classification, evaluation
from bentos.common.classification import Judged
from bentos.common.estimator import Picture
from bentos.common.evaluation import Floats


def of_classes(judged: Judged) -> tuple[Picture, ...]:
    """Everything to see of a model with two classes and a probability."""
    return (
        classification_report(judged),
        confusion_matrix(judged),
        roc_curve(judged),
        precision_recall_curve(judged),
        calibration_curve(judged),
    )


def of_numbers(truth: Floats, estimate: Floats, what: str) -> tuple[Picture, ...]:
    """Everything to see of a model that estimates a number, `what` being its name and unit."""
    return estimates(truth, estimate, what), residuals(truth, estimate, what)


def classification_report(judged: Judged) -> Picture:
    """Precision, recall, F1 and support of each class, as a table."""
    rows = classification.report(judged)
    series = {name: (tuple(row), tuple(row.values())) for name, row in rows.items()}
    return Picture("Classification report", "table", "", "class", series, "On held-out records.")


def confusion_matrix(judged: Judged) -> Picture:
    """How many records of each class are called which."""
    names = (judged.negative, judged.positive)
    series = {
        name: (
            names,
            tuple(float(((judged.truth == actual) & (judged.flagged == called)).sum()) for called in (False, True)),
        )
        for name, actual in zip(names, (False, True), strict=True)
    }
    return Picture("Confusion matrix", "matrix", "called", "is", series, "Held-out records; rows add up to a class.")


def roc_curve(judged: Judged) -> Picture:
    """True against false positives at every threshold."""
    once = np.ones((1, len(judged.truth)))
    false, true = classification.roc(judged.probability, judged.truth, once)
    area = classification.roc_auc(judged.probability, judged.truth, once)[0]
    return Picture(
        "ROC curve",
        "line",
        f"share of {judged.negative} called {judged.positive}",
        f"share of {judged.positive} called so",
        {f"area {area:.3f}": ((0.0, *false[0]), (0.0, *true[0]))},
        "The dashed line is guessing.",
        guide="diagonal",
    )


def precision_recall_curve(judged: Judged) -> Picture:
    """Precision against recall at every threshold."""
    once = np.ones((1, len(judged.truth)))
    precisions, recalls = evaluation.precision_recall(judged.probability, judged.truth, once)
    average = evaluation.average_precision(judged.probability, judged.truth, once)[0]
    prevalence = float(judged.truth.mean())
    return Picture(
        "Precision and recall",
        "line",
        f"recall of {judged.positive}",
        "precision",
        {
            f"average precision {average:.3f}": (tuple(recalls[0]), tuple(precisions[0])),
            f"guessing, {prevalence:.3f}": ((0.0, 1.0), (prevalence, prevalence)),
        },
    )


def calibration_curve(judged: Judged) -> Picture:
    """The share that is positive against the probability that was given."""
    given, seen, rows = classification.calibration(judged.probability, judged.truth)
    return Picture(
        "Calibration",
        "scatter",
        f"mean probability of {judged.positive} in a tenth of the scale",
        f"share that is {judged.positive}",
        {"held-out records": (tuple(given), tuple(seen))},
        f"On the dashed line a probability means what it says. From left to right: {_listed(rows)} records.",
        guide="diagonal",
    )


def estimates(truth: Floats, estimate: Floats, what: str) -> Picture:
    """What was estimated against what it was."""
    return Picture(
        f"Estimates of {what}",
        "scatter",
        f"estimate of {what}",
        what,
        {"held-out records": (tuple(estimate), tuple(truth))},
        "On the dashed line an estimate is right.",
        guide="diagonal",
    )


def residuals(truth: Floats, estimate: Floats, what: str) -> Picture:
    """What remains of the truth once the estimate is taken off."""
    return Picture(
        f"Residuals of {what}",
        "scatter",
        f"estimate of {what}",
        f"{what} less its estimate",
        {"held-out records": (tuple(estimate), tuple(truth - estimate))},
        "A slope or a funnel says what the model has not learned.",
        guide="zero",
    )


def bars(title: str, lengths: Mapping[str, float], unit: str, caption: str) -> Picture:
    """Named figures beside one another, the first on top."""
    return Picture(title, "bar", unit, "", {"": (tuple(lengths), tuple(lengths.values()))}, caption)


def _listed(rows: Sequence[float] | Floats) -> str:
    return ", ".join(f"{int(count)}" for count in rows)
