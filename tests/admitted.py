"""Raw documents of any model as everything behind the gatekeeper sees them, for tests of models and steps."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from bentos.common import gatekeeper
from bentos.common.room import load_room

CHECKOUT = Path(__file__).resolve().parents[1]
KEY = "k" * 32


def admit(model: str, raw: bytes, path: Path) -> Path:
    """Write what the gatekeeper accepts of raw documents, masked, to `path`."""
    contract = cast(gatekeeper.Contract, load_room(model).contract)
    with path.open("wb") as accepted:
        gatekeeper.admit(io.BytesIO(raw), contract, KEY.encode(), accepted, io.BytesIO(), datetime.now(UTC))
    return path


def admit_batches(model: str, path: Path, *batches: int) -> Path:
    """The same of the shipped batches of those numbers."""
    folder = CHECKOUT / "data" / model
    return admit(model, b"".join((folder / f"batch-{number}.ndjson").read_bytes() for number in batches), path)
