"""
The agent for small panels: follows one board as any screen does, and keeps every panel at its latest face.

One task for each port, so that an unplugged one is nobody else's matter; one outbox of one face for each panel, so that
what was overtaken is never sent.  A call is confirmed to the hub when every panel that should show it has acknowledged.
It knows the feed (`follower`), ports (`device_port`) and adapters (`panels`), and no rule of the hall.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

import aiohttp
import structlog

from displays import metrics
from displays.board import View, apply
from displays.hall import CALLS
from displays.panel_file import PanelEntry, PanelFile
from displays.panels import ADAPTERS, Adapter, Face, Ring, Verdict, brightness, face, idle
from queue_service.clock import Clock
from queue_service.device_file import PortEntry
from queue_service.device_port import ANSWER_S, FIRST_PAUSE_S, Pause, Port, keep_open
from queue_service.errors import CODES, NotAllowed, QueueError, StoreAway
from queue_service.follower import FIRST_RETURN_S, Follower

TRIES: Final = 3
REFRESH_S: Final = 30.0
"""A panel is told again after so long: it may have lost its power in between, and an unplugged port is noticed."""
LOOK_S: Final = 1.0
"""How often the clock is looked at, for brightness and for the idle mark."""
KEPT_CALLS: Final = 256

log = structlog.get_logger(__name__)


@dataclass(eq=False, kw_only=True)
class Panel:
    """One panel: what it should show, what it is known to show, and when it is told again."""

    entry: PanelEntry
    adapter: Adapter
    pause: Pause
    wanted: Face = field(default_factory=Face)
    wanted_level: int = 9
    shown: Face | None = None
    """None: not known."""
    shown_level: int | None = None
    due_s: float = 0.0
    """Of the monotonic clock: told again not before, unless something new is wanted."""
    turn: int = 0
    is_silent: bool = False

    @property
    def is_behind(self) -> bool:
        """Whether it does not show what it should."""
        return self.shown != self.wanted or self.shown_level != self.wanted_level

    def forget(self) -> None:
        """Nobody knows what it shows: its port was lost, or it did not answer."""
        self.shown = self.shown_level = None


class PanelPort:
    """
    One port and its panels.

    Args:
        acknowledged: told of each panel that shows what it was told to.
    """

    def __init__(
        self,
        entry: PortEntry,
        panels: list[Panel],
        *,
        blink_s: int,
        acknowledged: Callable[[Panel], None],
        answer_s: float = ANSWER_S,
        pause: Pause | None = None,
    ) -> None:
        self.panels = panels
        self._entry, self._blink_s, self._acknowledged, self._answer_s = entry, blink_s, acknowledged, answer_s
        self._pause = pause or Pause(FIRST_PAUSE_S)
        self._signal = asyncio.Event()
        self._up = metrics.PANEL_PORT_UP.labels(entry.id)
        self._lost = metrics.PANEL_PORT_LOSSES.labels(entry.id)

    def wake(self) -> None:
        """A panel has something new to show."""
        self._signal.set()

    async def run(self) -> None:
        """Keep the port open, for ever."""
        await keep_open(self._entry.address, self._entry.baud, self, self._pause)

    def opened(self) -> None:
        """As in Owner."""
        self._up.set(1)
        log.info("port open", port=self._entry.id, address=self._entry.address)

    def lost(self, why: str, *, is_news: bool) -> None:
        """As in Owner: counted each time, said once."""
        self._up.set(0)
        self._lost.inc()
        for panel in self.panels:
            panel.forget()
        if is_news:
            log.warning("port lost", port=self._entry.id, address=self._entry.address, why=why)

    async def serve(self, port: Port) -> None:
        """As in Owner: tell whoever is due, one after the other, until the port is lost."""
        while True:
            self._signal.clear()
            now_s = time.monotonic()
            for panel in self.panels:
                if panel.due_s <= now_s or (panel.is_behind and not panel.is_silent):
                    await self._refresh(port, panel)
            if not any(panel.is_behind and not panel.is_silent for panel in self.panels):
                await self._rest(port)

    async def _rest(self, port: Port) -> None:
        """Until something new is wanted, or somebody is due; a port that is unplugged meanwhile is noticed at once."""
        left_s = max(0.0, min(panel.due_s for panel in self.panels) - time.monotonic())
        wanted = asyncio.create_task(self._signal.wait())
        unasked = asyncio.create_task(port.hear(left_s))
        try:
            await asyncio.wait((wanted, unasked), return_when=asyncio.FIRST_COMPLETED)
            if unasked.done():
                await unasked
        finally:
            wanted.cancel()
            unasked.cancel()

    async def _refresh(self, port: Port, panel: Panel) -> None:
        """Bring one panel to its latest face and brightness; a silent one is left in peace for a growing while."""
        if not await self._tell(port, panel):
            panel.forget()
            panel.due_s = time.monotonic() + panel.pause.next_s()
            if not panel.is_silent:
                log.warning("panel silent", panel=panel.entry.id, port=self._entry.id, address=panel.entry.address)
            panel.is_silent = True
            return
        if panel.is_silent:
            log.info("panel back", panel=panel.entry.id)
        panel.is_silent = False
        panel.due_s = time.monotonic() + REFRESH_S
        panel.pause.reset()
        self._pause.reset()
        if panel.adapter.answers:
            self._acknowledged(panel)

    async def _tell(self, port: Port, panel: Panel) -> bool:
        """Show and dim, each repeated while no good answer comes; whether both were done."""
        address = panel.entry.address
        for _ in range(1 if panel.is_silent else TRIES):
            face = panel.wanted  # the latest at every try: what was overtaken is never sent
            is_new = face.ring is not None and (panel.shown is None or face.ring != panel.shown.ring)
            panel.turn = (panel.turn + 1) % 10
            blink_s = self._blink_s if is_new else 0
            if await self._ask(port, panel, panel.adapter.show(address, panel.turn, face, blink_s)):
                panel.shown = face
                break
        else:
            return False
        for _ in range(TRIES):
            level = panel.wanted_level
            panel.turn = (panel.turn + 1) % 10
            line = panel.adapter.dim(address, panel.turn, level)
            if level == panel.shown_level or line is None or await self._ask(port, panel, line):
                panel.shown_level = level
                return True
        return False

    async def _ask(self, port: Port, panel: Panel, line: bytes) -> bool:
        """One question; whether it was done, as far as panels of this make can say."""
        await port.tell(line)
        if not panel.adapter.answers:
            metrics.PANEL_FRAMES.labels(panel.entry.id, "told").inc()
            return True
        verdict = await self._verdict(port, panel)
        outcome = {Verdict.DONE: "acknowledged", Verdict.REFUSED: "refused"}.get(verdict, "silent")
        metrics.PANEL_FRAMES.labels(panel.entry.id, outcome).inc()
        return verdict is Verdict.DONE

    async def _verdict(self, port: Port, panel: Panel) -> Verdict:
        """What the panel says, within the time it may take."""
        end_s = time.monotonic() + self._answer_s
        while (left_s := end_s - time.monotonic()) > 0:
            line = await port.hear(left_s)
            if line is None:
                break
            verdict = panel.adapter.verdict(panel.entry.address, panel.turn, line)
            if verdict is not Verdict.OTHER:
                return verdict
        return Verdict.OTHER


@dataclass(eq=False)
class Confirming:
    """Which announcements still wait for panels: event number -> the ring, and the panels that do not show it yet."""

    _waiting: dict[int, tuple[Ring, set[str]]] = field(default_factory=dict)

    def expect(self, seq: int, ring: Ring, panels: set[str]) -> None:
        """The announcement *seq* should be seen on *panels*; on none of ours: it is not ours to confirm."""
        if panels:
            self._waiting[seq] = ring, panels
        while len(self._waiting) > KEPT_CALLS:
            del self._waiting[next(iter(self._waiting))]

    def acknowledged(self, panel: str, shown: Face) -> list[int]:
        """
        *panel* shows *shown*: the announcements that can now be confirmed.  One that was overtaken by a later one never
        is; what was asked of the panel before it came may be acknowledged after, and says nothing of it.
        """
        done = []
        for seq, (ring, panels) in list(self._waiting.items()):
            if panel not in panels:
                continue
            if shown.ring is None or shown.ring < ring:
                continue
            if shown.ring > ring:
                del self._waiting[seq]
                continue
            panels.discard(panel)
            if not panels:
                del self._waiting[seq]
                done.append(seq)
        return done


class PanelAgent:
    """
    One board's panels.

    Args:
        token: of a board's device.
        clock: for brightness; durations are measured by the monotonic clock.
    """

    def __init__(
        self,
        file: PanelFile,
        token: str,
        session: aiohttp.ClientSession,
        clock: Clock,
        *,
        first_return_s: float = FIRST_RETURN_S,
        answer_s: float = ANSWER_S,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._file, self._token, self._session, self._clock = file, token, session, clock
        self._api = f"{file.service.rstrip('/')}/api/v1/centres/{file.centre}"
        self._follower = Follower(
            session,
            f"{self._api}/boards/{file.board}/stream",
            token=lambda: token,
            screen="panels",
            first_return_s=first_return_s,
        )
        panels = [
            Panel(entry=entry, adapter=ADAPTERS[entry.adapter], pause=Pause(first_pause_s)) for entry in file.panels
        ]
        self.ports = [
            PanelPort(
                entry,
                [panel for panel in panels if panel.entry.port == entry.id],
                blink_s=file.blink_s,
                acknowledged=self._on_acknowledged,
                answer_s=answer_s,
                pause=Pause(first_pause_s),
            )
            for entry in file.ports
        ]
        self.panels = panels
        self._confirming = Confirming()
        self._numbers: dict[str, int] = {}
        self._zone: tzinfo = UTC
        self._view: View | None = None
        self._unknown_since_s: float | None = time.monotonic()
        """Since when nobody knows what is true; None while somebody does."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the board and drive every port, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for port in self.ports:
                if port.panels:
                    group.create_task(port.run())
            group.create_task(self._look())
            group.create_task(self._follow())

    async def read(self) -> None:
        """
        What the panels should show now, read once.

        Raises:
            QueueError: the service refuses the token, the centre or the board.
        """
        await self._read_centre()
        answer = await self._get(f"/boards/{self._file.board}")
        self._view, self._unknown_since_s = answer["view"], None
        self._draw()

    async def _follow(self) -> None:
        """Hear the board; before the first word the counters' numbers are read, and again when the centre changes."""
        async for message in self._follower.messages():
            match message["type"]:
                case "snapshot":
                    await self._read_centre_if_answered()
                    self._view = message["view"]
                    self._known()
                case "resumed":
                    self._known()
                case "event":
                    await self._on_event(message["event"])
                case "tick":
                    self._unknown() if "stale_since_ms" in message else self._known()
                case "lost":
                    log.warning("link lost", refused=message["refused"])
                    self._unknown()

    async def _on_event(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "CentreChanged":
            await self._read_centre_if_answered()
        assert self._view is not None, "a start comes before events"
        apply(self._view, event)
        self._draw()
        if event["type"] in CALLS:
            seat = self._view["counters"].get(event["counter"])
            if seat is not None and seat["number"] == event["number"]:
                ring = Ring(seat["call"], seat["rings"])
                showing = {panel.entry.id for panel in self.panels if panel.wanted.ring == ring}
                self._confirming.expect(event["seq"], ring, showing)

    def _known(self) -> None:
        if self._unknown_since_s is not None:
            log.info("link live")
        self._unknown_since_s = None
        metrics.PANELS_LINK.set(1)
        self._draw()

    def _unknown(self) -> None:
        if self._unknown_since_s is None:
            self._unknown_since_s = time.monotonic()
        metrics.PANELS_LINK.set(0)

    async def _look(self) -> None:
        """Brightness and the idle mark follow the clock."""
        while True:
            self._draw()
            await asyncio.sleep(LOOK_S)

    def _draw(self) -> None:
        """What every panel should show now; ports are woken where that is new."""
        local = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC).astimezone(self._zone)
        level = brightness(self._file.brightness, local.hour * 60 + local.minute)
        since_s = self._unknown_since_s
        is_idle = since_s is not None and time.monotonic() - since_s >= self._file.idle_after_s
        if self._view is None and not is_idle:
            return  # just started: what hangs there may still be true
        for port in self.ports:
            for panel in port.panels:
                wanted = panel.wanted
                if is_idle:
                    wanted = idle(panel.entry)
                elif self._view is not None:
                    wanted = face(panel.entry, self._view, self._numbers)
                if (wanted, level) != (panel.wanted, panel.wanted_level):
                    panel.wanted, panel.wanted_level = wanted, level
                    port.wake()

    def _on_acknowledged(self, panel: Panel) -> None:
        assert panel.shown is not None
        for seq in self._confirming.acknowledged(panel.entry.id, panel.shown):
            task = asyncio.create_task(self._follower.shown(seq))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _read_centre_if_answered(self) -> None:
        try:
            await self._read_centre()
        except QueueError as error:
            log.warning("centre not read", why=str(error))  # the numbers over the counters stay as they were

    async def _read_centre(self) -> None:
        centre = await self._get("")
        self._numbers = {counter["id"]: counter["number"] for counter in centre["counters"]}
        self._zone = ZoneInfo(centre["timezone"])

    async def _get(self, path: str) -> dict[str, Any]:
        try:
            async with self._session.get(
                self._api + path, headers={"Authorization": f"Bearer {self._token}"}, timeout=aiohttp.ClientTimeout(5)
            ) as answer:
                body: dict[str, Any] = await answer.json(content_type=None)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise StoreAway("the service does not answer") from error
        if status == 200:
            return body
        raise CODES.get(str(body.get("code")), NotAllowed)(str(body.get("detail", f"the service answers {status}")))
