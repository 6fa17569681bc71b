"""From windows of prices to the model's input array, the same function in training and in the service. numpy only.

Holds what the past looks like in numbers. It reads `window` alone: what came next is in no feature.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.stocks.contract import WINDOW, Masked, Record, Request

BACK = (1, 2, 5, 10, 20)
FEATURES = (
    *(f"change_{days}" for days in BACK),
    "overnight",
    "spread",
    "volatility",
    "volatility_lately",
    "volume",
    "place",
)
"""The change of the close over so many days, in standard deviations of the window's changes over so many; the change
from the last close but one to the last open, and the last day's spread from low to high, in those of one day; that
deviation itself, and the one of the last five days, as logarithms; the last day's volume against the window's mean;
where the last close lies between the least and the greatest, from 0 to 1. Changes are of logarithms, so that the level
of prices is in none."""

LEAST_DEVIATION = 1e-4
"""A hundredth of a percent a day: a share whose price stands still is no division by zero."""
LATELY = 5


def arrays(items: Sequence[Masked | Record | Request]) -> dict[str, NDArray[Any]]:
    """The inputs of the ONNX graph by name: `features`, float32 of shape [len(items), len(FEATURES)], always finite."""
    windows = np.array(
        [[(day.open, day.high, day.low, day.close, day.volume) for day in item.window] for item in items],
        dtype=np.float64,
    ).reshape(len(items), WINDOW, 5)
    opens, highs, lows, closes, volumes = np.moveaxis(np.log(windows), 2, 0)
    changes = np.diff(closes, axis=1)
    deviation = np.maximum(changes.std(axis=1), LEAST_DEVIATION)
    lately = np.maximum(changes[:, -LATELY:].std(axis=1), LEAST_DEVIATION)
    least, greatest = closes.min(axis=1), closes.max(axis=1)
    width = greatest - least
    columns = [
        *((closes[:, -1] - closes[:, -1 - days]) / deviation / np.sqrt(days) for days in BACK),
        (opens[:, -1] - closes[:, -2]) / deviation,
        (highs[:, -1] - lows[:, -1]) / deviation,
        np.log(deviation),
        np.log(lately),
        volumes[:, -1] - volumes.mean(axis=1),
        np.divide(closes[:, -1] - least, width, out=np.full(len(items), 0.5), where=width > 0),
    ]
    return {"features": np.stack(columns, axis=1).astype(np.float32)}
