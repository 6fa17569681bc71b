"""What was known when: a room's masked records as its feature store gives them, for a room that has one."""

from __future__ import annotations

from pathlib import Path

from bakehouse import workspace
from bentos.common import ndjson
from bentos.common.feature_store import Published
from bentos.common.online_store import local_address, named_address
from bentos.common.room import Room


def as_known(room: Room, masked: Path, folder: Path) -> Path:
    """A file in `folder` with each record of `masked` at each moment that a prediction is asked for: its features are
    those that the feature store knew then. The latest facts also go to the online store, from which the room's service
    reads. Where the room has no feature store, `masked` as it is."""
    definitions = room.feature_store
    if definitions is None:
        return masked
    records = ndjson.read(masked, room.contract.Masked)
    online = named_address() or local_address(workspace.state(), room.name)
    published = Published.of(definitions, records, folder / "feature_store", online)
    known = folder / "known.ndjson"
    with known.open("w", encoding="utf-8") as lines:
        for situation in published.situations(records):
            lines.write(situation.model_dump_json() + "\n")
    published.materialize()
    published.keep(workspace.state() / "feature_store" / room.name)
    return known
