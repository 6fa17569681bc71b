"""An order in plain pydantic, as a team without our contract would write it: the same fields and bounds, but not
strict, as FastAPI and MLflow hand on values that are parsed already, and a strict model refuses a time that is text.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import onnxruntime
from pydantic import BaseModel, Field

from bentos.orders import features


class Address(BaseModel):
    """Where a customer lives."""

    street: str | None = Field(default=None, max_length=200)
    city: str | None = Field(default=None, max_length=200)
    postal_code: str | None = Field(default=None, max_length=40)
    country: str | None = Field(default=None, max_length=60)


class Customer(BaseModel):
    """Who ordered."""

    id: str | None = Field(default=None, max_length=40)
    name: str | None = Field(default=None, max_length=200)
    email: str | None = Field(default=None, max_length=200)
    phone: str | None = Field(default=None, max_length=40)
    address: Address | None = None


class Line(BaseModel):
    """What was ordered."""

    stock_code: str = Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z ._-]{0,19}$")
    description: str | None = Field(default=None, max_length=200)
    quantity: int = Field(ge=-1_000_000, le=1_000_000)
    unit_price: float = Field(ge=0, le=1_000_000, allow_inf_nan=False)


class Order(BaseModel):
    """One order."""

    order_id: str = Field(pattern=r"^[AC]?[0-9]{6,12}$")
    time: datetime
    customer: Customer | None = None
    country: str = Field(max_length=60)
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    note: str | None = Field(default=None, max_length=2_000)
    lines: list[Line] = Field(min_length=1, max_length=2_000)


class Verdict(BaseModel):
    """The answer."""

    order_id: str
    anomaly: bool
    score: float


def session(graph: str) -> onnxruntime.InferenceSession:
    """The graph on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def judge(graph: onnxruntime.InferenceSession, orders: Any) -> list[Verdict]:
    """The same features and the same graph as ours."""
    labels, scores = graph.run(["label", "score"], features.arrays(orders))
    return [
        Verdict(order_id=order.order_id, anomaly=bool(label == -1), score=float(score))
        for order, label, score in zip(orders, labels, scores, strict=True)
    ]
