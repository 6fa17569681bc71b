"""Online prediction of every room but orders, which `serving` measures: our service beside FastAPI with the same
contract, features and graph. One worker on one core, load from another; judge by the ratios, taken within a turn.

Trains one trial of each room on its shipped batches, and asks with the contract's example. A room that can't be
measured breaks the benchmark.
"""

from __future__ import annotations

import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bakehouse import workspace
from bentos.common.room import Room, load_room, rooms
from tests.benchmarks import serving
from tests.benchmarks.serving import Command, Running
from tests.room_graphs import write_graph

CONNECTIONS = (1, 8, 32)
MOST_MIB = 200
MOST_READY_SECONDS = 4.0
SHOWN = ("requests a second", "p50 ms", "p99 ms")


def run(quick: bool) -> dict[str, Any]:
    """Figures by room and contender, and what of the promises is met. `quick` makes one short turn instead of three."""
    figures: dict[str, Any] = {"load": serving.generator_name()}
    for model in rooms():
        if model != "orders":
            figures |= _room(load_room(model), *((2, 1) if quick else (4, 3)))
    return figures


def _room(room: Room, seconds: int, turns: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=workspace.state(), prefix="rooms-") as name, ExitStack() as stack:
        folder = Path(name)
        graph = write_graph(room, folder)
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
