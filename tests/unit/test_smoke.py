"""What the smoke check takes for an answer of the released version, and what it says otherwise, over real HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bakehouse.errors import DeliveryError, ReleaseError
from bentos.common import smoke as module
from bentos.common.smoke import smoke
from bentos.orders.contract import EXAMPLE
from tests.gitops_world import release
from tests.loopback import free_port


@dataclass(frozen=True)
class Answer:
    """What a service says to `/predict`; `version` None leaves the header out."""

    status: int = 200
    version: int | None = 2
    body: Any = field(default_factory=lambda: {"order_id": "1", "model_version": 2})


@contextmanager
def answering(*answers: Answer) -> Iterator[tuple[str, list[Any]]]:
    """A service that gives these answers in turn, the last one for ever. Its address, and what it was asked."""
    waiting, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
            body = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            if answer.version is not None:
                self.send_header("X-Model-Version", str(answer.version))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the name it is called by
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Version 2 of orders is released."""
    path = tmp_path / "release.json"
    path.write_text(release(2).to_json())
    monkeypatch.setenv("BAKEHOUSE_RELEASE", str(path))
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    return path


def test_the_released_version_is_asked_the_contracts_example() -> None:
    with answering(Answer()) as (address, asked):
        assert smoke(address, 10) == f"{address}/predict: version 2 answers the contract's example"
    assert asked == [("/predict", EXAMPLE)]


@pytest.mark.parametrize(
    "before",
    [Answer(version=1), Answer(version=None), Answer(status=503), Answer(status=404, version=None)],
    ids=["the version before", "something else", "it is shutting down", "no service yet"],
)
def test_what_is_still_in_the_way_is_waited_for(before: Answer) -> None:
    with answering(before, before, Answer()) as (address, asked):
        smoke(address, 10)
    assert len(asked) == 3


def test_a_version_that_never_comes_is_said_with_what_answers_instead() -> None:
    with (
        answering(Answer(version=1)) as (address, _),
        pytest.raises(DeliveryError, match=r"orders 2 did not answer within 0.05 seconds.*version 1 answers"),
    ):
        smoke(address, 0.05)


def test_a_service_that_cannot_be_reached_is_said_at_the_end() -> None:
    with pytest.raises(DeliveryError, match="no answer .*refused"):
        smoke(f"http://127.0.0.1:{free_port()}", 0.05)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(status=422, body={"problems": ["lines: too few"]}), "refuses the contract's example with status 422"),
        (Answer(body={"order_id": "1", "model_version": 1}), "says model version 1, its header 2"),
        (Answer(body=[]), "no JSON object"),
    ],
)
def test_a_wrong_answer_of_the_released_version_fails_at_once(answer: Answer, said: str) -> None:
    with answering(answer) as (address, asked), pytest.raises(DeliveryError, match=said):
        smoke(address, 60)
    assert len(asked) == 1


def test_an_answer_that_names_no_version_is_taken_by_its_header() -> None:
    with answering(Answer(body={"order_id": "1"})) as (address, _):
        assert "version 2 answers" in smoke(address, 10)


@pytest.mark.parametrize("text", ["", "[]", "{}", None])
def test_a_release_that_cannot_be_read_is_named(released: Path, text: str | None) -> None:
    if text is None:
        released.unlink()
    else:
        released.write_text(text)
    with pytest.raises(ReleaseError, match=r"BAKEHOUSE_RELEASE is .*release\.json"):
        smoke("http://127.0.0.1:9", 1)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(DeliveryError, match="is no HTTP address"):
        smoke("file:///etc", 1)


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """As the Job runs it."""
    asked: Sequence[str] = [sys.executable, "-m", "bentos.common.smoke", *arguments]
    return subprocess.run(asked, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def test_as_a_command_it_fills_in_the_models_name_and_says_one_line(checkout: Path) -> None:
    with answering(Answer()) as (address, asked):
        done = command(f"{address}/{{model}}", "--seconds=30", cwd=checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{address}/orders/predict: version 2 answers the contract's example\n"
    assert asked[0][0] == "/orders/predict"


def test_as_a_command_it_fails_with_one_line(checkout: Path) -> None:
    with answering(Answer(version=1)) as (address, _):
        done = command(address, "--seconds=0", cwd=checkout)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
