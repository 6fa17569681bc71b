"""The service of cakes. Its paths, limits, metrics and logs are every room's, and stand in bentos/common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import bentoml

from bentos.cakes import features
from bentos.cakes.contract import EXAMPLE, Label, Request, Response
from bentos.common.predictor import Arrays, Predictor
from bentos.common.service import SETTINGS, PredictionService

LABELS: tuple[Label, ...] = get_args(Label)


@bentoml.service(name="cakes", service_class=PredictionService, **SETTINGS)
class Cakes(Predictor[Request, Response]):
    """Says of each treat whether it will be liked."""

    request = Request
    response = Response
    example = EXAMPLE
    truth = Label
    outcomes = LABELS

    def arrays(self, requests: Sequence[Request]) -> Arrays:
        return features.arrays(requests)

    def responses(self, requests: Sequence[Request], outputs: Arrays, model_version: int) -> Sequence[Response]:
        labels, probabilities = outputs["label"].tolist(), outputs["probabilities"][:, 1].tolist()
        return [
            Response.model_construct(label=LABELS[label], probability=probability, model_version=model_version)
            for label, probability in zip(labels, probabilities, strict=True)
        ]

    def outcome(self, response: Response) -> str:
        return response.label
