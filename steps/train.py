"""Train a room's candidates: every trial is a nested MLflow run, the best one is fitted and handed on."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict
from zenml import step

from bakehouse import workspace
from bakehouse.errors import ConfigurationError
from bentos.common import ndjson, tuning
from bentos.common.estimator import Fold, Trial
from bentos.common.room import Room, load_room
from steps import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Standing(BaseModel):
    """One trial of the leaderboard; `score` is the mean of the room's primary metric over the folds' dev parts, whose
    scores are `folds`. A trial that was given up has fewer of them."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    candidate: str
    params: dict[str, Any]
    score: float
    folds: tuple[float, ...]
    given_up: bool
    seconds: float
    run: str


class RunnerUp(BaseModel):
    """The best trial of another kind of estimator, and by how much the winner's score exceeds its own on the same
    folds, with a 95 % interval where there are several."""

    model_config = ConfigDict(frozen=True)

    candidate: str
    score: float
    margin: float
    low: float | None = None
    high: float | None = None


class Leaderboard(BaseModel):
    """Every trial, best first, those given up last. `ended` says what ended the search."""

    model_config = ConfigDict(frozen=True)

    metric: str
    standings: tuple[Standing, ...]
    runner_up: RunnerUp | None = None
    ended: Literal["trials", "seconds", "space"] = "trials"


@step
def train(
    model: str,
    train_set: Path,
    dev_set: Path,
    data_version: str,
    trials: int,
    seed: int,
    seconds: float | None = None,
) -> tuple[Annotated[Path, "fitted"], Annotated[str, "mlflow_run"], Annotated[Leaderboard, "leaderboard"]]:
    """The best of `trials` trials as a joblib file, the MLflow run that holds them all, and their leaderboard."""
    # ZenML sees several outputs only where a step returns a literal tuple.
    fitted, run, leaderboard = train_room(
        load_room(model), train_set, dev_set, data_version, trials, seed, workspace.scratch("train"), seconds
    )
    return fitted, run, leaderboard


def train_room(
    room: Room,
    train_set: Path,
    dev_set: Path,
    data_version: str,
    trials: int,
    seed: int,
    folder: Path,
    seconds: float | None = None,
) -> tuple[Path, str, Leaderboard]:
    """Search, tracked: at most `trials` trials, and none begun after `seconds` where those are given.

    Its MLflow run stays open: the release finishes it, or a missed gate fails it.

    Raises `ConfigurationError` where there is no trial to make.
    """
    import joblib

    train_items = ndjson.read(train_set, room.contract.Masked)
    dev_items = ndjson.read(dev_set, room.contract.Masked)
    client = tracking.client()
    experiment = tracking.experiment(client, room.name)
    with _run(client, experiment, f"training {room.name}", stays_open=True) as parent:
        settings = {"data_version": data_version, "seed": seed, "trials": trials, "seconds": seconds}
        sizes = {"train_rows": len(train_items), "dev_rows": len(dev_items)}
        tracking.log(client, parent, params={**settings, **sizes})
        folds = room.estimator.folds(train_items, dev_items, seed)
        leaderboard = _searched(room, folds, trials, seed, seconds, client, experiment, parent)
        if not leaderboard.standings or leaderboard.standings[0].given_up:
            raise ConfigurationError(
                f"{trials} trials of {room.name} are none at all.",
                "Set trials to 1 or more in the run configuration, and give the candidates a space.",
            )
        best = leaderboard.standings[0]
        path = folder / "fitted.joblib"
        winner = Trial(best.candidate, best.params)
        joblib.dump(room.estimator.finish(winner, train_items, dev_items, seed), path)
        client.log_dict(parent, leaderboard.model_dump(mode="json"), "leaderboard.json")
        tracking.log(
            client,
            parent,
            params={"candidate": best.candidate, **best.params},
            metrics={f"dev_{leaderboard.metric}": best.score},
        )
    return path, parent, leaderboard


def runner_up(standings: Sequence[Standing], folds: Sequence[Fold]) -> RunnerUp | None:
    """The best of another kind than the winner's; `standings` are best first. None where one kind was tried through."""
    winner = standings[0]
    for other in standings[1:]:
        if other.candidate != winner.candidate and not other.given_up and math.isfinite(other.score):
            figure = tuning.margin(winner.folds, other.folds, len(folds[0].dev) / len(folds[0].train))
            return RunnerUp(
                candidate=other.candidate, score=other.score, margin=figure.value, low=figure.low, high=figure.high
            )
    return None


def _searched(
    room: Room,
    folds: Sequence[Fold],
    trials: int,
    seed: int,
    seconds: float | None,
    client: MlflowClient,
    experiment: str,
    parent: str,
) -> Leaderboard:
    """Where all trials stand, each a run under `parent`."""
    search = room.estimator.search(seed)
    standings: list[Standing] = []
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    ended: Literal["trials", "seconds", "space"] = "trials"
    while len(standings) < trials:
        if standings and time.monotonic() >= deadline:
            ended = "seconds"
            break
        trial = search.ask()
        if trial is None:
            ended = "space"
            break
        with _run(client, experiment, trial.candidate, parent=parent) as run:
            tracking.log(client, run, params=trial.params)
            started = time.perf_counter()
            tried = tuning.attempt(trial, folds, search, lambda trial, fold: _score(room, trial, fold, seed))
            took = time.perf_counter() - started
            course = list(itertools.accumulate(tried.folds))
            means = [total / (place + 1) for place, total in enumerate(course)]
            tracking.log(client, run, metrics={room.estimator.METRIC: means, "seconds": took})
            client.set_tag(run, "given_up", str(tried.given_up).lower())
        standings.append(_standing(tried, took, run))
    standings.sort(key=lambda standing: (standing.given_up, -standing.score))
    beside = runner_up(standings, folds) if standings else None
    return Leaderboard(metric=room.estimator.METRIC, standings=tuple(standings), runner_up=beside, ended=ended)


def _score(room: Room, trial: Trial, fold: Fold, seed: int) -> float:
    return float(room.estimator.score(room.estimator.fit(trial, fold.train, seed), fold.dev, seed))


def _standing(tried: tuning.Tried, seconds: float, run: str) -> Standing:
    return Standing(
        candidate=tried.trial.candidate,
        params=dict(tried.trial.params),
        score=tried.score,
        folds=tried.folds,
        given_up=tried.given_up,
        seconds=seconds,
        run=run,
    )


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
