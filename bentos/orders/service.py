"""The service of orders. Its paths, limits, metrics and log are every room's, and stand in bentos/common."""

from __future__ import annotations

from collections.abc import Sequence

import bentoml

from bentos.common.predictor import Arrays, Predictor
from bentos.common.service import SETTINGS, PredictionService
from bentos.orders import features
from bentos.orders.contract import EXAMPLE, Request, Response


@bentoml.service(name="orders", service_class=PredictionService, **SETTINGS)
class Orders(Predictor[Request, Response]):
    """Says of each order whether it looks like an anomaly."""

    request = Request
    response = Response
    example = EXAMPLE
    outcomes = ("normal", "anomaly")
    alarm = "anomaly"

    def arrays(self, requests: Sequence[Request]) -> Arrays:
        return features.arrays(requests)

    def responses(self, requests: Sequence[Request], outputs: Arrays, model_version: int) -> Sequence[Response]:
        labels, scores = outputs["label"].tolist(), outputs["score"].tolist()
        return [
            Response.model_construct(
                order_id=request.order_id,
                anomaly=label == -1,
                label="anomaly" if label == -1 else "normal",
                score=score,
                model_version=model_version,
            )
            for request, label, score in zip(requests, labels, scores, strict=True)
        ]

    def outcome(self, response: Response) -> str:
        return response.label
