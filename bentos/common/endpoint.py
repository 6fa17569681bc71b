"""The HTTP side of a service: `POST /predict`, `POST /feedback` and `GET /release` as a raw ASGI application before
BentoML's own routes.

A prediction takes microseconds, and BentoML's stack for one request (Starlette's routing, tracing, a timer, a context)
some hundreds; so these paths and the page are answered here, and every other one by BentoML. Knows no model.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import signal
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Set
from time import perf_counter
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.routing import Match, Mount
from starlette.staticfiles import StaticFiles

from bentos.common.feedback import Feedback
from bentos.common.identity import Identity
from bentos.common.metrics import ServiceMetrics
from bentos.common.prediction_log import PredictionLog
from bentos.common.predictor import Pipeline, Prediction, RefusedError, refused

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

INDEX = "/"
READY = "/readyz"
PREDICT = "/predict"
FEEDBACK = "/feedback"
RELEASE = "/release"
MOST_BYTES = 2 * 1024 * 1024
BODY_SECONDS = 10.0
DRAIN_SECONDS = 1.0
"""How long it goes on answering after SIGTERM, telling each client to come back on another connection: closing at once,
as uvicorn would, cuts off the request that a client is just sending on a connection that looks idle."""
LARGE_BYTES = 64 * 1024
"""From here on a body is answered in a thread, so that the next small request and the probes need not wait for it."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_JSON = (b"content-type", b"application/json")
_HTML = (b"content-type", b"text/html; charset=utf-8")

_logger = logging.getLogger("bentoml.bakehouse")


