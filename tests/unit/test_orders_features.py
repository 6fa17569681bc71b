"""An order in numbers: what moves them, and that they are always numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.common.masking import masker
from bentos.orders.contract import MOST_LINES, Masked, Record, Request
from bentos.orders.features import FEATURES, arrays
from tests.order_documents import ORDERS, line, order

SOLD = {"stock_code": "85123A", "description": "HEART", "quantity": 6, "unit_price": 2.5}


def numbers(**changes: Any) -> dict[str, float]:
    """The features of one order by name."""
    request = Request.model_validate_json(line(order(**changes)))
    return dict(zip(FEATURES, arrays([request])["features"][0].tolist(), strict=True))


def moved(before: dict[str, float], after: dict[str, float]) -> set[str]:
    return {name for name in FEATURES if before[name] != pytest.approx(after[name])}


def test_features_are_the_named_quantities() -> None:
    expected = {
        "lines": np.log1p(2),
        "total": np.log1p(23),
        "units": np.log1p(8),
        "least_value": np.log1p(8),
        "highest_price": np.log1p(4),
        "price_spread": 0,
        "largest_quantity": np.log1p(6),
        "repeats": np.log1p(1),
        "off_peak": (13 - 8 - 26 / 60) ** 3,
    }
    found = numbers(lines=[SOLD, {**SOLD, "stock_code": "71053", "quantity": 2, "unit_price": 4.0}])
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_price_times_100_stands_out_from_the_other_prices() -> None:
    lines = [SOLD, {**SOLD, "unit_price": 4.0}, {**SOLD, "unit_price": 3.0}]
    dear = [SOLD, {**SOLD, "unit_price": 400.0}, {**SOLD, "unit_price": 3.0}]
    assert numbers(lines=dear)["price_spread"] > numbers(lines=lines)["price_spread"] + 4


def test_a_wrong_sign_makes_totals_negative_and_a_cancellation_makes_them_right_again() -> None:
    back = [{**SOLD, "quantity": -6}]
    assert numbers(lines=back)["total"] == pytest.approx(-numbers(lines=[SOLD])["total"])
    assert numbers(lines=back, order_id="C536365") == pytest.approx(numbers(lines=[SOLD], order_id="536365"))
    assert numbers(lines=[SOLD], order_id="C536365")["units"] < 0


def test_a_split_line_repeats_its_stock_code() -> None:
    split = [{**SOLD, "quantity": 1}] * 6
    assert moved(numbers(lines=[SOLD]), numbers(lines=split)) == {
        "lines",
        "least_value",
        "largest_quantity",
        "repeats",
    }


def test_an_hour_at_night_is_farther_from_the_peak_than_any_of_the_day() -> None:
    by_hour = {hour: numbers(time=f"2010-12-01T{hour:02d}:00:00Z")["off_peak"] for hour in range(24)}
    assert min(by_hour, key=lambda hour: by_hour[hour]) == 13
    assert min(by_hour[hour] for hour in (0, 1, 2, 3, 4)) > max(by_hour[hour] for hour in range(6, 21))


def test_who_ordered_and_what_the_note_says_move_nothing() -> None:
    assert numbers(lines=[SOLD]) == numbers(lines=[SOLD], customer=None, note="Ring +44 7700 900123", country="Germany")


@given(st.lists(ORDERS, max_size=4))
def test_features_are_finite_float32_one_row_an_order_in_the_order_given(documents: list[dict[str, Any]]) -> None:
    requests = [Request.model_validate_json(line(document)) for document in documents]
    features = arrays(requests)["features"]
    assert features.dtype == np.float32
    assert features.shape == (len(documents), len(FEATURES))
    assert np.isfinite(features).all()
    for row, request in zip(features, requests, strict=True):
        assert (arrays([request])["features"][0] == row).all()


@pytest.mark.parametrize("quantity", [1_000_000, -1_000_000])
def test_the_largest_order_there_can_be_is_still_finite(quantity: int) -> None:
    found = numbers(lines=[{**SOLD, "quantity": quantity, "unit_price": 1_000_000}] * MOST_LINES)
    assert np.isfinite(list(found.values())).all()


@given(ORDERS)
def test_training_and_serving_see_the_same_numbers(document: dict[str, Any]) -> None:
    record = Record.model_validate_json(line(document))
    masked = Masked.model_validate_json(json.dumps(masker(Record, b"k" * 32)(record)))
    request = Request.model_validate_json(line(document))
    assert (arrays([masked])["features"] == arrays([request])["features"]).all()
