"""Endpoint where no client of a real service can bring it at will: a defect of ours, clients that stop halfway."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from bentos.common import endpoint
from bentos.common.endpoint import Endpoint, Message
from bentos.common.identity import Identity

IDENTITY = Identity.model_validate(
    {
        "model": "sums",
        "model_version": 3,
        "model_digest": "sha256:" + "0" * 64,
        "data_version": "1",
        "code_commit": "2",
        "built_at": "2026-01-01T00:00:00Z",
    }
)
CANARY = "ada@canary.example"


class Metrics:
    def __init__(self) -> None:
        self.statuses: list[int] = []

    def answered(self, status: int, seconds: float) -> None:
        self.statuses.append(status)

    def predicted(self, outcomes: list[str]) -> None:
        assert outcomes == ["any"]


def answering(body: bytes) -> Any:
    return SimpleNamespace(requests=[body], responses=[body], outcomes=["any"], body=b'{"length": %d}' % len(body))


def failing(body: bytes) -> Any:
    raise KeyError(CANARY)


def ask(
    predict: Callable[[bytes], Any], messages: list[Message], *, then_silent: bool = False, waits: bool = False
) -> tuple[list[Message], Metrics]:
    """What the endpoint sends to a client that sends `messages`, and then nothing more."""
    sent: list[Message] = []
    metrics = Metrics()
    waiting = iter(messages)

    async def receive() -> Message:
        message = next(waiting, None)
        if message is None:
            assert then_silent
            await asyncio.sleep(60)
        return cast("Message", message)

    async def send(message: Message) -> None:
        sent.append(message)

    # What is read is the body itself, so that the answer of a body is the answer of what was read.
    pipeline = SimpleNamespace(predict=predict, read=bytes, waits=lambda _: waits, answer=predict)
    app = Endpoint(cast("Any", None), cast("Any", pipeline), IDENTITY, cast("Any", metrics), None, b"")
    scope = {"type": "http", "path": "/predict", "method": "POST", "headers": [(b"content-type", b"application/json")]}
    asyncio.run(app(scope, receive, send))
    return sent, metrics


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_in_parts_is_one_body() -> None:
    sent, metrics = ask(answering, [part(b"12", more=True), part(b"345", more=True), part(b"")])
    assert (sent[0]["status"], sent[1]["body"]) == (200, b'{"length": 5}')
    assert metrics.statuses == [200]


def test_a_large_body_is_answered_alike() -> None:
    sent, _ = ask(answering, [part(b" " * endpoint.LARGE_BYTES)])
    assert sent[1]["body"] == b'{"length": %d}' % endpoint.LARGE_BYTES


@pytest.mark.parametrize("waits", [False, True])
def test_what_waits_for_another_machine_never_does_so_on_the_event_loop_and_nothing_else_leaves_it(waits: bool) -> None:
    threads: list[int] = []

    def noting(body: bytes) -> Any:
        threads.append(threading.get_ident())
        return answering(body)

    ask(noting, [part(b"{}")], waits=waits)
    assert (threads[0] != threading.get_ident()) == waits


def test_a_defect_of_ours_is_500_and_neither_answer_nor_log_repeats_what_was_asked(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("bentoml"), "propagate", True)
    sent, metrics = ask(failing, [part(b"{}")])
    document = json.loads(sent[1]["body"])
    assert sent[0]["status"] == 500
    assert metrics.statuses == [500]
    assert CANARY not in sent[1]["body"].decode() + caplog.text
    (record,) = caplog.records
    assert document["request_id"] in record.getMessage()
    assert "KeyError at " in record.getMessage()
    assert record.exc_info is None


@pytest.mark.parametrize("before", [[], [part(b"{", more=True)]], ids=["before its body", "halfway"])
def test_a_client_that_stalls_is_told_so(before: list[Message], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "BODY_SECONDS", 0.05)
    sent, metrics = ask(answering, before, then_silent=True)
    assert sent[0]["status"] == 408
    assert metrics.statuses == [408]


@pytest.mark.parametrize("before", [[], [part(b"{", more=True)]], ids=["at once", "halfway"])
def test_a_client_that_goes_away_gets_no_answer_and_counts_for_nothing(before: list[Message]) -> None:
    sent, metrics = ask(answering, [*before, {"type": "http.disconnect"}])
    assert sent == []
    assert metrics.statuses == []


@pytest.mark.parametrize("feedback", [None, object()], ids=["without feedback", "with feedback"])
def test_an_unknown_path_is_told_every_path_that_there_is(feedback: Any) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    bentoml = Starlette(routes=[Route("/livez", cast("Any", None))])
    app = Endpoint(bentoml, cast("Any", None), IDENTITY, cast("Any", Metrics()), None, b"", feedback)
    asyncio.run(app({"type": "http", "path": "/nowhere", "method": "GET", "headers": []}, cast("Any", None), send))
    named = json.loads(sent[1]["body"])["problems"][0]["allowed"].split(", ")
    assert (sent[0]["status"], "/feedback" in named) == (404, feedback is not None)
    assert {"/livez", "/predict", "/release"} <= set(named)
