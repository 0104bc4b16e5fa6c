"""
Many hall screens: they follow the feed by its cursor protocol, confirm each call, and note when every frame arrived.

A screen keeps ``(epoch, seq)`` over a cut line and asks to be continued; after a reload it has forgotten it.  Frames
are noted as they come and become rows of the record when the run is over, so that noting costs little while the clock
runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import zlib
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec

from loadtest.access import Refused
from loadtest.plan import SECOND, ScreenPlan
from loadtest.record import Frame, Joined, Left

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
CUT_CODE = 1006
"""What a browser reports when a line breaks without a word."""


class _EventType(msgspec.Struct, frozen=True):
    type: str


class _Heard(msgspec.Struct, frozen=True):
    """What a screen needs of a message at once; the rest is read afterwards."""

    type: str
    seq: int = 0
    epoch: str = ""
    recovered: bool = False
    event: _EventType | None = None


_heard = msgspec.msgpack.Decoder(_Heard)


class Hall:
    """
    All screens of one run.

    Args:
        base_url: of the service.
        centre: whose boards they show.
        tokens: board -> its device token.
    """

    def __init__(self, base_url: str, centre: str, tokens: dict[str, str], plans: tuple[ScreenPlan, ...]) -> None:
        self._stream = f"{base_url}/api/v1/centres/{centre}/boards/{{board}}/stream"
        self._screens = [_Screen(plan, tokens[plan.board], self) for plan in plans]
        self._tasks: list[asyncio.Task[None]] = []
        self.is_over = asyncio.Event()
        self.started_ns = 0
        self.events: dict[int, bytes] = {}
        """seq -> the message as the first screen got it."""

    def address(self, board: str) -> str:
        """Where the frames of *board* come from."""
        return self._stream.format(board=board)

    async def start(self, timeout_s: float = 20.0) -> None:
        """
        Connect every screen that is there from the beginning.

        Raises:
            Refused: not all of them were let in.
        """
        self._tasks = [asyncio.create_task(screen.follow()) for screen in self._screens]
        early = [screen for screen in self._screens if screen.plan.joins_ns == 0]
        try:
            await asyncio.wait_for(asyncio.gather(*(screen.is_joined.wait() for screen in early)), timeout_s)
        except TimeoutError:
            late = [screen for screen in early if not screen.is_joined.is_set()]
            raise Refused(
                f"{len(late)} of {len(early)} screens were not let in within {timeout_s:g} s ({late[0].trouble})"
            ) from None

    async def settle(self, seq: int, timeout_s: float = 15.0) -> None:
        """
        Wait until every screen has seen *seq*, or the time is over (`verify` then says who has not), and disconnect
        them.
        """
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(screen.has_seen(seq) for screen in self._screens)), timeout_s)
        self.is_over.set()
        await asyncio.gather(*self._tasks)

    def rows(self) -> Iterator[Joined | Frame | Left]:
        """What they saw, screen by screen, in the order of arrival."""
        told: set[int] = set()
        for screen in self._screens:
            for note in screen.notes:
                if isinstance(note, tuple):
                    link, at_ns, seq, digest = note
                    event = None if seq in told else msgspec.msgpack.decode(self.events[seq])["event"]
                    told.add(seq)
                    yield Frame(screen=screen.plan.name, link=link, at_ns=at_ns, seq=seq, digest=digest, event=event)
                else:
                    yield note


class _Screen:
    def __init__(self, plan: ScreenPlan, token: str, hall: Hall) -> None:
        self.plan = plan
        self.seq = -1
        self.is_joined = asyncio.Event()
        self.trouble = "no answer"
        self._moved = asyncio.Event()
        self.notes: list[tuple[int, int, int, int] | Joined | Left] = []
        self._epoch: str | None = None
        self._hall = hall
        self._token = token
        self._link = 0
        self._cuts = list(plan.cuts)

    async def follow(self) -> None:
        """Stay connected until the run is over, coming back after every cut and every close."""
        if self.plan.joins_ns:
            await self._wait_until(self.plan.joins_ns)
        pause_s = FIRST_PAUSE_S
        while not self._hall.is_over.is_set():
            self._link += 1
            cut = asyncio.create_task(self._wait_for_cut())
            try:
                async with aiohttp.ClientSession() as session:
                    await self._watch(session, cut)
                pause_s = FIRST_PAUSE_S
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.trouble = f"{type(error).__name__}: {error}"
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            finally:
                cut.cancel()
            if not self._hall.is_over.is_set():
                await asyncio.sleep(random.uniform(0, pause_s))

    async def _watch(self, session: aiohttp.ClientSession, cut: asyncio.Task[bool]) -> None:
        """One connection.  Leaving *session* without a closing handshake is what a cut cable looks like."""
        headers = {"Authorization": f"Bearer {self._token}"}
        address = self._hall.address(self.plan.board)
        socket = await session.ws_connect(address, protocols=["queue.v1.msgpack"], headers=headers, max_msg_size=0)
        asked = (self._epoch, self.seq) if self._epoch is not None else (None, None)
        hello = {"type": "hello", "epoch": asked[0], "seq": asked[1], "screen": self.plan.name}
        await socket.send_bytes(msgspec.msgpack.encode(hello))
        over = asyncio.create_task(self._hall.is_over.wait())
        reader = asyncio.create_task(self._read(socket, asked))
        try:
            await asyncio.wait((cut, over, reader), return_when=asyncio.FIRST_COMPLETED)
            is_planned = not reader.done()
            if cut.done() and is_planned and cut.result():
                self._epoch = None
            code = CUT_CODE if is_planned else socket.close_code or CUT_CODE
            self.trouble = f"close code {code}"
            self.notes.append(
                Left(screen=self.plan.name, link=self._link, at_ns=time.monotonic_ns(), code=code, planned=is_planned)
            )
            if reader.done():
                reader.result()
        finally:
            over.cancel()
            reader.cancel()
            await asyncio.gather(over, reader, return_exceptions=True)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, asked: tuple[str | None, int | None]) -> None:
        async for message in socket:
            at_ns = time.monotonic_ns()
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            heard = _heard.decode(message.data)
            if heard.event is not None:
                self.seq = heard.seq
                self._moved.set()
                self._hall.events.setdefault(heard.seq, message.data)
                self.notes.append((self._link, at_ns, heard.seq, zlib.crc32(message.data)))
                if heard.event.type in ("TicketCalled", "TicketRecalled"):
                    await socket.send_bytes(msgspec.msgpack.encode({"type": "shown", "seq": heard.seq}))
            elif heard.type in ("snapshot", "resumed"):
                self._join(heard, msgspec.msgpack.decode(message.data), asked, at_ns)

    def _join(self, heard: _Heard, message: dict[str, Any], asked: tuple[str | None, int | None], at_ns: int) -> None:
        self._epoch, self.seq = heard.epoch, heard.seq
        self.notes.append(
            Joined(
                screen=self.plan.name,
                board=self.plan.board,
                link=self._link,
                at_ns=at_ns,
                asked_epoch=asked[0],
                asked_seq=asked[1],
                epoch=heard.epoch,
                seq=heard.seq,
                recovered=heard.recovered,
                view=message.get("view"),
            )
        )
        self.is_joined.set()
        self._moved.set()

    async def has_seen(self, seq: int) -> None:
        """Wait until this screen is at *seq*."""
        while self.seq < seq:
            self._moved.clear()
            await self._moved.wait()

    async def _wait_for_cut(self) -> bool:
        """Until the next planned cut; whether the screen has forgotten its place then."""
        if not self._cuts:
            await self._hall.is_over.wait()
            return False
        at_ns, forgets = self._cuts[0]
        await self._wait_until(at_ns)
        self._cuts.pop(0)
        return forgets

    async def _wait_until(self, at_ns: int) -> None:
        """Until *at_ns* of the plan, or the end of the run; the plan's time begins when the first press is due."""
        while not self._hall.is_over.is_set():
            left_s = (self._hall.started_ns + at_ns - time.monotonic_ns()) / SECOND if self._hall.started_ns else 0.2
            if left_s <= 0:
                return
            await asyncio.sleep(min(left_s, 0.2))
