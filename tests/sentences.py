"""Real sentences as everything behind the gatekeeper sees them, and a sentiment model of them, for tests."""

from __future__ import annotations

from pathlib import Path

from bentos.common import ndjson
from bentos.common.estimator import Trial
from bentos.sentiment import estimator
from bentos.sentiment.contract import Masked
from tests.admitted import admit_batches

TRIAL = Trial("logistic_regression", {"c": 0.05, "longest_term": 2, "fewest_texts": 1, "unit_length": False})


def write_sentences(path: Path, *batches: int) -> Path:
    """Admit the shipped batches of those numbers, and write what was accepted, masked, to `path`."""
    return admit_batches("sentiment", path, *batches)


def read_sentences(folder: Path, *batches: int) -> list[Masked]:
    """The accepted sentences of the shipped batches of those numbers."""
    return ndjson.read(write_sentences(folder / "sentences.ndjson", *batches), Masked)


def fitted(sentences: list[Masked], trial: Trial = TRIAL) -> estimator.Fitted:
    """A model of these sentences, a fifth of them as its dev set."""
    cut = len(sentences) * 4 // 5
    model: estimator.Fitted = estimator.finish(trial, sentences[:cut], sentences[cut:], seed=0)
    return model
