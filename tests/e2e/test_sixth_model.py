"""To add a model is to add a folder: a room that nothing else has heard of is trained, released and served."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest

from bakehouse import archives, workspace
from bentos.common.log_files import FOLDER_VARIABLE
from gitops.history import champion
from gitops.repository import GitopsRepository
from tests.checkout_copy import copy_checkout
from tests.served import serve

MODEL = "loaves"
LOAVES = 500
EXAMPLE = {"grams": 800, "celsius": 220}
ROOM = {
    "contract.py": """
from typing import Annotated, Any

from pydantic import BaseModel, Field

from bentos.common.contract import Strict

Minutes = Annotated[float, Field(ge=1, le=300)]


class Request(Strict):
    grams: Annotated[int, Field(ge=50, le=5_000)]
    celsius: Annotated[int, Field(ge=100, le=300)]


class Record(Request):
    loaf: Annotated[str, Field(pattern="^L[0-9]{4}$")]
    minutes: Minutes


class Masked(Record):
    pass


class Response(BaseModel):
    minutes: float
    model_version: int

    model_config = {"protected_namespaces": ()}


EXAMPLE: dict[str, Any] = {"grams": 800, "celsius": 220}


def record_id(record):
    return record.loaf


def record_time(record):
    return None
""",
    "features.py": """
import numpy as np

FEATURES = ("grams", "celsius")


def arrays(items):
    rows = [[getattr(item, name) for name in FEATURES] for item in items]
    return {"features": np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURES))}
""",
    "checks.py": """
from bentos.common import ndjson
from bentos.common.expectations import because
from bentos.loaves.contract import Masked


def suite():
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    once = gxe.ExpectColumnValuesToBeUnique(column="loaf", **because("A loaf is baked once."))
    return ExpectationSuite(name="loaves", expectations=[once])


def frame(masked):
    import pandas as pd

    return pd.DataFrame([loaf.model_dump() for loaf in ndjson.read(masked, Masked)])
""",
    "estimator.py": """
import numpy as np

from bentos.common import evaluation, pictures as usual, regression, tuning
from bentos.common.estimator import Candidate, Fold, Split
from bentos.loaves.features import FEATURES, arrays

SPLIT = Split(by="hash", train=0.6, dev=0.2)
METRIC = "negative_rmse"


def search(seed):
    return tuning.RandomSearch([Candidate("ridge", {"alpha": (0.1, 1.0, 10.0)})], seed)


def folds(train, dev, seed):
    return (Fold(train, dev),)


def fit(trial, train, seed):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), Ridge(trial.params["alpha"]))
    return model.fit(arrays(train)["features"], minutes(train))


def score(fitted, dev, seed):
    return -regression.figures(minutes(dev), reference(fitted, dev)["minutes"][:, 0], seed)["rmse"].value


def finish(trial, train, dev, seed):
    return fit(trial, [*train, *dev], seed)


def convert(fitted):
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    inputs = [("features", FloatTensorType([None, len(FEATURES)]))]
    outputs = [("minutes", FloatTensorType([None, 1]))]
    return convert_sklearn(fitted, "loaves", inputs, final_types=outputs, target_opset=21).SerializeToString()


def reference(fitted, items):
    return {"minutes": fitted.predict(arrays(items)["features"]).astype(np.float32).reshape(-1, 1)}


def figures(predict, test, seed):
    return regression.figures(minutes(test), predict(test)["minutes"][:, 0], seed)


def compare(candidate, champion, test, seed):
    return regression.gains(minutes(test), *(one(test)["minutes"][:, 0] for one in (candidate, champion)), seed)


def importance(run, test, seed):
    return evaluation.permutation_importance(run, arrays(test), "features", FEATURES, "minutes", seed)


def pictures(predict, test, seed):
    return usual.of_numbers(minutes(test), predict(test)["minutes"][:, 0], "minutes in the oven")


def minutes(items):
    return np.array([item.minutes for item in items], dtype=np.float64)
""",
    "service.py": """
import bentoml

from bentos.common.predictor import Predictor
from bentos.common.service import SETTINGS, PredictionService
from bentos.loaves import features
from bentos.loaves.contract import EXAMPLE, Minutes, Request, Response


