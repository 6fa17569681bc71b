"""The service of sentiment. Its paths, limits, metrics and logs are every room's, and stand in bentos/common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import bentoml

from bentos.common.predictor import Arrays, Predictor
from bentos.common.service import SETTINGS, PredictionService
from bentos.sentiment import features
from bentos.sentiment.contract import EXAMPLE, Label, Request, Response

LABELS: dict[int, Literal["negative", "positive", "unknown"]] = {0: "negative", 1: "positive", -1: "unknown"}


@bentoml.service(name="sentiment", service_class=PredictionService, **SETTINGS)
class Sentiment(Predictor[Request, Response]):
    """Says of each text whether it is positive or negative."""

    request = Request
    response = Response
    example = EXAMPLE
    truth = Label
    outcomes = ("negative", "positive", "unknown")

    def arrays(self, requests: Sequence[Request]) -> Arrays:
        return features.arrays(requests)

    def responses(self, requests: Sequence[Request], outputs: Arrays, model_version: int) -> Sequence[Response]:
        labels, scores = outputs["label"].tolist(), outputs["score"].tolist()
        return [
            Response.model_construct(label=LABELS[label], score=score, model_version=model_version)
            for label, score in zip(labels, scores, strict=True)
        ]

    def outcome(self, response: Response) -> str:
        return response.label
