"""Parity counts every way in which two models' outputs can differ."""

from __future__ import annotations

import numpy as np
import pytest

from bentos.common.estimator import Arrays
from steps.export import Parity, compare

WANTED: Arrays = {"label": np.array([1, -1, 1, 1]), "score": np.array([0.1, -0.2, 0.3, 0.0], dtype=np.float32)}


def test_equal_outputs_agree_wholly() -> None:
    assert compare(WANTED, WANTED) == (1.0, 0.0)


def test_one_label_in_four_is_three_quarters_of_agreement() -> None:
    agreement, difference = compare({**WANTED, "label": np.array([1, -1, -1, 1])}, WANTED)
    assert (agreement, difference) == (0.75, 0.0)


def test_the_greatest_difference_of_any_continuous_output_counts() -> None:
    other = {**WANTED, "score": WANTED["score"] + np.array([0, 0.25, -0.5, 0], dtype=np.float32)}
    agreement, difference = compare(other, WANTED)
    assert agreement == 1.0
    assert difference == pytest.approx(0.5)


def test_words_are_compared_as_labels() -> None:
    agreement, _ = compare({"label": np.array(["good", "bad"])}, {"label": np.array(["good", "good"])})
    assert agreement == 0.5


@pytest.mark.parametrize(
    "answered",
    [
        {"label": WANTED["label"]},
        {**WANTED, "probability": WANTED["score"]},
        {**WANTED, "score": WANTED["score"].reshape(-1, 1)},
        {**WANTED, "label": WANTED["label"][:3]},
    ],
    ids=["an output is missing", "an output is too many", "another shape", "a row is missing"],
)
def test_other_outputs_are_no_agreement_at_all(answered: Arrays) -> None:
    assert compare(answered, WANTED) == (0.0, float("inf"))


def test_a_score_that_is_not_a_number_is_no_agreement() -> None:
    assert compare({**WANTED, "score": np.full(4, np.nan, dtype=np.float32)}, WANTED)[1] == float("inf")


def test_an_infinite_difference_survives_as_an_artifact() -> None:
    parity = Parity(rows=1, agreement=0.0, difference=float("inf"), gates=())
    assert Parity.model_validate_json(parity.model_dump_json()) == parity
