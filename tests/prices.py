"""Prices for tests and benchmarks: those that ship, and made ones of which it is known what their past says of their
future; and what the gates say of a model of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from bentos.common.estimator import Figure, Trial
from bentos.common.room import load_room
from bentos.stocks import estimator
from bentos.stocks.contract import SATURDAY, Masked
from tools import derive_stocks

CHECKOUT = Path(__file__).resolve().parents[1]
BATCHES = tuple(CHECKOUT / "data" / "stocks" / f"batch-{number}.ndjson" for number in (1, 2))
LINEAR = Trial("logistic_regression", {"c": 1.0})
TREES = Trial(
    "xgboost",
    {"n_estimators": 60, "max_depth": 2, "learning_rate": 0.1, "min_child_weight": 5.0, "subsample": 0.7},
)
GATES = ("least_accuracy_gain", "least_brier_gain")
SEED = 7


def shipped() -> list[dict[str, Any]]:
    """The records of both batches, in the order of time."""
    return [json.loads(line) for batch in BATCHES for line in batch.read_text().splitlines()]


def shipped_days() -> list[dict[str, Any]]:
    """Every day of every window, once."""
    return sorted({day["day"]: day for record in shipped() for day in record["window"]}.values(), key=_name)


def made_days(seed: int, count: int = 506, taken_back: float = 0.0) -> list[dict[str, Any]]:
    """Weekdays of prices by chance. Each day's change takes back this share of the change before: at 0 the past says
    nothing of the future, which is a random walk."""
    generator = np.random.default_rng(seed)
    changes = generator.normal(0, 0.015, count)
    for place in range(1, count):
        changes[place] -= taken_back * changes[place - 1]
    closes = (100 * np.exp(np.cumsum(changes))).round(6)
    opens = (closes * np.exp(generator.normal(0, 0.004, count))).round(6)
    reach = generator.uniform(0.001, 0.01, count)
    volumes = (1e7 * np.exp(generator.normal(0, 0.3, count))).astype(int)
    return [
        {
            "day": day.isoformat(),
            "open": opening,
            "high": max(opening, close) * (1 + far),
            "low": min(opening, close) * (1 - far),
            "close": close,
            "volume": volume,
        }
        for day, opening, close, far, volume in zip(
            weekdays(count), opens.tolist(), closes.tolist(), reach.tolist(), volumes.tolist(), strict=True
        )
    ]


def weekdays(count: int) -> list[date]:
    days = (date(2012, 1, 2) + timedelta(days=ahead) for ahead in range(2 * count))
    return [day for day in days if day.weekday() < SATURDAY][:count]


def questions(days: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return list(derive_stocks.questions(days, "AAPL"))


def masked(records: Sequence[dict[str, Any]]) -> list[Masked]:
    return [Masked.model_validate_json(json.dumps(record)) for record in records]


def with_shuffled_answers(records: Sequence[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """The same windows, each followed by the change that followed another one."""
    changes = np.array([record["next"]["close"] / record["window"][-1]["close"] for record in records])
    shuffled = np.random.default_rng(seed).permutation(changes).tolist()
    return [
        {**record, "next": {**record["next"], "close": round(record["window"][-1]["close"] * change, 6)}}
        for record, change in zip(records, shuffled, strict=True)
    ]


def parts(questions: Sequence[Masked]) -> tuple[Sequence[Masked], Sequence[Masked], Sequence[Masked]]:
    """Train, dev and test as the room's split cuts them."""
    first, second = (int(len(questions) * share) for share in (0.5, 0.7))
    return questions[:first], questions[first:second], questions[second:]


def judged(trial: Trial, questions: Sequence[Masked]) -> dict[str, Figure]:
    """The figures of a model of these questions."""
    train, dev, test = parts(questions)
    fitted = estimator.finish(trial, train, dev, SEED)
    return dict(estimator.figures(lambda items: estimator.reference(fitted, items), test, SEED))


def missed(figures: dict[str, Figure]) -> list[str]:
    """The gates on gains that they miss."""
    problem = load_room("stocks").problem
    return [name for name in GATES if not problem.gate(name, figures[name].value).passed]


def _name(day: dict[str, Any]) -> str:
    return str(day["day"])
