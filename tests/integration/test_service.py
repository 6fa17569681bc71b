"""What the orders service answers and refuses: a real process, over real HTTP."""

from __future__ import annotations

import copy
import json
import re
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.common.session import OnnxModel
from bentos.orders import features
from bentos.orders.contract import EXAMPLE, Request
from tests.order_documents import order
from tests.orders_service import CANARIES, PERSONAL, Document, post, whole_answer
from tests.served import LINEAGE, Served


def with_line(**changed: Any) -> Document:
    document = order()
    document["lines"][0].update(changed)
    return document


# Answers


def test_one_order_gets_one_answer_and_it_is_the_graphs_own(client: httpx.Client, bento: Path) -> None:
    answer = post(client, order())
    assert answer.status_code == 200, answer.text
    outputs = OnnxModel(bento / "src" / "model.onnx").run(
        features.arrays([Request.model_validate_json(json.dumps(order()))])
    )
    document = answer.json()
    assert document["score"] == pytest.approx(float(outputs["score"][0]), abs=1e-7)
    assert document["anomaly"] is bool(outputs["label"][0] == -1)
    assert document["order_id"] == EXAMPLE["order_id"]
    assert document["model_version"] == 1


def test_a_list_gets_a_list_in_the_same_order(client: httpx.Client) -> None:
    orders = [order(order_id=str(600_000 + number)) for number in range(50)]
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
    assert post(client, order(), **{"x-request-id": "order-desk:42"}).headers["x-request-id"] == "order-desk:42"
    for senseless in ("", "a b", "<script>", "x" * 129):
        made = post(client, order(), **{"x-request-id": senseless}).headers["x-request-id"]
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
    "a wrong order in a list": ([order(), order(country=7)], 422, "1.country"),
    "missing field": ({name: value for name, value in EXAMPLE.items() if name != "lines"}, 422, "lines"),
    "a name the contract doesn't know": (order(discount=3), 422, "discount"),
    "wrong type": (with_line(quantity="six"), 422, "lines.0.quantity"),
    "a number as text": (with_line(unit_price="2.55"), 422, "lines.0.unit_price"),
    "NaN": (with_line(unit_price=float("nan")), 422, "lines.0.unit_price"),
    "infinity": (with_line(unit_price=float("inf")), 422, "lines.0.unit_price"),
    "a huge number": (with_line(unit_price=1e300), 422, "lines.0.unit_price"),
    "a number beyond doubles": (
        json.dumps(order()).replace("2.55", "1e400").encode(),
        422,
        "lines.0.unit_price",
    ),
    "an integer of 400 digits": (with_line(quantity=10**400), 422, "lines.0.quantity"),
    "no lines": (order(lines=[]), 422, "lines"),
    "10,000 lines": (order(lines=EXAMPLE["lines"] * 5_000), 422, "lines"),
    "no time": (order(time="yesterday"), 422, "time"),
    "a time to come": (order(time="2999-01-01T00:00:00Z"), 422, "time"),
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
    answer = post(client, order(), content_type, **headers)
    assert answer.status_code == 415
    assert answer.json()["problems"][0]["allowed"] == "application/json in UTF-8"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
def test_json_that_says_utf_8_is_welcome(client: httpx.Client, content_type: str) -> None:
    assert post(client, order(), content_type).status_code == 200


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
        order(**CANARIES, country="Canary 77"),
        order(**CANARIES, **{"canary@example.com": 1}),
        order(**CANARIES, currency=["canary"]),
        {**order(**CANARIES), "time": "canary"},
    ]
    for field in ("id", "name", "email", "phone"):
        document = order(**copy.deepcopy(CANARIES))
        document["customer"][field] = {"canary@example.com": "canary"}
        spoiled.append(document)
    for document in spoiled:
        answer = post(client, document)
        assert answer.status_code == 422
        assert not PERSONAL.search(answer.text), answer.text
    assert not PERSONAL.search(post(client, json.dumps(order(**CANARIES)).encode()[:-5]).text)


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
    assert post(client, order()).status_code == 200


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
        assert post(client, order()).status_code == 200
        answers = [whole_answer(connection) for connection in connections]
    assert 9 < time.monotonic() - began < 60
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b"It was not complete after 10 seconds" in answer
