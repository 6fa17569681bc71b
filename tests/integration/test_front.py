"""The reverse proxy of local delivery, over real sockets: what goes through it arrives as it was sent."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from bakehouse.errors import DeliveryError
from gitops.front import Front, Upstream
from gitops.observations import Observation, Pinned
from tests.loopback import free_port

MEGABYTE = 1024 * 1024


@dataclass
class House:
    front: Front
    upstream: Upstream
    client: aiohttp.ClientSession


Scenario = Callable[[House], Awaitable[None]]


async def echo(request: web.Request) -> web.Response:
    """Say what came in."""
    body = await request.read()
    headers = [[name, value] for name, value in request.headers.items()]
    seen = {"method": request.method, "path": request.raw_path, "headers": headers, "bytes": len(body)}
    return web.json_response(seen, headers={"X-From-Service": "yes", "Connection": "X-Private", "X-Private": "1"})


async def refuse(request: web.Request) -> web.Response:
    """Refuse a body without reading it, as a service does with one that is too large."""
    return web.json_response({"error": "too large", "bytes": request.content_length}, status=413)


async def stream(request: web.Request) -> web.StreamResponse:
    """An answer of unknown length, the second half only after the first was seen."""
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"first")
    await asyncio.wait_for(request.app[GATE].wait(), 60)
    await response.write(b"x" * MEGABYTE)
    return response


async def open_gate(request: web.Request) -> web.Response:
    request.app[GATE].set()
    return web.Response(status=204)


async def break_off(request: web.Request) -> web.Response:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.close()
    return web.Response()


GATE: web.AppKey[asyncio.Event] = web.AppKey("gate", asyncio.Event)


@asynccontextmanager
async def house(seen: list[Observation]) -> AsyncIterator[House]:
    application = web.Application(client_max_size=100 * MEGABYTE)
    application[GATE] = asyncio.Event()
    application.router.add_post("/refuse", refuse)
    application.router.add_get("/stream", stream)
    application.router.add_get("/open", open_gate)
    application.router.add_get("/break", break_off)
    application.router.add_route("*", "/{rest:.*}", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    service = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, service).start()
    front = Front("staging", "127.0.0.1", free_port(), lambda: seen)
    await front.open()
    upstream = Upstream(service.getsockname()[1])
    front.switch("orders", upstream)
    try:
        async with aiohttp.ClientSession(front.url) as client:
            yield House(front, upstream, client)
    finally:
        await front.close()
        await upstream.close()
        await runner.cleanup()


def run(scenario: Scenario, seen: list[Observation] | None = None) -> None:
    async def play() -> None:
        async with house(seen or []) as playing:
            await scenario(playing)

    asyncio.run(play())


def test_method_path_query_headers_and_body_arrive_as_sent_without_the_model_in_front() -> None:
    async def scenario(house: House) -> None:
        url = URL(f"{house.front.url}/orders/a%2Fb/c?x=1&y=%C3%A9", encoded=True)
        headers = {"X-Mine": "1", "Content-Type": "application/json", "User-Agent": "me", "X-Forwarded-For": "10.0.0.9"}
        async with house.client.put(url, data=b"{}", headers=headers) as response:
            seen = await response.json()
            assert response.headers["X-From-Service"] == "yes"
        arrived = dict(seen["headers"])
        assert (seen["method"], seen["path"], seen["bytes"]) == ("PUT", "/a%2Fb/c?x=1&y=%C3%A9", 2)
        assert (arrived["X-Mine"], arrived["Content-Type"], arrived["User-Agent"]) == ("1", "application/json", "me")
        assert arrived["X-Forwarded-For"] == "10.0.0.9, 127.0.0.1"
        assert arrived["X-Forwarded-Prefix"] == "/orders"

    run(scenario)


@pytest.mark.parametrize(
    "sent", ["//{other}/x", "//me@{other}/x?y=1", "///{other}/x", "/\\{other}/x", "/http://{other}/x"]
)
def test_no_path_leads_to_another_host_than_the_models_own(sent: str) -> None:
    async def scenario(house: House) -> None:
        reached = asyncio.Event()

        async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reached.set()
            writer.close()

        server = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
        async with server:
            other = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            path = sent.format(other=other)
            answer = await raw(house.front.port, f"/orders{path}")
            assert answer.startswith("HTTP/1.1 200")
            assert json.loads(answer.partition("\r\n\r\n")[2])["path"] == path
            assert not reached.is_set()

    run(scenario)


def test_a_model_whose_name_comes_in_escapes_is_taken_off_the_path_too() -> None:
    async def scenario(house: House) -> None:
        answer = await raw(house.front.port, "/%6Frders/x?y=1")
        assert json.loads(answer.partition("\r\n\r\n")[2])["path"] == "/x?y=1"

    run(scenario)


async def raw(port: int, path: str) -> str:
    """The answer to a path that no client would leave as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: front\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return answer.decode()


