"""The Great Expectations suite of orders: met by every shipped batch, missed by data that is wrong in some way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bentos.common.room import load_room
from bentos.orders import checks
from steps.check import check_room
from tests.masked_orders import write_masked

Orders = list[dict[str, Any]]


def missed(masked: Path, folder: Path) -> set[str]:
    """The names of the gates that the data misses, through the step that runs the suite."""
    expectations, _, _ = check_room(load_room("orders"), masked, folder)
    assert expectations.evaluated == len(checks.suite().expectations)
    return {gate.name for gate in expectations.gates if not gate.passed}


@pytest.mark.parametrize("batches", [(1,), (2,), (3,), (1, 2), (1, 2, 3)])
def test_the_shipped_batches_meet_every_expectation(tmp_path: Path, batches: tuple[int, ...]) -> None:
    assert missed(write_masked(tmp_path / "masked.ndjson", *batches), tmp_path) == set()


def test_every_expectation_says_why() -> None:
    assert [one for one in checks.suite().expectations if not (one.meta or {}).get("why")] == []


def repeated(orders: Orders) -> Orders:
    return [*orders, orders[0]]


def few(orders: Orders) -> Orders:
    return orders[:49]


def in_pence(orders: Orders) -> Orders:
    lines = [{**line, "unit_price": line["unit_price"] * 100} for line in orders[0]["lines"]]
    return [{**order, "lines": lines} for order in orders]


def in_dollars(orders: Orders) -> Orders:
    return [*orders[:-1], {**orders[-1], "currency": "USD"}]


def misspelt(orders: Orders) -> Orders:
    return [*orders[:-1], {**orders[-1], "country": "Untied Kingdom"}]


def at_night(orders: Orders) -> Orders:
    return [{**order, "time": order["time"][:11] + "03:00:00Z"} for order in orders[:30]] + orders[30:]


def all_cancelled(orders: Orders) -> Orders:
    return [{**order, "order_id": "C" + order["order_id"].strip("C")} for order in orders]


def anonymous(orders: Orders) -> Orders:
    return [{**order, "customer": None} for order in orders[:150]] + orders[150:]


def free(orders: Orders) -> Orders:
    lines = [{**line, "unit_price": 0.0} for line in orders[0]["lines"]]
    return [{**order, "lines": lines} for order in orders]


def cut_short(orders: Orders) -> Orders:
    return [{**order, "lines": order["lines"][:1]} for order in orders]


@pytest.mark.parametrize(
    ("spoil", "gate"),
    [
        (repeated, "data.order_id.column_values_to_be_unique"),
        (few, "data.table_row_count_to_be_between"),
        (in_pence, "data.total.column_median_to_be_between"),
        (in_dollars, "data.currency.column_values_to_be_in_set"),
        (misspelt, "data.country.column_values_to_be_in_set"),
        (at_night, "data.hour.column_values_to_be_between"),
        (all_cancelled, "data.is_cancellation.column_mean_to_be_between"),
        (all_cancelled, "data.sign_is_wrong.column_mean_to_be_between"),
        (anonymous, "data.customer.column_values_to_not_be_null"),
        (free, "data.free_share.column_mean_to_be_between"),
        (cut_short, "data.lines.column_mean_to_be_between"),
    ],
)
def test_data_that_is_wrong_in_one_way_misses_the_expectation_about_it(
    tmp_path: Path, spoil: Callable[[Orders], Orders], gate: str
) -> None:
    masked = write_masked(tmp_path / "masked.ndjson", 1)
    orders = [json.loads(line) for line in masked.read_bytes().splitlines()]
    masked.write_text("".join(json.dumps(order) + "\n" for order in spoil(orders)))
    assert gate in missed(masked, tmp_path)
