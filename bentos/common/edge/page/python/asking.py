"""What the page asks of the package's runner: first what the graph is to be given, then the answer from its outputs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from onnxruntime import Asked, InferenceSession
from run import Model, RefusedError  # type: ignore[import-not-found]  # the package's own


class Page:
    """The package's model, whose graph has these inputs and outputs."""

    def __init__(self, inputs: list[str], outputs: list[str]) -> None:
        InferenceSession.names = (inputs, outputs)
        self._model = Model()

    def inputs(self, body: str) -> str:
        """The graph's inputs as JSON by name (type, shape, flat data), or why the request is refused."""
        InferenceSession.outputs = None
        try:
            self._model.answer_json(body.encode())
        except Asked as asked:
            return json.dumps({"inputs": {name: _told(array) for name, array in asked.inputs.items()}})
        except RefusedError as error:
            more = {"more_problems": error.more} if error.more else {}
            return json.dumps({"refused": {"problems": error.problems, **more}})
        raise AssertionError("a prediction runs the graph")

    def answer(self, body: str, outputs: str) -> str:
        """The answer as JSON, from the graph's outputs as JSON."""
        InferenceSession.outputs = {name: _array(output) for name, output in json.loads(outputs).items()}
        answered: bytes = self._model.answer_json(body.encode())
        return answered.decode()


def _told(array: Any) -> dict[str, Any]:
    return {"type": array.dtype.name, "dims": list(array.shape), "data": array.reshape(-1).tolist()}


def _array(output: dict[str, Any]) -> Any:
    values = [float("nan") if value is None else value for value in output["data"]]
    return np.array(values, dtype=output["type"]).reshape(*output["dims"])
