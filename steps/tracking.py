"""The MLflow tracking server as the steps use it. Holds where experiments and their files stand; registers nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bakehouse import workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient


def client() -> MlflowClient:
    """A client of the workspace's tracking server; SQLite's folder is made on first use."""
    from mlflow import MlflowClient

    uri = workspace.tracking_uri()
    if uri.startswith("sqlite:"):
        (workspace.state() / "mlflow").mkdir(exist_ok=True)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def experiment(tracking: MlflowClient, model: str) -> str:
    """The id of the model's experiment, made on first use.

    On the laptop's SQLite its files stand in the state folder, where MLflow alone would take the current folder; a
    server knows its own place.
    """
    from mlflow.exceptions import MlflowException

    found = tracking.get_experiment_by_name(model)
    if found is None:
        files = workspace.state() / "mlflow" / "artifacts" / model
        location = files.as_uri() if workspace.tracking_uri().startswith("sqlite:") else None
        try:
            return str(tracking.create_experiment(model, artifact_location=location))
        except MlflowException:
            found = tracking.get_experiment_by_name(model)  # another run made it meanwhile
            if found is None:
                raise
    return str(found.experiment_id)


def log(
    tracking: MlflowClient,
    run: str,
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float | Sequence[float]] | None = None,
) -> None:
    """Log to a run in one request; a sequence is a figure's course, step by step. Figures that are not finite are left
    out: SQL has no NaN."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    courses = {name: value if isinstance(value, Sequence) else (value,) for name, value in (metrics or {}).items()}
    tracking.log_batch(
        run,
        metrics=[
            Metric(name, value, now, step)
            for name, course in courses.items()
            for step, value in enumerate(course)
            if math.isfinite(value)
        ],
        params=[Param(name, str(value)) for name, value in (params or {}).items()],
    )
