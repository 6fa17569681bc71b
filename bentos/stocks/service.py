"""The service of stocks. Its paths, limits, metrics and logs are every room's, and stand in bentos/common."""

from __future__ import annotations

from collections.abc import Sequence

import bentoml

from bentos.common.predictor import Arrays, Predictor
from bentos.common.service import SETTINGS, PredictionService
from bentos.stocks import features
from bentos.stocks.contract import EXAMPLE, Direction, Request, Response


@bentoml.service(name="stocks", service_class=PredictionService, **SETTINGS)
class Stocks(Predictor[Request, Response]):
    """Says of each window of prices whether the next trading day closes higher."""

    request = Request
    response = Response
    example = EXAMPLE
    truth = Direction
    outcomes = ("up", "down")

    def arrays(self, requests: Sequence[Request]) -> Arrays:
        return features.arrays(requests)

    def responses(self, requests: Sequence[Request], outputs: Arrays, model_version: int) -> Sequence[Response]:
        labels, scores, rates = (outputs[name].tolist() for name in ("label", "score", "up_rate"))
        return [
            Response.model_construct(
                symbol=request.symbol,
                after=request.window[-1].day,
                direction="up" if label else "down",
                up_probability=score,
                up_rate=rate,
                model_version=model_version,
            )
            for request, label, score, rate in zip(requests, labels, scores, rates, strict=True)
        ]

    def outcome(self, response: Response) -> str:
        return response.direction
