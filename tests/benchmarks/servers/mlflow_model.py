"""An MLflow model from code. MLflow runs this file when it loads the model.

It has no type hint `list[Order]`, with which MLflow would validate strictly and refuse every time that came as JSON.
"""

from __future__ import annotations

from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from tests.benchmarks.servers.order import Order, judge, session


class Orders(PythonModel):  # type: ignore[misc]
    """Judges a list of orders."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the graph once."""
        self.graph = session(context.artifacts["graph"])

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """A verdict for each row of a data frame."""
        orders = [Order.model_validate(document) for document in model_input.to_dict("records")]
        return [verdict.model_dump() for verdict in judge(self.graph, orders)]


mlflow.models.set_model(Orders())
