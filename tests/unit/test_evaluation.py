"""Figures are what the textbooks say, and their intervals cover what they claim to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, precision_score, recall_score

from bentos.common import evaluation
from bentos.common.estimator import Arrays


@st.composite
def judged(draw: st.DrawFn) -> tuple[evaluation.Floats, evaluation.Bools, evaluation.Floats]:
    """Scores with ties, at least one positive and one negative row, and whole-numbered weights of one replicate."""
    rows = draw(st.integers(2, 40))
    scores = np.array(draw(st.lists(st.integers(0, 9), min_size=rows, max_size=rows)), dtype=np.float64)
    positive = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))
    positive[0], positive[1] = True, False
    weights = np.array([draw(st.lists(st.integers(1, 4), min_size=rows, max_size=rows))], dtype=np.float64)
    return scores, positive, weights


@given(judged())
def test_average_precision_is_scikit_learns(
    drawn: tuple[evaluation.Floats, evaluation.Bools, evaluation.Floats],
) -> None:
    scores, positive, weights = drawn
    expected = average_precision_score(positive, scores, sample_weight=weights[0])
    assert evaluation.average_precision(scores, positive, weights)[0] == pytest.approx(expected)


@given(judged())
def test_precision_and_recall_are_scikit_learns(
    drawn: tuple[evaluation.Floats, evaluation.Bools, evaluation.Floats],
) -> None:
    scores, positive, weights = drawn
    flagged = scores >= scores.max()
    wanted = {"sample_weight": weights[0]}
    assert evaluation.precision(flagged, positive, weights)[0] == pytest.approx(
        precision_score(positive, flagged, **wanted)
    )
    assert evaluation.recall(flagged, positive, weights)[0] == pytest.approx(recall_score(positive, flagged, **wanted))


@given(judged())
def test_rank_correlation_is_spearmans(
    drawn: tuple[evaluation.Floats, evaluation.Bools, evaluation.Floats],
) -> None:
    scores, _, _ = drawn
    scores[0], scores[1] = -1.0, 10.0
    other = np.cos(scores * 3)
    once = np.ones((1, len(scores)))
    found = evaluation.rank_correlation(scores, other, once)[0]
    assert found == pytest.approx(float(spearmanr(scores, other).statistic), nan_ok=True)


def test_precision_is_not_a_number_where_nothing_is_flagged() -> None:
    none = np.zeros(3, dtype=bool)
    assert np.isnan(evaluation.precision(none, np.array([True, False, True]), np.ones((1, 3)))).all()


def test_the_first_replicate_is_the_sample_itself_and_every_other_draws_as_many_rows() -> None:
    counts = evaluation.replicates(30, seed=1, times=20)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 30).all()
    assert (counts[1:] != 1).any(axis=1).all()


def test_replicates_are_the_same_for_the_same_seed_only() -> None:
    assert (evaluation.replicates(30, seed=1) == evaluation.replicates(30, seed=1)).all()
    assert (evaluation.replicates(30, seed=1) != evaluation.replicates(30, seed=2)).any()


def test_the_interval_of_a_share_is_as_wide_as_its_standard_error_says() -> None:
    rows, rate = 400, 0.25
    chosen = np.arange(rows) < rows * rate
    figure = evaluation.figure(evaluation.mean(chosen, evaluation.replicates(rows, seed=3)))
    error = (rate * (1 - rate) / rows) ** 0.5
    assert figure.value == rate
    assert figure.low == pytest.approx(rate - 1.96 * error, abs=0.008)
    assert figure.high == pytest.approx(rate + 1.96 * error, abs=0.008)


def test_a_figure_that_does_not_exist_has_no_interval() -> None:
    figure = evaluation.figure(np.array([np.nan, 0.5, 0.6]))
    assert np.isnan(figure.value)
    assert figure.low is None
    assert figure.high is None


def test_replicates_without_the_figure_are_left_out_of_its_interval() -> None:
    figure = evaluation.figure(np.array([0.5, 0.4, np.nan, 0.6]))
    assert figure.low is not None
    assert figure.high is not None
    assert 0.4 <= figure.low <= figure.high <= 0.6


def test_copies_weigh_the_stated_share_and_are_drawn_with_the_row_they_come_from() -> None:
    counts = evaluation.replicates(50, seed=4, times=30)
    origins = np.arange(20, 50)
    weights = evaluation.at_prevalence(counts, origins, 0.1)
    assert weights.shape == (31, 80)
    np.testing.assert_allclose(weights[:, 50:].sum(axis=1) / weights.sum(axis=1), 0.1)
    np.testing.assert_array_equal(weights[:, 50:] == 0, counts[:, origins] == 0)


def test_importance_finds_the_one_feature_that_matters() -> None:
    generator = np.random.default_rng(5)
    arrays = {"features": generator.normal(size=(200, 3)).astype(np.float32)}

    def run(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        return {"score": 2 * inputs["features"][:, 1]}

    found = evaluation.permutation_importance(run, arrays, "features", ("a", "b", "c"), "score", seed=0)
    assert next(iter(found)) == "b"
    # Two independent standard normal values are 2 / sqrt(pi) apart on average, and the answer is twice the value.
    assert found["b"] == pytest.approx(2 * 2 / np.pi**0.5, rel=0.1)
    assert found["a"] == found["c"] == 0


def test_importance_is_the_same_of_an_output_that_is_a_column() -> None:
    arrays: Arrays = {"features": np.random.default_rng(7).normal(size=(50, 2)).astype(np.float32)}

    def run(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        rows = inputs["features"].sum(axis=1)
        return {"row": rows, "column": rows[:, None]}

    by_row, by_column = (
        evaluation.permutation_importance(run, arrays, "features", "ab", output, seed=0) for output in ("row", "column")
    )
    assert by_row == by_column


def test_importance_leaves_the_inputs_as_they_were() -> None:
    arrays: Arrays = {"features": np.arange(6, dtype=np.float32).reshape(3, 2), "other": np.arange(3)}
    before = {name: array.copy() for name, array in arrays.items()}
    evaluation.permutation_importance(
        lambda inputs: {"score": inputs["features"].sum(axis=1) + inputs["other"]}, arrays, "features", "ab", "score", 0
    )
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])
