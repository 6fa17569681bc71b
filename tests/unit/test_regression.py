"""Figures of estimated numbers: equal to scikit-learn's, and drawn as they are."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from bentos.common import pictures, regression


def numbers() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = generator.normal(10, 3, 300)
    return truth, truth + generator.normal(0.5, 1, 300)


def test_every_figure_is_scikit_learns() -> None:
    truth, estimate = numbers()
    found = regression.figures(truth, estimate, seed=0)
    assert found["rmse"].value == pytest.approx(metrics.root_mean_squared_error(truth, estimate))
    assert found["mae"].value == pytest.approx(metrics.mean_absolute_error(truth, estimate))
    assert found["r2"].value == pytest.approx(metrics.r2_score(truth, estimate))
    assert found["mean_residual"].value == pytest.approx(float((truth - estimate).mean()))
    for name, figure in found.items():
        assert figure.low is not None and figure.high is not None, name
        assert figure.low <= figure.value <= figure.high, name
    assert not found["rmse"].greater_is_better
    assert found["r2"].greater_is_better


def test_a_truth_that_never_varies_has_no_share_of_variance_to_explain() -> None:
    found = regression.figures(np.full(30, 5.0), np.linspace(4, 6, 30), seed=0)
    assert np.isnan(found["r2"].value)
    assert found["rmse"].value > 0


def test_a_gain_is_by_how_much_the_error_fell() -> None:
    truth, estimate = numbers()
    halved = truth + (estimate - truth) / 2
    gain = regression.gains(truth, halved, estimate, seed=0)["champion_rmse_gain"]
    assert gain.value == pytest.approx(metrics.root_mean_squared_error(truth, estimate) / 2)
    assert gain.low is not None and gain.low > 0


def test_residuals_are_the_truth_less_the_estimate() -> None:
    truth, estimate = numbers()
    drawn, left = pictures.of_numbers(truth, estimate, "grade")
    assert (drawn.guide, left.guide) == ("diagonal", "zero")
    x, y = left.series["held-out records"]
    assert list(x) == list(estimate)
    assert list(y) == pytest.approx(list(truth - estimate))
