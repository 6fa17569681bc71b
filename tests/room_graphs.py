"""A model of any room as an ONNX graph, for tests and benchmarks of what answers with it: the first trial of its
search, on the batches that ship."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import yaml

from bakehouse import workspace
from bentos.common import gatekeeper, ndjson
from bentos.common.estimator import Items
from bentos.common.feature_store import Published
from bentos.common.masking import masking_key
from bentos.common.online_store import local_address
from bentos.common.room import Room
from steps.split import split_file


def write_graph(room: Room, folder: Path) -> Path:
    """Admit, split, fit and convert as the pipeline does; the graph is `model.onnx` in `folder`. Nothing is written
    outside it, and to no feature store that a service reads."""
    parameters = yaml.safe_load((room.folder / "run.yaml").read_text())["parameters"]
    batches = [path for pattern in parameters["batches"] for path in sorted(workspace.root().glob(pattern))]
    masked = folder / "masked.ndjson"
    contract = cast("gatekeeper.Contract", room.contract)
    with masked.open("wb") as accepted:
        raw = io.BytesIO(b"".join(path.read_bytes() for path in batches))
        gatekeeper.admit(raw, contract, masking_key(), accepted, io.BytesIO(), datetime.now(UTC))
    train, dev, _ = (_as_known(room, part, folder) for part in split_file(room, masked, folder))
    trial = room.estimator.search(parameters["seed"]).ask()
    graph = folder / "model.onnx"
    graph.write_bytes(room.estimator.convert(room.estimator.finish(trial, train, dev, parameters["seed"])))
    return graph


def _as_known(room: Room, part: Path, folder: Path) -> Items:
    """The records of a part, each at every moment that a prediction is asked for where the room has such moments."""
    records = ndjson.read(part, room.contract.Masked)
    if room.feature_store is None:
        return records
    offline = folder / f"{part.stem}-facts"
    return Published.of(room.feature_store, records, offline, local_address(folder, room.name)).situations(records)
