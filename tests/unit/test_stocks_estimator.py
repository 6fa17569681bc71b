"""The stocks model is chosen by walking forward, is the same in ONNX, and is let in only where it knows something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bakehouse.errors import DataError
from bentos.common import evaluation, tuning
from bentos.common.estimator import Arrays, Predict, Trial
from bentos.common.session import OnnxModel
from bentos.stocks import estimator
from bentos.stocks.contract import Masked, record_time
from bentos.stocks.features import FEATURES, arrays
from tests import prices
from tests.prices import GATES, LINEAR, SEED, TREES, judged, missed, parts

NETWORK = Trial("neural_network", {"neurons": 4, "alpha": 1.0})


@pytest.fixture(scope="module")
def days() -> list[Masked]:
    """The questions that ship, in the order of time."""
    return prices.masked(prices.shipped())


def always(probability: float, up_rate: float = 0.5) -> Predict:
    def predict(items: Sequence[Masked]) -> Arrays:
        return {
            "label": np.full(len(items), int(probability >= 0.5)),
            "score": np.full(len(items), probability, dtype=np.float32),
            "up_rate": np.full(len(items), up_rate, dtype=np.float32),
        }

    return predict


def test_every_fold_is_judged_by_days_after_all_that_it_learned_from(days: list[Masked]) -> None:
    """And what came next is known by then of all that it learned from. Each learns from more than the one before,
    whatever the order in which records arrive; no test day is in any."""
    train, dev, test = parts(days)
    folds = estimator.folds(train[::-1], dev[::-1], SEED)
    assert len(folds) == estimator.FOLDS
    for fold in folds:
        assert max(map(record_time, fold.train)) < min(map(record_time, fold.dev))
        assert max(map(record_time, fold.dev)) < min(map(record_time, test))
        assert max(day.next.day for day in fold.train) <= min(day.window[-1].day for day in fold.dev)
    assert [len(fold.train) for fold in folds[1:]] == [len(fold.train) + len(fold.dev) for fold in folds[:-1]]
    assert [*folds[-1].train, *folds[-1].dev] == [*train, *dev]
    assert min(len(fold.train) for fold in folds) == pytest.approx(0.5 * len([*train, *dev]), abs=1)


def test_walking_forward_leaves_no_record_out_and_judges_none_twice() -> None:
    folds = tuning.walk_forward_folds(list(range(103)), 4, 0.4)
    judged = [item for fold in folds for item in fold.dev]
    assert judged == list(range(len(folds[0].train), 103))
    assert max(len(fold.dev) for fold in folds) - min(len(fold.dev) for fold in folds) <= 1


def test_block_replicates_draw_whole_blocks_as_many_rows_as_there_are() -> None:
    drawn = evaluation.block_replicates(103, 10, SEED, times=50)
    assert (drawn.sum(axis=1) == 103).all()
    assert (drawn[0] == 1).all()
    assert drawn[1:].mean() == pytest.approx(1)
    # A row that is drawn has a neighbour that is drawn: ten blocks of ten rows and one that is cut to three.
    present = drawn[1:] > 0
    alone = present & ~np.roll(present, 1, axis=1) & ~np.roll(present, -1, axis=1)
    assert not alone.any()
    assert (evaluation.block_replicates(103, 10, SEED, times=5) == drawn[:6]).all(axis=1)[0]


def test_intervals_of_rows_that_come_in_runs_are_wider_by_blocks() -> None:
    """Where ten neighbours are alike there are a tenth as many things to know, and single draws would not see it."""
    runs = np.repeat(np.random.default_rng(SEED).random(30) < 0.5, 10)
    by_block = evaluation.figure(evaluation.mean(runs, evaluation.block_replicates(300, 10, SEED)))
    by_row = evaluation.figure(evaluation.mean(runs, evaluation.replicates(300, SEED)))
    assert by_block.high is not None and by_block.low is not None
    assert by_row.high is not None and by_row.low is not None
    assert by_block.high - by_block.low > 2 * (by_row.high - by_row.low)


@pytest.mark.parametrize("trial", [LINEAR, TREES, NETWORK], ids=lambda trial: str(trial.candidate))
def test_the_graph_answers_as_the_estimator_does(trial: Trial, days: list[Masked], tmp_path: Path) -> None:
    train, dev, test = parts(days)
    fitted = estimator.finish(trial, train, dev, SEED)
    path = tmp_path / "model.onnx"
    path.write_bytes(estimator.convert(fitted))
    answered, wanted = OnnxModel(path).run(arrays(test)), estimator.reference(fitted, test)
    assert answered.keys() == wanted.keys()
    assert (answered["label"] == wanted["label"]).all()
    for name in ("score", "up_rate"):
        assert answered[name].dtype == np.float32
        np.testing.assert_allclose(answered[name], wanted[name], atol=1e-5)
    assert estimator.convert(estimator.finish(trial, train, dev, SEED)) == path.read_bytes()


def test_the_search_tries_every_kind() -> None:
    search = estimator.search(SEED)
    kinds = set()
    for _ in range(9):
        trial = search.ask()
        assert trial is not None
        kinds.add(trial.candidate)
        search.tell(0.0)
    assert kinds == {LINEAR.candidate, TREES.candidate, NETWORK.candidate}


def test_saying_up_every_day_gains_nothing_and_is_refused(days: list[Masked]) -> None:
    """Nor does always answering how frequent up was: a gate that 0 passes would let both in."""
    test = parts(days)[2]
    figures = dict(estimator.figures(always(0.52, up_rate=0.52), test, SEED))
    assert (figures["accuracy_gain"].value, figures["accuracy_gain"].low, figures["accuracy_gain"].high) == (0, 0, 0)
    assert figures["brier_gain"].value == 0
    assert missed(figures) == list(GATES)


def test_luck_with_one_direction_is_refused() -> None:
    """Through a fall, "down" beats "always up" beyond doubt, and still knows nothing of any day."""
    days = prices.masked(prices.questions(prices.made_days(1, 506)))[340:]
    falling = [
        day.model_copy(update={"next": day.next.model_copy(update={"close": day.window[-1].close * change})})
        for day, change in zip(days, np.tile([0.99, 0.99, 1.01, 0.99], len(days)).tolist(), strict=False)
    ]
    figures = dict(estimator.figures(always(0.25, up_rate=0.25), falling, SEED))
    assert figures["least_accuracy_gain"].value > 0.2
    assert missed(figures) == ["least_brier_gain"]


@pytest.mark.parametrize("trial", [LINEAR, TREES], ids=lambda trial: str(trial.candidate))
def test_no_model_of_a_random_walk_is_let_in(trial: Trial) -> None:
    for seed in range(12):
        questions = prices.masked(prices.questions(prices.made_days(seed)))
        assert missed(judged(trial, questions)), f"the walk of seed {seed}"


def test_no_model_of_shuffled_answers_is_let_in() -> None:
    for seed in range(6):
        questions = prices.masked(prices.with_shuffled_answers(prices.shipped(), seed))
        assert missed(judged(LINEAR, questions)), f"shuffled by seed {seed}"


def test_a_model_that_knows_something_is_let_in() -> None:
    """Prices of which each day takes back most of the change before, for four years: enough to prove it by."""
    figures = judged(LINEAR, prices.masked(prices.questions(prices.made_days(5, 1_000, taken_back=0.8))))
    assert figures["accuracy_gain"].value > 0.15
    assert missed(figures) == []


def test_figures_do_not_depend_on_the_order_in_which_records_come(days: list[Masked]) -> None:
    train, dev, test = parts(days)
    fitted = estimator.finish(LINEAR, train, dev, SEED)
    predict: Predict = lambda items: estimator.reference(fitted, items)  # noqa: E731
    assert estimator.figures(predict, test[::-1], SEED) == estimator.figures(predict, test, SEED)
    assert estimator.compare(predict, predict, test, SEED)["champion_accuracy_gain"].value == 0


def test_days_that_all_went_the_same_way_teach_nothing(days: list[Masked]) -> None:
    up = [day for day in days if day.next.close > day.window[-1].close]
    with pytest.raises(DataError, match="the same way"):
        estimator.fit(LINEAR, up, SEED)


def test_pictures_and_importance_are_of_this_model(days: list[Masked], tmp_path: Path) -> None:
    train, dev, test = parts(days)
    fitted = estimator.finish(LINEAR, train, dev, SEED)
    path = tmp_path / "model.onnx"
    path.write_bytes(estimator.convert(fitted))
    model = OnnxModel(path)
    pictures = estimator.pictures(lambda items: model.run(arrays(items)), test, SEED)
    assert {"Confusion matrix", "ROC curve", "Days gained on always saying up"} <= {each.title for each in pictures}
    moved = estimator.importance(model.run, test, SEED)
    assert moved.keys() == set(FEATURES)
    assert next(iter(moved.values())) > 0
