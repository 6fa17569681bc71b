"""Online prediction: our service, FastAPI with onnxruntime, `mlflow models serve` and MLServer, in one run with the
same forest and the same order. One worker on one core, load from another.

Judge by the ratios: contenders take turns, each ratio is taken within a turn, and the middle turn counts. So a busy
machine slows all of them alike. Measures requests a second, p50 and p99, and memory over 100,000 requests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bakehouse import archives, workspace
from bentos.orders.contract import EXAMPLE
from tests.loopback import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent / "servers"
CONNECTIONS = (1, 8, 32, 64)
LONG_RUN = 100_000
START_SECONDS = 120
# MLServer's pool dies with a later uvloop, which no longer makes an event loop for whoever asks for one.
MLSERVER = ("mlserver==1.7.1", "onnxruntime==1.31.1", "numpy", "pydantic>=2", "uvloop<0.22")
OURS = "Bakehouse"
LEAST_RATIO = {"FastAPI": 0.9, "MLServer": 5.0, "MLServer, no pool": 5.0, "MLflow": 10.0}
MOST_P99_MS = {8: 15.0, 64: 100.0}
MOST_GROWTH_MIB = 8.0
"""What counts as steady: allocators settle by some MiB, a leak of 100 bytes a request is 10."""

SHOWN = ("requests a second", "p50 ms", "p99 ms", "CPU µs a request")

Server = Callable[[Path, int], "Command"]
Turn = dict[tuple[str, int], dict[str, float]]


@dataclass(frozen=True)
class Command:
    """How a contender is started, in which environment, and where it predicts."""

    arguments: list[str]
    path: str
    ready: str
    body: bytes
    answer: str
    """What stands in every right answer to the body."""
    variables: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A contender that answers: its parent process, where it predicts, and the file that holds what it is asked."""

    process: psutil.Process
    url: str
    body: Path
    ready_seconds: float

    def mebibytes(self) -> float:
        """Resident memory of all its processes."""
        return sum(float(process.memory_info().rss) for process in self._processes()) / 2**20

    def cpu_seconds(self) -> float:
        """Processor time of all its processes. What else the machine is busy with does not count in it."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(float(time.user + time.system) for time in times)

    def _processes(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


class UnavailableError(Exception):
    """A contender that can't be had here, and why."""


def run(quick: bool) -> dict[str, Any]:
    """Figures by contender, ratios, and what of the promises is met. `quick` makes one short turn instead of three."""
    seconds, turns = (2, 1) if quick else (4, 3)
    with tempfile.TemporaryDirectory(dir=workspace.state(), prefix="serving-") as name, ExitStack() as stack:
        folder = Path(name)
        graph = _forest(folder / "model.onnx")
        servers: dict[str, Running] = {}
        missing: dict[str, str] = {}
        for contender, make in CONTENDERS.items():
            try:
                servers[contender] = stack.enter_context(running(contender, make, graph, folder / contender))
            except UnavailableError as error:
                missing[contender] = str(error)
        taken = [_turn(servers, seconds, number) for number in range(turns)]
        footprints = {contender: server.mebibytes() for contender, server in servers.items()}
        memory = _long_run(servers[OURS], LONG_RUN // 10 if quick else LONG_RUN)
    return _summary(taken, footprints, memory, missing)


def _turn(servers: dict[str, Running], seconds: int, number: int) -> Turn:
    """Every contender once at every number of connections; who begins changes from turn to turn."""
    names = list(servers)
    order = names[number % len(names) :] + names[: number % len(names)]
    return {
        (contender, connections): load(servers[contender], connections, seconds)
        for connections in CONNECTIONS
        for contender in order
    }


def _summary(
    turns: list[Turn], footprints: dict[str, float], memory: dict[str, float], missing: dict[str, str]
) -> dict[str, Any]:
    def middle(contender: str, connections: int, figure: str) -> float:
        return median(turn[contender, connections][figure] for turn in turns)

    def most(turn: Turn, contender: str) -> float:
        return max(turn[contender, connections]["requests a second"] for connections in CONNECTIONS)

    figures: dict[str, Any] = {"load": generator_name()}
    for contender, footprint in footprints.items():
        figures[contender] = {
            f"{connections} conn.": {name: middle(contender, connections, name) for name in SHOWN}
            for connections in CONNECTIONS
        } | {"MiB": footprint}
    for peer, least in LEAST_RATIO.items():
        if peer in missing:
            figures[f"{peer} not run"] = missing[peer]
            continue
        for connections in CONNECTIONS:
            figures[f"× {peer} at {connections} connections"] = median(
                turn[OURS, connections]["requests a second"] / turn[peer, connections]["requests a second"]
                for turn in turns
            )
        ratio = median(most(turn, OURS) / most(turn, peer) for turn in turns)
        figures[f"× {peer}, each at its best"] = ratio
        figures[f"met: at least {least:g} × {peer}, each at its best"] = ratio >= least
    for connections, bound in MOST_P99_MS.items():
        met = middle(OURS, connections, "p99 ms") < bound
        figures[f"met: p99 at {connections} connections under {bound:g} ms"] = met
    figures |= {f"memory: {name}": value for name, value in memory.items()}
    figures[f"met: memory grew less than {MOST_GROWTH_MIB:g} MiB"] = memory["MiB grown"] < MOST_GROWTH_MIB
    return figures


def _long_run(server: Running, requests: int) -> dict[str, float]:
    """Resident memory of the server before and after so many requests, once it is warm."""
    before, done = server.mebibytes(), 0.0
    while done < requests:
        done += load(server, 32, 2)["requests"]
    after = server.mebibytes()
    return {"requests": done, "MiB before": before, "MiB after": after, "MiB grown": after - before}


def load(server: Running, connections: int, seconds: int) -> dict[str, float]:
    if shutil.which("wrk"):
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / "load.lua")]
        command = ["wrk", *options, server.url]
    else:
        module = "tests.benchmarks.servers.load"
        command = [sys.executable, "-m", module, server.url, str(connections), str(seconds), str(server.body)]
    spent = server.cpu_seconds()
    done = subprocess.run(
        _pinned(command, -1),
        cwd=CHECKOUT,
        env={**os.environ, "BODY": str(server.body)},
        check=True,
        capture_output=True,
        text=True,
    )
    told: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    if told["failed"]:
        raise RuntimeError(f"{server.url} failed {told['failed']:.0f} of {told['requests']:.0f} requests.")
    return {
        "requests": told["requests"],
        "requests a second": told["requests"] / told["seconds"],
        "p50 ms": told["p50_ms"],
        "p99 ms": told["p99_ms"],
        "CPU µs a request": 1e6 * (server.cpu_seconds() - spent) / told["requests"],
    }


