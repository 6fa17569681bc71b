"""Split, train, export, evaluate and explain on real orders, through the room, with a real MLflow on SQLite."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import joblib
import numpy as np
import pytest

from bakehouse.errors import ConfigurationError
from bakehouse.gates import misses
from bentos.common import ndjson
from bentos.common.estimator import Trial
from bentos.common.room import Room, load_room
from steps import tracking
from steps.describe import rendered
from steps.drawing import draw
from steps.evaluate import Evaluation, evaluate_room
from steps.explain import look, report
from steps.export import Parity, export_room
from steps.split import split_file
from steps.train import Leaderboard, Standing, train_room
from tests.masked_orders import write_masked

DATA_VERSION = "0" * 32
SEED = 7


@dataclass(frozen=True)
class Sets:
    """Train, dev and test of the shipped batches."""

    train: Path
    dev: Path
    test: Path


@pytest.fixture(scope="module")
def room() -> Room:
    return load_room("orders")


@pytest.fixture(scope="module")
def sets(room: Room, tmp_path_factory: pytest.TempPathFactory) -> Sets:
    folder = tmp_path_factory.mktemp("sets")
    return Sets(*split_file(room, write_masked(folder / "masked.ndjson", 1, 2), folder))


def with_estimator(room: Room, **replaced: Any) -> Room:
    """The room with some of its estimator's functions replaced; everything else is the real one."""
    own = replace(room)
    own.__dict__["estimator"] = cast(ModuleType, SimpleNamespace(**{**vars(room.estimator), **replaced}))
    return own


def a_forest(room: Room, sets: Sets, folder: Path, **params: Any) -> Path:
    """A fitted, calibrated forest as a file, without a search."""
    trial = Trial("isolation_forest", {"n_estimators": 50, "max_samples": 128, "max_features": 1.0, **params})
    train, dev = (ndjson.read(path, room.contract.Masked) for path in (sets.train, sets.dev))
    fitted = room.estimator.finish(trial, train, dev, SEED)
    path = folder / "fitted.joblib"
    joblib.dump(fitted, path)
    return path


def gate(evaluation: Evaluation, name: str) -> Any:
    return next(result for result in evaluation.gates if result.name == name)


def test_every_trial_is_a_nested_run_and_the_best_is_handed_on(room: Room, sets: Sets, tmp_path: Path) -> None:
    path, run, leaderboard = train_room(room, sets.train, sets.dev, DATA_VERSION, 3, SEED, tmp_path)
    client = tracking.client()
    nested = client.search_runs(
        [tracking.experiment(client, "orders")], filter_string=f"tags.`mlflow.parentRunId` = '{run}'"
    )
    assert {found.info.run_id for found in nested} == {standing.run for standing in leaderboard.standings}
    assert len(nested) == 3
    assert all(found.info.status == "FINISHED" for found in nested)
    scores = [standing.score for standing in leaderboard.standings]
    assert scores == sorted(scores, reverse=True)
    best = leaderboard.standings[0]
    logged = client.get_run(best.run)
    assert logged.data.metrics["mean_average_precision"] == pytest.approx(best.score)
    assert logged.data.params == {name: str(value) for name, value in best.params.items()}
    parent = client.get_run(run)
    assert parent.info.status == "RUNNING"
    assert parent.data.params["data_version"] == DATA_VERSION
    assert parent.data.metrics["dev_mean_average_precision"] == pytest.approx(best.score)
    dev = ndjson.read(sets.dev, room.contract.Masked)
    assert room.estimator.score(joblib.load(path), dev, SEED) == pytest.approx(best.score)


def test_the_same_seed_trains_the_same_model(room: Room, sets: Sets, tmp_path: Path) -> None:
    graphs = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        fitted, _, _ = train_room(room, sets.train, sets.dev, DATA_VERSION, 2, SEED, folder)
        graphs.append(export_room(room, fitted, sets.test, folder)[0].read_bytes())
    assert graphs[0] == graphs[1]


