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
from bentos.common.estimator import Arrays, Trial
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


def test_no_treat_is_judged_by_a_model_that_was_chosen_or_fitted_with_it(
    treats: Sequence[Masked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And each is judged once in each repetition."""
    chosen, fitted, judged = [], [], []
    fit, reference = estimator.fit, estimator.reference

    def choose(known: Sequence[Masked], seed: int) -> Trial:
        chosen.append({treat.name for treat in known})
        return TRIALS[0]

    def spied_fit(trial: Trial, train: Sequence[Masked], seed: int) -> estimator.Fitted:
        fitted.append({treat.name for treat in train})
        return fit(trial, train, seed)

    def spied_reference(one: estimator.Fitted, items: Sequence[Masked]) -> Arrays:
        judged.append({treat.name for treat in items})
        return reference(one, items)

    winner = fit(TRIALS[0], treats, 7)
    for name, spy in (("choose", choose), ("fit", spied_fit), ("reference", spied_reference)):
        monkeypatch.setattr(estimator, name, spy)
    figures = estimator.cross_validated(winner, treats, 7)
    everything = {treat.name for treat in treats}
    assert len(judged) == estimator.FOLDS * estimator.JUDGING_REPETITIONS
    assert chosen == fitted == [everything - held_out for held_out in judged]
    assert sorted(name for held_out in judged for name in held_out) == sorted(
        [*everything] * estimator.JUDGING_REPETITIONS
    )
    assert figures["cross_validated_same_choice"].value == 1


def test_the_choice_is_of_these_treats_and_the_same_for_the_same_seed(treats: Sequence[Masked]) -> None:
    """Where nothing but chocolate matters, and always does, a model that is hardly held back does best."""
    plain = [
        treat.model_copy(update={"won": 90.0 if "chocolate" in treat.flavours else 10.0, "name": f"T{place}"})
        for place, treat in enumerate(treats)
    ]
    chosen = estimator.choose(plain, 7)
    assert chosen == estimator.choose(plain, 7) == Trial("logistic_regression", {"c": 10.0})


def test_the_order_is_shown_to_be_better_than_chance_on_all_treats(
    treats: Sequence[Masked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimator, "JUDGING_REPETITIONS", 2)
    figures = estimator.cross_validated(estimator.fit(TRIALS[0], treats, 7), treats, 7)
    area, gain = figures["cross_validated_roc_auc"], figures["cross_validated_accuracy_gain"]
    assert area.low is not None and area.high is not None
    assert 0.5 < area.low < area.value < area.high
    assert figures["cross_validated_roc_auc_low"].value == area.low
    assert gain.value == pytest.approx(figures["cross_validated_accuracy"].value - 44 / 83)
    assert 0 <= figures["cross_validated_same_choice"].value <= 1


def test_treats_whose_labels_mean_nothing_miss_the_gate(
    treats: Sequence[Masked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same treats with their votes shuffled: what was learned by heart helps with no treat that was not seen."""
    monkeypatch.setattr(estimator, "JUDGING_REPETITIONS", 1)
    for seed in range(3):
        votes = np.random.default_rng(seed).permutation([treat.won for treat in treats])
        shuffled = [treat.model_copy(update={"won": won}) for treat, won in zip(treats, votes.tolist(), strict=True)]
        figures = estimator.cross_validated(estimator.fit(TRIALS[0], shuffled, 7), shuffled, 7)
        assert figures["cross_validated_roc_auc_low"].value < 0.5
        assert figures["cross_validated_accuracy_gain"].value < 0.05


def test_a_room_that_asks_for_no_cross_validation_gets_none(tmp_path: Path) -> None:
    from bentos.common.room import load_room

    assert cross_validated(load_room("orders"), tmp_path / "never-read.joblib", [], 7) == {}
