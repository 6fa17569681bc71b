"""The sentiment service as a real process: what it answers to texts of all kinds, and to feedback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bakehouse import archives
from bentos.common.log_files import FOLDER_VARIABLE
from bentos.common.masking import KEY_VARIABLE
from bentos.common.packaging import build_bento
from bentos.common.room import load_room
from bentos.sentiment import estimator
from bentos.sentiment.contract import MOST_CHARACTERS
from gitops.signing import sign
from tests.sentences import fitted, read_sentences
from tests.served import LINEAGE, Served, serve

PERSONAL = "canary-3@example.com"


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bento")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        graph = folder / "model.onnx"
        graph.write_bytes(estimator.convert(fitted(read_sentences(folder, 1))))
        built = build_bento(load_room("sentiment"), graph, 1, LINEAGE, folder, sign)
        return archives.unpack(built.archive, built.digest, folder / "unpacked")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("predictions")


@pytest.fixture(scope="module")
def served(bento: Path, logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    settings = {FOLDER_VARIABLE: str(logs), KEY_VARIABLE: "k" * 32}
    with serve(bento, tmp_path_factory.mktemp("home"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client() as opened:
        yield opened


def labels(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    body: Any = answer.json()
    return [one["label"] for one in (body if isinstance(body, list) else [body])]


def recorded(logs: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in (logs / "feedback").glob("*.ndjson") for line in file.open()]


@pytest.mark.parametrize("body", [{"text": "I love it, great phone!"}, "I love it, great phone!"])
def test_a_text_is_answered_as_a_document_or_alone(client: httpx.Client, body: Any) -> None:
    answer = client.post("/predict", json=body)
    assert labels(answer) == ["positive"]
    assert answer.json()["score"] > 0.5
    assert answer.json()["model_version"] == 1


def test_a_list_is_answered_in_its_order(client: httpx.Client) -> None:
    texts = ["Terrible, do not buy.", {"text": "I love it, great phone!"}, "とても良い", "🎉 …"]
    assert labels(client.post("/predict", json=texts)) == ["negative", "positive", "unknown", "unknown"]


def test_scripts_mixed_in_one_text_leave_the_words_that_are_known(client: httpx.Client) -> None:
    assert labels(client.post("/predict", json="Это great фильм, love it 良い")) == ["positive"]


@pytest.mark.parametrize("text", ["", "good " * 20_000, "x" * (MOST_CHARACTERS + 1)], ids=["empty", "100 kB", "long"])
def test_a_text_without_signs_or_with_too_many_is_refused_with_the_reason(client: httpx.Client, text: str) -> None:
    answer = client.post("/predict", json={"text": text})
    assert answer.status_code == 422
    (problem,) = answer.json()["problems"]
    assert problem["field"] == "text"
    assert problem["allowed"] in ("at least 1 long", f"at most {MOST_CHARACTERS} long")


def test_half_a_surrogate_is_refused_and_the_service_goes_on(client: httpx.Client) -> None:
    answer = client.post("/predict", content=b'{"text": "\\ud800 good"}', headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert labels(client.post("/predict", json="good")) == ["positive"]


def test_feedback_on_a_request_is_appended_and_counted(client: httpx.Client, logs: Path) -> None:
    request_id = client.post("/predict", json=["good", "bad"]).headers["x-request-id"]
    answer = client.post("/feedback", json={"request_id": request_id, "item": 1, "label": "negative"})
    assert (answer.status_code, answer.json()) == (200, {"recorded": 1})
    (line,) = [line for line in recorded(logs) if line["request_id"] == request_id]
    assert (line["item"], line["label"], line["model"], line["model_version"]) == (1, "negative", "sentiment", 1)
    counted = client.get("/metrics").text
    assert 'bakehouse_feedback_total{label="negative",model="sentiment",model_version="1"}' in counted


def test_a_list_of_feedback_is_recorded_whole_or_not_at_all(client: httpx.Client, logs: Path) -> None:
    several = [{"request_id": "many", "item": item, "label": "positive"} for item in range(3)]
    assert client.post("/feedback", json=several).json() == {"recorded": 3}
    before = len(recorded(logs))
    several[2]["label"] = "neutral"
    assert client.post("/feedback", json=several).status_code == 422
    assert len(recorded(logs)) == before


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"label": PERSONAL}, "label"), ({"request_id": PERSONAL}, "request_id"), ({"item": -1}, "item"),
     ({"comment": PERSONAL}, "comment")],
)  # fmt: skip
def test_feedback_that_breaks_its_contract_is_refused_and_leaks_nowhere(
    client: httpx.Client, served: Served, logs: Path, changed: dict[str, Any], field: str
) -> None:
    answer = client.post("/feedback", json={"request_id": "r-1", "label": "positive"} | changed)
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == field
    assert PERSONAL not in answer.text
    assert PERSONAL not in json.dumps(recorded(logs))
    assert PERSONAL not in client.get("/metrics").text
    assert PERSONAL not in served.output.read_text(errors="replace")


def test_feedback_takes_post_of_json_alone(client: httpx.Client) -> None:
    assert client.get("/feedback").status_code == 405
    assert client.post("/feedback", content=b"label=positive").status_code == 415
    assert client.post("/feedback", content=b"{", headers={"content-type": "application/json"}).status_code == 400


def test_the_docs_describe_feedback_in_the_words_of_the_contract(client: httpx.Client) -> None:
    described = client.get("/docs.json").json()
    assert described["paths"]["/feedback"]["post"]["operationId"] == "feedback"
    assert described["components"]["schemas"]["Feedback"]["properties"]["label"]["enum"] == ["negative", "positive"]


def test_what_a_writer_gave_away_is_not_in_the_prediction_log(bento: Path, tmp_path: Path) -> None:
    """The log is complete once the service has stopped."""
    folder = tmp_path / "log"
    settings = {FOLDER_VARIABLE: str(folder), KEY_VARIABLE: "k" * 32}
    with serve(bento, tmp_path / "home", **settings) as own, own.client() as asked:
        assert asked.post("/predict", json=f"Good, write to {PERSONAL}").status_code == 200
        # Where the disk has no room for feedback it is not said to be kept.
        shutil.rmtree(folder / "feedback", ignore_errors=True)
        (folder / "feedback").write_text("no folder")
        full = asked.post("/feedback", json={"request_id": "r", "label": "positive"})
        assert full.status_code == 503
        own.stop()
    (log,) = folder.glob("*.ndjson")
    written = log.read_text()
    assert "Good, write to" in written
    assert PERSONAL not in written
