"""How a model is chosen: searches over the candidates' spaces, the folds they are scored on, and the winner's margin.

Fits nothing itself and knows no tracking server: whoever chooses says how a trial is scored on a fold.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bentos.common.estimator import Candidate, Figure, Fold, Items, Range, Search, Trial

STARTS = 3
"""How many trials each candidate gets before an adaptive search may prefer one: a kind is not given up on one draw."""
MOST_REPEATS = 30

Judge = Callable[[Trial, Fold], float]
"""Fits a trial on a fold's train part and returns its score on the dev part; greater is better."""


@dataclass(frozen=True)
class Tried:
    """A trial with its score on each fold that it was tried on. One that was given up has fewer of them."""

    trial: Trial
    folds: tuple[float, ...]
    given_up: bool

    @property
    def score(self) -> float:
        """The mean over the folds."""
        return statistics.fmean(self.folds)

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts the best first, and those given up last."""
        return self.given_up, -self.score


def attempt(trial: Trial, folds: Sequence[Fold], search: Search, judge: Judge) -> Tried:
    """Score `trial`, which `search` gave last, fold by fold until the search gives it up, and tell the search how it
    ended. A score that is not a number counts as the worst."""
    scores: list[float] = []
    given_up = False
    for place, fold in enumerate(folds):
        score = judge(trial, fold)
        scores.append(-math.inf if math.isnan(score) else float(score))
        if place + 1 < len(folds) and search.gives_up(place, statistics.fmean(scores)):
            given_up = True
            break
    tried = Tried(trial, tuple(scores), given_up)
    search.tell(tried.score, given_up=given_up)
    return tried


def choose(search: Search, folds: Sequence[Fold], judge: Judge, trials: int | None = None) -> Trial:
    """The best of the first `trials` that the search makes, or of all. Raises `ValueError` where it makes none, or all
    are given up."""
    asked = itertools.islice(iter(search.ask, None), trials)
    tried = [attempt(trial, folds, search, judge) for trial in asked]
    if all(one.given_up for one in tried):
        raise ValueError("the search made no trial that was not given up")
    return min(tried, key=lambda one: one.rank).trial


class RandomSearch:
    """Every candidate's grid in one seeded random order without repetition. Learns nothing from scores."""

    def __init__(self, candidates: Sequence[Candidate], seed: int) -> None:
        trials = list(_grid(candidates))
        order = np.random.default_rng(seed).permutation(len(trials))
        self._remaining = (trials[place] for place in order)

    def ask(self) -> Trial | None:
        return next(self._remaining, None)

    def gives_up(self, fold: int, score: float) -> bool:
        """Never."""
        return False

    def tell(self, score: float, *, given_up: bool = False) -> None:
        """Scores change nothing here."""


class OptunaSearch:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) over all candidates and their spaces, seeded.

    The first trials are shared out evenly, `STARTS` to each candidate. A trial is given up after its second fold or a
    later one where its mean score is then below the median of the earlier trials' after that fold. No choice of
    parameters is tried twice; where only tried ones come up, the search is over.
    """

    def __init__(self, candidates: Sequence[Candidate], seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._states = optuna.trial.TrialState
        self._candidates = {candidate.name: candidate for candidate in candidates}
        starts = STARTS * len(candidates)
        self._study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=starts),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=starts, n_warmup_steps=1),
        )
        for _ in range(STARTS):
            for candidate in candidates:
                self._study.enqueue_trial({"candidate": candidate.name})
        self._tried: dict[str, float | None] = {}
        self._asked: Any = None
        self._key = ""

    def ask(self) -> Trial | None:
        """The next trial that was not made before."""
        for _ in range(MOST_REPEATS):
            self._asked = self._study.ask()
            trial = self._drawn()
            self._key = f"{trial.candidate} {sorted(trial.params.items())}"
            if self._key not in self._tried:
                return trial
            self._end(self._tried[self._key])
        return None

    def gives_up(self, fold: int, score: float) -> bool:
        """Whether the trial is below the median after this fold. A score that is not a number gives it up at once."""
        if not math.isfinite(score):
            return True
        self._asked.report(score, fold)
        return bool(self._asked.should_prune())

    def tell(self, score: float, *, given_up: bool = False) -> None:
        """Learn from the score; a trial that was given up, or whose score is no number, counts as one to avoid."""
        self._tried[self._key] = None if given_up or not math.isfinite(score) else score
        self._end(self._tried[self._key])

    def _end(self, score: float | None) -> None:
        if score is None:
            self._study.tell(self._asked, state=self._states.PRUNED)
        else:
            self._study.tell(self._asked, score)

    def _drawn(self) -> Trial:
        name = self._asked.suggest_categorical("candidate", list(self._candidates))
        space = self._candidates[name].space
        return Trial(name, {param: self._draw(f"{name}.{param}", space[param]) for param in sorted(space)})

    def _draw(self, name: str, values: Sequence[Any] | Range) -> Any:
        if not isinstance(values, Range):
            # By place: Optuna would take only plain values for choices.
            return values[self._asked.suggest_categorical(name, list(range(len(values))))]
        if isinstance(values.low, int) and isinstance(values.high, int):
            return self._asked.suggest_int(name, values.low, values.high, log=values.log)
        return self._asked.suggest_float(name, values.low, values.high, log=values.log)


def stratified_folds(
    items: Items, labels: Sequence[Any], folds: int, seed: int, repetitions: int = 1
) -> tuple[Fold, ...]:
    """`folds` folds of `items`, each record in the dev part of one, with like shares of each label; as many times over
    as `repetitions`, dealt anew each time."""
    from sklearn.model_selection import RepeatedStratifiedKFold

    dealt = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repetitions, random_state=seed).split(items, labels)
    return tuple(
        Fold([items[place] for place in train.tolist()], [items[place] for place in dev.tolist()])
        for train, dev in dealt
    )


def walk_forward_folds(items: Items, folds: int, first: float) -> tuple[Fold, ...]:
    """`folds` folds of `items`, which stand in the order of time: the share `first` of them is learned from only, the
    rest is cut into equal successive dev parts, and each is judged by what was learned from all that came before it."""
    cuts = np.linspace(round(len(items) * first), len(items), folds + 1).round().astype(int).tolist()
    return tuple(Fold(items[:start], items[start:end]) for start, end in itertools.pairwise(cuts))


def margin(winner: Sequence[float], other: Sequence[float], dev_to_train: float) -> Figure:
    """By how much the winner's mean score exceeds another's on the same folds, with the 95 % interval of the corrected
    resampled t-test (Nadeau and Bengio 2003), which allows for folds sharing their training records. `dev_to_train` is
    the size of a fold's dev part over that of its train part. One fold, or folds that all differ alike, give none."""
    from scipy.stats import t

    differences = np.subtract(winner, other)
    mean, count = float(differences.mean()), len(differences)
    spread = float(differences.std(ddof=1)) if count > 1 else 0.0
    if not spread:
        return Figure(mean)
    reach = float(t.ppf(0.975, count - 1)) * spread * math.sqrt(1 / count + dev_to_train)
    return Figure(mean, mean - reach, mean + reach)


def _grid(candidates: Sequence[Candidate]) -> Iterator[Trial]:
    for candidate in candidates:
        names = sorted(candidate.space)
        for values in itertools.product(*(_listed(candidate.space, name) for name in names)):
            yield Trial(candidate.name, dict(zip(names, values, strict=True)))


def _listed(space: Mapping[str, Sequence[Any] | Range], name: str) -> Sequence[Any]:
    values = space[name]
    if isinstance(values, Range):
        raise TypeError(f"{name} is a range: a grid needs its values listed.")
    return values
