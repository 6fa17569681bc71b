"""A gate that a problem sets and nothing measured is missed, not passed over."""

from __future__ import annotations

from bakehouse.gates import at_least, at_most, holds
from bentos.common.room import load_room
from steps.decide import unmeasured


def test_each_gate_that_nothing_measured_is_a_miss_that_says_where_it_is_set() -> None:
    problem = load_room("orders").problem
    measured = [holds(name, True, "yes", "yes", "somewhere") for name in problem.gates if name != "anomaly_rate"]
    (miss,) = unmeasured(problem, measured)
    assert not miss.passed
    assert miss.name == "anomaly_rate"
    assert miss.source == "bentos/orders/problem.yaml: gates.anomaly_rate"


def test_nothing_is_missed_when_every_gate_was_measured() -> None:
    problem = load_room("orders").problem
    assert unmeasured(problem, [holds(name, True, "yes", "yes", "somewhere") for name in problem.gates]) == ()


def test_a_figure_that_nothing_could_be_computed_from_misses_either_kind_of_gate_and_is_told_as_none() -> None:
    for gate, sign in ((at_least, ">="), (at_most, "<=")):
        result = gate("recall_ratio", float("nan"), 0.8, "problem.yaml: gates.recall_ratio")
        assert not result.passed
        assert result.describe() == (
            f"recall_ratio missed: no figure, must be {sign} 0.8 (set in problem.yaml: gates.recall_ratio)"
        )
