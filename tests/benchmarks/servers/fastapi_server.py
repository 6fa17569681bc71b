"""FastAPI with the pydantic model in the signature. `GRAPH` in the environment names the ONNX file."""

from __future__ import annotations

import os

from fastapi import FastAPI

from tests.benchmarks.servers.order import Order, Verdict, judge, session

app = FastAPI()
graph = session(os.environ["GRAPH"])


@app.post("/predict")
async def predict(order: Order) -> Verdict:
    """One order, one verdict."""
    return judge(graph, [order])[0]
