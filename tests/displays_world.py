"""The displays' tests: a centre that writes as the core does, the running door, and screens with a memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgpack
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType, web
from redis.asyncio import Redis

from displays import screen_door
from displays.feed import Feed, open_client
from displays.hall import STAFF
from displays.hub import Hub
from displays.screen import Identity
from displays.voice import Voices
from queue_service.clock import Clock, SystemClock
from queue_service.codec import pack
from queue_service.errors import NotAllowed, SignInRequired, UnknownBoard
from queue_service.keys import centre_keys

DEADLINE_S = 10.0


async def until(true: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Await a state, with a deadline."""
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, f"not reached in {deadline_s} s: {what}"
        await asyncio.sleep(0.002)


class Writer:
    """A centre in the store, changed by MULTI as the Functions change it in one step."""

    def __init__(self, redis: Redis, centre: str) -> None:
        self.redis, self.id, self.keys = redis, centre, centre_keys(centre)
        self.epoch, self.seq = "e1", 0
        self.counters: dict[str, dict[str, Any]] = {}

    async def set_up(self, epoch: str = "e1", seq: int = 0) -> None:
        """An empty day."""
        self.epoch, self.seq, self.counters = epoch, seq, {}
        await self.redis.delete(self.keys.day, self.keys.counters, self.keys.events)
        day = {"epoch": epoch, "seq": seq, "clock": 0, "day": "2026-11-22", "version": "v1", "issuing": "open"}
        await self.redis.hset(self.keys.day, mapping={**day, "issuing_text": ""})

    async def record(
        self, kind: str, *, ring: bool = True, waiting: dict[str, int] | None = None, **fields: Any
    ) -> int:
        """One event; *ring* False is a bell that nobody heard."""
        pipe = self.redis.pipeline(transaction=True)
        for service, people in (waiting or {}).items():
            pipe.hincrby(self.keys.day, f"waiting:{service}", people)
        for counter, record in self.counters.items():
            pipe.hset(self.keys.counters, counter, pack(record))
        self._queue(pipe, kind, fields, ring=ring)
        await pipe.execute()
        return self.seq

    async def record_many(self, kind: str, count: int, **fields: Any) -> int:
        """*count* events in one step, as when a counter closes and all its slips choose again."""
        pipe = self.redis.pipeline(transaction=True)
        for _ in range(count):
            self._queue(pipe, kind, fields, ring=True)
        await pipe.execute()
        return self.seq

    def _queue(self, pipe: Any, kind: str, fields: dict[str, Any], *, ring: bool) -> None:
        self.seq += 1
        event = {
            "epoch": self.epoch,
            "seq": self.seq,
            "at_ms": SystemClock().now_ms(),
            "type": kind,
            "actor": "officer-1",
        }
        raw = pack({**event, **fields})
        pipe.hset(self.keys.day, mapping={"seq": self.seq, "epoch": self.epoch})
        pipe.xadd(self.keys.events, {"e": raw}, id=f"{self.seq}-0")
        if ring:
            pipe.execute_command("SPUBLISH", self.keys.bell, raw)

    async def issue(self, number: str, **how: Any) -> int:
        """A visitor takes a number for land matters."""
        ticket = {"ticket": f"secret-{number}", "number": number, "department": "land", "service": "land"}
        return await self.record("TicketIssued", waiting={"land": 1}, counters=["q01"], **ticket, **how)

    async def call(self, number: str, counter: str = "q01", **how: Any) -> int:
        """*counter* calls *number*."""
        seq = self.seq + 1
        call = {"number": number, "department": "land", "at_ms": 0, "seq": seq, "rings": 1, "ticket_state": "called"}
        self.counters[counter] = {
            "id": counter,
            "state": "open",
            "officer": "officer-1",
            "call": {**call, "language": "vi"},
        }
        ticket = {"ticket": f"secret-{number}", "number": number, "department": "land", "service": "land"}
        fields = {**ticket, "counter": counter, "call": seq, "language": "vi", "was": "waiting"}
        return await self.record("TicketCalled", waiting={"land": -1}, **fields, **how)


class Gone(Exception):
    """The connection was closed; carries the code."""


