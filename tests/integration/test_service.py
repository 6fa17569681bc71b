"""The orders service as a real process, over real HTTP."""

from __future__ import annotations

import copy
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.common.endpoint import DRAIN_SECONDS
from bentos.common.session import OnnxModel
from bentos.orders import features
from bentos.orders.contract import EXAMPLE, Request
from gitops.processes import bentoml_serve, serving
from tests.served import LINEAGE, Served, orders_bento, refused_start, serve
from tests.waiting import eventually

Document = dict[str, Any]
CANARIES = {
    "customer": {
        "id": "CANARY-ID-1",
        "name": "Canary Name-2",
        "email": "canary-3@example.com",
        "phone": "+44 7700 900456",
        "address": {
            "street": "5 Canary Street",
            "city": "Canarytown-6",
            "postal_code": "CN7 7RY",
            "country": "United Kingdom",
        },
    },
    "note": "call canary-8@example.com or +44 7700 900789",
}
PERSONAL = re.compile("canary|7700|CN7 7RY", re.IGNORECASE)


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        return orders_bento(tmp_path_factory.mktemp("bento"))[1]


@pytest.fixture(scope="module")
def served(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all the tests that only ask it."""
    with serve(bento, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client() as opened:
        yield opened


@pytest.fixture
def copied(bento: Path, tmp_path: Path) -> Path:
    """A bento of the test's own, to spoil."""
    return shutil.copytree(bento, tmp_path / "bento")


def example(**changed: Any) -> Document:
    return {**copy.deepcopy(EXAMPLE), **changed}


def with_line(**changed: Any) -> Document:
    document = example()
    document["lines"][0].update(changed)
    return document


def post(client: httpx.Client, content: Any, content_type: str = "application/json", **headers: str) -> httpx.Response:
    body = content if isinstance(content, bytes) or hasattr(content, "__next__") else json.dumps(content).encode()
    return client.post("/predict", content=body, headers={"content-type": content_type, **headers})


# Answers


def test_one_order_gets_one_answer_and_it_is_the_graphs_own(client: httpx.Client, bento: Path) -> None:
    answer = post(client, example())
    assert answer.status_code == 200, answer.text
    outputs = OnnxModel(bento / "src" / "model.onnx").run(
        features.arrays([Request.model_validate_json(json.dumps(example()))])
    )
    document = answer.json()
    assert document["score"] == pytest.approx(float(outputs["score"][0]), abs=1e-7)
    assert document["anomaly"] is bool(outputs["label"][0] == -1)
    assert document["order_id"] == EXAMPLE["order_id"]
    assert document["model_version"] == 1


def test_a_list_gets_a_list_in_the_same_order(client: httpx.Client) -> None:
    orders = [example(order_id=str(600_000 + number)) for number in range(50)]
    answers = post(client, orders).json()
    assert [answer["order_id"] for answer in answers] == [order["order_id"] for order in orders]
    assert post(client, orders[7]).json() == answers[7]


def test_a_list_of_a_thousand_is_answered_and_one_more_is_not(client: httpx.Client) -> None:
    order = with_line(description=None)
    assert len(post(client, [order] * 1_000).json()) == 1_000
    assert post(client, [order] * 1_001).status_code == 422


def test_the_release_is_what_the_bento_was_built_from(client: httpx.Client, bento: Path) -> None:
    release = client.get("/release")
    assert release.status_code == 200
    assert release.json() == json.loads((bento / "src" / "model.json").read_text())
    assert release.json().items() >= {"model": "orders", "model_version": 1, **LINEAGE}.items()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_answer(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_a_request_id_is_echoed_when_sensible_and_made_when_not(client: httpx.Client) -> None:
    assert post(client, example(), **{"x-request-id": "order-desk:42"}).headers["x-request-id"] == "order-desk:42"
    for senseless in ("", "a b", "<script>", "x" * 129):
        made = post(client, example(), **{"x-request-id": senseless}).headers["x-request-id"]
        assert re.fullmatch("[0-9a-f]{32}", made)


# Docs


def test_the_docs_speak_of_predict_in_the_contracts_words(client: httpx.Client) -> None:
    docs = client.get("/docs.json").json()
    body = docs["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"]["one"]["value"] == EXAMPLE
    assert body["schema"]["oneOf"][0] == {"$ref": "#/components/schemas/Request"}
    schemas = docs["components"]["schemas"]
    assert set(schemas["Request"]["properties"]) == set(Request.model_fields)
    assert set(docs["paths"]) >= {"/predict", "/release", "/livez", "/readyz", "/metrics"}
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(docs)))
    assert references <= set(schemas)


def test_the_docs_example_is_answered(client: httpx.Client) -> None:
    docs = client.get("/docs.json").json()
    for shown in docs["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"].values():
        assert post(client, shown["value"]).status_code == 200


