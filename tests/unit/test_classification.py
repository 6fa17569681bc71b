"""Figures of two classes: equal to scikit-learn's, weighted by how often each row was drawn, honest at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from bentos.common import classification, evaluation, pictures
from bentos.common.classification import Judged

ROWS = 200


def judged(seed: int = 0, rows: int = ROWS, levels: int = 20) -> Judged:
    """A model that is right more often than not; few levels make many ties."""
    generator = np.random.default_rng(seed)
    truth = generator.random(rows) < 0.4
    probability = np.clip(np.round((truth * 0.3 + generator.random(rows) * 0.7) * levels) / levels, 0, 1)
    return Judged(truth, probability >= 0.5, probability, "no", "yes")


def once(rows: int) -> NDArray[np.float64]:
    return np.ones((1, rows))


def test_every_figure_is_scikit_learns() -> None:
    model = judged()
    found = {name: figure.value for name, figure in classification.figures(model, seed=0).items()}
    truth, flagged, probability = model.truth, model.flagged, model.probability
    by_class = metrics.precision_recall_fscore_support(truth, flagged)
    wanted = {
        "accuracy": metrics.accuracy_score(truth, flagged),
        "macro_f1": metrics.f1_score(truth, flagged, average="macro"),
        "roc_auc": metrics.roc_auc_score(truth, probability),
        "average_precision": metrics.average_precision_score(truth, probability),
        "log_loss": metrics.log_loss(truth, np.clip(probability, 1e-15, 1 - 1e-15)),
        **{f"{name}_no": by_class[place][0] for place, name in enumerate(("precision", "recall", "f1"))},
        **{f"{name}_yes": by_class[place][1] for place, name in enumerate(("precision", "recall", "f1"))},
    }
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value), name


def test_a_row_that_is_drawn_twice_counts_as_two() -> None:
    model = judged()
    counts = np.random.default_rng(1).integers(0, 3, ROWS)
    drawn = np.repeat(np.arange(ROWS), counts)
    weights = counts[None, :].astype(float)
    for figure in (classification.roc_auc, classification.log_loss, classification.calibration_error):
        weighted = figure(model.probability, model.truth, weights)
        repeated = figure(model.probability[drawn], model.truth[drawn], once(len(drawn)))
        assert weighted == pytest.approx(repeated), figure.__name__


def test_every_figure_stands_inside_its_interval() -> None:
    for name, figure in classification.figures(judged(), seed=0).items():
        assert figure.low is not None and figure.high is not None, name
        if name != "calibration_error":  # resampling can only add to a sum of absolute gaps
            assert figure.low <= figure.value <= figure.high, name


def test_less_loss_is_better_and_more_accuracy_is() -> None:
    found = classification.figures(judged(), seed=0)
    assert not found["log_loss"].greater_is_better
    assert not found["calibration_error"].greater_is_better
    assert found["accuracy"].greater_is_better


def test_a_model_that_is_always_right_and_sure_has_no_error() -> None:
    truth = np.arange(20) % 2 == 0
    found = classification.figures(Judged(truth, truth, truth.astype(float), "no", "yes"), seed=0)
    assert found["accuracy"].value == found["roc_auc"].value == found["macro_f1"].value == 1
    assert found["calibration_error"].value == 0
    assert found["log_loss"].value == pytest.approx(0, abs=1e-9)


def test_one_class_alone_has_no_area_and_says_so() -> None:
    truth = np.ones(20, dtype=bool)
    found = classification.figures(Judged(truth, truth, np.full(20, 0.9), "no", "yes"), seed=0)
    assert np.isnan(found["roc_auc"].value)
    assert found["roc_auc"].low is None
    assert found["accuracy"].value == 1


def test_calibration_error_is_the_gap_between_what_was_said_and_what_was_so() -> None:
    """Twenty rows at 0.9, half of them positive: 0.4 off."""
    truth = np.arange(20) % 2 == 0
    assert classification.calibration_error(np.full(20, 0.9), truth, once(20))[0] == pytest.approx(0.4)


def test_gains_are_of_the_same_rows_drawn_together() -> None:
    model = judged()
    worse = Judged(model.truth, ~model.flagged, 1 - model.probability, "no", "yes")
    gains = classification.gains(model, worse, seed=0)
    accuracy = float((model.flagged == model.truth).mean())
    assert gains["champion_accuracy_gain"].value == pytest.approx(2 * accuracy - 1)
    assert gains["champion_agreement"].value == 0
    itself = classification.gains(model, model, seed=0)["champion_accuracy_gain"]
    assert (itself.value, itself.low, itself.high) == (0, 0, 0)


def test_the_classification_report_is_scikit_learns() -> None:
    model = judged()
    wanted = metrics.classification_report(model.truth, model.flagged, target_names=["no", "yes"], output_dict=True)
    for name, row in classification.report(model).items():
        assert row["F1"] == pytest.approx(wanted[name]["f1-score"])
        assert row["precision"] == pytest.approx(wanted[name]["precision"])
        assert row["support"] == wanted[name]["support"]


def test_the_confusion_matrix_counts_every_row_once() -> None:
    model = judged()
    (no, called_no), (yes, called_yes) = pictures.confusion_matrix(model).series.items()
    assert (no, yes) == ("no", "yes")
    wanted = metrics.confusion_matrix(model.truth, model.flagged)
    assert [list(called_no[1]), list(called_yes[1])] == wanted.tolist()


def test_curves_begin_and_end_where_they_must() -> None:
    model = judged()
    ((false, true),) = pictures.roc_curve(model).series.values()
    assert (false[0], true[0]) == (0, 0)
    assert (false[-1], true[-1]) == (1, 1)
    assert all(np.diff(false) >= 0) and all(np.diff(true) >= 0)
    recalls, _ = next(iter(pictures.precision_recall_curve(model).series.values()))
    assert recalls[-1] == 1
    given, seen = next(iter(pictures.calibration_curve(model).series.values()))
    assert len(given) == len(seen) <= classification.BINS
    assert all(0 <= share <= 1 for share in (*given, *seen))


def test_the_sample_itself_comes_first_among_the_replicates() -> None:
    assert (evaluation.replicates(10, seed=0, times=5)[0] == 1).all()
