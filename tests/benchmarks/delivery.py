"""How long local delivery takes from a release commit, and from a rollback commit, to the first answer of the version
it names; and how many requests fail meanwhile under constant load. The bento, BentoML, git and HTTP are the real ones;
only the forest in it is trained on noise, which changes nothing about how it is served.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp
import yaml

from bakehouse import workspace
from gitops.observations import observations
from gitops.release import Image, Release, now
from tests import fake_bento
from tests.loopback import free_port

MODEL = "orders"
CLIENTS = 8
PACE_SECONDS = 0.02
DEADLINE_SECONDS = 60.0
PROMISED_SECONDS = 10.0
DELIVER = "from gitops.delivery import deliver; deliver(['staging'])"


@dataclass
class Load:
    """Constant load: so many keep-alive clients, each of which asks again a moment after it was answered."""

    url: str
    body: bytes
    first_answer: dict[int, float] = field(default_factory=dict)
    requests: int = 0
    failures: list[str] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self) -> None:
        """Ask until told to stop, and keep count."""
        async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:
            while not self.stop.is_set():
                began = time.perf_counter()
                try:
                    async with session.post(self.url, data=self.body) as response:
                        answer = await response.read()
                        if response.status == 200:
                            version = json.loads(answer)["model_version"]
                            self.first_answer.setdefault(version, time.monotonic())
                        else:
                            self.failures.append(f"{response.status}: {answer.decode(errors='replace')}")
                except aiohttp.ClientError as error:
                    self.failures.append(repr(error))
                self.requests += 1
                self.milliseconds.append(1000 * (time.perf_counter() - began))
                await asyncio.sleep(PACE_SECONDS)


def run(quick: bool) -> dict[str, Any]:
    """Measure release and rollback, once when `quick`, else five times; seconds, and failed of all requests."""
    rounds = 1 if quick else 5
    with tempfile.TemporaryDirectory(prefix="bakehouse-bench-") as folder, _laptop(Path(folder)) as port:
        first, second = _releases(Path(folder))
        fake_bento.commit("staging", first, MODEL)
        with _delivering(Path(folder)):
            _wait_for(1)
            load, released, rolled_back = asyncio.run(_measure(port, first, second, rounds))
    return {
        "rounds": rounds,
        "clients": CLIENTS,
        "release_commit_to_first_answer_seconds": _figures(released),
        "rollback_commit_to_first_answer_seconds": _figures(rolled_back),
        "promised_seconds": PROMISED_SECONDS,
        "requests": load.requests,
        "failed_requests": len(load.failures),
        "failures": load.failures[:5],
        "request_milliseconds": {
            "p50": statistics.median(load.milliseconds),
            "p99": statistics.quantiles(load.milliseconds, n=100)[98],
        },
        "met": max(*released, *rolled_back) < PROMISED_SECONDS and not load.failures,
    }


async def _measure(port: int, first: Release, second: Release, rounds: int) -> tuple[Load, list[float], list[float]]:
    from bentos.common.room import load_room

    body = json.dumps(load_room(MODEL).contract.EXAMPLE).encode()
    load = Load(f"http://127.0.0.1:{port}/{MODEL}/predict", body)
    clients = [asyncio.create_task(load.client()) for _ in range(CLIENTS)]
    released, rolled_back = [], []
    await asyncio.sleep(1)
    for _ in range(rounds):
        released.append(await _first_answer(load, second))
        await asyncio.sleep(1)
        rolled_back.append(await _first_answer(load, first))
        await asyncio.sleep(1)
    load.stop.set()
    await asyncio.gather(*clients)
    return load, released, rolled_back


async def _first_answer(load: Load, release: Release) -> float:
    """Seconds from the commit (the moment it has landed) to the first answer of the version that it names."""
    await asyncio.to_thread(fake_bento.commit, "staging", release, MODEL)
    landed = time.monotonic()
    load.first_answer.clear()
    while release.model_version not in load.first_answer:
        if time.monotonic() - landed > DEADLINE_SECONDS:
            raise TimeoutError(f"version {release.model_version} never answered: {observations()}")
        await asyncio.sleep(0.005)
    return load.first_answer[release.model_version] - landed


def _releases(folder: Path) -> tuple[Release, Release]:
    import numpy as np
    from sklearn.ensemble import IsolationForest

    from bentos.common.forest_converter import to_onnx
    from bentos.common.packaging import build_bento
    from bentos.common.room import load_room
    from gitops.signing import sign

    room = load_room(MODEL)
    made = []
    for version in (1, 2):
        noise = np.random.default_rng(version).normal(size=(500, len(room.features.FEATURES)))
        graph = folder / f"{version}.onnx"
        graph.write_bytes(to_onnx(IsolationForest(random_state=version).fit(noise)))
        lineage = {"data_version": "0" * 32, "code_commit": "unversioned", "built_at": now()}
        bento = build_bento(room, graph, version, lineage, folder / "bentos", sign)
        bento.archive.rename(workspace.images() / f"{bento.digest.removeprefix('sha256:')}.bento")
        image = Image(name=f"bakehouse/{MODEL}", tag=str(version), digest=bento.digest)
        stand_in = fake_bento.build(folder, version, MODEL)
        made.append(stand_in.model_copy(update={"image": image, "model_digest": bento.model_digest}))
    return made[0], made[1]


@contextmanager
def _laptop(folder: Path) -> Iterator[int]:
    """A state folder and delivery settings of its own: the shipped ones, but for the ports and what runs beside."""
    shipped = yaml.safe_load((workspace.root() / "environments" / "local" / "delivery.yaml").read_text())
    port = free_port()
    checkout = folder / "checkout"
    (checkout / "bentos").mkdir(parents=True)
    (checkout / "environments" / "local").mkdir(parents=True)
    settings = {**shipped, "environments": {"staging": {"port": port}}, "after_sync": ""}
    (checkout / "environments" / "local" / "delivery.yaml").write_text(yaml.safe_dump(settings))
    with patch.dict(os.environ, {"BAKEHOUSE_STATE": str(folder / "state")}):
        yield port


@contextmanager
def _delivering(folder: Path) -> Iterator[None]:
    environment = {**os.environ, "BAKEHOUSE_ROOT": str(folder / "checkout"), "PYTHONPATH": str(workspace.root())}
    process = subprocess.Popen([sys.executable, "-c", DELIVER], env=environment)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def _wait_for(version: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        seen = observations().of("staging", MODEL)
        if seen is not None and seen.in_sync and seen.running is not None and seen.running.model_version == version:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"version {version} never answered: {seen}")
        time.sleep(0.05)


def _figures(seconds: list[float]) -> dict[str, float]:
    return {"median": statistics.median(seconds), "worst": max(seconds)}