def test_more_trials_than_the_space_holds_try_each_once(room: Room, sets: Sets, tmp_path: Path) -> None:
    from bentos.common.estimator import Candidate
    from bentos.common.tuning import RandomSearch

    small = Candidate("isolation_forest", {"n_estimators": (10, 20), "max_samples": (64,), "max_features": (1.0,)})
    few = with_estimator(room, search=lambda seed: RandomSearch((small,), seed))
    _, _, leaderboard = train_room(few, sets.train, sets.dev, DATA_VERSION, 50, SEED, tmp_path)
    assert len(leaderboard.standings) == 2


def test_no_trial_at_all_is_an_error_and_its_run_is_marked_as_failed(room: Room, sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="none at all"):
        train_room(room, sets.train, sets.dev, DATA_VERSION, 0, SEED, tmp_path)
    client = tracking.client()
    (run,) = client.search_runs([tracking.experiment(client, "orders")])
    assert run.info.status == "FAILED"


def test_a_trial_that_crashes_leaves_no_run_open(room: Room, sets: Sets, tmp_path: Path) -> None:
    def crash(*_: object) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        train_room(with_estimator(room, fit=crash), sets.train, sets.dev, DATA_VERSION, 2, SEED, tmp_path)
    client = tracking.client()
    runs = client.search_runs([tracking.experiment(client, "orders")])
    assert [run.info.status for run in runs] == ["FAILED", "FAILED"]


def test_a_score_that_is_not_a_number_never_wins(room: Room, sets: Sets, tmp_path: Path) -> None:
    scores = iter((float("nan"), 0.2, float("nan")))
    odd = with_estimator(room, score=lambda *_: next(scores))
    _, _, leaderboard = train_room(odd, sets.train, sets.dev, DATA_VERSION, 3, SEED, tmp_path)
    assert leaderboard.standings[0].score == 0.2


def test_the_exported_graph_agrees_with_scikit_learn_on_the_whole_test_set(
    room: Room, sets: Sets, tmp_path: Path
) -> None:
    path, parity = export_room(room, a_forest(room, sets, tmp_path, max_features=0.5), sets.test, tmp_path)
    assert parity.rows == len(ndjson.read(sets.test, room.contract.Masked))
    assert parity.agreement == 1
    assert parity.difference <= 1e-6
    assert not misses(parity.gates)
    assert path.stat().st_size > 0


def test_a_graph_of_another_forest_misses_both_parity_gates(room: Room, sets: Sets, tmp_path: Path) -> None:
    fitted = a_forest(room, sets, tmp_path)
    other = joblib.load(fitted)
    other.offset_ += 0.05
    mixed_up = with_estimator(room, convert=lambda _: room.estimator.convert(other))
    _, parity = export_room(mixed_up, fitted, sets.test, tmp_path)
    assert {miss.name for miss in misses(parity.gates)} == {"parity_label_agreement", "parity_score_difference"}
    assert all("bentos/orders/problem.yaml" in miss.source for miss in misses(parity.gates))


@pytest.fixture
def onnx(room: Room, sets: Sets, tmp_path: Path) -> Path:
    folder = tmp_path / "candidate"
    folder.mkdir()
    return export_room(room, a_forest(room, sets, folder), sets.test, folder)[0]


def test_the_first_release_says_that_there_is_no_champion(room: Room, sets: Sets, onnx: Path) -> None:
    evaluation = evaluate_room(room, onnx, sets.test, SEED)
    assert evaluation.champion is None
    assert "First release" in evaluation.champion_note
    assert all(metric.champion is None for metric in evaluation.metrics.values())
    excused = gate(evaluation, "champion_rank_correlation")
    assert excused.passed
    assert excused.figure == "no champion"
    assert "First release" in excused.explanation


def test_every_gate_of_the_evaluation_in_problem_yaml_is_held(room: Room, sets: Sets, onnx: Path) -> None:
    evaluation = evaluate_room(room, onnx, sets.test, SEED)
    elsewhere = {"acceptance_rate", "parity_label_agreement", "parity_score_difference"}
    assert {result.name for result in evaluation.gates} == set(room.problem.gates) - elsewhere
    for result in evaluation.gates:
        if result.name in evaluation.metrics:
            assert result.figure == evaluation.metrics[result.name].value


