"""Train a room's candidates: every trial is a nested MLflow run, the best one is handed on."""

from __future__ import annotations

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
from bentos.common.room import Room, load_room
from steps import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Standing(BaseModel):
    """One trial of the leaderboard; `score` is the room's primary metric on the dev set."""

    model_config = ConfigDict(frozen=True)

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
    return train_room(load_room(model), train_set, dev_set, data_version, trials, seed, workspace.scratch("train"))


def train_room(
    room: Room, train_set: Path, dev_set: Path, data_version: str, trials: int, seed: int, folder: Path
) -> tuple[Path, str, Leaderboard]:
    """Search, tracked. The winner is handed on as it was fitted and scored: it is not fitted again on more rows.

    Raises `ConfigurationError` where `trials` is below one.
    """
    import joblib

    if trials < 1:
        raise ConfigurationError(f"trials is {trials}.", "Set it to 1 or more in the run configuration.")
    train_items = ndjson.read(train_set, room.contract.Masked)
    dev_items = ndjson.read(dev_set, room.contract.Masked)
    search = room.estimator.search(seed)
    best: Any = None
    standings: list[Standing] = []
    client = tracking.client()
    experiment = tracking.experiment(client, room.name)
    with _run(client, experiment, f"training {room.name}") as parent:
        tracking.log(
            client,
            parent,
            params={
                "data_version": data_version,
                "seed": seed,
                "trials": trials,
                "train_rows": len(train_items),
                "dev_rows": len(dev_items),
            },
        )
        for _ in range(trials):
            trial = search.ask()
            if trial is None:
                break
            with _run(client, experiment, trial.candidate, parent) as run:
                tracking.log(client, run, params=trial.params)
                started = time.perf_counter()
                fitted = room.estimator.fit(trial, train_items, seed)
                score = room.estimator.score(fitted, dev_items, seed)
                standing = Standing(
                    candidate=trial.candidate,
                    params=dict(trial.params),
                    score=score,
                    seconds=time.perf_counter() - started,
                    run=run,
                )
                tracking.log(client, run, metrics={room.estimator.METRIC: score, "seconds": standing.seconds})
            search.tell(trial, score)
            if all(score > other.score for other in standings):
                best = fitted
            standings.append(standing)
        leaderboard = Leaderboard(
            metric=room.estimator.METRIC,
            standings=tuple(sorted(standings, key=lambda standing: standing.score, reverse=True)),
        )
        winner = leaderboard.standings[0]
        tracking.log(
            client,
            parent,
            params={"candidate": winner.candidate, **winner.params},
            metrics={f"dev_{leaderboard.metric}": winner.score},
        )
    path = folder / "fitted.joblib"
    joblib.dump(best, path)
    return path, parent, leaderboard


@contextmanager
def _run(client: MlflowClient, experiment: str, name: str, parent: str | None = None) -> Iterator[str]:
    from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

    tags = {MLFLOW_PARENT_RUN_ID: parent} if parent else {}
    run = client.create_run(experiment, run_name=name, tags=tags).info.run_id
    try:
        yield run
    except BaseException:
        client.set_terminated(run, status="FAILED")
        raise
    client.set_terminated(run)
