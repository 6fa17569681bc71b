"""The one address of an environment on a laptop: `http://HOST:PORT/MODEL/...` goes to the process that answers for it.

Holds the reverse proxy. It knows where each model's requests go now, and nothing of releases, git or processes.
"""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from bakehouse.errors import DeliveryError
from gitops.observations import Observation

# RFC 9110, 7.6.1: these speak of one connection, and are not passed on.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "expect",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_WHOLE = 64 * 1024
_CHUNK = 64 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60)
# Less than the 5 s after which uvicorn closes an idle connection, so that no request meets a closing one.
_KEEP_ALIVE_SECONDS = 2
# How long a body that the service refused is still taken in, so that its client gets to read the refusal.
_LINGERING_SECONDS = 2
_CLOSING_SECONDS = 10
# What went wrong is in the log: it names addresses that are nobody's business outside.
_ASK_STATUS = "`bakehouse status` says how it is."

logger = logging.getLogger("bakehouse.delivery")


class Upstream:
    """Where requests of one model go: a local port, its pool of connections, and how many requests are in flight."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.session = aiohttp.ClientSession(
            base_url=URL.build(scheme="http", host="127.0.0.1", port=port),
            connector=aiohttp.TCPConnector(limit=256, keepalive_timeout=_KEEP_ALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __enter__(self) -> Upstream:
        self._in_flight += 1
        self._idle.clear()
        return self

    def __exit__(self, *_: object) -> None:
        self._in_flight -= 1
        if self._in_flight == 0:
            self._idle.set()

    async def drained(self, seconds: float) -> bool:
        """Wait for the requests in flight, but not longer than that. False if some were left."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Close the pooled connections."""
        await self.session.close()


class Front:
    """The reverse proxy of one environment. `seen` gives what is known of its models, for its page and for a 503."""

    def __init__(self, environment: str, host: str, port: int, seen: Callable[[], list[Observation]]) -> None:
        self.environment = environment
        self.host = host
        self.port = port
        self._seen = seen
        self._live: dict[str, Upstream] = {}
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.host}:{self.port}"

    async def open(self) -> None:
        """Listen. Raises `DeliveryError` when the port is taken."""
        application = web.Application()
        application.router.add_get("/", self._page)
        application.router.add_route("*", "/{model}", self._forward)
        application.router.add_route("*", "/{model}/{rest:.*}", self._forward)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=_CLOSING_SECONDS, lingering_time=_LINGERING_SECONDS
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise DeliveryError(
                f"Port {self.port}, where {self.environment} should answer, is already in use.",
                f"See who has it with `lsof -i :{self.port}`, or set another in environments/local/delivery.yaml.",
            ) from error

    async def close(self) -> None:
        """Stop listening, after the requests in flight."""
        if self._runner is not None:
            await self._runner.cleanup()

    def switch(self, model: str, upstream: Upstream | None) -> None:
        """Send the model's next requests there; those in flight stay where they are. None: answer 503."""
        if upstream is None:
            self._live.pop(model, None)
        else:
            self._live[model] = upstream

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        model = request.match_info["model"]
        upstream = self._live.get(model)
        if upstream is None:
            return self._unavailable(model)
        with upstream:
            response: web.StreamResponse | None = None
            try:
                async with upstream.session.request(
                    request.method,
                    _address(request, upstream.port),
                    headers=self._request_headers(request, model),
                    data=await _body(request),
                    allow_redirects=False,
                ) as answer:
                    headers = _response_headers(answer)
                    if answer.content_length is not None and answer.content_length <= _WHOLE:
                        return web.Response(status=answer.status, headers=headers, body=await answer.read())
                    response = web.StreamResponse(status=answer.status, headers=headers)
                    await response.prepare(request)
                    async for chunk in answer.content.iter_chunked(_CHUNK):
                        await response.write(chunk)
                    await response.write_eof()
                    return response
            except TimeoutError as error:
                if response is not None:  # half an answer is out: all that is left is to break it off
                    raise
                logger.warning("%s/%s: a request was not answered in time: %s", self.environment, model, error)
                return _problem(504, f"{model} did not answer in time.", _ASK_STATUS)
            except (aiohttp.ClientError, ConnectionError) as error:
                if response is not None:
                    raise
                logger.warning("%s/%s: a request was broken off: %s", self.environment, model, error)
                return _problem(502, f"{model} broke off before it answered.", _ASK_STATUS)

    def _request_headers(self, request: web.Request, model: str) -> CIMultiDict[str]:
        headers = _end_to_end(request.headers)
        headers["X-Forwarded-For"] = ", ".join(
            part for part in (request.headers.get("X-Forwarded-For"), request.remote) if part
        )
        headers.setdefault("X-Forwarded-Proto", request.scheme)
        headers.setdefault("X-Forwarded-Host", request.host)
        headers["X-Forwarded-Prefix"] = f"/{model}"
        return headers

    def _unavailable(self, model: str) -> web.Response:
        for seen in self._seen():
            if seen.model == model:
                detail = seen.message or "it is being started"
                return _problem(503, f"{model} does not answer in {self.environment} yet.", detail, retry=True)
        known = ", ".join(seen.model for seen in self._seen()) or "none so far"
        return _problem(
            404, f"{self.environment} has no model {model}.", f"Models with a release in {self.environment}: {known}."
        )

    async def _page(self, request: web.Request) -> web.Response:
        seen = self._seen()
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(text=_html(self.environment, seen), content_type="text/html")
        models = {each.model: each.model_dump(mode="json", exclude={"environment", "model"}) for each in seen}
        return web.json_response({"environment": self.environment, "models": models})


def _address(request: web.Request, port: int) -> URL:
    # The path as it was sent, escapes and all, without the model in front. The host is named here and joined to
    # nothing: what is left of `/orders//elsewhere/x` would name another one.
    _, _, rest = request.rel_url.raw_path.removeprefix("/").partition("/")
    query = request.rel_url.raw_query_string
    return URL(f"http://127.0.0.1:{port}/{rest}{'?' if query else ''}{query}", encoded=True)


async def _body(request: web.Request) -> bytes | AsyncIterable[bytes] | None:
    if not request.body_exists:
        return None
    if request.content_length is not None and request.content_length <= _WHOLE:
        return await request.read()
    return request.content.iter_chunked(_CHUNK)


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    named = {name.strip().lower() for name in headers.get("Connection", "").split(",")}
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _response_headers(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    headers = _end_to_end(answer.headers)
    headers.pop("Date", None)
    headers.pop("Server", None)
    return headers


def _problem(status: int, error: str, detail: str, *, retry: bool = False) -> web.Response:
    body: dict[str, Any] = {"error": error, "detail": detail}
    return web.json_response(body, status=status, headers={"Retry-After": "1"} if retry else None)


def _html(environment: str, seen: list[Observation]) -> str:
    rows = "".join(
        "<tr>"
        f'<td><a href="/{html.escape(each.model)}/">{html.escape(each.model)}</a></td>'
        f"<td>{each.wanted.model_version if each.wanted else ''}</td>"
        f"<td>{each.running.model_version if each.running else ''}</td>"
        f"<td>{'healthy' if each.healthy else html.escape(each.status)}</td>"
        f"<td>{html.escape(each.message)}</td>"
        "</tr>"
        for each in seen
    )
    title = f"Bakehouse: {html.escape(environment)}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        "<style>body{font-family:sans-serif;margin:2rem}td,th{padding:.3rem 1rem;text-align:left}</style>"
        f"<h1>{title}</h1><table><tr><th>model<th>wanted<th>running<th>health<th>message</tr>{rows}</table></html>"
    )