def test_a_champion_is_judged_on_the_same_rows(room: Room, sets: Sets, onnx: Path, tmp_path: Path) -> None:
    other = tmp_path / "champion"
    other.mkdir()
    champion, _ = export_room(room, a_forest(room, sets, other, max_features=0.5), sets.test, other)
    evaluation = evaluate_room(room, onnx, sets.test, SEED, 4, champion)
    alone = evaluate_room(room, champion, sets.test, SEED)
    assert evaluation.champion == 4
    for name, metric in alone.metrics.items():
        assert evaluation.metrics[name].champion == metric.value
    assert -1 < evaluation.metrics["champion_rank_correlation"].value < 1
    assert gate(evaluation, "champion_rank_correlation").comparison == ">="


def test_a_champion_with_other_features_is_named_and_compared_with_nothing(
    room: Room, sets: Sets, onnx: Path, tmp_path: Path
) -> None:
    from sklearn.ensemble import IsolationForest

    older = tmp_path / "older.onnx"
    narrow = IsolationForest(random_state=0).fit(np.random.default_rng(0).normal(size=(50, 2)))
    older.write_bytes(room.estimator.convert(narrow))
    evaluation = evaluate_room(room, onnx, sets.test, SEED, 1, older)
    assert evaluation.champion == 1
    assert "version 1 does not take today's features" in evaluation.champion_note
    assert all(metric.champion is None for metric in evaluation.metrics.values())
    excused = gate(evaluation, "champion_rank_correlation")
    assert (excused.passed, excused.figure) == (True, "not comparable")


def test_a_model_that_flags_at_random_misses_its_gates_and_every_miss_is_listed(
    room: Room, sets: Sets, tmp_path: Path
) -> None:
    from sklearn.ensemble import IsolationForest

    noise = IsolationForest(n_estimators=1, max_samples=2, random_state=0)
    noise.fit(np.random.default_rng(0).normal(size=(50, len(room.features.FEATURES))))
    noise.offset_ = -0.4
    onnx = tmp_path / "noise.onnx"
    onnx.write_bytes(room.estimator.convert(noise))
    missed = {miss.name for miss in misses(evaluate_room(room, onnx, sets.test, SEED).gates)}
    assert {"anomaly_rate", "mean_average_precision"} <= missed


def test_figures_stand_inside_their_intervals(room: Room, sets: Sets, onnx: Path) -> None:
    for name, metric in evaluate_room(room, onnx, sets.test, SEED).metrics.items():
        assert metric.low is not None, name
        assert metric.high is not None, name
        assert metric.low <= metric.value <= metric.high, name


def test_the_report_is_one_file_that_loads_nothing_and_shows_every_figure(
    room: Room, sets: Sets, onnx: Path, tmp_path: Path
) -> None:
    standing = Standing(
        candidate="isolation_forest",
        params={"trees": 50},
        score=0.5,
        folds=(0.5,),
        given_up=False,
        seconds=0.1,
        run="r",
    )
    leaderboard = Leaderboard(metric="mean_average_precision", standings=(standing,))
    _, parity = export_room(room, a_forest(room, sets, tmp_path), sets.test, tmp_path)
    evaluation = evaluate_room(room, onnx, sets.test, SEED)
    importance, pictures = look(room, onnx, sets.test, SEED)
    drawn = {picture.title: draw(picture) for picture in pictures}
    card = rendered(room, DATA_VERSION, leaderboard, parity, evaluation)
    page = report(room, leaderboard, parity, evaluation, card, pictures, drawn)
    assert set(importance) == set(room.features.FEATURES)
    assert len(pictures) == 3
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) == 3
    for source in sources:
        kind, _, content = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(content).startswith(b"\x89PNG")
    for name in (*evaluation.metrics, *(result.name for result in evaluation.gates), *(g.name for g in parity.gates)):
        assert name in page


def test_what_a_room_says_is_text_in_the_report_and_never_markup(room: Room, sets: Sets, onnx: Path) -> None:
    hostile = replace(room, problem=room.problem.model_copy(update={"problem": "<script>alert(1)</script>"}))
    page = report(
        hostile,
        Leaderboard(metric="m", standings=()),
        Parity(rows=0, agreement=1, difference=0, gates=()),
        evaluate_room(room, onnx, sets.test, SEED),
        "# Card\n\n<script>alert(1)</script>",
        (),
        {},
    )
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 2
