"""Train a room's candidates: every trial is a nested MLflow run, the best one is handed on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import workspace
from bakehouse.errors import ConfigurationError
from bentos.common import ndjson
from bentos.common.estimator import Items, Trial
from bentos.common.room import Room, load_room
from steps import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Standing(BaseModel):
    """One trial of the leaderboard; `score` is the room's primary metric on the dev set."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    candidate: str
    params: dict[str, Any]
    score: float
    seconds: float
    run: str


class Leaderboard(BaseModel):
    """Every trial, best first."""

    model_config = ConfigDict(frozen=True)

    metric: str
    standings: tuple[Standing, ...]


@step
def train(
    model: str, train_set: Path, dev_set: Path, data_version: str, trials: int, seed: int
) -> tuple[Annotated[Path, "fitted"], Annotated[str, "mlflow_run"], Annotated[Leaderboard, "leaderboard"]]:
    """The best of `trials` trials as a joblib file, the MLflow run that holds them all, and their leaderboard."""
    # ZenML sees several outputs only where a step returns a literal tuple.
    fitted, run, leaderboard = train_room(
        load_room(model), train_set, dev_set, data_version, trials, seed, workspace.scratch("train")
    )
    return fitted, run, leaderboard


def train_room(
    room: Room, train_set: Path, dev_set: Path, data_version: str, trials: int, seed: int, folder: Path
) -> tuple[Path, str, Leaderboard]:
    """Search, tracked. The winner is handed on as it was fitted and scored: calibrated, but not fitted again.

    Its MLflow run stays open: the release finishes it, or a missed gate fails it.

    Raises `ConfigurationError` where there is no trial to make.
    """
    import joblib

    train_items = ndjson.read(train_set, room.contract.Masked)
    dev_items = ndjson.read(dev_set, room.contract.Masked)
    client = tracking.client()
    experiment = tracking.experiment(client, room.name)
    with _run(client, experiment, f"training {room.name}", stays_open=True) as parent:
        settings = {"data_version": data_version, "seed": seed, "trials": trials}
        sizes = {"train_rows": len(train_items), "dev_rows": len(dev_items)}
        tracking.log(client, parent, params={**settings, **sizes})
        standings: list[Standing] = []
        winner: tuple[Trial, Any] | None = None
        search = room.estimator.search(seed)
        while len(standings) < trials and (trial := search.ask()) is not None:
            with _run(client, experiment, trial.candidate, parent=parent) as run:
                tracking.log(client, run, params=trial.params)
                fitted, standing = _try(room, trial, train_items, dev_items, seed, run)
                tracking.log(client, run, metrics={room.estimator.METRIC: standing.score, "seconds": standing.seconds})
            search.tell(trial, standing.score)
            if all(standing.score > other.score for other in standings):
                winner = trial, fitted
            standings.append(standing)
        if winner is None:
            raise ConfigurationError(
                f"{trials} trials of {room.name} are none at all.",
                "Set trials to 1 or more in the run configuration, and give the candidates a space.",
            )
        trial, fitted = winner
        path = folder / "fitted.joblib"
        joblib.dump(room.estimator.calibrate(fitted, trial, train_items, dev_items, seed), path)
        standings.sort(key=lambda standing: standing.score, reverse=True)
        leaderboard = Leaderboard(metric=room.estimator.METRIC, standings=tuple(standings))
        tracking.log(
            client,
            parent,
            params={"candidate": trial.candidate, **trial.params},
            metrics={f"dev_{leaderboard.metric}": standings[0].score},
        )
    return path, parent, leaderboard


def _try(room: Room, trial: Trial, train: Items, dev: Items, seed: int, run: str) -> tuple[Any, Standing]:
    """The trial's estimator, and where it stands. A score that is not a number counts as the worst."""
    started = time.perf_counter()
    fitted = room.estimator.fit(trial, train, seed)
    score = room.estimator.score(fitted, dev, seed)
    standing = Standing(
        candidate=trial.candidate,
        params=dict(trial.params),
        score=-math.inf if math.isnan(score) else score,
        seconds=time.perf_counter() - started,
        run=run,
    )
    return fitted, standing


@contextmanager
def _run(
    client: MlflowClient, experiment: str, name: str, *, parent: str | None = None, stays_open: bool = False
) -> Iterator[str]:
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    tags = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    run = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    try:
        yield run
    except BaseException:
        client.set_terminated(run, status="FAILED")
        raise
    if not stays_open:
        client.set_terminated(run)
