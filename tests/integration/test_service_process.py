"""The orders service as a process: its metrics, what it is made of, how it starts and stops, what it logs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from bentos.common.endpoint import DRAIN_SECONDS
from gitops.processes import bentoml_serve, serving
from tests.order_documents import order
from tests.orders_service import CANARIES, PERSONAL, Document, post, whole_answer
from tests.served import LINEAGE, Served, refused_start, serve
from tests.waiting import eventually

# Metrics


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of `name` that carry these labels."""
    found = re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", text, re.MULTILINE)
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    return sum(float(value) for pairs, value in found if wanted <= set(pairs.split(",")))


def test_metrics_count_requests_predictions_and_time(bento: Path, tmp_path: Path) -> None:
    with serve(bento, tmp_path / "home") as served, served.client() as client:
        answers = post(client, [order()] * 8).json() + [post(client, order()).json() for _ in range(2)]
        post(client, b"{")
        client.get("/made/up/path")
        text = client.get("/metrics").text
    anomalies = sum(answer["anomaly"] for answer in answers)
    assert metric(text, "bakehouse_requests_total", model="orders", model_version="1", status="200") == 3
    assert metric(text, "bakehouse_requests_total", status="400") == 1
    assert metric(text, "bakehouse_predictions_total", outcome="anomaly") == anomalies
    assert metric(text, "bakehouse_predictions_total", outcome="normal") == 10 - anomalies
    assert metric(text, "bakehouse_anomaly_rate") == anomalies / 10
    assert metric(text, "bakehouse_request_duration_seconds_count") == 4
    buckets = [
        float(edge) for edge in re.findall(r'bakehouse_request_duration_seconds_bucket\{.*?le="([0-9.]+)"', text)
    ]
    assert {0.001, 0.005, 0.01, 0.05, 0.1} <= set(buckets)
    assert metric(text, "bakehouse_model_info", data_version=LINEAGE["data_version"], model_version="1") == 1
    assert "made/up" not in text


def test_two_services_of_one_home_keep_their_own_metrics(bento: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with serve(bento, home) as blue, blue.client() as to_blue:
        post(to_blue, order())
        with serve(bento, home) as green, green.client() as to_green:
            post(to_blue, order())
            text = to_green.get("/metrics").text
            assert metric(text, "bakehouse_requests_total") == 0
        assert metric(to_blue.get("/metrics").text, "bakehouse_requests_total", status="200") == 2
    assert list(home.rglob("metrics*/*")) == []


# What it is made of


def test_it_loads_no_library_of_training_and_no_module_of_the_checkout(bento: Path, checkout: Path) -> None:
    script = """
import json, sys
from bentos.orders.service import Orders
Orders.to_asgi()
ours = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in ("bakehouse", "bentos")}
print(json.dumps({"modules": sorted(sys.modules), "ours": ours}))
"""
    source = bento / "src"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=source, capture_output=True, text=True, check=True, env={**os.environ}
    )
    loaded = json.loads(done.stdout.splitlines()[-1])
    packages = {name.partition(".")[0] for name in loaded["modules"]}
    assert packages >= {"bentoml", "onnxruntime", "numpy", "pydantic"}
    assert not packages & {
        "pandas",
        "sklearn",
        "scipy",
        "mlflow",
        "zenml",
        "onnx",
        "skl2onnx",
        "great_expectations",
        "steps",
    }
    assert {Path(path).is_relative_to(source) for path in loaded["ours"].values()} == {True}


def test_it_is_one_process_of_less_than_200_mb(served: Served, client: httpx.Client) -> None:
    assert post(client, [order()] * 1_000).status_code == 200
    process = psutil.Process(served.process.pid)
    assert process.children() == []
    assert process.memory_info().rss < 200_000_000


