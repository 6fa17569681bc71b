"""How a model is chosen: the searches, the folds, and the winner's margin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest

from bentos.common.estimator import Candidate, Fold, Range, Trial
from bentos.common.tuning import STARTS, OptunaSearch, RandomSearch, attempt, choose, margin, stratified_folds

LISTED = (
    Candidate("forest", {"trees": (10, 20), "depth": (1, 2, 3)}),
    Candidate("nearest", {"neighbours": (5,)}),
)
FOLDS = [Fold([], [place]) for place in range(4)]
RANGED = (Candidate("linear", {"c": Range(1e-3, 1e3, log=True)}), Candidate("deep", {"layers": Range(1, 9)}))


def drain(search: OptunaSearch, trials: int, score: Callable[[Trial], float] = lambda trial: 0.0) -> list[Trial]:
    made: list[Trial] = []
    while len(made) < trials and (trial := search.ask()) is not None:
        search.tell(score(trial))
        made.append(trial)
    return made


def nearness(trial: Trial) -> float:
    """Greatest for c = 1."""
    return -abs(math.log10(trial.params["c"])) if trial.candidate == "linear" else -10.0


def test_the_seed_decides_every_trial_of_an_adaptive_search() -> None:
    one, same, other = (drain(OptunaSearch(RANGED, seed), 12, nearness) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_every_candidate_gets_its_starts_before_one_is_preferred() -> None:
    started = drain(OptunaSearch(RANGED, 0), 2 * STARTS, nearness)
    assert Counter(trial.candidate for trial in started) == {"linear": STARTS, "deep": STARTS}


def test_an_adaptive_search_goes_where_scores_are_better() -> None:
    later = drain(OptunaSearch(RANGED, 0), 40, nearness)[2 * STARTS :]
    assert sum(trial.candidate == "linear" for trial in later) > 0.8 * len(later)
    best = max(nearness(trial) for trial in later)
    assert best > -0.1


def test_values_of_a_range_stay_inside_and_are_whole_where_its_ends_are() -> None:
    for trial in drain(OptunaSearch(RANGED, 3), 30):
        if trial.candidate == "linear":
            assert 1e-3 <= trial.params["c"] <= 1e3
        else:
            assert trial.params["layers"] in range(1, 10)


def test_no_choice_of_parameters_is_tried_twice_and_a_small_space_ends_the_search() -> None:
    made = drain(OptunaSearch(LISTED, 0), 100)
    keys = {(trial.candidate, *sorted(trial.params.items())) for trial in made}
    assert len(keys) == len(made) <= 7
    assert Trial("nearest", {"neighbours": 5}) in made


def test_a_trial_below_the_median_of_the_others_is_given_up_after_its_second_fold_and_not_before() -> None:
    search = OptunaSearch(RANGED, 0)
    for _ in range(2 * STARTS + 1):
        search.ask()
        assert not any(search.gives_up(fold, 0.9) for fold in range(3))
        search.tell(0.9)
    search.ask()
    assert not search.gives_up(0, 0.5)
    assert search.gives_up(1, 0.5)
    search.tell(0.5, given_up=True)
    search.ask()
    assert not search.gives_up(1, 0.95)


def test_a_score_that_is_not_a_number_gives_a_trial_up_and_the_search_goes_on() -> None:
    search = OptunaSearch(RANGED, 0)
    search.ask()
    assert search.gives_up(0, float("nan"))
    search.tell(float("nan"))
    assert search.ask() is not None


def test_the_best_mean_over_the_folds_is_chosen() -> None:
    """Not the best score on one of them."""
    scores = {5: [0.6, 0.6, 0.6, 0.6], 3: [1.0, 0.0, 0.0, 1.0]}
    candidates = [Candidate("nearest", {"neighbours": (3, 5)})]

    def judge(trial: Trial, fold: Fold) -> float:
        return scores[trial.params["neighbours"]][fold.dev[0]]

    assert choose(RandomSearch(candidates, 0), FOLDS, judge) == Trial("nearest", {"neighbours": 5})


def test_only_so_many_trials_are_made_as_were_asked_for() -> None:
    made: list[Trial] = []

    def judge(trial: Trial, fold: Fold) -> float:
        made.append(trial)
        return 0.0

    choose(RandomSearch(LISTED, 0), FOLDS[:1], judge, trials=3)
    assert len(made) == 3


def test_a_trial_that_falls_behind_is_tried_on_no_further_fold() -> None:
    search = OptunaSearch(RANGED, 0)
    for _ in range(2 * STARTS + 1):
        trial = search.ask()
        assert trial is not None
        assert not attempt(trial, FOLDS, search, lambda trial, fold: 0.5).given_up
    trial = search.ask()
    assert trial is not None
    tried = attempt(trial, FOLDS, search, lambda trial, fold: [0.4, 0.3, 1.0, 1.0][fold.dev[0]])
    assert (tried.given_up, tried.folds) == (True, (0.4, 0.3))


def test_where_no_score_is_a_number_nothing_is_chosen() -> None:
    with pytest.raises(ValueError, match="no trial"):
        choose(OptunaSearch(LISTED, 0), FOLDS, lambda trial, fold: math.nan)


def test_a_grid_needs_its_values_listed() -> None:
    with pytest.raises(TypeError, match="c is a range"):
        RandomSearch(RANGED, 0)


def test_folds_hold_out_each_record_once_a_repetition_with_like_shares_of_labels() -> None:
    items, labels = [f"item {number}" for number in range(20)], [0] * 10 + [1] * 10
    folds = stratified_folds(items, labels, folds=5, seed=0, repetitions=2)
    assert len(folds) == 10
    for repetition in (folds[:5], folds[5:]):
        assert sorted(item for fold in repetition for item in fold.dev) == sorted(items)
    for fold in folds:
        assert not set(fold.train) & set(fold.dev)
        assert sum(labels[items.index(item)] for item in fold.dev) == 2
    assert stratified_folds(items, labels, 5, seed=0) == stratified_folds(items, labels, 5, seed=0)
    assert stratified_folds(items, labels, 5, seed=0) != stratified_folds(items, labels, 5, seed=1)


def test_a_margin_between_like_folds_reaches_over_zero_and_a_clear_one_does_not() -> None:
    close = margin([0.80, 0.82, 0.78, 0.81, 0.79], [0.79, 0.80, 0.80, 0.78, 0.81], 0.25)
    assert close.low is not None and close.high is not None
    assert close.low < 0 < close.high
    clear = margin([0.80, 0.82, 0.78, 0.81, 0.79], [0.60, 0.63, 0.57, 0.60, 0.60], 0.25)
    assert clear.low is not None
    assert 0 < clear.low < clear.value == pytest.approx(0.2)


def test_a_margin_is_as_wide_as_the_corrected_test_says() -> None:
    """Five folds, differences 0.1 to 0.5: mean 0.3, variance 0.025, t = 2.776 with 4 degrees of freedom."""
    figure = margin([0.1, 0.2, 0.3, 0.4, 0.5], [0.0] * 5, 0.25)
    assert figure.low == pytest.approx(0.3 - 2.7764 * math.sqrt(0.025 * (1 / 5 + 0.25)), abs=1e-4)


def test_one_fold_gives_a_margin_without_an_interval() -> None:
    figure = margin([0.9], [0.7], 0.25)
    assert (figure.low, figure.high) == (None, None)
    assert figure.value == pytest.approx(0.2)