def test_the_page_shows_them_without_asking_any_other_host(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!DOCTYPE", "")
    for link in re.findall(r'(?:src|href)="\./([^"]+)"', page.text):
        assert client.get(f"/{link}").status_code == 200


# Refusals

REFUSED: dict[str, tuple[Any, int, str]] = {
    "empty body": (b"", 400, "(document)"),
    "broken JSON": (b'{"order_id": ', 400, "(document)"),
    "not UTF-8": (b'{"order_id": "\xff"}', 400, "(document)"),
    "a lone surrogate": (b'{"order_id": "\\ud800"}', 400, "(document)"),
    "deep nesting": (b"[" * 100_000, 400, "(document)"),
    "deep objects": (b'{"a":' * 50_000, 400, "(document)"),
    "a number": (12, 422, "(document)"),
    "null": (None, 422, "(document)"),
    "empty list": ([], 422, "(document)"),
    "a list of numbers": ([1, 2], 422, "0"),
    "a wrong order in a list": ([example(), example(country=7)], 422, "1.country"),
    "missing field": ({name: value for name, value in EXAMPLE.items() if name != "lines"}, 422, "lines"),
    "a name the contract doesn't know": (example(discount=3), 422, "discount"),
    "wrong type": (with_line(quantity="six"), 422, "lines.0.quantity"),
    "a number as text": (with_line(unit_price="2.55"), 422, "lines.0.unit_price"),
    "NaN": (with_line(unit_price=float("nan")), 422, "lines.0.unit_price"),
    "infinity": (with_line(unit_price=float("inf")), 422, "lines.0.unit_price"),
    "a huge number": (with_line(unit_price=1e300), 422, "lines.0.unit_price"),
    "a number beyond doubles": (
        json.dumps(example()).replace("2.55", "1e400").encode(),
        422,
        "lines.0.unit_price",
    ),
    "an integer of 400 digits": (with_line(quantity=10**400), 422, "lines.0.quantity"),
    "no lines": (example(lines=[]), 422, "lines"),
    "10,000 lines": (example(lines=EXAMPLE["lines"] * 5_000), 422, "lines"),
    "no time": (example(time="yesterday"), 422, "time"),
    "a time to come": (example(time="2999-01-01T00:00:00Z"), 422, "time"),
    "5 MB": (b" " * 5_000_000, 413, "body"),
    "5 MB of no stated length": (None, 413, "body"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_field_and_reason(client: httpx.Client, name: str) -> None:
    content, status, field = REFUSED[name]
    if name == "5 MB of no stated length":
        content = iter([b" " * 65_536] * 80)
    answer = post(client, content)
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert document["problems"][0]["field"] == field
    assert document["problems"][0]["reason"]
    assert document["request_id"] == answer.headers["x-request-id"]


def test_what_would_be_allowed_is_said(client: httpx.Client) -> None:
    (problem,) = post(client, with_line(quantity=2_000_000)).json()["problems"]
    assert problem == {
        "field": "lines.0.quantity",
        "reason": "Input should be less than or equal to 1000000",
        "allowed": "<= 1000000",
    }


def test_every_problem_of_a_document_is_named_up_to_a_bound(client: httpx.Client) -> None:
    three = post(client, {**with_line(quantity="x", unit_price="y"), "currency": 7}).json()
    assert {problem["field"] for problem in three["problems"]} == {
        "currency",
        "lines.0.quantity",
        "lines.0.unit_price",
    }
    many = post(client, [{}] * 500).json()
    assert len(many["problems"]) == 20
    assert many["more_problems"] > 400


@pytest.mark.parametrize(
    ("content_type", "headers"),
    [
        ("text/plain", {}),
        ("application/xml", {}),
        ("multipart/form-data; boundary=x", {}),
        ("application/json; charset=latin-1", {}),
        ("", {}),
        ("application/json", {"content-encoding": "gzip"}),
    ],
)
def test_another_content_type_is_415(client: httpx.Client, content_type: str, headers: dict[str, str]) -> None:
    answer = post(client, example(), content_type, **headers)
    assert answer.status_code == 415
    assert answer.json()["problems"][0]["allowed"] == "application/json in UTF-8"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_that_says_utf_8_is_welcome(client: httpx.Client, content_type: str) -> None:
    assert post(client, example(), content_type).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/predict", "POST"),
        ("PUT", "/predict", "POST"),
        ("OPTIONS", "/predict", "POST"),
        ("DELETE", "/release", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
    ],
)
def test_a_wrong_method_is_405_and_says_which_is_right(
    client: httpx.Client, method: str, path: str, allow: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/predict/", "/static_content/nowhere", "/static_content/../../etc/passwd"]
)
def test_an_unknown_path_is_404_and_names_those_there_are(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "/predict" in answer.json()["problems"][0]["allowed"]


def test_no_answer_to_bad_input_repeats_what_was_sent(client: httpx.Client) -> None:
    spoiled: list[Any] = [
        example(**CANARIES, country="Canary 77"),
        example(**CANARIES, **{"canary@example.com": 1}),
        example(**CANARIES, currency=["canary"]),
        {**example(**CANARIES), "time": "canary"},
    ]
    for field in ("id", "name", "email", "phone"):
        document = example(**copy.deepcopy(CANARIES))
        document["customer"][field] = {"canary@example.com": "canary"}
        spoiled.append(document)
    for document in spoiled:
        answer = post(client, document)
        assert answer.status_code == 422
        assert not PERSONAL.search(answer.text), answer.text
    assert not PERSONAL.search(post(client, json.dumps(example(**CANARIES)).encode()[:-5]).text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner))


@st.composite
def spoiled_orders(draw: st.DrawFn) -> Document:
    """The example with a few values, at any depth, replaced by anything, added or left out."""
    document = copy.deepcopy(EXAMPLE)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = document
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and draw(st.booleans()):
                place = place[key]
                continue
            if draw(st.booleans()):
                place[key] = draw(VALUES)
            else:
                del place[key]
            break
    return document


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200) | VALUES.map(json.dumps).map(str.encode) | spoiled_orders().map(json.dumps).map(str.encode)
)
def test_whatever_is_sent_is_answered_or_refused_and_never_an_error_of_ours(
    client: httpx.Client, served: Served, body: bytes
) -> None:
    before = served.output.stat().st_size
    answer = post(client, body)
    assert answer.status_code in {200, 400, 422}, (body, answer.text)
    if answer.status_code == 200:
        documents = answer.json() if isinstance(answer.json(), list) else [answer.json()]
        assert all(-1 <= document["score"] <= 1 for document in documents)
    assert served.output.stat().st_size == before, served.output.read_text()[before:]


