"""What was known when: a room's masked records as its feature store gives them, and the store as services read it, for
a room that has one."""

from __future__ import annotations

from pathlib import Path

from bakehouse import workspace
from bakehouse.errors import DataError
from bentos.common import ndjson
from bentos.common.feature_store import Published
from bentos.common.online_store import local_address, named_address
from bentos.common.room import Room


def as_known(room: Room, masked: Path, folder: Path) -> Path:
    """A file in `folder` with each record of `masked` at each moment that a prediction is asked for: its features are
    those that the feature store knew then. Nothing that a service reads is written. Where the room has no feature
    store, `masked` as it is."""
    definitions = room.feature_store
    if definitions is None:
        return masked
    records = ndjson.read(masked, room.contract.Masked)
    published = Published.of(definitions, records, folder / "feature_store", _online(room))
    known = folder / "known.ndjson"
    with known.open("w", encoding="utf-8") as lines:
        for situation in published.situations(records):
            lines.write(situation.model_dump_json() + "\n")
    return known


def publish(room: Room, masked: Path) -> None:
    """Write the latest facts of `masked` to the online store, from which the room's service answers by id, and leave
    the Feast repository in the state folder. Nothing where the room has no feature store.

    Raises `DataError` where the online store does not take them.
    """
    definitions = room.feature_store
    if definitions is None:
        return
    records, folder = ndjson.read(masked, room.contract.Masked), workspace.scratch("publish") / "feature_store"
    published = Published.of(definitions, records, folder, _online(room))
    try:
        published.materialize()
    except Exception as error:  # online stores raise what their drivers do
        raise DataError(
            f"{room.name} is released, but the online store did not take its features: {error}",
            "Until a later run can write them, answers by id know what they knew before: train again.",
        ) from error
    published.keep(workspace.state() / "feature_store" / room.name)


def _online(room: Room) -> str:
    return named_address() or local_address(workspace.state(), room.name)
