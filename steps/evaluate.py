"""Evaluate the candidate's ONNX graph, the very file that would answer, beside the champion's on the same rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse.errors import DataError
from bakehouse.gates import GateResult, holds
from bentos.common import ndjson
from bentos.common.estimator import Figure, Predict
from bentos.common.room import Room, load_room
from bentos.common.session import OnnxModel
from steps import tracking

CHAMPION_PREFIX = "champion_"


class Metric(BaseModel):
    """A figure of the candidate with its 95 % interval, and the champion's on the same rows."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    value: float
    low: float | None = None
    high: float | None = None
    champion: float | None = None
    greater_is_better: bool | None = True


class Evaluation(BaseModel):
    """What the release's evidence says about the candidate. `champion` is the model version that it would replace, also
    where the two can't be compared; `champion_note` says so then, and no metric has a champion's figure."""

    model_config = ConfigDict(frozen=True)

    champion: int | None
    champion_note: str
    test_rows: int
    test_digest: str
    metrics: dict[str, Metric]
    gates: tuple[GateResult, ...]


@step
def evaluate(
    model: str,
    onnx: Path,
    test_set: Path,
    mlflow_run: str,
    seed: int,
    champion_version: int | None = None,
    champion_onnx: Path | None = None,
    fitted: Path | None = None,
    train_set: Path | None = None,
    dev_set: Path | None = None,
) -> Annotated[Evaluation, "evaluation"]:
    """Every figure of the room with its gates; a missed gate is returned, not raised. A room with `cross_validated`
    needs what was `fitted`, and all of the sets."""
    room = load_room(model)
    again = cross_validated(room, fitted, [file for file in (train_set, dev_set, test_set) if file], seed)
    evaluation = evaluate_room(room, onnx, test_set, seed, champion_version, champion_onnx, again)
    figures = {f"test_{name}": metric.value for name, metric in evaluation.metrics.items()}
    tracking.log(tracking.client(), mlflow_run, metrics=figures)
    return evaluation


def evaluate_room(
    room: Room,
    onnx: Path,
    test_set: Path,
    seed: int,
    champion_version: int | None = None,
    champion_onnx: Path | None = None,
    cross_validated: Mapping[str, Figure] | None = None,
) -> Evaluation:
    """Figures of the candidate, of the champion, of both together (named `champion_…`), and of the candidate's kind
    where it was `cross_validated`.

    Where there is no champion, or none that takes today's features, the gates on `champion_…` figures have nothing to
    hold and say why. Whether a champion that git names could be fetched is a gate of its own, where it is fetched.
    """
    items = ndjson.read(test_set, room.contract.Masked)
    candidate = predictor(room, onnx)
    figures = {**room.estimator.figures(candidate, items, seed), **(cross_validated or {})}
    beside: Mapping[str, Figure] = {}
    if champion_version is None:
        note = "First release: there is no champion to compare with."
    elif champion_onnx is None:
        note = f"The champion, model version {champion_version}, could not be fetched to compare with."
    else:
        champion = predictor(room, champion_onnx)
        try:
            beside = room.estimator.figures(champion, items, seed)
            figures |= room.estimator.compare(candidate, champion, items, seed)
        except DataError as error:
            note = f"Model version {champion_version} does not take today's features: {error.message}"
        else:
            note = f"Compared with model version {champion_version} on the same rows."
    return Evaluation(
        champion=champion_version,
        champion_note=note,
        test_rows=len(items),
        test_digest="sha256:" + hashlib.sha256(test_set.read_bytes()).hexdigest(),
        metrics={
            name: Metric(
                value=figure.value,
                low=figure.low,
                high=figure.high,
                champion=beside[name].value if name in beside else None,
                greater_is_better=figure.greater_is_better,
            )
            for name, figure in figures.items()
        },
        gates=tuple(_gates(room, figures, champion_version, note)),
    )


def cross_validated(room: Room, fitted: Path | None, sets: Sequence[Path], seed: int) -> Mapping[str, Figure]:
    """Figures of what was fitted, made again from parts of all the records and judged on the others; none where the
    room asks for none."""
    refit = getattr(room.estimator, "cross_validated", None)
    if refit is None or fitted is None:
        return {}
    import joblib

    items = [item for file in sets for item in ndjson.read(file, room.contract.Masked)]
    return cast("Mapping[str, Figure]", refit(joblib.load(fitted), items, seed))


def predictor(room: Room, onnx: Path) -> Predict:
    """The graph as a function of masked records, through the room's own features."""
    model = OnnxModel(onnx)
    return lambda items: model.run(room.features.arrays(items))


def _gates(room: Room, figures: Mapping[str, Figure], champion: int | None, note: str) -> list[GateResult]:
    results = []
    instead = "no champion" if champion is None else "not comparable"
    for name in room.problem.gates:
        if name in figures:
            results.append(room.problem.gate(name, figures[name].value))
        elif name.startswith(CHAMPION_PREFIX):
            source = f"bentos/{room.name}/problem.yaml: gates.{name}"
            results.append(holds(name, True, instead, "met where a champion can be compared with", source, note))
    return results
