"""The step `train` with rooms whose trials cost nothing: folds, giving up, budgets, and what is written of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import joblib
import pytest

from bakehouse.errors import ConfigurationError
from bentos.common.estimator import Candidate, Fold, Range, Trial
from bentos.common.room import Room, load_room
from bentos.common.tuning import OptunaSearch
from steps import tracking
from steps.release import choice
from steps.train import Leaderboard, train_room
from tests.masked_orders import write_masked

CANDIDATES = (Candidate("good", {"c": Range(0.5, 1.0)}), Candidate("poor", {"c": Range(0.0, 0.1)}))
FOLDS = 4


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_masked(tmp_path_factory.mktemp("records") / "masked.ndjson", 3)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow database for all of these tests: to make one takes longer than any of them."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def shared(database: str, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)


def room(score: Callable[[Trial, int], float], folds: int = FOLDS) -> Room:
    """A room whose estimator is its trial, and scores as it is told on each fold."""

    def cut(train: Sequence[Any], dev: Sequence[Any], seed: int) -> Sequence[Fold]:
        return [Fold(train, [place]) for place in range(folds)]

    own = replace(load_room("orders"))
    own.__dict__["estimator"] = cast(
        ModuleType,
        SimpleNamespace(
            METRIC="rightness",
            search=lambda seed: OptunaSearch(CANDIDATES, seed),
            folds=cut,
            fit=lambda trial, train, seed: trial,
            score=lambda trial, dev, seed: score(trial, dev[0]),
            finish=lambda trial, train, dev, seed: {"candidate": trial.candidate, **trial.params},
        ),
    )
    return own


def wavering(trial: Trial, fold: int) -> float:
    return float(trial.params["c"]) + fold / 100 * (1 if trial.candidate == "good" else 2)


def run(
    records: Path, own: Room, folder: Path, trials: int, seconds: float | None = None
) -> tuple[Any, str, Leaderboard]:
    path, parent, leaderboard = train_room(own, records, records, "0" * 32, trials, 7, folder, seconds)
    return joblib.load(path), parent, leaderboard


def test_the_best_of_the_folds_is_finished_and_the_margin_is_on_the_same_folds(records: Path, tmp_path: Path) -> None:
    finished, _, board = run(records, room(wavering), tmp_path, 8)
    best = board.standings[0]
    assert finished == {"candidate": "good", **best.params}
    assert best.score == pytest.approx(sum(best.folds) / FOLDS)
    runner_up = board.runner_up
    assert runner_up is not None and runner_up.low is not None and runner_up.high is not None
    assert runner_up.candidate == "poor"
    assert runner_up.margin == pytest.approx(best.score - runner_up.score)
    assert 0 < runner_up.low < runner_up.margin < runner_up.high


def test_trials_that_fall_behind_are_given_up_ranked_last_and_marked(records: Path, tmp_path: Path) -> None:
    _, parent, board = run(records, room(wavering), tmp_path, 14)
    given_up = [standing for standing in board.standings if standing.given_up]
    assert given_up
    assert board.standings[-len(given_up) :] == tuple(given_up)
    assert all(2 <= len(standing.folds) < FOLDS for standing in given_up)
    client = tracking.client()
    nested = client.get_run(given_up[0].run)
    assert nested.data.tags["given_up"] == "true"
    assert nested.data.tags["mlflow.parentRunId"] == parent
    course = client.get_metric_history(given_up[0].run, "rightness")
    assert [point.step for point in course] == list(range(len(given_up[0].folds)))
    assert course[-1].value == pytest.approx(given_up[0].score)


def test_the_leaderboard_is_an_artifact_and_the_evidence_says_what_was_chosen(records: Path, tmp_path: Path) -> None:
    _, parent, board = run(records, room(wavering), tmp_path, 8)
    kept = tracking.client().download_artifacts(parent, "leaderboard.json", str(tmp_path))
    assert Leaderboard.model_validate(json.loads(Path(kept).read_text())) == board
    chosen = choice(board)
    assert (chosen.candidate, chosen.metric, chosen.trials) == ("good", "rightness", 8)
    assert chosen.given_up == sum(standing.given_up for standing in board.standings)
    assert chosen.runner_up is not None and chosen.runner_up.candidate == "poor"


def test_no_trial_begins_once_the_time_is_up_and_one_is_always_made(records: Path, tmp_path: Path) -> None:
    _, _, board = run(records, room(wavering), tmp_path, 1_000, seconds=1e-9)
    assert len(board.standings) == 1
    assert board.ended == "seconds"


def test_one_fold_has_a_margin_and_no_interval(records: Path, tmp_path: Path) -> None:
    _, _, board = run(records, room(wavering, folds=1), tmp_path, 4)
    assert board.runner_up is not None
    assert (board.runner_up.low, board.runner_up.high) == (None, None)
    assert not any(standing.given_up for standing in board.standings)


def test_the_same_seed_makes_the_same_leaderboard(records: Path, tmp_path: Path) -> None:
    boards = [run(records, room(wavering), tmp_path, 7)[2] for _ in range(2)]
    first, second = ([(one.candidate, one.params, one.folds) for one in board.standings] for board in boards)
    assert first == second


def test_scores_that_are_all_no_numbers_choose_nothing(records: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none at all"):
        run(records, room(lambda trial, fold: float("nan")), tmp_path, 5)
