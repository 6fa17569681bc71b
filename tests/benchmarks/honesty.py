"""What the model cards say of gates, luck and the way of choosing, and no single training run shows: `stocks` on made
prices, `cakes` with one choice for all folds, and the gaps of `students` by cross-validation.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar
from unittest.mock import patch

import numpy as np

from bakehouse import workspace
from bentos.cakes import estimator as cakes
from bentos.cakes.contract import Masked as Treat
from bentos.cakes.contract import record_id
from bentos.common import tuning
from bentos.common.estimator import Figure, Fold, Trial
from bentos.common.room import load_room
from bentos.students import estimator as students
from bentos.students.contract import Masked as Pupil
from bentos.students.contract import split_key
from steps.split import PARTS, by_hash
from tests import prices
from tests.masked_students import at_both_moments, read_masked

Item = TypeVar("Item")

SEED = 7
"""That of every shipped run configuration."""
WALKS = 60
SERIES = 10
TAKEN_BACK = (0.2, 0.4, 0.6)
"""Shares of a day's change that the next day takes back."""
COINS = b'"flavours":[],"forms":[]'
STUDENT_TRIALS = 24
"""As many as the shipped run configuration makes."""


def run(quick: bool) -> dict[str, Any]:
    """Figures by model. `quick` makes a tenth of the series, one deal instead of four, and three trials."""
    return _stocks(quick) | _cakes(quick) | _students(quick)


def _stocks(quick: bool) -> dict[str, Any]:
    """How many useless models each gate lets in, and how much a model must know to be let in."""
    walks = WALKS // 10 if quick else WALKS
    judged = [
        prices.judged(trial, prices.masked(prices.questions(prices.made_days(seed))))
        for seed in range(walks)
        for trial in (prices.LINEAR, prices.TREES)
    ]
    found: dict[str, Any] = {
        f"stocks: of {len(judged)} models of random walks, gain in accuracy above 0 by 95 %": sum(
            (one["accuracy_gain"].low or 0) > 0 for one in judged
        )
    }
    for gate in prices.GATES:
        found[f"stocks: of these, past the gate {gate}"] = sum(gate not in prices.missed(one) for one in judged)
    found["stocks: of these, past both"] = sum(not prices.missed(one) for one in judged)
    series = SERIES // 10 if quick else SERIES
    for share in TAKEN_BACK:
        known = [
            prices.judged(prices.LINEAR, prices.masked(prices.questions(prices.made_days(seed, taken_back=share))))
            for seed in range(series)
        ]
        found[f"stocks: {share:g} of each change taken back, days gained on always up"] = fmean(
            one["accuracy_gain"].value for one in known
        )
        found[f"stocks: {share:g} of each change taken back, released of {series}"] = sum(
            not prices.missed(one) for one in known
        )
    return found


def _cakes(quick: bool) -> dict[str, Any]:
    """The figures that gates read, chosen anew in each fold; and what one choice for all folds would have claimed."""
    found: dict[str, Any] = {}
    folder = load_room("cakes").folder.parents[1] / "data" / "cakes"
    for batches in (("batch-1",), ("batch-1", "batch-2")):
        lines = [line for name in batches for line in (folder / f"{name}.ndjson").read_bytes().splitlines()]
        treats = [Treat.model_validate_json(line) for line in lines if COINS not in line]
        parts = by_hash([record_id(treat) for treat in treats], cakes.SPLIT)
        train, dev, test = (_part(treats, parts, name) for name in PARTS)
        trial = tuning.choose(cakes.search(SEED), cakes.folds(train, dev, SEED), _cakes_score)
        fitted = cakes.finish(trial, train, dev, SEED)
        known = [*train, *dev, *test]
        with patch.object(cakes, "JUDGING_REPETITIONS", 1 if quick else cakes.JUDGING_REPETITIONS):
            anew = cakes.cross_validated(fitted, known, SEED)
            with patch.object(cakes, "choose", lambda known, seed: trial):  # noqa: B023 - used within this turn
                once = cakes.cross_validated(fitted, known, SEED)
        for way, figures in (("chosen anew in each fold", anew), ("one choice for all folds", once)):
            found[f"cakes, {len(treats)} treats, {way}"] = {
                name.removeprefix("cross_validated_"): _text(figure) for name, figure in figures.items()
            }
    return found


def _cakes_score(trial: Trial, fold: Fold) -> float:
    return cakes.score(cakes.fit(trial, fold.train, SEED), fold.dev, SEED)


def _students(quick: bool) -> dict[str, Any]:
    """The fairness gaps over all pupils, each judged by a model of the other folds, with the parameters that training
    chooses."""
    with tempfile.TemporaryDirectory(dir=workspace.state(), prefix="honesty-") as name:
        pupils = at_both_moments(read_masked(Path(name)))
    parts = by_hash([split_key(pupil) for pupil in pupils], students.SPLIT)
    train, dev, test = (_part(pupils, parts, name) for name in PARTS)
    folds = students.folds(train, dev, SEED)
    trial = tuning.choose(students.search(SEED), folds, _students_score, 3 if quick else STUDENT_TRIALS)
    folds = students.folds([*train, *dev], test, SEED)
    answers = [students.reference(students.fit(trial, fold.train, SEED), fold.dev) for fold in folds]
    judged: list[Pupil] = [pupil for fold in folds for pupil in fold.dev]
    together = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    figures = students.figures(lambda items: together, judged, SEED)
    gaps = {name: _text(figure) for name, figure in figures.items() if name.startswith("fairness_")}
    return {f"students, {len(judged)} records over folds": gaps}


def _students_score(trial: Trial, fold: Fold) -> float:
    return students.score(students.fit(trial, fold.train, SEED), fold.dev, SEED)


def _part(items: Sequence[Item], parts: Sequence[str], name: str) -> list[Item]:
    return [item for item, part in zip(items, parts, strict=True) if part == name]


def _text(figure: Figure) -> str:
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.3f} to {figure.high:.3f})"
    return f"{figure.value:.3f}{interval}"