@bentoml.service(name="loaves", service_class=PredictionService, **SETTINGS)
class Loaves(Predictor[Request, Response]):
    request, response, example, truth = Request, Response, EXAMPLE, Minutes

    def arrays(self, requests):
        return features.arrays(requests)

    def responses(self, requests, outputs, model_version):
        return [Response(minutes=minutes, model_version=model_version) for minutes in outputs["minutes"][:, 0].tolist()]
""",
    "problem.yaml": """
model: loaves
title: How long does a loaf bake?
problem: A baker wants to know when the oven is free again.
kpi: {name: minutes_off, unit: minutes, how: The mean of how far the answer was from the time that the baker tells.}
owner: bakery
intended_use: [Plan an oven's day.]
out_of_scope: [Telling whether a loaf is done.]
promotion: automatic
gates:
  acceptance_rate: {at_least: 0.95, why: The scales write the records.}
  rmse: {at_most: 2.0, why: A baker looks every two minutes.}
  champion_rmse_gain: {at_least: -0.5, why: Half a minute is not seen.}
  parity_label_agreement: {at_least: 1.0, why: What answers must be what was evaluated.}
  parity_score_difference: {at_most: 0.001, why: float32 against float64.}
""",
    "card.md": "\n".join(
        f"## {heading}\nOf loaves.\n"
        for heading in ("The model", "Data", "How well it does", "Where it fails", "Ethical considerations")
    ),
    "run.yaml": """
parameters: {model: loaves, batches: [data/loaves/batch-1.ndjson], trials: 3, seed: 7, release_to: staging}
""",
}


@pytest.fixture
def house(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the checkout with one more room, unlike the others: it estimates a number, from records without a time
    and without anything personal. No other file is touched."""
    house = copy_checkout(checkout, tmp_path / "house", monkeypatch)
    room = house / "bentos" / MODEL
    room.mkdir()
    for name, text in {"__init__.py": "", **ROOM}.items():
        (room / name).write_text(text.lstrip())
    (house / "data" / MODEL).mkdir()
    chance = random.Random(7)
    with (house / "data" / MODEL / "batch-1.ndjson").open("w") as batch:
        for number in range(LOAVES):
            grams, celsius = chance.randrange(300, 2_000), chance.randrange(180, 260)
            loaf = {"loaf": f"L{number:04}", "grams": grams, "celsius": celsius}
            batch.write(json.dumps({**loaf, "minutes": minutes(grams, celsius) + chance.gauss(0, 1)}) + "\n")
    monkeypatch.chdir(house)
    return house


def minutes(grams: int, celsius: int) -> float:
    """How long a loaf bakes, the baker's luck aside."""
    return 30 + grams / 50 - (celsius - 200) / 5


def test_a_model_that_only_adds_its_folder_is_trained_released_and_served(house: Path, tmp_path: Path) -> None:
    """The room of a sixth model is all that it needs, from raw documents to an answer over HTTP."""
    command = ["zenml", "pipeline", "run", "pipelines.training.training", "-c", f"bentos/{MODEL}/run.yaml"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-5000:]

    release = champion(GitopsRepository.open(), "staging", MODEL)
    assert release is not None
    assert (release.model, release.model_version) == (MODEL, 1)
    assert release.data.accepted == LOAVES
    assert release.evidence.metrics["rmse"].value < 1.2, "the baker's luck is 1 minute, and nothing else is left"

    digest = release.image.digest
    bento = archives.unpack(workspace.images() / f"{digest.removeprefix('sha256:')}.bento", digest, tmp_path / "bento")
    log = tmp_path / "predictions"
    with serve(bento, tmp_path / "serving", **{FOLDER_VARIABLE: str(log)}) as service, service.client() as client:
        assert client.get("/release").json()["model"] == MODEL
        answer = client.post("/predict", json=EXAMPLE)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"minutes": pytest.approx(minutes(**EXAMPLE), abs=0.5), "model_version": 1}
        assert client.post("/predict", json={**EXAMPLE, "grams": "heavy"}).status_code == 422
        told = {"request_id": answer.headers["x-request-id"], "label": 41.5}
        assert client.post("/feedback", json=told).json() == {"recorded": 1}
        assert client.post("/feedback", json={**told, "label": "a while"}).status_code == 422