def test_headers_of_one_connection_are_not_passed_on_in_either_direction() -> None:
    async def scenario(house: House) -> None:
        headers = {"Connection": "keep-alive, X-Hop", "X-Hop": "1", "TE": "trailers", "Keep-Alive": "timeout=9"}
        async with house.client.get("/orders/", headers=headers) as response:
            arrived = {name.lower() for name, _ in (await response.json())["headers"]}
            assert not arrived & {"x-hop", "te", "keep-alive"}
            assert "X-Private" not in response.headers

    run(scenario)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 20 * MEGABYTE])
def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    async def scenario(house: House) -> None:
        async with house.client.post("/orders/", data=b"x" * size) as response:
            assert (await response.json())["bytes"] == size

    run(scenario)


def test_a_body_of_unknown_length_arrives_whole() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield b"x" * 10_000

    async def scenario(house: House) -> None:
        async with house.client.post("/orders/", data=chunks()) as response:
            assert (await response.json())["bytes"] == 500_000

    run(scenario)


@pytest.mark.parametrize("size", [1000, 5 * MEGABYTE, 50 * MEGABYTE])
def test_the_service_itself_refuses_a_body_that_is_too_large_and_the_client_gets_to_read_it(size: int) -> None:
    async def scenario(house: House) -> None:
        for _ in range(3):
            async with house.client.post("/orders/refuse", data=b"x" * size) as response:
                assert response.status == 413
                assert await response.json() == {"error": "too large", "bytes": size}

    run(scenario)


def test_a_client_that_waits_to_be_told_to_go_on_is_told() -> None:
    async def scenario(house: House) -> None:
        async with house.client.post("/orders/", data=b"x" * 2000, expect100=True) as response:
            assert (await response.json())["bytes"] == 2000

    run(scenario)


def test_an_answer_is_passed_on_while_it_comes() -> None:
    async def scenario(house: House) -> None:
        async with house.client.get("/orders/stream") as response:
            assert await response.content.readexactly(5) == b"first"
            async with house.client.get("/orders/open") as opened:
                assert opened.status == 204
            assert len(await response.read()) == MEGABYTE

    run(scenario)


def test_a_head_request_gets_the_headers_and_no_body() -> None:
    async def scenario(house: House) -> None:
        async with house.client.head("/orders/") as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""

    run(scenario)


def test_a_service_that_breaks_off_or_is_gone_is_a_502_that_says_so() -> None:
    async def scenario(house: House) -> None:
        async with house.client.get("/orders/break") as response:
            assert response.status == 502
            assert "orders broke off" in (await response.json())["error"]
        gone = Upstream(free_port())
        house.front.switch("orders", gone)
        async with house.client.get("/orders/") as response:
            assert response.status == 502
            assert str(gone.port) not in await response.text(), "where the service listens is nobody's business"
        await gone.close()

    run(scenario)


def test_a_model_that_does_not_answer_yet_is_a_503_with_the_reason_and_an_unknown_one_a_404() -> None:
    failed = Observation(environment="staging", model="cakes", status="failed", message="it stopped: no memory")

    async def scenario(house: House) -> None:
        async with house.client.post("/cakes/predict", data=b"{}") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
            assert (await response.json())["detail"] == "it stopped: no memory"
        async with house.client.get("/bread/") as response:
            assert response.status == 404
            assert "cakes" in (await response.json())["detail"]
        house.front.switch("orders", None)
        async with house.client.get("/orders/") as response:
            assert response.status == 404

    run(scenario, [failed])


def test_the_front_page_says_what_runs_as_json_or_as_a_page_without_trusting_what_it_shows() -> None:
    pinned = Pinned(commit="c" * 40, model_version=3, image_digest="sha256:1", release_digest="sha256:2")
    seen = Observation(
        environment="staging", model="orders", status="starting", wanted=pinned, running=None, message="<script>"
    )

    async def scenario(house: House) -> None:
        async with house.client.get("/") as response:
            told = json.loads(await response.text())
        assert told["environment"] == "staging"
        assert told["models"]["orders"]["wanted"]["model_version"] == 3
        assert told["models"]["orders"]["healthy"] is False
        async with house.client.get("/", headers={"Accept": "text/html"}) as response:
            page = await response.text()
        assert "orders" in page
        assert "<script>" not in page

    run(scenario, [seen])


def test_switching_sends_new_requests_to_the_new_service_and_drains_the_old_one() -> None:
    async def scenario(house: House) -> None:
        async with house.client.get("/orders/stream") as response:
            assert await response.content.readexactly(5) == b"first"
            house.front.switch("orders", None)
            assert not await house.upstream.drained(0.1)
            house.front.switch("orders", house.upstream)
            async with house.client.get("/orders/open"):
                pass
            await response.read()
            assert await house.upstream.drained(1)

    run(scenario)


def test_a_taken_port_is_named() -> None:
    async def scenario(house: House) -> None:
        second = Front("production", "127.0.0.1", house.front.port, list)
        with pytest.raises(DeliveryError, match=f"Port {house.front.port}, where production should answer"):
            await second.open()

    run(scenario)
