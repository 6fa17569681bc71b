"""Repeated cross-validation in figures: what repetitions add, and what they don't."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bentos.common import cross_validation
from bentos.common.classification import Judged

SEED = 7


def judged(probability: list[float], truth: list[int]) -> Judged:
    values = np.array(probability)
    return Judged(np.array(truth, dtype=bool), values >= 0.5, values, "no", "yes")


def test_a_figure_is_the_mean_over_the_repetitions() -> None:
    truth = [1, 0, 1, 0]
    right, wrong = judged([0.9, 0.1, 0.9, 0.1], truth), judged([0.1, 0.9, 0.1, 0.9], truth)
    figures = cross_validation.figures([right, wrong], [True], SEED)
    assert figures["cross_validated_accuracy"].value == 0.5
    assert figures["cross_validated_roc_auc"].value == 0.5
    assert figures["cross_validated_log_loss"].value == pytest.approx(-(math.log(0.9) + math.log(0.1)) / 2)


def test_repeating_the_same_answers_makes_no_interval_narrower() -> None:
    """Else twenty repetitions of the same few records would prove anything."""
    generator = np.random.default_rng(SEED)
    once = judged(generator.random(60).tolist(), generator.integers(0, 2, 60).tolist())
    repeated = cross_validation.figures([once] * 20, [True], SEED)
    for name, figure in cross_validation.figures([once], [True], SEED).items():
        assert repeated[name].value == pytest.approx(figure.value)
        assert repeated[name].low == pytest.approx(figure.low)


def test_the_gains_are_over_the_base_rate() -> None:
    """Always giving the share that is positive, and calling all what most are, gains nothing."""
    figures = cross_validation.figures([judged([0.75] * 8, [1, 1, 1, 0] * 2)], [True], SEED)
    assert figures["cross_validated_accuracy"].value == 0.75
    assert figures["cross_validated_accuracy_gain"].value == 0
    assert figures["cross_validated_log_loss_gain"].value == pytest.approx(0)
    assert figures["cross_validated_accuracy_gain_low"].value <= 0


def test_the_lower_ends_stand_as_figures_of_their_own() -> None:
    generator = np.random.default_rng(SEED)
    figures = cross_validation.figures([judged(generator.random(60).tolist(), [0, 1] * 30)], [True], SEED)
    for name in ("roc_auc", "accuracy_gain", "log_loss_gain"):
        assert figures[f"cross_validated_{name}_low"].value == figures[f"cross_validated_{name}"].low


def test_how_often_the_same_choice_was_made_is_a_share_that_is_neither_good_nor_bad() -> None:
    found = cross_validation.figures([judged([0.9, 0.1], [1, 0])], [True, False, False, True, False], SEED)
    same = found["cross_validated_same_choice"]
    assert (same.value, same.greater_is_better) == (0.4, None)
