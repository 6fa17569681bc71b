"""Real sentences as everything behind the gatekeeper sees them, and a sentiment model of them, for tests."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from bentos.common import gatekeeper, ndjson
from bentos.common.estimator import Trial
from bentos.common.room import load_room
from bentos.sentiment import estimator
from bentos.sentiment.contract import Masked

CHECKOUT = Path(__file__).resolve().parents[1]
TRIAL = Trial("logistic_regression", {"c": 0.05, "longest_term": 2, "fewest_texts": 1, "unit_length": False})


def write_sentences(path: Path, *batches: int) -> Path:
    """Admit the shipped batches of those numbers, and write what was accepted, masked, to `path`."""
    raw = b"".join((CHECKOUT / "data" / "sentiment" / f"batch-{number}.ndjson").read_bytes() for number in batches)
    contract = cast(gatekeeper.Contract, load_room("sentiment").contract)
    with path.open("wb") as accepted:
        gatekeeper.admit(io.BytesIO(raw), contract, b"k" * 32, accepted, io.BytesIO(), datetime.now(UTC))
    return path


def read_sentences(folder: Path, *batches: int) -> list[Masked]:
    """The accepted sentences of the shipped batches of those numbers."""
    return ndjson.read(write_sentences(folder / "sentences.ndjson", *batches), Masked)


def fitted(sentences: list[Masked], trial: Trial = TRIAL) -> estimator.Fitted:
    """A model of these sentences, a fifth of them as its dev set."""
    cut = len(sentences) * 4 // 5
    model: estimator.Fitted = estimator.finish(trial, sentences[:cut], sentences[cut:], seed=0)
    return model
