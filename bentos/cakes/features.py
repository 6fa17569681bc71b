"""From treats to the model's input array, the same function in training and in the service. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bentos.cakes.contract import Flavour, Form, Treat

FLAVOURS, FORMS = get_args(Flavour), get_args(Form)
FEATURES = (*FLAVOURS, *FORMS, "sugar", "price")
"""1 where the treat has the flavour or the form and 0 where not; the ranks as they stand."""


def arrays(items: Sequence[Treat]) -> dict[str, NDArray[Any]]:
    """The input of the ONNX graph by name: `features`, float32 of shape [len(items), len(FEATURES)]."""
    rows = [
        (
            *(flavour in item.flavours for flavour in FLAVOURS),
            *(form in item.forms for form in FORMS),
            item.sugar,
            item.price,
        )
        for item in items
    ]
    return {"features": np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))}
