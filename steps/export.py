"""Export the fitted estimator as an ONNX graph, and measure that both answer the same on the whole test set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import workspace
from bakehouse.gates import GateResult
from bentos.common import ndjson
from bentos.common.estimator import Arrays
from bentos.common.room import Room, load_room
from bentos.common.session import OnnxModel


class Parity(BaseModel):
    """How far the ONNX graph and the estimator agree. `agreement` is the share of rows on which every discrete output
    is equal, `difference` the greatest absolute difference of any continuous one."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    rows: int
    agreement: float
    difference: float
    gates: tuple[GateResult, ...]


@step
def export(model: str, fitted: Path, test_set: Path) -> tuple[Annotated[Path, "onnx"], Annotated[Parity, "parity"]]:
    """The graph that will answer, and its parity with the estimator; a missed gate is returned, not raised."""
    # ZenML sees several outputs only where a step returns a literal tuple.
    onnx, parity = export_room(load_room(model), fitted, test_set, workspace.scratch("export"))
    return onnx, parity


def export_room(room: Room, fitted: Path, test_set: Path, folder: Path) -> tuple[Path, Parity]:
    """Write `model.onnx` to `folder` and compare."""
    import joblib

    estimator = joblib.load(fitted)
    path = folder / "model.onnx"
    path.write_bytes(room.estimator.convert(estimator))
    items = ndjson.read(test_set, room.contract.Masked)
    answered = OnnxModel(path).run(room.features.arrays(items))
    agreement, difference = compare(answered, room.estimator.reference(estimator, items))
    gates = (
        room.problem.gate("parity_label_agreement", agreement),
        room.problem.gate("parity_score_difference", difference),
    )
    return path, Parity(rows=len(items), agreement=agreement, difference=difference, gates=gates)


def compare(answered: Arrays, wanted: Arrays) -> tuple[float, float]:
    """Agreement and difference of two models' outputs on the same rows. An output that one of them lacks, another
    shape, or a figure that is not a number, is no agreement at all: 0 and infinity."""
    if answered.keys() != wanted.keys() or any(answered[name].shape != wanted[name].shape for name in wanted):
        return 0.0, float("inf")
    equal: NDArray[Any] = np.ones(len(next(iter(wanted.values()))), dtype=bool)
    difference = 0.0
    for name, reference in wanted.items():
        if np.issubdtype(reference.dtype, np.floating):
            gap = np.abs(answered[name].astype(np.float64) - reference.astype(np.float64))
            difference = max(difference, float(gap.max())) if np.isfinite(gap).all() else float("inf")
        else:
            equal &= (answered[name] == reference).reshape(len(equal), -1).all(axis=1)
    return float(equal.mean()), difference