def test_what_is_not_http_does_not_harm_it(served: Served, client: httpx.Client) -> None:
    address = urlsplit(served.url)
    for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            assert not connection.recv(1_000).startswith(b"HTTP/1.1 5")
    assert post(client, example()).status_code == 200


def test_a_client_whose_body_does_not_come_is_told_so(served: Served, client: httpx.Client) -> None:
    """Nothing of it, or half of it: both at once, since each takes the service's ten seconds."""
    head = b"POST /predict HTTP/1.1\r\nHost: orders\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    address = urlsplit(served.url)
    began = time.monotonic()
    with ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection((address.hostname, address.port), timeout=120))
            for _ in range(2)
        ]
        for connection, sent in zip(connections, (b"", b'{"order_id":'), strict=True):
            connection.sendall(head + sent)
        assert post(client, example()).status_code == 200
        answers = [whole_answer(connection) for connection in connections]
    assert 9 < time.monotonic() - began < 60
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"It was not complete after 10 seconds" in answer


# Metrics


def metric(text: str, name: str, **labels: str) -> float:
    """The sum of the samples of `name` that carry these labels."""
    found = re.findall(rf"^{name}\{{([^}}]*)\}} (\S+)$", text, re.MULTILINE)
    wanted = {f'{key}="{value}"' for key, value in labels.items()}
    return sum(float(value) for pairs, value in found if wanted <= set(pairs.split(",")))


def test_metrics_count_requests_predictions_and_time(bento: Path, tmp_path: Path) -> None:
    with serve(bento, tmp_path / "home") as served, served.client() as client:
        answers = post(client, [example()] * 8).json() + [post(client, example()).json() for _ in range(2)]
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
        post(to_blue, example())
        with serve(bento, home) as green, green.client() as to_green:
            post(to_blue, example())
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
    assert post(client, [example()] * 1_000).status_code == 200
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
            document = example(**CANARIES, order_id=str(600_000 + number))
            assert post(client, document, **{"x-request-id": f"r-{number}"}).status_code == 200
        post(client, [example(**CANARIES)] * 5, **{"x-request-id": "list"})
        post(client, example(**CANARIES, country=7))
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
        post(client, example(**CANARIES))
    assert list(tmp_path.rglob("*.ndjson")) == []
    assert not PERSONAL.search(served.output.read_text())


def test_a_request_that_was_begun_is_answered_although_sigterm_arrives(bento: Path, tmp_path: Path) -> None:
    body = json.dumps(example()).encode()
    head = (
        b"POST /predict HTTP/1.1\r\nHost: orders\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    with serve(bento, tmp_path / "home") as served:
        address = urlsplit(served.url)
        with socket.create_connection((address.hostname, address.port), timeout=120) as connection:
            connection.sendall(head + body[:20])
            with served.client() as client:
                assert post(client, example()).status_code == 200  # so what came before it has begun
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
                answer = post(client, example())
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
        assert post(client, example()).status_code == 200


def test_bentomls_own_command_serves_it_too(bento: Path, tmp_path: Path) -> None:
    with serve(bento, tmp_path / "home", bentoml_serve) as served, served.client() as client:
        assert post(client, example()).status_code == 200
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


def whole_answer(connection: socket.socket) -> bytes:
    """Head and body, which may come in pieces."""
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
        piece = connection.recv(10_000)
        if not piece:
            break
        answer += piece
    return answer


def _length(answer: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: (\d+)\r\n", answer, re.IGNORECASE)
    return int(found[1]) if found else 0
