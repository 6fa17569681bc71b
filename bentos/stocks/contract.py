"""What a question about a share is: the last trading days of its prices; and, for training, what came next.

Holds types and bounds only. A record holds its whole past, so that training and the service see the very same document,
and nothing that looks further back or ahead can reach a feature. Nothing here is personal data.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from bentos.common.contract import Strict

WINDOW = 21
"""Trading days that a question tells, about a month: 20 changes from one close to the next."""
EARLIEST = date(1980, 1, 1)
MOST_HOLIDAYS = 3
"""Weekdays on which a stock exchange may be shut within one window. Around Christmas there are three."""
SATURDAY = 5


def _a_trading_day(day: date) -> date:
    if day.weekday() >= SATURDAY:
        raise PydanticCustomError("weekend", "must not be a Saturday or a Sunday")
    if day < EARLIEST:
        raise PydanticCustomError("too_early", "must not be before 1980-01-01")
    return day


def _without_gaps(days: list[Day]) -> list[Day]:
    # Once a window rather than once a day: a call from pydantic into Python costs more than the rest of a day.
    holidays = 0
    for before, after in itertools.pairwise(days):
        if after.day <= before.day:
            raise PydanticCustomError("unsorted", "must hold each day once, the earliest first")
        missing = weekdays_between(before.day, after.day)
        if missing > 1:
            raise PydanticCustomError("gap", "must not leave out two weekdays in a row: prices are missing")
        holidays += missing
    if holidays > MOST_HOLIDAYS:
        raise PydanticCustomError("gap", f"must not leave out more than {MOST_HOLIDAYS} weekdays: prices are missing")
    return days


def weekdays_between(before: date, after: date) -> int:
    """How many weekdays lie between two days, neither counted."""
    return _weekdays_to(after.toordinal() - 1) - _weekdays_to(before.toordinal())


def _weekdays_to(ordinal: int) -> int:
    """How many weekdays there are from the first day of the calendar, which is a Monday, to this one."""
    weeks, days = divmod(ordinal, 7)
    return 5 * weeks + min(days, 5)


Symbol = Annotated[str, Field(pattern=r"^[A-Z]{1,5}$")]
TradingDay = Annotated[date, AfterValidator(_a_trading_day)]
Price = Annotated[float, Field(ge=0.0001, le=1_000_000, allow_inf_nan=False)]
Direction = Literal["up", "down"]


class Day(Strict):
    """One trading day of a share: prices in one currency as they were paid, and how many shares changed hands."""

    day: TradingDay
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Annotated[int, Field(ge=1, le=10**12)]

    @model_validator(mode="after")
    def _is_one_day(self) -> Self:
        if not (self.low <= self.open <= self.high and self.low <= self.close <= self.high):
            raise PydanticCustomError("disordered", "must have open and close between low and high")
        return self


Window = Annotated[list[Day], Field(min_length=WINDOW, max_length=WINDOW), AfterValidator(_without_gaps)]


class Next(Strict):
    """The trading day after a window: its close is what was to be foretold."""

    day: TradingDay
    close: Price


class Record(Strict):
    """A window of trading days, and what came next."""

    symbol: Symbol
    window: Window
    next: Next

    @model_validator(mode="after")
    def _follows(self, info: ValidationInfo) -> Self:
        now = info.context["now"] if info.context else datetime.now(UTC)
        if self.next.day > now.date():
            raise PydanticCustomError("in_the_future", "next.day must not be in the future")
        last = self.window[-1].day
        if self.next.day <= last or weekdays_between(last, self.next.day) > 1:
            raise PydanticCustomError("not_next", "next.day must be the trading day after the window")
        return self


class Masked(Record):
    """The same: there is nothing to mask."""


class Request(Strict):
    """What is known after the close of the window's last day: will the next trading day close higher?"""

    symbol: Symbol
    window: Window


class Response(BaseModel):
    """The answer for the trading day after `after`. `up_probability` is of a higher close; `up_rate` is the share of
    higher closes in what the model learned from, which it would answer if it knew nothing of the window."""

    model_config = ConfigDict(protected_namespaces=())

    symbol: str
    after: date
    direction: Direction
    up_probability: Annotated[float, Field(ge=0, le=1)]
    up_rate: Annotated[float, Field(ge=0, le=1)]
    model_version: int


def _example() -> dict[str, Any]:
    days = [date(2016, 2, 1) + timedelta(days=ahead) for ahead in range(WINDOW * 2)]
    weekdays = [day for day in days if day.weekday() < SATURDAY][:WINDOW]
    closes = [100 + (7 * place % 5) / 2 for place in range(WINDOW)]
    window = [
        {
            "day": day.isoformat(),
            "open": close - 0.25,
            "high": close + 1.0,
            "low": close - 1.5,
            "close": close,
            "volume": 40_000_000 + 1_000_000 * (place % 4),
        }
        for place, (day, close) in enumerate(zip(weekdays, closes, strict=True))
    ]
    return {"symbol": "AAPL", "window": window}


EXAMPLE: dict[str, Any] = _example()
"""Made up: prices that go nowhere."""


def record_id(record: Record | Masked) -> str:
    """What makes a record one: the share, and the day after whose close the question is asked."""
    return f"{record.symbol}-{record.window[-1].day.isoformat()}"


def record_time(record: Record | Masked) -> datetime:
    """The day after whose close the question is asked; what a split by time sorts by."""
    return datetime.combine(record.window[-1].day, time(), UTC)
