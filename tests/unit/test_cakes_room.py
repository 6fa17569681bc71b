"""The cakes room on its own: what it takes for a treat, what the graph answers, and how few records are judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from bentos.cakes import estimator
from bentos.cakes.contract import EXAMPLE, Masked, Record, Request, is_liked, record_id
from bentos.cakes.features import FEATURES, arrays
from bentos.common.estimator import Trial
from bentos.common.session import OnnxModel
from steps.evaluate import cross_validated

TRIALS = (
    Trial("logistic_regression", {"c": 1.0}),
    Trial("random_forest", {"depth": 3, "smallest_leaf": 4}),
)


def lines(checkout: Path) -> list[bytes]:
    return [
        line
        for batch in sorted((checkout / "data/cakes").glob("batch-*.ndjson"))
        for line in batch.read_bytes().splitlines()
    ]


def is_refused(line: bytes) -> bool:
    try:
        Record.model_validate_json(line)
    except ValidationError as error:
        return [fault["type"] for fault in error.errors()] == ["no_treat"]
    return False


@pytest.fixture(scope="module")
def treats(checkout: Path) -> list[Masked]:
    """All treats that ship, without the two coins."""
    return [Masked.model_validate_json(line) for line in lines(checkout) if b'"flavours":[],"forms":[]' not in line]


def test_only_the_two_coins_of_the_survey_are_refused(checkout: Path) -> None:
    refused = [line for line in lines(checkout) if is_refused(line)]
    assert len(lines(checkout)) == 85
    assert sorted(line.split(b'"')[3] for line in refused) == [b"One dime", b"One quarter"]


@pytest.mark.parametrize(
    "changed",
    [
        {"flavours": ["vanilla"]},
        {"flavours": ["nuts", "nuts"]},
        {"flavours": [], "forms": []},
        {"sugar": 60},
        {"price": float("nan")},
        {"name": "An idea"},
    ],
    ids=str,
)
def test_a_request_that_is_no_treat_is_refused(changed: dict[str, object]) -> None:
    Request.model_validate(EXAMPLE)
    with pytest.raises(ValidationError):
        Request.model_validate(EXAMPLE | changed)


def test_a_treat_is_liked_when_it_wins_more_than_half_of_its_duels(treats: Sequence[Masked]) -> None:
    assert not is_liked(treats[0].model_copy(update={"won": 50.0}))
    assert is_liked(treats[0].model_copy(update={"won": 50.1}))
    assert sum(map(is_liked, treats)) == 39


def test_the_case_of_a_name_does_not_make_another_treat_of_it(treats: Sequence[Masked]) -> None:
    assert record_id(treats[0].model_copy(update={"name": treats[0].name.upper()})) == record_id(treats[0])
    assert len({record_id(treat) for treat in treats}) == len(treats)


def test_the_features_say_what_a_treat_has_and_not_how_it_did(treats: Sequence[Masked]) -> None:
    row = dict(zip(FEATURES, arrays([Request.model_validate(EXAMPLE)])["features"][0].tolist(), strict=True))
    assert {name for name, value in row.items() if value == 1} == {"chocolate", "nuts", "bar"}
    assert (row["sugar"], row["price"]) == pytest.approx((0.6, 0.65))
    other = [treat.model_copy(update={"won": 100 - treat.won, "name": "Other"}) for treat in treats]
    assert (arrays(other)["features"] == arrays(treats)["features"]).all()


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.candidate)
def test_the_graph_answers_any_treat_as_scikit_learn_does(
    trial: Trial, treats: Sequence[Masked], tmp_path: Path
) -> None:
    fitted = estimator.fit(trial, treats, 7)
    path = tmp_path / "model.onnx"
    path.write_bytes(estimator.convert(fitted))
    generator = np.random.default_rng(7)
    asked = [
        treat.model_copy(update={"sugar": float(sugar), "price": float(price)})
        for treat in treats
        for sugar, price in generator.random((10, 2))
    ]
    answered, wanted = OnnxModel(path).run(arrays(asked)), estimator.reference(fitted, asked)
    assert (answered["label"] == wanted["label"]).all()
    assert np.abs(answered["probabilities"] - wanted["probabilities"]).max() <= 1e-6
    assert set(wanted["label"]) == {0, 1}


def test_the_order_is_shown_to_be_better_than_chance_on_all_treats(treats: Sequence[Masked]) -> None:
    figures = estimator.cross_validated(estimator.fit(TRIALS[0], treats, 7), treats, 7)
    area, gain = figures["cross_validated_roc_auc"], figures["cross_validated_accuracy_gain"]
    assert area.low is not None and area.high is not None
    assert 0.5 < area.low < area.value < area.high
    assert figures["cross_validated_roc_auc_low"].value == area.low
    assert gain.value == pytest.approx(figures["cross_validated_accuracy"].value - 44 / 83)


def test_treats_whose_labels_mean_nothing_miss_the_gate(treats: Sequence[Masked]) -> None:
    """The same treats with their votes shuffled: what was learned by heart helps with no treat that was not seen."""
    for seed in range(3):
        votes = np.random.default_rng(seed).permutation([treat.won for treat in treats])
        shuffled = [treat.model_copy(update={"won": won}) for treat, won in zip(treats, votes.tolist(), strict=True)]
        figures = estimator.cross_validated(estimator.fit(TRIALS[0], shuffled, 7), shuffled, 7)
        assert figures["cross_validated_roc_auc_low"].value < 0.5
        assert figures["cross_validated_accuracy_gain"].value < 0.05


def test_a_room_that_asks_for_no_cross_validation_gets_none(tmp_path: Path) -> None:
    from bentos.common.room import load_room

    assert cross_validated(load_room("orders"), tmp_path / "never-read.joblib", [], 7) == {}
