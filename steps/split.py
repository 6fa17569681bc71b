"""Split the masked records into train, dev and test, as the room says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bakehouse.errors import DataError
from bentos.common import ndjson
from bentos.common.estimator import Split
from bentos.common.room import Room, load_room
from steps.feature_history import as_known

PARTS = ("train", "dev", "test")


@step
def split(model: str, masked: Path) -> tuple[Annotated[Path, "train"], Annotated[Path, "dev"], Annotated[Path, "test"]]:
    """Three NDJSON files that together hold every line of `masked` once, unchanged; or, where the room has a feature
    store, every record at each moment that a prediction is asked for, as the store knows it then."""
    room, folder = load_room(model), workspace.scratch("split")
    # ZenML sees several outputs only where a step returns a literal tuple.
    train, dev, test = split_file(room, as_known(room, masked, folder), folder)
    return train, dev, test


def split_file(room: Room, masked: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Write `train.ndjson`, `dev.ndjson` and `test.ndjson` to `folder`; lines keep their bytes and their order. By
    hash, records with the same `split_key` of the contract, where it has one, stay together.

    Raises `DataError` where a part would be empty.
    """
    records = ndjson.read(masked, room.contract.Masked)
    rule = room.estimator.SPLIT
    if rule.by == "time":
        parts = by_time([room.contract.record_time(record) for record in records], rule)
    else:
        key = getattr(room.contract, "split_key", room.contract.record_id)
        parts = by_hash([key(record) for record in records], rule)
    with masked.open("rb") as opened:
        lines = list(opened)
    files = {name: folder / f"{name}.ndjson" for name in PARTS}
    for name, file in files.items():
        chosen = [line for line, part in zip(lines, parts, strict=True) if part == name]
        if not chosen:
            raise DataError(f"{len(lines)} records leave the {name} set empty.", "Train on more data.")
        file.write_bytes(b"".join(chosen))
    return files["train"], files["dev"], files["test"]


def by_time(times: Sequence[datetime], rule: Split) -> list[str]:
    """The part of each record: earliest to train, latest to test. Records of one moment stay together."""
    ordered = sorted(times)
    dev_from = ordered[int(len(ordered) * rule.train)]
    test_from = ordered[int(len(ordered) * (rule.train + rule.dev))]
    return ["train" if time < dev_from else "dev" if time < test_from else "test" for time in times]


def by_hash(ids: Sequence[str], rule: Split) -> list[str]:
    """The part of each record by the SHA-256 of its id: a record stays where it is whatever else arrives."""
    places = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 for name in ids]
    return ["train" if at < rule.train else "dev" if at < rule.train + rule.dev else "test" for at in places]
