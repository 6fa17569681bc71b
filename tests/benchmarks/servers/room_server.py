"""FastAPI with a room's own contract, features and graph. `MODEL` and `GRAPH` in the environment name them.

What a team would write that has our contract and not our service: the smallest server of the same answers.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from pydantic import ValidationError

from tests.benchmarks.servers.order import session

app = FastAPI()
graph = session(os.environ["GRAPH"])
contract = import_module(f"bentos.{os.environ['MODEL']}.contract")
features = import_module(f"bentos.{os.environ['MODEL']}.features")


@app.post("/predict")
async def predict(request: Request) -> dict[str, Any]:
    """One document, the graph's outputs."""
    # Not by a type in the signature: FastAPI hands on values that are parsed already, and a strict contract refuses a
    # day that is text.
    try:
        asked = contract.Request.model_validate_json(await request.body())
    except ValidationError as error:
        raise HTTPException(422, error.errors(include_url=False, include_input=False)) from None
    outputs = graph.run(None, features.arrays([asked]))
    return {node.name: output[0].tolist() for node, output in zip(graph.get_outputs(), outputs, strict=True)}
