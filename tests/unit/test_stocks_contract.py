"""What a question about a share may be, and how one that may not is refused."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bentos.stocks.contract import (
    EXAMPLE,
    SATURDAY,
    WINDOW,
    Masked,
    Record,
    Request,
    record_id,
    record_time,
    weekdays_between,
)
from tests import prices
from tools import derive_stocks

Window = list[dict[str, Any]]


def change(place: int, **values: Any) -> Callable[[Window], Window]:
    def changed(window: Window) -> Window:
        window[place].update(values)
        return window

    return changed


def without(*places: int) -> Callable[[Window], Window]:
    """A window of the usual length over days of which some are left out."""

    def cut(window: Window) -> Window:
        longer = prices.made_days(1, WINDOW + len(places))
        return [day for place, day in enumerate(longer) if place not in places]

    return cut


REFUSED: dict[str, tuple[Callable[[Window], Window], str, str]] = {
    "too short": (lambda window: window[1:], "window", "at least 21 items"),
    "too long": (lambda window: [*window, window[-1]], "window", "at most 21 items"),
    "empty": (lambda window: [], "window", "at least 21 items"),
    "backwards": (lambda window: window[::-1], "window", "each day once, the earliest first"),
    "a day twice": (lambda window: [window[0], *window[:-1]], "window", "each day once, the earliest first"),
    "a week missing": (without(5, 6, 7, 8, 9), "window", "leave out two weekdays in a row"),
    "two days missing": (without(6, 7), "window", "leave out two weekdays in a row"),
    "four single days missing": (without(2, 6, 10, 14), "window", "leave out more than 3 weekdays"),
    "a negative price": (change(3, low=-1.0), "window.3.low", "greater than or equal to 0.0001"),
    "a price of zero": (change(3, low=0.0), "window.3.low", "greater than or equal to 0.0001"),
    "no number": (change(20, close=float("nan")), "window.20.close", "finite number"),
    "infinite": (change(20, high=float("inf")), "window.20.high", "finite number"),
    "a price in words": (change(0, close="127.5"), "window.0.close", "valid number"),
    "no price": (change(0, close=None), "window.0.close", "valid number"),
    "a close above the high": (change(4, high=1.0), "window.4", "open and close between low and high"),
    "no volume": (change(4, volume=0), "window.4.volume", "greater than or equal to 1"),
    "half a share": (change(4, volume=1.5), "window.4.volume", "valid integer"),
    "a Sunday": (change(0, day="2011-12-25"), "window.0.day", "Saturday or a Sunday"),
    "no day": (change(0, day="yesterday"), "window.0.day", "valid date"),
    "a day with a time": (change(0, day="2012-01-02T16:00:00"), "window.0.day", "date"),
    "long ago": (change(0, day="1979-12-31"), "window.0.day", "before 1980"),
    "more than is asked": (change(0, adjusted=1.0), "window.0.adjusted", "not permitted"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_window_that_is_none_is_refused_with_the_field_and_the_reason(what: str) -> None:
    spoil, field, reason = REFUSED[what]
    window = spoil(copy.deepcopy(prices.made_days(1, WINDOW)))
    with pytest.raises(ValidationError) as raised:
        Request.model_validate_json(json.dumps({"symbol": "AAPL", "window": window}))
    faults = {".".join(map(str, fault["loc"])): fault["msg"] for fault in raised.value.errors()}
    assert reason in faults[field]


def test_a_holiday_is_no_gap_nor_are_those_around_christmas() -> None:
    """The New York Stock Exchange was shut on 25 December, 1 and 15 January 2018."""
    days = [*range(14, 16), *range(18, 23), *range(26, 30)]
    dates = [date(2017, 12, day) for day in days]
    dates += [date(2018, 1, day) for day in (2, 3, 4, 5, 8, 9, 10, 11, 12, 16)]
    window = [{**day, "day": on.isoformat()} for day, on in zip(prices.made_days(1, WINDOW), dates, strict=True)]
    assert Request.model_validate_json(json.dumps({"symbol": "AAPL", "window": window})).window[-1].day == dates[-1]


def test_weekdays_between_counts_no_weekend_and_neither_end() -> None:
    friday, monday, wednesday = date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 6)
    assert weekdays_between(friday, monday) == 0
    assert weekdays_between(friday, wednesday) == 2


@given(st.dates(date(1980, 1, 1), date(2100, 1, 1)), st.integers(1, 40))
def test_weekdays_between_are_those_of_the_calendar(before: date, days: int) -> None:
    counted = sum((before + timedelta(days=ahead)).weekday() < SATURDAY for ahead in range(1, days))
    assert weekdays_between(before, before + timedelta(days=days)) == counted


@pytest.mark.parametrize("symbol", ["", "aapl", "APPLES", "AA PL", "ÄPPL", 5])
def test_a_symbol_is_up_to_five_capital_letters(symbol: Any) -> None:
    with pytest.raises(ValidationError, match="symbol"):
        Request.model_validate_json(json.dumps({**EXAMPLE, "symbol": symbol}))


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        (0, "must be the trading day after the window"),
        (-3, "must be the trading day after the window"),
        (3, "must be the trading day after the window"),
    ],
)
def test_what_came_next_must_be_of_the_next_trading_day(day: int, reason: str) -> None:
    days = prices.made_days(1, WINDOW + 4)
    following = {"day": days[WINDOW - 1 + day]["day"], "close": 1.0}
    with pytest.raises(ValidationError, match=reason):
        Record.model_validate_json(json.dumps({"symbol": "AAPL", "window": days[:WINDOW], "next": following}))


def test_what_came_next_can_not_lie_in_the_future() -> None:
    (record,) = prices.questions(prices.made_days(1, WINDOW + 1))
    line, then = json.dumps(record), datetime.combine(date.fromisoformat(record["next"]["day"]), datetime.min.time())
    admitted = Record.model_validate_json(line, context={"now": then.replace(tzinfo=UTC)})
    assert admitted.next.close == record["next"]["close"]
    before = datetime.combine(date.fromisoformat(record["window"][-1]["day"]), datetime.min.time(), UTC)
    with pytest.raises(ValidationError, match=r"next\.day must not be in the future"):
        Record.model_validate_json(line, context={"now": before})


def test_a_record_is_one_by_its_share_and_the_day_after_whose_close_is_asked() -> None:
    one, other = prices.masked(prices.shipped()[:2])
    assert (record_id(one), record_id(other)) == ("AAPL-2015-03-17", "AAPL-2015-03-18")
    assert record_time(one) == datetime(2015, 3, 17, tzinfo=UTC)


def test_a_request_can_not_tell_what_came_next() -> None:
    with pytest.raises(ValidationError, match="next"):
        Request.model_validate_json(json.dumps(prices.shipped()[0]))


def test_the_example_is_a_request() -> None:
    assert len(Request.model_validate_json(json.dumps(EXAMPLE)).window) == WINDOW


def test_deriving_the_batches_again_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns that look ahead are there, and reach no record."""
    records = prices.shipped()
    days = [*prices.shipped_days(), {**records[-1]["next"], "open": 1, "high": 1, "low": 1, "volume": 1}]
    assert len(days) == 506
    source = tmp_path / "prices.csv"
    with source.open("w", newline="") as file:
        names = {"open": "AAPL.Open", "high": "AAPL.High", "low": "AAPL.Low", "close": "AAPL.Close"}
        names |= {"day": "Date", "volume": "AAPL.Volume"}
        writer = csv.writer(file)
        writer.writerow([*names.values(), "AAPL.Adjusted", "dn", "mavg", "up", "direction"])
        writer.writerows([*(day[name] for name in names), 1.5, 2.5, 3.5, 4.5, "Increasing"] for day in days)
    monkeypatch.setattr("sys.argv", ["derive", str(source), "--to", str(tmp_path / "made")])
    assert derive_stocks.main() == 0
    for batch in prices.BATCHES:
        assert (tmp_path / "made" / batch.name).read_bytes() == batch.read_bytes()
    assert len(prices.masked(records)) == 485
    assert not Masked.model_fields.keys() - {"symbol", "window", "next"}
