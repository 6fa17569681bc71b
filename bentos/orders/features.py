"""From orders to the model's input array, the same function in training and in the service. numpy only.

Holds what an order looks like in numbers; reads no personal data, and does not judge what is odd.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.orders.contract import Masked, Record

FEATURES = (
    "lines",
    "total",
    "units",
    "least_value",
    "highest_price",
    "price_spread",
    "largest_quantity",
    "repeats",
    "off_peak",
)
"""How many lines; the sum of their values and of their quantities, and the least value of a line, each positive where
the signs are as they should be; the highest price, and how far it stands above the median one; the largest quantity;
how many lines name the same stock code; how far the hour is from the day's peak. Money and counts are ln(1 + x)."""

PEAK = 13.0
"""The busiest hour of the shop's day."""


def arrays(items: Sequence[Masked | Record]) -> dict[str, NDArray[Any]]:
    """The inputs of the ONNX graph by name: `features`, float32 of shape [len(items), len(FEATURES)], always finite."""
    rows = [_row(item) for item in items]
    return {"features": np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))}


# Plain loops: an order has some twenty lines, too few for numpy to win back the cost of making its arrays.
def _row(order: Masked | Record) -> tuple[float, ...]:
    lines = order.lines
    count = len(lines)
    quantities = [line.quantity for line in lines]
    prices = [line.unit_price for line in lines]
    values = [quantity * price for quantity, price in zip(quantities, prices, strict=True)]
    # A sale's quantities are positive. A cancellation (C) takes them back: its quantities are negative.
    total, units, least = sum(values), sum(quantities), min(values)
    if order.order_id[0] == "C":
        total, units, least = -total, -units, -max(values)
    prices.sort()
    codes = [line.stock_code for line in lines]
    repeats = max(Counter(codes).values()) if len(set(codes)) < count else 1
    time = order.time
    # Cubed, so that the rare early and late hours lie far apart: a forest tells apart only what has room between it.
    off_peak = abs(time.hour + time.minute / 60 - PEAK) ** 3
    return (
        log1p(count),
        _signed_log(total),
        _signed_log(units),
        _signed_log(least),
        log1p(prices[-1]),
        log1p(prices[-1]) - log1p(prices[count // 2]),
        log1p(max(*quantities, -min(quantities))),
        log1p(repeats),
        off_peak,
    )


def _signed_log(amount: float) -> float:
    return log1p(amount) if amount >= 0 else -log1p(-amount)
