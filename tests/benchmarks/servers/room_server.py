"""FastAPI with a room's own contract, features and graph. `MODEL` and `GRAPH` in the environment name them.

What a team would write that has our contract and not our service: the smallest server of the same answers.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from fastapi import FastAPI

from tests.benchmarks.servers.order import session

app = FastAPI()
graph = session(os.environ["GRAPH"])
contract = import_module(f"bentos.{os.environ['MODEL']}.contract")
features = import_module(f"bentos.{os.environ['MODEL']}.features")


async def predict(request: Any) -> dict[str, Any]:
    """One document, the graph's outputs."""
    outputs = graph.run(None, features.arrays([request]))
    return {node.name: output[0].item() for node, output in zip(graph.get_outputs(), outputs, strict=True)}


# FastAPI reads the type of the body from the signature, which is known here only once the room is.
predict.__annotations__["request"] = contract.Request
app.post("/predict")(predict)
