"""What rooms share of the estimator protocol: the split's shares and the random search."""

from __future__ import annotations

import pytest

from bentos.common.estimator import Candidate, Split, Trial
from bentos.common.tuning import RandomSearch

CANDIDATES = (
    Candidate("forest", {"trees": (10, 20), "depth": (1, 2, 3)}),
    Candidate("nearest", {"neighbours": (5,)}),
)


def drain(search: RandomSearch) -> list[Trial]:
    trials = []
    while (trial := search.ask()) is not None:
        search.tell(0.0)
        trials.append(trial)
    return trials


def test_a_random_search_makes_every_trial_of_every_candidate_once() -> None:
    trials = drain(RandomSearch(CANDIDATES, seed=0))
    assert len(trials) == 7
    assert len({(trial.candidate, *sorted(trial.params.items())) for trial in trials}) == 7
    assert Trial("nearest", {"neighbours": 5}) in trials


def test_the_seed_decides_the_order_of_the_trials() -> None:
    assert drain(RandomSearch(CANDIDATES, seed=1)) == drain(RandomSearch(CANDIDATES, seed=1))
    assert drain(RandomSearch(CANDIDATES, seed=1)) != drain(RandomSearch(CANDIDATES, seed=2))


@pytest.mark.parametrize(("train", "dev"), [(0.8, 0.2), (0.0, 0.5), (0.9, 0.3), (0.5, -0.1)])
def test_a_split_that_leaves_a_set_empty_is_refused(train: float, dev: float) -> None:
    with pytest.raises(ValueError, match="leave a test set"):
        Split(by="time", train=train, dev=dev)
