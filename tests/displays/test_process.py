"""The displays as a process of their own, beside a service that knows the screens."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientConnectorError, ClientSession, ClientWebSocketResponse, web
from aiohttp.test_utils import TestServer

from displays import app as displays_app
from displays.app import Options
from displays_world import Screen, Writer, until


class Service:
    """As much of the service as the displays ask: whose token is it?"""

    def __init__(self) -> None:
        self.good = {"token-1"}
        self.is_away = False

    async def board(self, request: web.Request) -> web.Response:
        if self.is_away:
            return web.json_response({"code": "STORE_AWAY", "detail": "away"}, status=503)
        if request.headers["Authorization"].removeprefix("Bearer ") not in self.good:
            return web.json_response({"code": "SIGN_IN_REQUIRED", "detail": "no valid token"}, status=401)
        return web.json_response({"board": {"id": request.match_info["board"], "zones": ["a"]}, "view": {}})


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    service, app = Service(), web.Application()
    app.router.add_get("/api/v1/centres/{centre}/boards/{board}", service.board)
    async with TestServer(app) as server:
        yield service, str(server.make_url("")).rstrip("/")


async def test_a_screen_is_known_by_the_service_and_loses_its_place_with_its_token(
    redis_url: str, centre: Writer, service: tuple[Service, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token is asked about at the door and again later; a service that is away turns nobody out."""
    monkeypatch.setattr(displays_app, "ASK_AGAIN_S", 0.05)
    known, url = service
    options = Options(redis_url=redis_url, service_url=url, port=0)
    async with displays_app.running(options) as (address, hub), ClientSession() as client:
        path = f"{address}/api/v1/centres/{centre.id}/boards/hall-a"
        async with client.get(path, headers={"Authorization": "Bearer token-1"}) as answer:
            assert {"id": "hall-a", "zones": ["a"]} == (await answer.json())["board"]
        async with client.get(path, headers={"Authorization": "Bearer token-9"}) as answer:
            assert (401, "SIGN_IN_REQUIRED") == (answer.status, (await answer.json())["code"])

        protocols = ("queue.v1.json", "queue.token.token-1")
        screen = Screen(await client.ws_connect(path + "/stream", protocols=protocols), binary=False)
        await screen.say(type="hello")
        await centre.issue("A001")
        await screen.reaches(1)
        for part, status in (("live", 200), ("ready", 200)):
            async with client.get(f"{address}/health/{part}") as answer:
                assert status == answer.status
        async with client.get(f"{address}/metrics") as answer:
            assert 'displays_screens{board="hall-a",wire="json"}' in await answer.text()

        known.is_away = True
        await until(lambda: not screen.closed and hub.screens(), "still there")
        known.is_away = False
        known.good.clear()
        assert 4401 == await screen.is_closed()
        await screen.leave()


async def _connect(client: ClientSession, url: str) -> ClientWebSocketResponse:
    """Connect as soon as the process listens."""
    end = time.monotonic() + 15
    while True:
        try:
            return await client.ws_connect(url, protocols=("queue.v1.json", "queue.token.token-1"))
        except ClientConnectorError:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def test_the_process_stops_when_asked(redis_url: str, centre: Writer, service: tuple[Service, str]) -> None:
    """`python -m displays` serves, and exits within five seconds of SIGTERM with its screens told 1012."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "displays", "--redis-url", redis_url, "--service-url", service[1], "--port", str(port)]
    process = await asyncio.create_subprocess_exec(sys.executable, *words, stderr=asyncio.subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/api/v1/centres/{centre.id}/boards/hall-a/stream"
    async with ClientSession() as client:
        screen = Screen(await _connect(client, url), binary=False)
        await screen.say(type="hello")
        await until(lambda: screen.starts, "the start")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)

        assert 0 == await process.wait()
        assert time.monotonic() - began < 5
        assert 1012 == await screen.is_closed()
        await screen.leave()