# Starting


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The line of a refused start; fails where there is a traceback, or more to read."""
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_it_does_not_start_with_another_graph_than_it_was_built_with(copied: Path, tmp_path: Path) -> None:
    graph = copied / "src" / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\x00")
    line = one_line(refused_start(copied, tmp_path / "home"))
    assert line.startswith("orders does not start: This bento is not the one that was signed: model.onnx was changed")


def test_it_does_not_start_without_its_identity(copied: Path, tmp_path: Path) -> None:
    (copied / "src" / "model.json").unlink()
    assert "model.json is not beside the service" in one_line(refused_start(copied, tmp_path / "home"))


@pytest.mark.parametrize(
    ("field", "value"), [("model_digest", "sha256:" + "0" * 64), ("model_version", 2), ("model", "cakes")]
)
def test_it_does_not_start_where_the_environment_released_another_model(
    bento: Path, tmp_path: Path, field: str, value: Any
) -> None:
    release = tmp_path / "release.json"
    release.write_text(json.dumps({**json.loads((bento / "src" / "model.json").read_text()), field: value}))
    line = one_line(refused_start(bento, tmp_path / "home", BAKEHOUSE_RELEASE=str(release)))
    assert f"says {field} {value}" in line


def test_it_starts_where_the_environment_released_this_model(bento: Path, tmp_path: Path) -> None:
    release = tmp_path / "release.json"
    release.write_text((bento / "src" / "model.json").read_text())
    with serve(bento, tmp_path / "home", BAKEHOUSE_RELEASE=str(release)) as served, served.client() as client:
        assert client.get("/release").json()["model_version"] == 1


@pytest.mark.parametrize("released", [1, 2])
def test_the_smoke_check_in_its_bento_tells_whether_it_is_the_released_version(
    bento: Path, served: Served, tmp_path: Path, released: int
) -> None:
    release = tmp_path / "release.json"
    release.write_text(
        json.dumps({**json.loads((bento / "src" / "model.json").read_text()), "model_version": released})
    )
    done = subprocess.run(
        [sys.executable, "-P", "-m", "bentos.common.smoke", served.url, "--seconds=1"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(bento / "src"), "BAKEHOUSE_RELEASE": str(release)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (0 if released == 1 else 1), done.stderr
    assert "version 1 answers" in done.stdout + done.stderr


def test_it_does_not_start_where_its_prediction_log_can_not_be_written(bento: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = one_line(refused_start(bento, tmp_path / "home", BAKEHOUSE_PREDICTION_LOG=str(tmp_path / "file" / "log")))
    assert "BAKEHOUSE_PREDICTION_LOG" in line


# Stopping, and the prediction log


def logged(folder: Path) -> list[Document]:
    return [json.loads(line) for path in sorted(folder.glob("*.ndjson")) for line in path.read_bytes().splitlines()]


def test_every_answered_prediction_is_in_the_log_after_sigterm_and_nobody_can_be_recognised(
    bento: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    with serve(bento, tmp_path / "home", BAKEHOUSE_PREDICTION_LOG=str(folder)) as served, served.client() as client:
        for number in range(200):
            document = order(**CANARIES, order_id=str(600_000 + number))
            assert post(client, document, **{"x-request-id": f"r-{number}"}).status_code == 200
        post(client, [order(**CANARIES)] * 5, **{"x-request-id": "list"})
        post(client, order(**CANARIES, country=7))
        served.stop()
    lines = logged(folder)
    assert [line["request_id"] for line in lines] == [*(f"r-{number}" for number in range(200)), *["list"] * 5]
    assert lines[3]["request"]["order_id"] == "600003"
    assert lines[3]["model_version"] == 1
    assert {"label", "score"} <= set(lines[3]["response"])
    everything = "".join(path.read_text() for path in folder.iterdir()) + served.output.read_text()
    assert not PERSONAL.search(everything), PERSONAL.search(everything)


def test_without_a_folder_nothing_is_logged(bento: Path, tmp_path: Path) -> None:
    with serve(bento, tmp_path / "home") as served, served.client() as client:
        post(client, order(**CANARIES))
    assert list(tmp_path.rglob("*.ndjson")) == []
    assert not PERSONAL.search(served.output.read_text())


def test_a_request_that_was_begun_is_answered_although_sigterm_arrives(bento: Path, tmp_path: Path) -> None:
    body = json.dumps(order()).encode()
    head = (
        b"POST /predict HTTP/1.1\r\nHost: orders\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    with serve(bento, tmp_path / "home") as served:
        address = urlsplit(served.url)
        with socket.create_connection((address.hostname, address.port), timeout=120) as connection:
            connection.sendall(head + body[:20])
            with served.client() as client:
                assert post(client, order()).status_code == 200  # so what came before it has begun
            served.process.send_signal(signal.SIGTERM)
            time.sleep(DRAIN_SECONDS + 0.5)  # it takes no new request any more
            connection.sendall(body[20:])
            answer = whole_answer(connection)
        assert served.process.wait(120) == 0
    assert answer.startswith(b"HTTP/1.1 200"), answer
    assert b'"order_id":"536365"' in answer


def test_under_load_no_request_fails_although_sigterm_arrives(bento: Path, tmp_path: Path) -> None:
    answered: list[int] = []
    last: list[float] = []

    def ask(url: str) -> None:
        # Any transport error ends the thread with no time of its last answer.
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                answer = post(client, order())
                answered.append(answer.status_code)
                if answer.headers.get("connection") == "close":
                    last.append(time.monotonic())
                    return

    with serve(bento, tmp_path / "home") as served:
        threads = [threading.Thread(target=ask, args=(served.url,), daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        eventually("a hundred answers", lambda: len(answered) > 100)
        told = time.monotonic()
        served.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(120)
        assert served.process.wait(120) == 0
    assert len(last) == len(threads)
    assert max(last) - told < 10
    assert set(answered) == {200}
    assert "Traceback" not in served.output.read_text()


def test_while_it_drains_it_is_not_ready_and_still_answers(bento: Path, tmp_path: Path) -> None:
    with serve(bento, tmp_path / "home") as served, served.client() as client:
        served.process.send_signal(signal.SIGTERM)
        eventually("it is not ready", lambda: client.get("/readyz").status_code == 503)
        assert post(client, order()).status_code == 200


def test_bentomls_own_command_serves_it_too(bento: Path, tmp_path: Path) -> None:
    with serve(bento, tmp_path / "home", bentoml_serve) as served, served.client() as client:
        assert post(client, order()).status_code == 200
        assert metric(client.get("/metrics").text, "bakehouse_model_info") == 1


def test_a_bento_of_before_is_served_by_bentomls_own_command(copied: Path) -> None:
    assert "bentoml" not in serving(copied, 3000)
    (copied / "src" / "bentos" / "common" / "serve.py").unlink()
    assert serving(copied, 3000) == bentoml_serve(copied, 3000)


def test_a_port_that_is_taken_is_said_in_one_line(bento: Path, served: Served, tmp_path: Path) -> None:
    address = urlsplit(served.url)
    done = subprocess.run(
        serving(bento, address.port or 0), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert "can't listen on 127.0.0.1" in one_line(done)
