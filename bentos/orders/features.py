"""From orders to the model's input array, the same function in training and in the service. numpy only.

Holds what an order looks like in numbers; reads no personal data, and does not judge what is odd.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.orders.contract import Masked, Record

FEATURES = (
    "lines",
    "total",
    "highest_price",
    "price_spread",
    "largest_quantity",
    "largest_value",
    "wrong_sign_share",
    "free_share",
    "repeats",
    "hour",
    "hours_from_noon",
)
"""Money and counts as ln(1 + x), so that one big order does not hide the rest; hours as decimals of a day's 24."""

NOON = 13.0
"""The busiest hour of the shop's day, from which an odd hour is far on either side."""


def arrays(items: Sequence[Masked | Record]) -> dict[str, NDArray[Any]]:
    """The inputs of the ONNX graph by name: `features`, float32 of shape [len(items), len(FEATURES)], always finite."""
    rows = [_row(item) for item in items]
    return {"features": np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))}


# Plain loops: an order has some twenty lines, too few for numpy to win back the cost of making its arrays.
def _row(order: Masked | Record) -> tuple[float, ...]:
    lines = order.lines
    count = len(lines)
    prices = sorted([line.unit_price for line in lines])
    quantities = [line.quantity for line in lines]
    values = [line.quantity * line.unit_price for line in lines]
    codes = [line.stock_code for line in lines]
    least, most = min(quantities), max(quantities)
    # A sale has positive quantities, and a cancellation (C) takes them back with negative ones.
    negative = sum([quantity < 0 for quantity in quantities]) if least < 0 else 0
    wrong = count - negative if order.order_id[0] == "C" else negative
    time = order.time
    hour = time.hour + time.minute / 60
    distinct = len(set(codes))
    repeats = max(map(codes.count, set(codes))) if distinct < count else 1
    return (
        log1p(count),
        log1p(abs(sum(values))),
        log1p(prices[-1]),
        log1p(prices[-1]) - log1p(prices[count // 2]),
        log1p(max(most, -least)),
        log1p(max(max(values), -min(values))),
        wrong / count,
        prices.count(0) / count,
        log1p(repeats),
        hour,
        abs(hour - NOON),
    )
