"""A gate that a problem sets and nothing measured is missed, not passed over."""

from __future__ import annotations

from bakehouse.gates import holds
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