class Application(Protocol):
    """Any ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


class Disconnected(Exception):  # noqa: N818  # an event, not an error: the client went away
    """The client closed the connection before its request was complete."""


class Endpoint:
    """The ASGI application of a service, in front of `bentoml_app`, which keeps health, metrics and docs."""

    def __init__(
        self,
        bentoml_app: Starlette,
        pipeline: Pipeline[Any, Any],
        identity: Identity,
        metrics: ServiceMetrics,
        log: PredictionLog | None,
        page: bytes,
        feedback: Feedback | None = None,
    ) -> None:
        self._bentoml_app = bentoml_app
        self._pipeline = pipeline
        self._metrics = metrics
        self._log = log
        self._feedback = feedback
        self._draining = False
        self._version = (b"x-model-version", str(identity.model_version).encode())
        self._paths = {PREDICT, RELEASE} if feedback is None else {PREDICT, RELEASE, FEEDBACK}
        self._documents = {RELEASE: (_JSON, identity.model_dump_json().encode()), INDEX: (_HTML, page)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if path == PREDICT:
                await self._predict(scope, receive, send)
                return
            if path == FEEDBACK and self._feedback is not None:
                await self._take(self._feedback, scope, receive, send)
                return
            if path in self._documents:
                await self._show(scope, send)
                return
            if path == READY and self._draining:
                await _refuse(send, refused(503, "service", "It is shutting down"), scope)
                return
            problem = _unroutable(self._bentoml_app, scope, self._paths)
            if problem is not None:
                await _refuse(send, problem, scope)
                return
        elif scope["type"] == "lifespan":
            send = self._following_lifespan(send)
        await self._bentoml_app(scope, receive, send)

    async def _predict(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        request_id, content_type, length = _headers(scope["headers"])
        status = 200
        prediction: Prediction[Any, Any] | None = None
        headers: Headers = [_JSON, (b"x-request-id", request_id), self._version]
        try:
            _require_json(scope, content_type, length)
            body = await _body(receive)
            prediction = await self._predicted(body)
            answer = prediction.body
        except RefusedError as error:
            status, answer = error.status, _problems(error, request_id)
            if status == 405:
                headers.append((b"allow", b"POST"))
        except Disconnected:
            return
        except Exception as error:
            status, answer = 500, _failed(error, request_id)
        if self._draining:
            headers.append((b"connection", b"close"))
        await _send(send, status, answer, headers)
        self._metrics.answered(status, perf_counter() - started)
        if prediction is not None:
            self._metrics.predicted(prediction.outcomes)
            if self._log is not None:
                self._log.record(request_id.decode(), prediction.requests, prediction.responses)

    async def _predicted(self, body: bytes) -> Prediction[Any, Any]:
        """On the event loop where that is quick: a thread of its own costs more than a small answer."""
        if len(body) >= LARGE_BYTES:
            return await asyncio.to_thread(self._pipeline.predict, body)
        asked = self._pipeline.read(body)
        if self._pipeline.waits(asked):
            return await asyncio.to_thread(self._pipeline.answer, asked)
        return self._pipeline.answer(asked)

    async def _take(self, feedback: Feedback, scope: Scope, receive: Receive, send: Send) -> None:
        request_id, content_type, length = _headers(scope["headers"])
        status = 200
        headers: Headers = [_JSON, (b"x-request-id", request_id), self._version]
        try:
            _require_json(scope, content_type, length)
            if not feedback.is_kept:
                raise refused(503, "(service)", "This service keeps no log, and so no feedback")
            given = feedback.read(await _body(receive))
            await asyncio.to_thread(feedback.keep, given)
            self._metrics.told(feedback.counted(given))
            answer = json.dumps({"recorded": len(given)}).encode()
        except RefusedError as error:
            status, answer = error.status, _problems(error, request_id)
            if status == 405:
                headers.append((b"allow", b"POST"))
        except Disconnected:
            return
        except OSError as error:
            _logger.warning("Feedback can't be written: %s.", error.strerror or error)
            status = 503
            answer = _problems(refused(503, "(service)", "It can't be written now; send it again later"), request_id)
        except Exception as error:
            status, answer = 500, _failed(error, request_id)
        await _send(send, status, answer, headers)

    async def _show(self, scope: Scope, send: Send) -> None:
        kind, document = self._documents[scope["path"]]
        if scope["method"] in {"GET", "HEAD"}:
            await _send(send, 200, document, [kind, self._version], only_head=scope["method"] == "HEAD")
            return
        await _refuse(send, refused(405, "method", "This path is read only", "GET"), scope)

    def _following_lifespan(self, send: Send) -> Send:
        async def following(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self._drain_before_stopping()
            # uvicorn shuts the application down after its last answer, so nothing can be recorded any more.
            elif message["type"].startswith("lifespan.shutdown") and self._log is not None:
                self._log.close()
            await send(message)

        return following

    def _drain_before_stopping(self) -> None:
        stop = signal.getsignal(signal.SIGTERM)
        if not callable(stop):
            return
        loop = asyncio.get_running_loop()

        def drain() -> None:
            self._draining = True
            loop.call_later(DRAIN_SECONDS, stop, signal.SIGTERM, None)

        loop.add_signal_handler(signal.SIGTERM, drain)


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bytes]:
    """The request's id (its own where it is a sensible one, else a new one), its content type and its length.

    A body under a content encoding is not JSON, so the encoding takes the type's place.
    """
    request_id = content_type = length = encoding = b""
    for name, value in headers:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            length = value
        elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value
        elif name == b"content-encoding" and value != b"identity":
            encoding = value
    return request_id or os.urandom(16).hex().encode(), encoding or content_type, length


def _require_json(scope: Scope, content_type: bytes, length: bytes) -> None:
    if scope["method"] != "POST":
        raise refused(405, "method", "This path takes POST", "POST")
    if content_type != b"application/json":
        media, _, parameters = content_type.lower().partition(b";")
        charset = parameters.replace(b" ", b"").replace(b'"', b"")
        if media.strip() != b"application/json" or charset not in {b"", b"charset=utf-8"}:
            raise refused(415, "content-type", "The body must be plain JSON", "application/json in UTF-8")
    # uvicorn reads and drops the rest of a body whose answer is already sent, so the client sees the answer.
    if length.isdigit() and int(length) > MOST_BYTES:
        raise _too_large()


async def _body(receive: Receive) -> bytes:
    parts = bytearray()
    more = True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Disconnected
                parts += message["body"]
                more = message.get("more_body", False)
                if len(parts) > MOST_BYTES:
                    raise _too_large()
    except TimeoutError:
        raise refused(408, "body", f"It was not complete after {BODY_SECONDS:g} seconds") from None
    return bytes(parts)


def _too_large() -> RefusedError:
    return refused(413, "body", "The body is too large", f"at most {MOST_BYTES} bytes")


def _unroutable(app: Starlette, scope: Scope, own: Set[str]) -> RefusedError | None:
    """Why BentoML has no answer on this path; `own` are those that are answered before it. Unknown paths stop here:
    BentoML's own metrics would keep a label for every path that was ever asked for, without end."""
    matches = [(route.matches(scope)[0], route) for route in app.routes]
    for match, route in matches:
        if match is Match.FULL:
            if isinstance(route, Mount) and isinstance(route.app, StaticFiles):
                _, found = route.app.lookup_path(scope["path"].removeprefix(route.path).lstrip("/"))
                return None if found else _unknown(app, own)
            return None
    if any(match is Match.PARTIAL for match, _ in matches):
        return refused(405, "method", "This path is read only", "GET")
    return _unknown(app, own)


def _unknown(app: Starlette, own: Set[str]) -> RefusedError:
    paths = sorted({*own, *(route.path for route in app.routes if hasattr(route, "path"))})
    return refused(404, "path", "There is no such path", ", ".join(paths))


def _problems(error: RefusedError, request_id: bytes) -> bytes:
    document: dict[str, Any] = {"request_id": request_id.decode(), "problems": error.problems}
    if error.more:
        document["more_problems"] = error.more
    return json.dumps(document).encode()


def _failed(error: Exception, request_id: bytes) -> bytes:
    """Log a defect of ours, and what is answered. Its message could hold a value of the request: the log has its type
    and place alone."""
    _logger.error("Request %s failed with %s at %s.", request_id.decode(), type(error).__name__, _place(error))
    return _problems(refused(500, "(service)", "The service failed; its log has this request's id"), request_id)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "an unknown place"


async def _refuse(send: Send, error: RefusedError, scope: Scope) -> None:
    request_id, _, _ = _headers(scope["headers"])
    headers: Headers = [_JSON, (b"x-request-id", request_id)]
    if error.status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await _send(send, error.status, _problems(error, request_id), headers)


async def _send(send: Send, status: int, body: bytes, headers: Headers, *, only_head: bool = False) -> None:
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if only_head else body})
