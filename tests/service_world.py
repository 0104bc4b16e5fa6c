"""
The world of the service's tests: the whole service in this process, on the session's server, and people who ask it.

``house`` (tests/service/conftest.py) is a service with a small centre; ``house.kiosk``, ``house.lan`` … are callers, so
that a test reads like a transcript: ``await house.kiosk.press("tickets", {"service": "a"})``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import hiredis
import msgpack
import msgspec
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, WSMsgType
from redis.asyncio import Redis
from sqlalchemy import create_engine

from builders import a_centre
from queue_service.app import Service
from queue_service.archive.archive import upgrade
from queue_service.authority import EVERYWHERE, By, Identity
from queue_service.centre import Board, Centre, Ground, Kiosk, to_json
from queue_service.clock import Clock
from queue_service.errors import CODES, ArchiveAway
from queue_service.identity import Identities
from queue_service.settings import Settings
from queue_service.store import CENTRES_KEY

DEADLINE_S = 10.0
JSON = "application/json"
MSGPACK = "application/vnd.msgpack"
HOME = str(Path(__file__).parents[1]).encode()
LEAKS = (b"Traceback", b'File "', b".py", b"redis", b"aiohttp", b"msgspec", b"asyncio", b"Exception", b"0x7f", HOME)
"""What no refusal may show of the inside."""

_presses = itertools.count(1)


def a_key() -> str:
    """A press id that nobody used."""
    return f"press-{next(_presses):05}-{secrets.token_hex(4)}"


def filled(path: str, **segments: str) -> str:
    """*path* of the document with its segments; one that is not given is ``nothing``."""
    return re.sub(r"\{(\w+)\}", lambda found: segments.get(found[1], "nothing"), path)


async def until(true: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Await a state, with a deadline."""
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, f"not reached in {deadline_s} s: {what}"
        await asyncio.sleep(0.005)


class Answer(NamedTuple):
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def value(self) -> Any:
        """The decoded body."""
        kind = self.headers.get("Content-Type", "")
        return msgpack.unpackb(self.raw) if kind.startswith(MSGPACK) else json.loads(self.raw)

    @property
    def ticket(self) -> dict[str, Any]:
        """The ticket of a press that was done."""
        assert self.status in (200, 201), (self.status, self.raw)
        return self.value["ticket"]

    @property
    def code(self) -> str:
        """The code of a refusal: a proper problem document that says what is wrong and shows nothing of the inside."""
        assert self.status >= 400, (self.status, self.raw)
        assert self.headers["Content-Type"].startswith("application/problem+json"), (
            self.status,
            self.headers,
            self.raw,
        )
        document = self.value
        assert {"type", "title", "status", "detail", "code"} <= set(document)
        assert self.status == document["status"]
        assert document["code"] in CODES
        assert len(document["detail"]) > 5
        assert not [leak for leak in LEAKS if leak in self.raw]
        if self.status in (429, 503):
            assert int(self.headers["Retry-After"]) >= 1
        return document["code"]


class Caller:
    """Somebody who speaks to the service about one centre."""

    def __init__(
        self, session: ClientSession, base: str, centre: str, token: str | None = None, name: str = ""
    ) -> None:
        self.session, self.base, self.centre, self.token, self.name = session, base, centre, token, name

    def url(self, path: str) -> str:
        """*path* of the own centre; from the root if it begins with a slash."""
        return self.base + (path if path.startswith("/") else f"/api/v1/centres/{self.centre}/{path}".rstrip("/"))

    def headers(self, **more: str) -> dict[str, str]:
        return ({"Authorization": f"Bearer {self.token}"} if self.token else {}) | more

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Answer:
        """Any request."""
        async with self.session.request(
            method, self.url(path), headers=self.headers(**(headers or {})), **options
        ) as it:
            return Answer(it.status, it.headers, await it.read())

    async def get(self, path: str = "", **options: Any) -> Answer:
        return await self.ask("GET", path, **options)

    async def press(self, path: str, body: Any = None, key: str | None = None, **options: Any) -> Answer:
        """A change, with a key of its own unless told."""
        headers = {"Idempotency-Key": key or a_key(), "Content-Type": JSON} | options.pop("headers", {})
        return await self.ask("POST", path, headers, data=json.dumps(body or {}), **options)

    async def at(self, counter: str, press: str, **body: Any) -> Answer:
        """A press at a counter."""
        return await self.press(f"counters/{counter}/{press}", body)

    async def issue(self, service: str = "a", **body: Any) -> dict[str, Any]:
        """Take a number."""
        return (await self.press("tickets", {"service": service, **body})).ticket

    async def look(self, ticket: str) -> dict[str, Any]:
        return (await self.get(f"tickets/{ticket}")).ticket

    async def socket(self, path: str, *protocols: str, **hello: Any) -> Watcher:
        """A WebSocket that has said hello."""
        offered = protocols or ("queue.v1.json",)
        if self.token:
            offered += (f"queue.token.{self.token}",)
        websocket = await self.session.ws_connect(self.url(path), protocols=offered)
        watcher = Watcher(websocket)
        await watcher.say(type="hello", **{"epoch": None, "seq": None, "screen": "test", **hello})
        return watcher


