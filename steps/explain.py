"""Explain the candidate: which features move its answer, and one self-contained HTML report with the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel
from zenml import step

from bakehouse import workspace
from bentos.common import ndjson
from bentos.common.room import Room, load_room
from bentos.common.session import OnnxModel
from steps import tracking
from steps.evaluate import Evaluation, predictor
from steps.export import Parity
from steps.train import Leaderboard


@step
def explain(
    model: str,
    onnx: Path,
    test_set: Path,
    leaderboard: Leaderboard,
    parity: Parity,
    evaluation: Evaluation,
    mlflow_run: str,
    seed: int,
) -> tuple[Annotated[Path, "model_report"], Annotated[dict[str, float], "importance"]]:
    """The report as one HTML file, and the importance of each feature; the pictures also go to the MLflow run."""
    raise NotImplementedError
