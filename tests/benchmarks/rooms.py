"""Online prediction of every room but orders, which `serving` measures: our service beside FastAPI with the same
contract, features and graph. One worker on one core, load from another; judge by the ratios, taken within a turn.

Trains one trial of each room on its shipped batches, and asks with the contract's example. A room whose masked records
or example the plain server can't take is shown with the reason.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, cast

import yaml

from bakehouse import workspace
from bentos.common import gatekeeper, ndjson
from bentos.common.masking import masking_key
from bentos.common.room import Room, load_room, rooms
from steps.split import split_file
from tests.benchmarks import serving
from tests.benchmarks.serving import Command, Running

CONNECTIONS = (1, 8, 32)
MOST_MIB = 200
MOST_READY_SECONDS = 4.0
SHOWN = ("requests a second", "p50 ms", "p99 ms")


def run(quick: bool) -> dict[str, Any]:
    """Figures by room and contender, and what of the promises is met. `quick` makes one short turn instead of three."""
    figures: dict[str, Any] = {"load": serving.generator_name()}
    for model in rooms():
        if model == "orders":
            continue
        try:
            figures |= _room(load_room(model), *((2, 1) if quick else (4, 3)))
        except Exception as error:  # one room that can't be measured is no reason to measure none
            figures[f"{model} not run"] = f"{type(error).__name__}: {str(error)[:300]}"
    return figures


def _room(room: Room, seconds: int, turns: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=workspace.state(), prefix="rooms-") as name, ExitStack() as stack:
        folder = Path(name)
        graph = folder / "model.onnx"
        graph.write_bytes(_graph(room, folder))
        body = json.dumps(room.contract.EXAMPLE, default=str).encode()
        servers: dict[str, Running] = {}
        for contender, make in {
            "Bakehouse": lambda graph, port: serving.bakehouse(room.name, graph, port, body, "{"),
            "FastAPI": lambda graph, port: _fastapi(room.name, graph, port, body),
        }.items():
            servers[contender] = stack.enter_context(serving.running(contender, make, graph, folder / contender))
        taken = [
            {
                (contender, connections): serving.load(servers[contender], connections, seconds)
                for connections in CONNECTIONS
                for contender in (list(servers) if turn % 2 == 0 else list(servers)[::-1])
            }
            for turn in range(turns)
        ]
        sizes = {contender: server.mebibytes() for contender, server in servers.items()}
        ready = {contender: server.ready_seconds for contender, server in servers.items()}
    figures: dict[str, Any] = {}
    for contender in servers:
        figures[f"{room.name}, {contender}"] = {
            f"{connections} conn.": {
                name: median(turn[contender, connections][name] for turn in taken) for name in SHOWN
            }
            for connections in CONNECTIONS
        } | {"MiB": sizes[contender], "seconds to ready": ready[contender]}
    for connections in CONNECTIONS:
        ratios = [
            turn["Bakehouse", connections]["requests a second"] / turn["FastAPI", connections]["requests a second"]
            for turn in taken
        ]
        figures[f"{room.name}: × FastAPI at {connections} connections"] = median(ratios)
    figures[f"{room.name}: met: under {MOST_MIB} MiB"] = sizes["Bakehouse"] < MOST_MIB
    figures[f"{room.name}: met: ready within {MOST_READY_SECONDS:g} s"] = ready["Bakehouse"] < MOST_READY_SECONDS
    return figures


def _fastapi(model: str, graph: Path, port: int, body: bytes) -> Command:
    module = "tests.benchmarks.servers.room_server:app"
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    return Command(
        [sys.executable, "-m", "uvicorn", module, *options],
        "/predict",
        "/openapi.json",
        body,
        "{",
        {"GRAPH": str(graph), "MODEL": model},
    )


def _graph(room: Room, folder: Path) -> bytes:
    """The first trial of the room's search, finished and converted."""
    parameters = yaml.safe_load((room.folder / "run.yaml").read_text())["parameters"]
    batches = [path for pattern in parameters["batches"] for path in sorted(workspace.root().glob(pattern))]
    masked = folder / "masked.ndjson"
    contract = cast("gatekeeper.Contract", room.contract)
    with masked.open("wb") as accepted:
        raw = io.BytesIO(b"".join(path.read_bytes() for path in batches))
        gatekeeper.admit(raw, contract, masking_key(), accepted, io.BytesIO(), datetime.now(UTC))
    train, dev, _ = (ndjson.read(path, room.contract.Masked) for path in split_file(room, masked, folder))
    trial = room.estimator.search(parameters["seed"]).ask()
    graph: bytes = room.estimator.convert(room.estimator.finish(trial, train, dev, parameters["seed"]))
    return graph
