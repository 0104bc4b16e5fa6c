"""
The door of the screens: WebSocket, server-sent events, and the snapshot for whoever asks once.

It parses, asks who is there, and hands the connection to the hub; it holds no rule of the board and knows no store.
Who may look is decided by `Door.authorize`, which comes from outside.  The same `stream` serves boards (public form)
and consoles or integrators (staff form); `follow` serves phones, which want one answer again whenever something that
concerns them happens.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import WSMsgType, hdrs, web
from aiohttp.abc import AbstractStreamWriter

from displays import frames, metrics
from displays.frames import MESSAGE_LIMIT_BYTES, BadFrame, Close, Cursor, Hello, Unspoken, Wire, chunk, read_cursor
from displays.hall import PUBLIC, Event, Projection
from displays.hub import Hub
from displays.screen import OUTBOX_BYTES, Identity, Screen
from displays.voice import Voices
from queue_service.clock import Clock, SystemClock
from queue_service.errors import (
    Forbidden,
    ForeignOrigin,
    Later,
    Malformed,
    NotAcceptable,
    NotFound,
    NotSignedIn,
    QueueError,
    TooMany,
)

SUBPROTOCOLS: Final = {"queue.v1.msgpack": Wire.MSGPACK, "queue.v1.json": Wire.JSON}
BEARER_OFFER: Final = "queue.token."
"""A browser cannot set headers on a WebSocket: its token travels as a second subprotocol, which is never chosen."""
HELLO_S: Final = 5.0
HEARTBEAT_S: Final = 10.0
"""A ping this often; without an answer the screen is gone half of it later."""
FAREWELL_S: Final = 1.0
"""How long a connection that we close may take to say goodbye; then it is cut."""
USER_TIMEOUT_MS: Final = 5000
"""The kernel gives a peer that acknowledges nothing this long."""
PER_ADDRESS: Final = 200
_FRESH: Final[dict[str, str]] = {hdrs.CACHE_CONTROL: "no-store"}

log = logging.getLogger(__name__)

Authorize = Callable[[web.Request, str, str], Awaitable[Identity]]
"""Who asks for this board of this centre?  Raises a QueueError (NotSignedIn, Forbidden, UnknownBoard…)."""

OriginAllowed = Callable[[web.Request], bool]


def same_origin(request: web.Request) -> bool:
    """Programs send no Origin; a browser's page must come from the host it talks to (`null` does not)."""
    origin = request.headers.get(hdrs.ORIGIN)
    return origin is None or urlsplit(origin).netloc == request.host != ""


def peer_address(request: web.Request) -> str:
    """The other side of the socket."""
    return request.remote or "local"


def offered_token(request: web.Request) -> str | None:
    """
    The bearer token of a request: from its Authorization header, or from the subprotocols of a browser's WebSocket.
    """
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return next((name.removeprefix(BEARER_OFFER) for name in _offered(request) if name.startswith(BEARER_OFFER)), None)


