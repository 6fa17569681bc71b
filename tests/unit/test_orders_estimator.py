"""The orders estimator: what it makes of an order is the anomaly it says, and its figures tell good models from bad."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bentos.common.estimator import Arrays, Estimator, Trial
from bentos.orders import estimator
from bentos.orders.contract import EXAMPLE, Masked
from bentos.orders.features import arrays
from tests.masked_orders import read_masked

FULFILLED: Estimator = estimator
"""The module fulfils the protocol: a type checker's test."""
TRIAL = Trial("isolation_forest", {"n_estimators": 50, "max_samples": 256, "max_features": 1.0})


@pytest.fixture
def order() -> Masked:
    document = {**EXAMPLE, "customer": None}
    return Masked.model_validate({**document, "time": "2010-12-01T08:26:00Z"}, strict=False)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def differing(one: Masked, other: Masked) -> set[str]:
    before, after = one.model_dump(), other.model_dump()
    return {name for name in before if before[name] != after[name]}


def test_price_times_100_multiplies_one_price_and_nothing_else(order: Masked, generator: np.random.Generator) -> None:
    made = estimator.price_times_100(order, generator)
    assert made is not None
    assert differing(order, made) == {"lines"}
    ratios = [new.unit_price / old.unit_price for new, old in zip(made.lines, order.lines, strict=True)]
    assert sorted(ratios) == pytest.approx([1, 100])
    assert [line.quantity for line in made.lines] == [line.quantity for line in order.lines]


def test_an_order_of_free_lines_has_no_price_to_mistype(order: Masked, generator: np.random.Generator) -> None:
    free = order.model_copy(update={"lines": [line.model_copy(update={"unit_price": 0.0}) for line in order.lines]})
    assert estimator.price_times_100(free, generator) is None


def test_quantity_sign_turns_one_quantity_round(order: Masked, generator: np.random.Generator) -> None:
    made = estimator.quantity_sign(order, generator)
    assert differing(order, made) == {"lines"}
    ratios = [new.quantity / old.quantity for new, old in zip(made.lines, order.lines, strict=True)]
    assert sorted(ratios) == [-1, 1]


def test_an_impossible_hour_is_at_night_of_the_same_day(order: Masked, generator: np.random.Generator) -> None:
    made = estimator.impossible_hour(order, generator)
    assert differing(order, made) == {"time"}
    assert made.time.hour < 5
    assert made.time.date() == order.time.date()


@pytest.mark.parametrize("sign", [1, -1])
def test_split_lines_add_up_to_the_line_they_were(order: Masked, generator: np.random.Generator, sign: int) -> None:
    large = order.lines[0].model_copy(update={"quantity": sign * 40})
    order = order.model_copy(update={"lines": [large, *order.lines[1:]]})
    made = estimator.split_lines(order, generator)
    assert made is not None
    pieces = made.lines[:-1]
    assert len(pieces) == estimator.MOST_PIECES
    assert made.lines[-1] == order.lines[-1]
    assert sum(piece.quantity for piece in pieces) == sign * 40
    assert all(piece.quantity * sign > 0 for piece in pieces)
    assert {(piece.stock_code, piece.unit_price) for piece in pieces} == {(large.stock_code, large.unit_price)}


def test_an_order_of_single_pieces_has_no_line_to_split(order: Masked, generator: np.random.Generator) -> None:
    single = order.model_copy(update={"lines": [line.model_copy(update={"quantity": 1}) for line in order.lines]})
    assert estimator.split_lines(single, generator) is None


@pytest.mark.parametrize("kind", estimator.KINDS)
def test_what_is_made_of_real_orders_moves_their_features(kind: str, tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)[:50]
    generator = np.random.default_rng(0)
    made = [(order, copy) for order in orders if (copy := estimator.KINDS[kind](order, generator)) is not None]
    assert made
    before = arrays([order for order, _ in made])["features"]
    after = arrays([copy for _, copy in made])["features"]
    assert (before != after).any(axis=1).all()


