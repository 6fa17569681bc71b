"""Real orders as everything behind the gatekeeper sees them, for tests of models and steps."""

from __future__ import annotations

from pathlib import Path

from bentos.common import ndjson
from bentos.orders.contract import Masked
from tests.admitted import admit_batches


def write_masked(path: Path, *batches: int) -> Path:
    """Admit the shipped batches of those numbers, and write what was accepted, masked, to `path`."""
    return admit_batches("orders", path, *batches)


def read_masked(folder: Path, *batches: int) -> list[Masked]:
    """The accepted orders of the shipped batches of those numbers."""
    return ndjson.read(write_masked(folder / "masked.ndjson", *batches), Masked)