class Screen:
    """A screen at the other end of a WebSocket, as the page behaves: it keeps a cursor and every event it was given."""

    def __init__(self, websocket: ClientWebSocketResponse, *, binary: bool) -> None:
        self.websocket, self.binary = websocket, binary
        self.epoch: str | None = None
        self.seq = 0
        self.view: dict[str, Any] | None = None
        self.events: list[dict[str, Any]] = []
        self.ticks: list[dict[str, Any]] = []
        self.starts: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        self.closed: int | None = None
        self._reader = asyncio.create_task(self._read())

    async def say(self, **message: Any) -> None:
        if self.binary:
            await self.websocket.send_bytes(msgpack.packb(message))
        else:
            await self.websocket.send_str(json.dumps(message))

    async def _read(self) -> None:
        while True:
            message = await self.websocket.receive()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                break
            assert self.binary == (message.type is WSMsgType.BINARY)
            self._take(msgpack.unpackb(message.data) if self.binary else json.loads(message.data))
        self.closed = self.websocket.close_code or 1006

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind in ("snapshot", "resumed"):
            self.starts.append(message)
            self.epoch, self.seq, self.view = message["epoch"], message["seq"], message.get("view")
        elif kind == "event":
            assert message["seq"] == self.seq + 1 == message["event"]["seq"], "each event once and in order"
            self.seq = message["seq"]
            self.events.append(message["event"])
        elif kind == "tick":
            self.ticks.append(message)
        else:
            self.told.append(message)

    async def reaches(self, seq: int, deadline_s: float = DEADLINE_S) -> None:
        await until(lambda: self.seq >= seq, f"event {seq}, at {self.seq}, closed {self.closed}", deadline_s)

    async def is_closed(self, deadline_s: float = DEADLINE_S) -> int:
        await until(lambda: self.closed is not None, "the connection is closed", deadline_s)
        assert self.closed is not None
        return self.closed

    async def leave(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.websocket.close()


class Hall:
    """The running door with a client beside it."""

    def __init__(
        self, hub: Hub, door: screen_door.Door, runner: web.AppRunner, client: ClientSession, centre: str
    ) -> None:
        self.hub, self.door, self.runner, self.client, self.centre = hub, door, runner, client, centre
        self.host, self.port = runner.addresses[0][:2]
        self.screens: list[Screen] = []

    def url(self, board: str = "hall-a", rest: str = "/stream") -> str:
        return f"http://{self.host}:{self.port}/api/v1/centres/{self.centre}/boards/{board}{rest}"

    async def connect(self, *protocols: str, board: str = "hall-a", url: str | None = None, **options: Any) -> Screen:
        offered = protocols or ("queue.v1.json", "queue.token.good")
        websocket = await self.client.ws_connect(url or self.url(board), protocols=offered, **options)
        screen = Screen(websocket, binary=websocket.protocol == "queue.v1.msgpack")
        self.screens.append(screen)
        return screen

    async def screen(
        self,
        *protocols: str,
        epoch: str | None = None,
        seq: int | None = None,
        name: str = "",
        speaks: bool = False,
        **options: Any,
    ) -> Screen:
        """A screen that has said hello and been given its start."""
        screen = await self.connect(*protocols, **options)
        await screen.say(type="hello", epoch=epoch, seq=seq, screen=name, speaks=speaks)
        await until(lambda: screen.starts or screen.closed, "the screen has its start")
        return screen


async def authorize(request: web.Request, centre: str, board: str) -> Identity:
    """`good…` may look, `other` may not, nobody else is known; there is one board."""
    token = screen_door.offered_token(request)
    if token is None or not token.startswith(("good", "other")):
        raise SignInRequired("no valid token")
    if token == "other":
        raise NotAllowed("another hall's token")
    if board not in ("hall-a", "hall-b"):
        raise UnknownBoard(f"there is no board {board}")
    return Identity(token, f"screen of {token}", {"id": board, "zones": ["a"], "layout": "calls"})


@asynccontextmanager
async def running(
    redis_url: str,
    centre: str,
    allow: Callable[[web.Request, str, str], Awaitable[Identity]] = authorize,
    voices_of: Callable[[Hub, Clock], Voices] | None = None,
    **options: Any,
) -> AsyncIterator[Hall]:
    """The displays' program; *options* go to the Door."""
    clock = SystemClock()
    hub = Hub(Feed(open_client(redis_url), clock), clock)
    await hub.start()
    voices = None if voices_of is None else voices_of(hub, clock)
    door = screen_door.Door(hub, allow, clock, voices=voices, **options)
    app = web.Application()
    screen_door.setup(app, door)

    async def staff(request: web.Request) -> web.StreamResponse:
        return await door.stream(request, STAFF, centre, "console", lambda: allow(request, centre, "hall-a"))

    app.router.add_get("/staff", staff)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession(connector=TCPConnector(limit=0)) as client:
        hall = Hall(hub, door, runner, client, centre)
        try:
            yield hall
        finally:
            await asyncio.gather(*(screen.leave() for screen in hall.screens))
            await runner.cleanup()
            if voices is not None:
                await voices.stop()
            await hub.stop()
