"""Figures with their uncertainty: bootstrap intervals, average precision, rank correlation, permutation importance.

Holds computations on arrays; knows no model, no record and no threshold. numpy only.

A *replicate* is one resampling of the held-out rows, given as how often each row was drawn. Every function here takes
all replicates at once; the first is the sample itself, so its figure comes first in what they return.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bentos.common.estimator import Arrays, Figure, Run

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def replicates(rows: int, seed: int, times: int = 1_000) -> Floats:
    """Draws of `rows` rows with repetition: counts [times + 1, rows], the first all ones (Efron 1979)."""
    drawn = np.random.default_rng(seed).multinomial(rows, np.full(rows, 1 / rows), size=times)
    return np.vstack([np.ones(rows), drawn])


def block_replicates(rows: int, block: int, seed: int, times: int = 1_000) -> Floats:
    """The like for rows in the order of time, of which neighbours are not independent: blocks of `block` successive
    rows are drawn, the first row following the last (circular block bootstrap, Politis and Romano 1992)."""
    starts = np.random.default_rng(seed).integers(rows, size=(times, -(-rows // block)))
    places = ((starts[:, :, None] + np.arange(block)) % rows).reshape(times, -1)[:, :rows]
    counts = np.zeros((times, rows))
    np.add.at(counts, (np.arange(times)[:, None], places), 1.0)
    return np.vstack([np.ones(rows), counts])


def figure(by_replicate: Floats, *, greater_is_better: bool | None = True) -> Figure:
    """The sample's own figure with the percentile interval (95 %) of the replicates. Replicates in which the figure
    does not exist (nothing was flagged, say) are left out."""
    value, drawn = float(by_replicate[0]), by_replicate[1:][np.isfinite(by_replicate[1:])]
    if not np.isfinite(value) or not len(drawn):
        return Figure(value, greater_is_better=greater_is_better)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(value, float(low), float(high), greater_is_better)


def mean(values: Floats | Bools, weights: Floats) -> Floats:
    """The weighted mean of `values` [rows] (or the share of true ones) by replicate: weights [replicates, rows]."""
    return divide(weights @ values, weights.sum(axis=1))


def at_prevalence(counts: Floats, origins: NDArray[np.int64], prevalence: float) -> Floats:
    """Weights of the untouched rows followed by those of altered copies of them, [replicates, rows + copies].

    `counts` are the replicates of the untouched rows and `origins` says which of them each copy was made from: a row
    and its copies are drawn together. Copies weigh so much that they make up `prevalence` of the total.
    """
    copies = counts[:, origins]
    wanted = prevalence / (1 - prevalence) * counts.sum(axis=1, keepdims=True)
    return np.hstack([counts, copies * divide(wanted, copies.sum(axis=1, keepdims=True))])


def precision(flagged: Bools, positive: Bools, weights: Floats) -> Floats:
    """The weighted share of flagged rows that are positive; not a number where none is flagged."""
    return divide(weights @ (flagged & positive), weights @ flagged)


def recall(flagged: Bools, positive: Bools, weights: Floats) -> Floats:
    """The weighted share of positive rows that are flagged; not a number where none is positive."""
    return divide(weights @ (flagged & positive), weights @ positive)


def average_precision(scores: Floats, positive: Bools, weights: Floats) -> Floats:
    """The area under the precision-recall steps, a greater score meaning positive; as scikit-learn defines it."""
    precisions, recalls = precision_recall(scores, positive, weights)
    gained = np.diff(recalls, axis=1, prepend=0.0)
    return np.asarray((gained * np.nan_to_num(precisions)).sum(axis=1), dtype=np.float64)


def precision_recall(scores: Floats, positive: Bools, weights: Floats) -> tuple[Floats, Floats]:
    """Precision and recall [replicates, thresholds] with the threshold at each distinct score, greatest first."""
    drawn, hit, last_of_ties = ranked(scores, positive, weights)
    hits = np.cumsum(drawn * hit, axis=1)
    flagged = np.cumsum(drawn, axis=1)[:, last_of_ties]
    return divide(hits[:, last_of_ties], flagged), divide(hits[:, last_of_ties], hits[:, -1:])


def ranked(scores: Floats, positive: Bools, weights: Floats) -> tuple[Floats, Bools, NDArray[np.intp]]:
    """The weights [replicates, rows] and which rows are positive [rows], both by score, greatest first; and the places
    of the last row of each distinct score, which is where a threshold can be."""
    order = np.argsort(-scores, kind="stable")
    by_score = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(by_score)), len(by_score) - 1)
    return weights[:, order], positive[order], last_of_ties


def rank_correlation(first: Floats, second: Floats, counts: Floats) -> Floats:
    """Spearman's rank correlation of two scores of the same rows, by replicate (ranks are those of the whole sample).

    Not a number where either score is the same on all rows."""
    centred = []
    for scores in (first, second):
        ranks = _average_ranks(scores)
        centred.append(ranks - mean(ranks, counts)[:, None])
    one, other = centred
    together = (counts * one * other).sum(axis=1)
    return divide(together, np.sqrt((counts * one**2).sum(axis=1) * (counts * other**2).sum(axis=1)))


def permutation_importance(
    run: Run, arrays: Arrays, matrix: str, names: Sequence[str], output: str, seed: int, repetitions: int = 10
) -> Mapping[str, float]:
    """How far the `output` moves, on average and in its own unit, when one column of the input `matrix` [rows, names]
    is shuffled among the rows (Breiman 2001, on the answer itself instead of a loss). Greatest first."""
    generator = np.random.default_rng(seed)
    # Some converters give a number by row as a column, [rows, 1].
    answered = run(arrays)[output].astype(np.float64).ravel()
    moved: dict[str, float] = {}
    for column, name in enumerate(names):
        shuffled = np.tile(arrays[matrix], (repetitions, 1, 1))
        for block in shuffled:
            block[:, column] = generator.permutation(block[:, column])
        stacked = {key: np.concatenate([array] * repetitions) for key, array in arrays.items()}
        stacked[matrix] = shuffled.reshape(-1, len(names))
        moved[name] = float(np.abs(run(stacked)[output].ravel() - np.tile(answered, repetitions)).mean())
    return dict(sorted(moved.items(), key=lambda item: item[1], reverse=True))


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """Their quotient, not a number where the denominator is 0."""
    shape = np.broadcast(numerator, denominator).shape
    quotient: Floats = np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator != 0)
    return quotient


def _average_ranks(scores: Floats) -> Floats:
    _, places, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks: Floats = np.cumsum(sizes) - (sizes - 1) / 2
    return ranks[places]
