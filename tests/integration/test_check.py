"""The room's expectations on real, masked orders, with the real Great Expectations; and the profile of that table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bentos.common.room import load_room
from steps.check import check_room
from steps.profile import profile_room
from tests.masked_orders import write_masked


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    return write_masked(tmp_path / "masked.ndjson", 1)


def change(masked: Path, edit: Callable[[dict[str, Any]], None]) -> Path:
    documents = [json.loads(line) for line in masked.read_text().splitlines()]
    for document in documents:
        edit(document)
    masked.write_text("".join(json.dumps(document) + "\n" for document in documents))
    return masked


def test_the_shipped_orders_meet_every_expectation_and_both_reports_say_so(masked: Path, tmp_path: Path) -> None:
    expectations, result, page = check_room(load_room("orders"), masked, tmp_path)
    assert expectations.met == expectations.evaluated == len(expectations.gates)
    assert all(gate.passed for gate in expectations.gates)
    assert json.loads(result.read_text())["success"] is True
    assert "expect" in page.read_text()
    assert page.read_text().count(">met</strong>") == expectations.evaluated
    assert "Traceback" not in page.read_text()


def test_the_page_asks_no_other_host_runs_no_script_and_says_each_status_in_a_word(
    masked: Path, tmp_path: Path
) -> None:
    def into_euros(order: dict[str, Any]) -> None:
        order["currency"] = "EUR"

    expectations, _, page = check_room(load_room("orders"), change(masked, into_euros), tmp_path)
    text = page.read_text()
    assert not re.findall(r"""(?:src|href|action)\s*=\s*(?!["']?#)\S+|url\(|@import|<script|<i\b""", text)
    assert text.count(">met</strong>") == expectations.met
    assert text.count(">missed</strong>") == 1


def test_an_expectation_that_is_not_met_is_a_missed_gate_with_figure_threshold_and_reason(
    masked: Path, tmp_path: Path
) -> None:
    def into_euros(order: dict[str, Any]) -> None:
        order["currency"] = "EUR"

    expectations, result, page = check_room(load_room("orders"), change(masked, into_euros), tmp_path)
    (miss,) = [gate for gate in expectations.gates if not gate.passed]
    assert expectations.met == expectations.evaluated - 1
    assert miss.name == "data.currency.column_values_to_be_in_set"
    assert miss.figure == "unexpected percent 100"
    assert miss.threshold == "value_set ['GBP']"
    assert miss.source == "bentos/orders/checks.py"
    assert "can't be compared" in miss.explanation
    assert json.loads(result.read_text())["success"] is False
    assert "EUR" in page.read_text()


def test_a_long_list_of_allowed_values_is_cut_in_the_evidence(masked: Path, tmp_path: Path) -> None:
    expectations, _, _ = check_room(load_room("orders"), masked, tmp_path)
    (gate,) = [gate for gate in expectations.gates if gate.name.startswith("data.country.")]
    assert str(gate.threshold).endswith("values)")
    assert len(str(gate.threshold)) < 100


def test_the_profile_shows_every_column_with_plots_outliers_and_associations_and_needs_no_network(
    masked: Path, tmp_path: Path
) -> None:
    room = load_room("orders")
    page = profile_room(room, masked, tmp_path).read_text()
    for column in room.checks.frame(masked).columns:
        assert column in page
    assert page.count("<svg") >= 5
    assert "outlier" in page
    assert "Cramér" in page
    assert 'src="http' not in page
    assert 'rel="stylesheet" href="http' not in page