class Watcher:
    """The other end of a stream: it keeps every frame and notes how it ended."""

    def __init__(self, websocket: ClientWebSocketResponse) -> None:
        self.websocket = websocket
        self.binary = websocket.protocol == "queue.v1.msgpack"
        self.frames: list[dict[str, Any]] = []
        self.closed: int | None = None
        self._reader = asyncio.create_task(self._read())

    async def say(self, **message: Any) -> None:
        if self.binary:
            await self.websocket.send_bytes(msgpack.packb(message))
        else:
            await self.websocket.send_str(json.dumps(message))

    async def _read(self) -> None:
        while (message := await self.websocket.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self.frames.append(msgpack.unpackb(message.data) if self.binary else json.loads(message.data))
        self.closed = self.websocket.close_code or 1006

    @property
    def start(self) -> dict[str, Any] | None:
        """The snapshot, or the frame that says from where it goes on."""
        return next((frame for frame in self.frames if frame["type"] in ("snapshot", "resumed")), None)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [frame["event"] for frame in self.frames if frame["type"] == "event"]

    async def sees(self, kind: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The first event of *kind*."""
        await until(
            lambda: any(event["type"] == kind for event in self.events), f"{kind}; closed {self.closed}", deadline_s
        )
        return next(event for event in self.events if event["type"] == kind)

    async def begins(self) -> dict[str, Any]:
        await until(lambda: self.start or self.closed, "the stream begins")
        assert self.start is not None, self.closed
        return self.start

    async def ends(self, deadline_s: float = DEADLINE_S) -> int:
        await until(lambda: self.closed is not None, "the stream is closed", deadline_s)
        assert self.closed is not None
        return self.closed

    async def leave(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self.websocket.close()


class House:
    """A service in this process, its centre and its people."""

    def __init__(
        self, service: Service, session: ClientSession, identities: Identities, redis: Redis, centre: Centre
    ) -> None:
        self.service, self.session, self.identities, self.redis, self.centre = (
            service,
            session,
            identities,
            redis,
            centre,
        )
        self.nobody = self.caller()
        self.identity_of: dict[str, Identity] = {}

    def caller(self, token: str | None = None, name: str = "", centre: str | None = None) -> Caller:
        return Caller(self.session, self.service.base, centre or self.centre.id, token, name)

    async def device(self, role: str, device: str | None = None, *, of: str | None = None) -> Caller:
        """A kiosk, board or integrator; *of* another centre."""
        home = of or self.centre.id
        made, token = await self.identities.devices.create(role=role, centre=home, now_ms=0, device=device)
        return self.caller(token, made.id)

    async def staff(self, name: str, *roles: str, of: str | None = None) -> Caller:
        """Somebody who is signed in."""
        home = of or self.centre.id
        full_name = f"{home}.{name}"
        with suppress(ArchiveAway):  # then it is somebody who has signed in before
            await self.service._staff.create(
                full_name, password="right password", roles=roles, centres=(home,), by=self.operator
            )
        self.identity_of[full_name] = Identity(
            name=full_name,
            roles=frozenset(roles),
            centres=frozenset({home}),
            kind="staff",
            display_name=full_name,
        )
        return await self.signed_in(full_name)

    async def signed_in(self, full_name: str) -> Caller:
        """A new session of somebody whom `staff` has made."""
        sessions = self.identities.sessions
        generation = await sessions.generation(full_name)
        now_ms = self.service.clock.now_ms()
        return self.caller(await sessions.create(self.identity_of[full_name], generation, now_ms), full_name)

    @property
    def operator(self) -> By:
        """Whoever sits at the machine."""
        operator = Identity(name="cli", roles=frozenset({"admin"}), centres=frozenset({EVERYWHERE}), kind="staff")
        return By(operator, self.service.clock.now_ms())

    async def meet(self) -> None:
        """The people that most tests need."""
        self.kiosk = await self.device("kiosk", "k1")
        self.board = await self.device("board", "hall")
        self.integrator = await self.device("integrator")
        self.lan = await self.staff("lan", "officer")
        self.binh = await self.staff("binh", "officer")
        self.desk = await self.staff("desk", "desk")
        self.chief = await self.staff("chief", "supervisor")
        self.admin = await self.staff("admin", "admin")

    async def state(self) -> dict[str, Any]:
        """The whole truth, without what time changes."""
        state = (await self.chief.get("state")).value
        del state["now_ms"]
        return state


def a_hall(**policy: Any) -> Centre:
    """Three counters, two services, a board and a kiosk."""
    centre = a_centre({"q01": "a b:2", "q02": "a", "q03": "b"}, **policy)
    return msgspec.structs.replace(
        centre,
        boards=(Board(id="hall", name="Bảng", zones=("z",)),),
        kiosks=(Kiosk(id="k1", name="Kiosk", zone="z"),),
        grounds=(Ground(id="elderly", name="Người cao tuổi", name_en="Elderly"),),
    )


@cache
def _empty_archive() -> bytes:
    """An archive's file with all its tables and nothing in them."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "archive.db"
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            upgrade(connection)
        engine.dispose()
        return file.read_bytes()


@asynccontextmanager
async def a_service(
    redis_url: str,
    folder: Path,
    *centres: Centre,
    clock: Clock | None = None,
    port: int = 0,
    database_url: str | None = None,
) -> AsyncIterator[Service]:
    """The service as one worker, with *centres* in force."""
    files = tuple(folder / f"{centre.id}.json" for centre in centres)
    for file, centre in zip(files, centres, strict=True):
        file.write_bytes(to_json(centre))
    settings = Settings(port=port, redis_url=redis_url, data_dir=folder, centres=files, database_url=database_url)
    if not (archive := folder / "archive.db").exists():
        archive.write_bytes(_empty_archive())
    async with Service(settings, clock=clock).running() as service:
        yield service


@asynccontextmanager
async def a_house(
    redis_url: str,
    folder: Path,
    centre: Centre,
    clock: Clock | None = None,
    *,
    through: str | None = None,
    database_url: str | None = None,
) -> AsyncIterator[House]:
    """
    A service with its people, its store reached *through* a proxy, its archive at *database_url* or in *folder*; its
    centre is taken out of the store again.
    """
    async with (
        Redis.from_url(redis_url) as redis,
        a_service(through or redis_url, folder, centre, clock=clock, database_url=database_url) as service,
        ClientSession(connector=TCPConnector(limit=0)) as session,
    ):
        identities = Identities(redis)
        try:
            house = House(service, session, identities, redis, centre)
            await house.meet()
            yield house
        finally:
            await redis.srem(CENTRES_KEY, centre.id)


class Proxy:
    """What stands between a service and its store, and does what networks do."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.removeprefix("unix://")
        self.connections = 0
        """How many were ever opened."""
        self.asked = 0
        """Pieces of requests that were passed on."""
        self.is_open = asyncio.Event()
        """Cleared: replies are held back."""
        self.is_open.set()
        self.drops = 0
        """So many of the coming replies are lost, each with its connection."""
        self.dropped = 0
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen; the address for the service."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        self._server.close()
        self.is_open.set()
        while self._tasks:
            self.cut()
            await asyncio.wait(self._tasks, timeout=0.1)

    def cut(self) -> None:
        """End every connection, with whatever is under way."""
        for writer in list(self._links):
            writer.transport.abort()
        self._links.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there, upstream = await asyncio.open_unix_connection(self.upstream)
        self._links |= {writer, upstream}
        replies = asyncio.create_task(self._answer(there, writer, upstream))
        try:
            while data := await reader.read(1 << 16):
                self.asked += 1
                upstream.write(data)
        except ConnectionError:
            pass
        finally:
            replies.cancel()
            await asyncio.gather(replies, return_exceptions=True)
            for end in (writer, upstream):
                self._links.discard(end)
                end.transport.abort()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Any) -> None:
        while data := await there.read(1 << 16):
            await self.is_open.wait()
            if self.drops and b"+OK" not in data[:3]:  # not the words of a connection that introduces itself
                self.drops -= 1
                self.dropped += 1
                break
            writer.write(data)
        writer.transport.abort()
        upstream.transport.abort()


@asynccontextmanager
async def a_proxy(upstream: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before *upstream*, and its address."""
    proxy = Proxy(upstream)
    address = await proxy.start()
    try:
        yield proxy, address
    finally:
        await proxy.stop()


@asynccontextmanager
async def a_script(answer: Callable[[int, list[bytes]], bytes | None]) -> AsyncIterator[str]:
    """A server that answers each command by *answer*(number of the connection, command); None ends the connection."""
    connections = 0
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        number = connections
        writers.append(writer)
        parser = hiredis.Reader()
        with suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                parser.feed(data)
                while (command := parser.gets()) is not False:
                    said = answer(number, command)
                    if said is None:
                        writer.close()
                        return
                    writer.write(said)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def is_greeting(command: list[bytes]) -> bool:
    """What the library says when it connects."""
    return command[0] in (b"CLIENT", b"HELLO", b"SELECT")