def generator_name() -> str:
    return "wrk" if shutil.which("wrk") else "Python (no wrk found): the figures of fast servers are too low"


def _pinned(command: list[str], core: int) -> list[str]:
    """The command on one core: servers on the first one, load on the last."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ["taskset", "-c", str(cores[core]), *command] if len(cores) > 1 and shutil.which("taskset") else command


@contextmanager
def running(contender: str, make: Server, graph: Path, folder: Path) -> Iterator[Running]:
    """The contender, once it has answered its body and is warm."""
    folder.mkdir()
    port = free_port()
    command = make(graph, port)
    body = folder / "body.json"
    body.write_bytes(command.body)
    began = time.monotonic()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            _pinned(command.arguments, 0),
            cwd=folder,
            env={**_environment(folder), **command.variables},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    url = f"http://127.0.0.1:{port}{command.path}"
    try:
        _wait(process, f"http://127.0.0.1:{port}{command.ready}", folder / "log")
        ready_seconds = time.monotonic() - began
        _require_answer(contender, url, command)
        server = Running(psutil.Process(process.pid), url, body, ready_seconds)
        load(server, 8, 1)
        yield server
    finally:
        _end(process)


def _environment(folder: Path) -> dict[str, str]:
    # MLflow starts uvicorn by its name alone.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(CHECKOUT), "TMPDIR": str(folder)}


def _end(process: subprocess.Popen[bytes]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
            return


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # our own server
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"It did not start:\n{log.read_text()[-3000:]}")


def _require_answer(contender: str, url: str, command: Command) -> None:
    request = urllib.request.Request(url, command.body, {"Content-Type": "application/json"})  # our own server
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = answer.read().decode()
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{contender} answered {error.code}: {error.read().decode()[:1000]}") from error
    if command.answer not in told:
        raise RuntimeError(f"{contender} answered something else: {told[:1000]}")


def _forest(path: Path) -> Path:
    """A forest of 100 trees over the first batch of real orders."""
    from sklearn.ensemble import IsolationForest

    from bentos.common.forest_converter import to_onnx
    from bentos.orders import features
    from bentos.orders.contract import Record

    lines = (CHECKOUT / "data" / "orders" / "batch-1.ndjson").read_bytes().splitlines()
    orders = []
    for line in lines:
        try:
            orders.append(Record.model_validate_json(line))
        except ValueError:
            continue  # real dirt, which the gatekeeper would reject as well
    rows = features.arrays(orders)["features"]
    forest = IsolationForest(n_estimators=100, contamination=0.095, random_state=0).fit(rows)
    path.write_bytes(to_onnx(forest))
    return path


def _order() -> bytes:
    return json.dumps(EXAMPLE).encode()


def _bakehouse(graph: Path, port: int, variables: dict[str, str] | None = None) -> Command:
    return bakehouse("orders", graph, port, _order(), EXAMPLE["order_id"], variables)


def bakehouse(
    model: str, graph: Path, port: int, body: bytes, answer: str, variables: dict[str, str] | None = None
) -> Command:
    """Our own service of a room with this graph in it."""
    from bentos.common.packaging import build_bento
    from bentos.common.room import load_room
    from gitops.processes import serving
    from gitops.signing import sign

    lineage = {"data_version": "0" * 32, "code_commit": "unversioned", "built_at": "2026-01-01T00:00:00Z"}
    built = build_bento(load_room(model), graph, 1, lineage, graph.parent, sign)
    bento = archives.unpack(built.archive, built.digest, graph.parent / "unpacked")
    return Command(
        serving(bento, port),
        "/predict",
        "/readyz",
        body,
        answer,
        {"BENTOML_HOME": str(graph.parent / f"home-{port}"), "BENTOML_DO_NOT_TRACK": "true", **(variables or {})},
    )


def _bakehouse_logging(graph: Path, port: int) -> Command:
    return _bakehouse(graph, port, {"BAKEHOUSE_PREDICTION_LOG": str(graph.parent / "predictions")})


def _fastapi(graph: Path, port: int) -> Command:
    module = "tests.benchmarks.servers.fastapi_server:app"
    options = ["--host", "127.0.0.1", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    return Command(
        [sys.executable, "-m", "uvicorn", module, *options],
        "/predict",
        "/openapi.json",
        _order(),
        EXAMPLE["order_id"],
        {"GRAPH": str(graph)},
    )


def _mlflow(graph: Path, port: int) -> Command:
    import mlflow

    model = graph.parent / "mlflow-model"
    code = HERE / "mlflow_model.py"
    mlflow.pyfunc.save_model(model, python_model=str(code), artifacts={"graph": str(graph)}, pip_requirements=[])
    options = ["--host", "127.0.0.1", "--port", str(port), "--env-manager", "local", "--workers", "1"]
    return Command(
        [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model), *options],
        "/invocations",
        "/ping",
        json.dumps({"dataframe_records": [EXAMPLE]}).encode(),
        EXAMPLE["order_id"],
        {"MLFLOW_TRACKING_URI": f"sqlite:///{graph.parent}/mlflow.db", "MLFLOW_DISABLE_TELEMETRY": "true"},
    )


def _mlserver(graph: Path, port: int, **changed: Any) -> Command:
    python = _mlserver_python()
    folder = graph.parent / f"mlserver-{port}"
    folder.mkdir()
    ports = {"http_port": port, "grpc_port": free_port(), "metrics_port": free_port()}
    # `debug` is on by default and logs every request, which nobody wants measured.
    settings = {"host": "127.0.0.1", "debug": False, **ports, **changed}
    (folder / "settings.json").write_text(json.dumps(settings))
    implementation = "tests.benchmarks.servers.mlserver_runtime.Orders"
    model = {"name": "orders", "implementation": implementation, "parameters": {"uri": str(graph)}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    tensor = {"name": "orders", "shape": [1], "datatype": "BYTES", "data": [json.dumps(EXAMPLE)]}
    return Command(
        [str(python.with_name("mlserver")), "start", str(folder)],
        "/v2/models/orders/infer",
        "/v2/models/orders/ready",
        json.dumps({"inputs": [tensor]}).encode(),
        EXAMPLE["order_id"],
    )


def _mlserver_without_pool(graph: Path, port: int) -> Command:
    # Inference in the process that answers: what one worker on one core is fastest with, and not its default.
    return _mlserver(graph, port, parallel_workers=0)


def _mlserver_python() -> Path:
    """The Python of an environment of MLServer's own, which wants older libraries than ours; kept for the next run."""
    folder = workspace.state() / "bench" / "mlserver"
    python = folder / "bin" / "python"
    complete, wanted = folder / "complete", "\n".join(MLSERVER)
    if complete.exists() and complete.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    install = [str(python), "-m", "pip", "install", "--quiet", *MLSERVER]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, text=True)
        if uv := shutil.which("uv"):
            install = [uv, "pip", "install", "--quiet", "--python", str(python), *MLSERVER]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=600)
    except (subprocess.SubprocessError, OSError) as error:
        said = str(getattr(error, "stderr", "") or error).strip().splitlines()
        raise UnavailableError(f"MLServer can't be installed here: {said[-1] if said else error}") from error
    complete.write_text(wanted)
    return python


CONTENDERS: dict[str, Server] = {
    "Bakehouse": _bakehouse,
    "Bakehouse, prediction log on": _bakehouse_logging,
    "FastAPI": _fastapi,
    "MLflow": _mlflow,
    "MLServer": _mlserver,
    "MLServer, no pool": _mlserver_without_pool,
}