@dataclass(eq=False, slots=True)
class Door:
    """
    Everything a connection passes.

    Args:
        authorize: who may look at which board.
        origin_allowed: which pages of other hosts may connect; refused ones get 403 before the upgrade.
        address: what counts as one address (behind a proxy: what the proxy says).
        per_address: connections one address may hold, this machine's own included.
        voices: who speaks the calls of the centres whose boards are here; None: nobody.
    """

    hub: Hub
    authorize: Authorize
    clock: Clock = field(default_factory=SystemClock)
    origin_allowed: OriginAllowed = same_origin
    address: Callable[[web.Request], str] = peer_address
    per_address: int = PER_ADDRESS
    voices: Voices | None = None
    _held: Counter[str] = field(default_factory=Counter)

    async def board(self, request: web.Request) -> web.StreamResponse:
        """GET …/boards/{board}: the snapshot, for whoever asks once."""
        centre, board = request.match_info["centre"], request.match_info["board"]
        try:
            identity = await self.authorize(request, centre, board)
            hall = await self.hub.hall(centre)
        except QueueError as error:
            return refusal(error)
        body = {
            "board": identity.board,
            "epoch": hall.epoch,
            "seq": hall.seq,
            "day": hall.view["day"],
            "view": hall.view,
        }
        if request.headers.get(hdrs.ACCEPT, "").startswith("application/vnd.msgpack"):
            return web.Response(
                body=msgspec.msgpack.encode(body), content_type="application/vnd.msgpack", headers=_FRESH
            )
        return web.Response(body=msgspec.json.encode(body), content_type="application/json", headers=_FRESH)

    async def board_stream(self, request: web.Request) -> web.StreamResponse:
        """GET …/boards/{board}/stream: the public events, as WebSocket or server-sent events."""
        centre, board = request.match_info["centre"], request.match_info["board"]

        async def authorize() -> Identity:
            identity = await self.authorize(request, centre, board)
            if self.voices is not None:
                self.voices.follow(centre)
            return identity

        return await self.stream(request, PUBLIC, centre, board, authorize)

    async def board_sound(self, request: web.Request) -> web.StreamResponse:
        """GET …/boards/{board}/sounds/{sound}: the words of one turn of the voice; a name is one sound for ever."""
        centre, board = request.match_info["centre"], request.match_info["board"]
        try:
            await self.authorize(request, centre, board)
            if self.voices is None:
                raise NotFound("nothing is spoken here")
            path = await self.voices.sound(centre, request.match_info["sound"])
        except QueueError as error:
            return refusal(error)
        headers = {hdrs.CACHE_CONTROL: "private, max-age=86400, immutable", hdrs.CONTENT_TYPE: "audio/wav"}
        return web.FileResponse(path, headers=headers)

    async def stream(
        self,
        request: web.Request,
        projection: Projection,
        centre: str,
        board: str,
        authorize: Callable[[], Awaitable[Identity]],
    ) -> web.StreamResponse:
        """
        The numbered events of *centre* as *projection* shows them, from the reader's cursor on or after a snapshot.

        Args:
            board: a bounded word for the metrics: the board's id, or the kind of reader.
        """
        try:
            if not self.origin_allowed(request):
                raise ForeignOrigin("this page is not served from here")
            if not _wants_websocket(request):
                async with self._place(request):
                    return await self._events(request, projection, centre, board, await authorize())
            wire, chosen = _choose(request)
        except QueueError as error:
            return refusal(error)
        websocket = web.WebSocketResponse(
            protocols=(chosen,) if chosen else (),
            heartbeat=HEARTBEAT_S,
            timeout=FAREWELL_S,
            compress=False,  # frames are written by us, and shared
            max_msg_size=MESSAGE_LIMIT_BYTES,
        )
        if not websocket.can_prepare(request):
            return refusal(Malformed("this is no WebSocket handshake"))
        try:
            async with self._place(request):
                identity = await authorize()
                await self._websocket(request, websocket, wire, projection, centre, board, identity)
        except (
            NotSignedIn,
            Forbidden,
        ):  # a browser learns nothing from a refused handshake, but it can read a close code
            await _turn_away(request, websocket, Close.NOT_ALLOWED)
        except TooMany:
            await _turn_away(request, websocket, Close.TOO_MANY)
        except QueueError as error:
            if not websocket.prepared:
                return refusal(error)
            await websocket.close(code=Close.LATER)
        return websocket

    async def follow(
        self,
        request: web.Request,
        centre: str,
        concerns: Callable[[Event], float | None],
        read: Callable[[], Awaitable[Mapping[str, Any]]],
        kind: str,
    ) -> web.StreamResponse:
        """
        Server-sent events for one matter (a ticket): what *read* says now, and again whenever its answer has changed.

        Args:
            concerns: within how many seconds *read* should be asked again because of an event; None: not at all.
            read: raises NotFound when the matter is over: the stream ends.
            kind: the `event:` line.
        """
        try:
            async with self._place(request):
                changes = _Changes(concerns)
                stop = await self.hub.listen(centre, changes)  # before reading: what happens in between is not missed
                try:
                    answer = await read()
                    return await self._follow(request, changes, answer, read, kind)
                finally:
                    stop()
        except QueueError as error:
            return refusal(error)

    @asynccontextmanager
    async def _place(self, request: web.Request) -> AsyncIterator[None]:
        """A place among the connections of this address."""
        address = self.address(request)
        if self._held[address] >= self.per_address:
            raise TooMany("too many screens are connected from this address", retry_after_s=10)
        self._held[address] += 1
        try:
            yield
        finally:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]

    async def _websocket(
        self,
        request: web.Request,
        websocket: web.WebSocketResponse,
        wire: Wire,
        projection: Projection,
        centre: str,
        board: str,
        identity: Identity,
    ) -> None:
        """From the handshake to the end of one WebSocket."""
        hall = await self.hub.hall(centre)
        link = _WebSocketLink(websocket, request)
        screen = Screen(link, hall, projection, wire, identity, board)
        self.hub.enter(screen)
        try:
            writer = await websocket.prepare(request)
            assert writer is not None
            link.writer = writer
            if await self._hello(screen, websocket):
                await self._listen(screen, websocket)
        except ConnectionError:  # gone in the middle of a write that we waited for
            pass
        finally:
            self.hub.leave(screen)
            await link.ended()

    async def _hello(self, screen: Screen, websocket: web.WebSocketResponse) -> bool:
        """Wait for the first message and give the screen its start."""
        try:
            async with asyncio.timeout(HELLO_S):
                message = await websocket.receive()
        except TimeoutError:
            screen.close(Close.NO_HELLO)
            return False
        hello = self._read(screen, message.type, message.data)
        if hello is None:
            return False
        if not isinstance(hello, Hello):
            screen.close(Close.NO_HELLO)
            return False
        if hello.screen:
            screen.name = hello.screen
        screen.speaks = hello.speaks
        screen.build = hello.build
        await self.hub.begin(screen, hello.cursor())
        return True

    async def _listen(self, screen: Screen, websocket: web.WebSocketResponse) -> None:
        """Take confirmations until the connection ends."""
        async for message in websocket:
            said = self._read(screen, message.type, message.data)
            if said is None:
                return
            if isinstance(said, Hello):
                screen.close(Close.BAD_FRAME)
                return
            if isinstance(said, Unspoken):
                self.hub.not_heard(screen, said.reason)
                continue
            self.hub.confirm(screen, said.seq, spoken=isinstance(said, frames.Spoken))

    def _read(self, screen: Screen, kind: WSMsgType, data: Any) -> frames.FromScreen | None:
        """The message, or None when the connection ends or must be closed for it."""
        if kind not in (WSMsgType.TEXT, WSMsgType.BINARY):
            return None
        try:
            return frames.read(screen.wire, data)
        except BadFrame:
            screen.close(Close.BAD_FRAME)
            return None

    async def _events(
        self, request: web.Request, projection: Projection, centre: str, board: str, identity: Identity
    ) -> web.StreamResponse:
        """From the first byte to the end of one stream of server-sent events."""
        hall = await self.hub.hall(centre)
        link = _EventsLink(request)
        screen = Screen(link, hall, projection, Wire.SSE, identity, board)
        self.hub.enter(screen)
        try:
            await link.prepare()
            await self.hub.begin(screen, _cursor(request))
            await link.gone()
        except ConnectionError:  # gone in the middle of a write that we waited for
            pass
        finally:
            self.hub.leave(screen)
        return link.response

    async def _follow(
        self,
        request: web.Request,
        changes: _Changes,
        answer: Mapping[str, Any],
        read: Callable[[], Awaitable[Mapping[str, Any]]],
        kind: str,
    ) -> web.StreamResponse:
        """Tell, wait for a change, read, and tell again if it is another answer."""
        link = _EventsLink(request)
        await link.prepare()
        told: Mapping[str, Any] | None = None
        while not (link.transport.is_closing() or self.hub.is_closing):
            if answer != told:
                link.transport.write(frames.frame(Wire.SSE, {"type": kind, **answer}, None))
                told = answer
            if await changes.wait():
                if self.hub.is_closing:
                    break
                try:
                    answer = await read()
                except Later as error:
                    log.info("a followed matter cannot be read now: %s", error)
                    changes.again(error.retry_after_s)
            else:
                now_ms = self.clock.now_ms()
                link.transport.write(frames.frame(Wire.SSE, {"type": "tick", "now_ms": now_ms}, None))
            if link.transport.get_write_buffer_size() > OUTBOX_BYTES:
                break
        link.end(Close.RESTART)
        return link.response


