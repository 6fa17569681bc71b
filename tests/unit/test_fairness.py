"""Gaps between groups of people: what is compared, and what is too little to compare."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bentos.common import evaluation, fairness
from bentos.common.evaluation import Bools
from bentos.common.fairness import LEAST_ROWS
from bentos.common.room import load_room


def groups(**sizes: int) -> dict[str, dict[str, Bools]]:
    """An attribute with groups of these sizes, one after the other."""
    names = np.repeat(list(sizes), list(sizes.values()))
    return {"attribute": {name: names == name for name in sizes}}


def measured(values: list[float], **sizes: int) -> tuple[fairness.Slices, float, float]:
    """The slices of groups of these sizes, in each of which every row has the same value; the gap and the ratio."""
    rows = np.repeat(values, list(sizes.values()))
    weights = evaluation.replicates(len(rows), 7, times=50)
    slices = fairness.by_group(groups(**sizes), rows, np.ones(len(rows), dtype=bool), weights)
    return slices, float(fairness.gap(slices)[0]), float(fairness.least_ratio(slices)[0])


def test_groups_that_differ_lie_as_far_apart_as_they_differ() -> None:
    slices, gap, ratio = measured([0.9, 0.6], one=LEAST_ROWS, other=30)
    assert (gap, ratio) == pytest.approx((0.3, 2 / 3))
    assert {name: found.rows for name, found in slices["attribute"].items()} == {"one": LEAST_ROWS, "other": 30}


def test_the_attribute_that_differs_most_counts() -> None:
    alike, apart = measured([0.5, 0.5], one=30, other=30)[0], measured([0.9, 0.6], one=30, other=30)[0]
    both = {"alike": alike["attribute"], "apart": apart["attribute"]}
    assert fairness.gap(both)[0] == pytest.approx(0.3)
    assert fairness.least_ratio(both)[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize("other", [0, 1, LEAST_ROWS - 1])
def test_one_group_has_no_gap_and_so_passes_no_gate(other: int) -> None:
    """Nor has one beside too few of another, though chance made them alike; their figure is still shown."""
    slices, gap, ratio = measured([0.5, 0.5], one=100, other=other)
    assert math.isnan(gap) and math.isnan(ratio)
    assert slices["attribute"]["other"].rows == other
    problem = load_room("students").problem
    for name, figure in (("fairness_late_mean_error_gap", gap), ("fairness_late_pass_recall_ratio", ratio)):
        assert not problem.gate(name, figure).passed


def test_an_attribute_that_can_not_be_judged_is_not_hidden_behind_one_that_can() -> None:
    fine, alone = measured([0.5, 0.5], one=30, other=30)[0], measured([0.5, 0.5], one=60, other=0)[0]
    assert math.isnan(fairness.gap({"fine": fine["attribute"], "alone": alone["attribute"]})[0])


def test_a_third_group_of_few_rows_makes_no_gap() -> None:
    assert measured([0.5, 0.6, 0.0], one=30, other=30, few=3)[1] == pytest.approx(0.1)


def test_only_chosen_rows_count() -> None:
    rows = np.array([1.0] * 30 + [0.0] * 60)
    chosen = np.array([True] * 60 + [False] * 30)
    weights = evaluation.replicates(len(rows), 7, times=50)
    slices = fairness.by_group(groups(one=30, other=60), rows, chosen, weights)
    assert slices["attribute"]["other"].rows == 30


def test_figures_counts_and_the_table_name_each_group_with_the_rows_behind_it() -> None:
    slices = measured([0.9, 0.6], one=30, other=5)[0]
    assert fairness.figures("late", slices)["late_attribute_other"].value == pytest.approx(0.6)
    assert fairness.counts("n", slices)["n_attribute_other"].value == 5
    seen = fairness.table("Found", {"late": slices}, "")
    columns, cells = seen.series["other"]
    assert dict(zip(columns, cells, strict=True)) == {"late": pytest.approx(0.6), "of (late)": 5}
    assert list(seen.series) == ["one", "other"]
