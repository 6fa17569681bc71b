"""The stocks model the whole way: prices that tell nothing end without a release, and prices that do, in one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bakehouse import archives, workspace
from bentos.stocks.contract import EXAMPLE
from gitops.history import champion
from gitops.repository import GitopsRepository
from steps import tracking
from tests import prices
from tests.e2e.conftest import Train
from tests.served import serve
from tools import derive_stocks

GAINS = {"least_accuracy_gain", "least_brier_gain"}


def batch(folder: Path, records: Sequence[dict[str, Any]]) -> Path:
    path = folder / "batch.ndjson"
    derive_stocks.write(path, records)
    return path


def random_walk() -> list[dict[str, Any]]:
    return prices.questions(prices.made_days(21))


def shuffled_answers() -> list[dict[str, Any]]:
    return prices.with_shuffled_answers(prices.shipped(), 21)


@pytest.mark.parametrize("made", [random_walk, shuffled_answers, prices.shipped])
def test_a_useless_model_is_refused_with_its_gains_and_nothing_is_released(
    made: Callable[[], list[dict[str, Any]]], train: Train, tmp_path: Path
) -> None:
    """The shipped prices are among the useless ones. All other gates pass, so it is the gains that decide; the run is
    marked as failed with every miss, and neither a commit nor a model version is made."""
    before = GitopsRepository.open().head()
    ended = train(batch(tmp_path, made()), model="stocks", trials=6)
    assert ended.code == 1, ended.output
    misses = {line.split()[1] for line in ended.output.splitlines() if line.startswith("  - ")}
    assert misses and misses <= GAINS, ended.output
    repository = GitopsRepository.open()
    assert repository.head() == before
    assert champion(repository, "staging", "stocks") is None
    client = tracking.client()
    assert client.search_registered_models() == []
    (run,) = client.search_runs([tracking.experiment(client, "stocks")], "attributes.status = 'FAILED'")
    assert {line.split()[0] for line in run.data.tags["misses"].splitlines()} == misses


def test_a_model_that_knows_something_is_released_and_answers_for_windows_and_for_nothing_else(
    train: Train, tmp_path: Path
) -> None:
    ended = train(
        batch(tmp_path, prices.questions(prices.made_days(5, 1_000, taken_back=0.8))), model="stocks", trials=6
    )
    assert ended.code == 0, ended.output
    release = champion(GitopsRepository.open(), "staging", "stocks")
    assert release is not None
    assert release.evidence.metrics["accuracy_gain"].value > 0.1
    assert {gate.name for gate in release.evidence.gates if gate.passed} >= GAINS

    archive = workspace.images() / f"{release.image.digest.removeprefix('sha256:')}.bento"
    bento = archives.unpack(archive, release.image.digest, tmp_path / "bento")
    rising, falling = ({**EXAMPLE, "window": moved(day)} for day in (1.05, 0.95))
    with serve(bento, tmp_path / "home") as served, served.client() as client:
        answer = client.post("/predict", json=[EXAMPLE, rising, falling])
        assert answer.status_code == 200, answer.text
        usual, after_rise, after_fall = answer.json()
        assert usual["after"] == EXAMPLE["window"][-1]["day"]
        assert usual["model_version"] == 1
        assert (after_rise["direction"], after_fall["direction"]) == ("down", "up")
        assert after_rise["up_probability"] < usual["up_rate"] < after_fall["up_probability"]
        for window, field, reason in spoilt():
            refused = client.post(
                "/predict",
                content=json.dumps({**EXAMPLE, "window": window}),
                headers={"content-type": "application/json"},
            )
            assert refused.status_code == 422, refused.text
            (problem,) = refused.json()["problems"]
            assert problem["field"] == field
            assert reason in problem["reason"]


def moved(change: float) -> list[dict[str, Any]]:
    """The example's window, whose last day closes so much higher or lower than the day before."""
    window: list[dict[str, Any]] = copy.deepcopy(EXAMPLE["window"])
    close = window[-2]["close"] * change
    window[-1] |= {"open": close, "high": close + 1, "low": close - 1, "close": close}
    return window


def spoilt() -> list[tuple[list[dict[str, Any]], str, str]]:
    window: list[dict[str, Any]] = EXAMPLE["window"]
    negative, unknown = copy.deepcopy(window), copy.deepcopy(window)
    negative[3]["low"] = -1.0
    unknown[3]["close"] = float("nan")
    longer = prices.made_days(1, 25)
    return [
        (window[1:], "window", "at least 21 items"),
        (window[::-1], "window", "each day once, the earliest first"),
        ([*longer[:10], *longer[14:]], "window", "prices are missing"),
        (negative, "window.3.low", "greater than or equal to 0.0001"),
        (unknown, "window.3.close", "finite number"),
    ]
