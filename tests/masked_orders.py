"""Real orders as everything behind the gatekeeper sees them, for tests of models and steps."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from bentos.common import gatekeeper, ndjson
from bentos.common.room import load_room
from bentos.orders.contract import Masked

CHECKOUT = Path(__file__).resolve().parents[1]


def write_masked(path: Path, *batches: int) -> Path:
    """Admit the shipped batches of those numbers, and write what was accepted, masked, to `path`."""
    raw = b"".join((CHECKOUT / "data" / "orders" / f"batch-{number}.ndjson").read_bytes() for number in batches)
    contract = cast(gatekeeper.Contract, load_room("orders").contract)
    with path.open("wb") as accepted:
        gatekeeper.admit(io.BytesIO(raw), contract, b"k" * 32, accepted, io.BytesIO(), datetime.now(UTC))
    return path


def read_masked(folder: Path, *batches: int) -> list[Masked]:
    """The accepted orders of the shipped batches of those numbers."""
    return ndjson.read(write_masked(folder / "masked.ndjson", *batches), Masked)