def test_a_calibrated_forest_flags_about_the_declared_share_of_orders_it_has_not_seen(tmp_path: Path) -> None:
    # Shuffled in time, so that what is left to differ is the threshold alone and not one day from another.
    orders = read_masked(tmp_path, 1, 2, 3)
    order = np.random.default_rng(0).permutation(len(orders))
    train, dev, test = (([orders[place] for place in part]) for part in np.split(order, [200, 300]))
    fitted = estimator.finish(TRIAL, train, dev, seed=0)
    rate = (estimator.reference(fitted, test)["label"] == -1).mean()
    assert rate == pytest.approx(estimator.EXPECTED_ANOMALY_RATE, abs=0.05)


def test_more_samples_a_tree_than_orders_are_as_many_as_there_are(tmp_path: Path) -> None:
    few = read_masked(tmp_path, 1)[:20]
    assert estimator.fit(TRIAL, few, seed=0).max_samples_ == 20


def test_a_model_that_knows_the_untouched_orders_is_perfect_on_every_kind(tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)[:60]
    known = {order.model_dump_json() for order in orders}

    def predict(items: Sequence[Masked]) -> Arrays:
        label = np.array([1 if item.model_dump_json() in known else -1 for item in items])
        return {"label": label, "score": label.astype(np.float32)}

    figures = estimator.figures(predict, orders, seed=0)
    assert figures["anomaly_rate"].value == 0
    for kind in estimator.KINDS:
        assert figures[f"precision_{kind}"].value == 1
        assert figures[f"recall_{kind}"].value == 1
        assert figures[f"average_precision_{kind}"].value == pytest.approx(1)
    assert figures["mean_average_precision"].value == pytest.approx(1)


def test_a_model_that_calls_every_order_odd_has_the_precision_of_guessing(tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)[:60]

    def predict(items: Sequence[Masked]) -> Arrays:
        return {"label": np.full(len(items), -1), "score": np.zeros(len(items), dtype=np.float32)}

    figures = estimator.figures(predict, orders, seed=0)
    assert figures["anomaly_rate"].value == 1
    for kind in estimator.KINDS:
        assert figures[f"precision_{kind}"].value == pytest.approx(estimator.EXPECTED_ANOMALY_RATE)
        assert figures[f"average_precision_{kind}"].value == pytest.approx(estimator.EXPECTED_ANOMALY_RATE)


def test_every_model_is_asked_about_the_same_orders(tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)[:30]
    asked: list[list[str]] = []

    def predict(items: Sequence[Masked]) -> Arrays:
        asked[-1].extend(item.model_dump_json() for item in items)
        return {"label": np.ones(len(items)), "score": np.arange(len(items), dtype=np.float32)}

    for _ in range(2):
        asked.append([])
        estimator.figures(predict, orders, seed=5)
    assert asked[0] == asked[1]


def test_a_model_beside_itself_ranks_alike_and_gains_nothing(tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)[:60]
    fitted = estimator.fit(TRIAL, orders, seed=0)

    def predict(items: Sequence[Masked]) -> Arrays:
        return estimator.reference(fitted, items)

    figures = estimator.compare(predict, predict, orders, seed=0)
    assert figures["champion_rank_correlation"].value == pytest.approx(1)
    assert figures["champion_mean_average_precision_gain"].value == 0


def test_a_model_that_ranks_the_other_way_round_is_told_apart(tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)[:60]
    fitted = estimator.fit(TRIAL, orders, seed=0)

    def predict(items: Sequence[Masked]) -> Arrays:
        return estimator.reference(fitted, items)

    def backwards(items: Sequence[Masked]) -> Arrays:
        answered = predict(items)
        return {**answered, "score": -answered["score"]}

    figures = estimator.compare(backwards, predict, orders, seed=0)
    assert figures["champion_rank_correlation"].value == pytest.approx(-1)
    assert figures["champion_mean_average_precision_gain"].value < 0


def test_a_forest_finds_mistyped_prices_far_better_than_guessing(tmp_path: Path) -> None:
    orders = read_masked(tmp_path, 1)
    train, test = orders[:200], orders[200:]
    fitted = estimator.fit(TRIAL, train, seed=0)
    figures = estimator.figures(lambda items: estimator.reference(fitted, items), test, seed=0)
    found = figures["average_precision_price_times_100"]
    assert found.low is not None
    assert found.low > 2 * estimator.EXPECTED_ANOMALY_RATE