def setup(app: web.Application, door: Door) -> None:
    """Add the boards' routes to *app*, and close all screens when it shuts down."""
    path = "/api/v1/centres/{centre}/boards/{board}"
    app.router.add_get(path, door.board)
    app.router.add_get(path + "/stream", door.board_stream)
    app.router.add_get(path + "/sounds/{sound}", door.board_sound)

    async def close_all(_: web.Application) -> None:
        await door.hub.close_all()

    app.on_shutdown.append(close_all)


def refusal(error: QueueError) -> web.Response:
    """*error* as a problem document (RFC 9457)."""
    kind = f"urn:queue-service:problem:{error.code.lower().replace('_', '-')}"
    body: dict[str, Any] = {"type": kind, "title": error.title(), "status": error.http_status}
    body |= {"detail": error.detail, "code": error.code}
    headers = dict(_FRESH)
    if isinstance(error, Later):
        headers[hdrs.RETRY_AFTER] = str(max(1, round(error.retry_after_s)))
    return web.Response(
        status=error.http_status,
        body=msgspec.json.encode(body),
        content_type="application/problem+json",
        headers=headers,
    )


class _Changes:
    """A listener that remembers when its matter must be read again."""

    TICK_S: Final = 15.0

    def __init__(self, concerns: Callable[[Event], float | None]) -> None:
        self._concerns = concerns
        self._due_s: float | None = None
        self._signal = asyncio.Event()

    def __call__(self, event: Event | None) -> None:
        within_s = 0.0 if event is None else self._concerns(event)
        if within_s is not None:
            self.again(within_s)

    def again(self, within_s: float) -> None:
        """Read again within *within_s*; many phones spread over that time."""
        due_s = asyncio.get_running_loop().time() + within_s * random.uniform(0.5, 1)
        if self._due_s is None or due_s < self._due_s:
            self._due_s = due_s
            self._signal.set()

    async def wait(self) -> bool:
        """True when the matter must be read again, False when nothing happened for a while."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self.TICK_S
        while True:
            wake_s = end_s if self._due_s is None else min(self._due_s, end_s)
            if loop.time() >= wake_s:
                is_due = self._due_s is not None and loop.time() >= self._due_s
                if is_due:
                    self._due_s = None
                return is_due
            self._signal.clear()
            try:
                async with asyncio.timeout_at(wake_s):
                    await self._signal.wait()
            except TimeoutError:
                pass


class _WebSocketLink:
    """The connection of a screen that came by WebSocket."""

    def __init__(self, websocket: web.WebSocketResponse, request: web.Request) -> None:
        self._websocket = websocket
        self._transport = _tuned(request)
        self._goodbye: asyncio.Task[None] | None = None
        self.writer: AbstractStreamWriter | None = None

    @property
    def transport(self) -> asyncio.WriteTransport:
        return self._transport

    async def drain(self) -> None:
        if self.writer is not None:
            await self.writer.drain()

    def end(self, code: Close) -> None:
        self._goodbye = asyncio.create_task(self._say_goodbye(code), name="displays goodbye")

    def lost(self) -> None:
        """The other side is gone: `receive` has noticed, too."""

    async def ended(self) -> None:
        """Wait until a goodbye that has begun is over."""
        if self._goodbye is not None:
            await self._goodbye

    async def _say_goodbye(self, code: Close) -> None:
        try:
            async with asyncio.timeout(FAREWELL_S):
                if self._websocket.prepared:
                    await self._websocket.close(code=code, message=code.name.lower().encode())
        except TimeoutError:  # it does not read: there is nobody to be polite to
            pass
        finally:
            _cut(self._transport)


class _EventsLink:
    """The connection of a screen that came for server-sent events."""

    def __init__(self, request: web.Request) -> None:
        if request.version < (1, 1):
            raise Malformed("server-sent events need HTTP/1.1")
        self._request = request
        self._transport = _tuned(request)
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer: AbstractStreamWriter | None = None
        self.response = web.StreamResponse(headers=_FRESH | {"X-Accel-Buffering": "no"})
        self.response.content_type = "text/event-stream"
        self.response.force_close()

    @property
    def transport(self) -> asyncio.WriteTransport:
        return self._transport

    async def prepare(self) -> None:
        """Send the head; a browser whose connection ends comes back after a time of its own."""
        self._writer = await self.response.prepare(self._request)
        self._transport.write(chunk(b"retry: %d\n\n" % random.randint(1000, 5000)))

    async def drain(self) -> None:
        if self._writer is not None:
            await self._writer.drain()

    def end(self, code: Close) -> None:
        if not self._transport.is_closing():
            message = {"type": "close", "code": int(code), "reason": code.name.lower()}
            self._transport.write(frames.frame(Wire.SSE, message, None))
            asyncio.get_running_loop().call_later(FAREWELL_S, _cut, self._transport)
        self.lost()

    def lost(self) -> None:
        """The other side is gone."""
        if not self._gone.done():
            self._gone.set_result(None)

    async def gone(self) -> None:
        """Wait for the end of the connection."""
        await self._gone


def _tuned(request: web.Request) -> asyncio.Transport:
    """The transport of *request*, with buffers for a screen: small ones, so that a slow screen is noticed."""
    if request.transport is None:
        raise ConnectionResetError("the screen is gone already")
    transport = request.transport
    transport.set_write_buffer_limits(high=OUTBOX_BYTES // 2)
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, OUTBOX_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    return transport


def _cut(transport: asyncio.Transport) -> None:
    """
    End a connection whose other side does not read.

    With linger 0 the kernel drops what it holds and tells the peer; without it megabytes stay for each stuck screen.
    """
    if not transport.is_closing() or transport.get_write_buffer_size():
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def _turn_away(request: web.Request, websocket: web.WebSocketResponse, code: Close) -> None:
    """Complete the handshake only to say *code*."""
    metrics.CLOSED_BY[code].inc()
    await websocket.prepare(request)
    await websocket.close(code=code, message=code.name.lower().encode())


def _wants_websocket(request: web.Request) -> bool:
    """Is this an upgrade?  If not, it must be somebody who takes server-sent events."""
    if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
        return True
    accepted = request.headers.get(hdrs.ACCEPT, "*/*")
    if not any(kind in accepted for kind in ("text/event-stream", "text/*", "*/*")):
        raise NotAcceptable("this is a stream: ask for a WebSocket or for text/event-stream")
    return False


def _offered(request: web.Request) -> list[str]:
    return [name.strip() for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",") if name.strip()]


def _choose(request: web.Request) -> tuple[Wire, str | None]:
    """The wire format of a WebSocket and the subprotocol to confirm; who offers none at all gets JSON."""
    offered = _offered(request)
    if not offered:
        return Wire.JSON, None
    for name in offered:
        if name in SUBPROTOCOLS:
            return SUBPROTOCOLS[name], name
    raise Malformed(f"offer one of the subprotocols {', '.join(SUBPROTOCOLS)}")


def _cursor(request: web.Request) -> Cursor | None:
    """
    The cursor of a reader of server-sent events: the header browsers send by themselves, or `?cursor=` to begin with.
    """
    return read_cursor(request.headers.get("Last-Event-ID") or request.query.get("cursor", ""))
