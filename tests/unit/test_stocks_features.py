"""Features of a share are of its past alone, and the same in training and in the service."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bentos.stocks.contract import WINDOW, Request
from bentos.stocks.features import FEATURES, arrays
from tests import prices

CUT = 200
"""The last day that is known. What is done to the future is done to every day after it."""
Days = list[dict[str, Any]]


def features(days: Days) -> np.ndarray[Any, Any]:
    return arrays(prices.masked(prices.questions(days)))["features"]


def times_three(days: Days) -> Days:
    for day in days[CUT + 1 :]:
        day.update({name: day[name] * 3 for name in ("open", "high", "low", "close")}, volume=day["volume"] * 7)
    return days


def another_share(days: Days) -> Days:
    other = prices.made_days(3, len(days) - CUT - 1)
    names = ("open", "high", "low", "close", "volume")
    for day, price in zip(days[CUT + 1 :], other, strict=True):
        day.update({name: price[name] for name in names})
    return days


def shifted(days: Days) -> Days:
    """Every later price comes a day earlier than it did."""
    moved = [{**later, "day": day["day"]} for day, later in zip(days[CUT + 1 :], days[CUT + 2 :], strict=False)]
    return [*days[: CUT + 1], *moved]


def backwards(days: Days) -> Days:
    names = [day["day"] for day in days[CUT + 1 :]]
    return [
        *days[: CUT + 1],
        *({**day, "day": name} for name, day in zip(names, reversed(days[CUT + 1 :]), strict=True)),
    ]


@pytest.mark.parametrize("alter", [times_three, another_share, shifted, backwards])
def test_no_feature_changes_when_the_future_does(alter: Callable[[Days], Days]) -> None:
    """To the bit, up to the question that is asked on the last known day; and the very next question changes, so that
    this test would see a feature that looks ahead by a single day."""
    days = prices.shipped_days()
    known = CUT - WINDOW + 2
    before, after = features(days), features(alter(copy.deepcopy(days)))
    assert before[:known].tobytes() == after[:known].tobytes()
    assert (before[known] != after[known]).any()


def test_every_question_that_ships_has_the_features_of_the_days_up_to_it_alone() -> None:
    """Made anew from a series that ends with the question's own day, and a made-up day for an answer."""
    days = prices.shipped_days()
    whole = features(days)
    for end in range(WINDOW, len(days), 40):
        last = {**prices.made_days(1, 1)[0], "day": days[end]["day"]}
        (alone,) = features([*days[end - WINDOW : end], last])
        assert alone.tobytes() == whole[end - WINDOW].tobytes()


def test_what_came_next_is_in_no_feature() -> None:
    records = prices.shipped()[:50]
    altered = copy.deepcopy(records)
    for record in altered:
        record["next"]["close"] *= 5
    assert arrays(prices.masked(records))["features"].tobytes() == arrays(prices.masked(altered))["features"].tobytes()


def test_the_service_computes_what_training_did() -> None:
    records = prices.shipped()[:50]
    asked = [
        Request.model_validate_json(json.dumps({name: record[name] for name in ("symbol", "window")}))
        for record in records
    ]
    one_by_one = np.concatenate([arrays([request])["features"] for request in asked])
    assert arrays(prices.masked(records))["features"].tobytes() == one_by_one.tobytes()


def test_the_level_of_prices_and_volumes_is_in_no_feature() -> None:
    days = prices.shipped_days()[:60]
    higher = [
        {**day, **{name: day[name] * 8 for name in ("open", "high", "low", "close")}, "volume": day["volume"] * 5}
        for day in days
    ]
    np.testing.assert_allclose(features(higher), features(days), atol=1e-4)


def test_features_are_what_they_are_called() -> None:
    """A price that doubles once, fifteen days ago, and a last day with twice the volume."""
    window = prices.made_days(1, WINDOW)
    for place, day in enumerate(window):
        price = 10.0 if place < 6 else 20.0
        day.update(open=price, high=price, low=price, close=price, volume=1_000 * (1 + (place == 20)))
    row = arrays([Request.model_validate_json(json.dumps({"symbol": "AAPL", "window": window}))])["features"][0]
    found = dict(zip(FEATURES, row.tolist(), strict=True))
    deviation = float(np.std([np.log(2), *([0.0] * 19)]))
    assert found["change_20"] == pytest.approx(np.log(2) / deviation / np.sqrt(20), rel=1e-6)
    assert [found[f"change_{days}"] for days in (1, 2, 5, 10)] == [0, 0, 0, 0]
    assert (found["overnight"], found["spread"], found["place"]) == (0, 0, 1)
    assert found["volatility"] == pytest.approx(np.log(deviation), rel=1e-6)
    assert found["volatility_lately"] == pytest.approx(np.log(1e-4), rel=1e-6)
    assert found["volume"] == pytest.approx(np.log(2) * 20 / 21, rel=1e-6)


@pytest.mark.parametrize(("low", "high"), [(100.0, 100.0), (0.0001, 1_000_000.0)])
def test_features_are_finite_whatever_the_contract_lets_in(low: float, high: float) -> None:
    """A share whose price stands still, and one that leaps between the least and the greatest price there may be."""
    window = prices.made_days(1, WINDOW)
    for place, day in enumerate(window):
        price = high if place % 2 else low
        day.update(open=price, high=high, low=low, close=price, volume=10**12 if place % 2 else 1)
    request = Request.model_validate_json(json.dumps({"symbol": "AAPL", "window": window}))
    assert np.isfinite(arrays([request])["features"]).all()
