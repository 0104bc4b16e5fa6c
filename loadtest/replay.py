"""
Replay: a recorded or generated day, in virtual time, through the real core.

The visitors and officers of a trace are played here; numbers, lines and calls come from the Function library in a real
store, with the trace's clock in every envelope.  A day of two thousand visits takes seconds.  Feeds ``score.py`` and
``whatif.py``; the trace format and the rules of the hall are in ``loadtest/README.md``.
"""

from __future__ import annotations

import gzip
import hashlib
import heapq
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Protocol

import msgspec

from queue_service.app import connect
from queue_service.centre import (
    Centre,
    ClassPolicy,
    Counter,
    Day,
    Department,
    Hours,
    Mode,
    Policy,
    Serves,
    Service,
    Span,
    Zone,
)
from queue_service.channel import Channel
from queue_service.clock import ManualClock
from queue_service.codec import Reply
from queue_service.commands import (
    CallNext,
    Close,
    Command,
    Complete,
    IssueTicket,
    MarkNoShow,
    Open,
    Park,
    Pause,
    Revive,
    Transfer,
)
from queue_service.dispatch import Dispatch
from queue_service.embedded import EmbeddedServer
from queue_service.mirror import Mirror
from queue_service.store import TicketStore

MIDNIGHT_MS: Final = 1_795_280_400_000
"""The midnight from which a trace counts its seconds: 22 November 2026 in Hà Nội."""

CLASSES: Final = {"std": "standard", "pri": "priority", "apt": "appointment"}
LETTERS: Final = "ABCDEFGHKLMNPRSTUVXYZIJOQW"
ORDER: Final = {"end": 0, "back": 1, "open": 2, "resume": 2, "skills": 2, "arrive": 3, "pause": 4, "close": 4}
"""What comes first at one instant: services end before people arrive, and counters close last."""

Row = dict[str, Any]


class Presser(Protocol):
    """Whoever carries presses out: ``Dispatch``."""

    async def press(self, centre_id: str, command: Command, *, actor: str, press_id: str, over: bool = False) -> Reply:
        """Carry out *command*."""
        ...

    async def configure(self, centre: Centre) -> Reply:
        """Put *centre* in force."""
        ...


def load(path: Path) -> tuple[Row, list[Row]]:
    """The meta line and the events of a trace."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    rows = [json.loads(line) for line in data.splitlines() if line.strip()]
    if not rows or rows[0].get("ev") != "meta":
        raise ValueError(f"{path} is no trace: its first line is not the meta line")
    return rows[0], rows[1:]


def save(path: Path, log: Iterable[Row]) -> None:
    """Write *log* as lines of JSON."""
    data = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in log).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def centre_of(meta: Row, id: str, mode: Mode) -> Centre:
    """The centre that a trace's meta line describes."""
    slug = str.lower
    sessions = tuple(Span(_minutes(start), _minutes(end)) for start, end in meta["hours"])
    every_day: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    return Centre(
        id=id,
        name=meta.get("title") or meta["scenario"],
        name_en=meta["scenario"],
        level="province",
        hours=Hours(days=every_day, sessions=sessions, ticket_sessions=sessions),
        zones=(Zone("a", "A", "A"),),
        departments=tuple(
            Department(slug(row["id"]), row["id"], row["id"], LETTERS[n], mode=mode)
            for n, row in enumerate(meta["depts"])
        ),
        services=tuple(
            Service(slug(row["id"]), slug(row["id"]), row["id"], row["id"], mean_service_s=row["svc_prior_s"])
            for row in meta["depts"]
        ),
        counters=tuple(
            Counter(row["id"].lower(), number, row["id"], "a", _serves(row["skills"]))
            for number, row in enumerate(meta["counters"], 1)
        ),
        policy=Policy(
            classes=(ClassPolicy("standard", 1800), ClassPolicy("priority", 300), ClassPolicy("appointment", 300)),
            auto_ready=False,
            enforce_hours=True,
            calls_before_no_show=1,
            no_show_returns=0,
        ),
    )


def _serves(skills: list[list[Any]]) -> tuple[Serves, ...]:
    return tuple(Serves(service=service.lower(), level=level) for service, level in skills)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) % 3600 // 60:02}"


@dataclass(slots=True)
class Visit:
    """One visitor: what the trace says will happen, and how far it has."""

    row: Row
    todo: list[int]
    done_runs: dict[int, int] = field(default_factory=dict)
    ticket: str = ""
    is_waiting: bool = False

    def eligible(self) -> list[int]:
        """Stages that may be entered now; a half-done one goes before all others."""
        stages = self.todo if self.row.get("order") == "any" else self.todo[:1]
        half_done = [stage for stage in stages if self.done_runs.get(stage)]
        return half_done[:1] or stages

    def service(self, stage: int) -> str:
        """The service of a stage."""
        return str(self.row["need"][stage]["d"]).lower()


class Replay:
    """
    One day.

    Args:
        meta, events: the trace.
        presser: the core behind it.
        clock: the presser's clock, set before every press.
        centre: with an id of this replay's own; its counters call when they are told to, not by themselves.
    """

    def __init__(self, meta: Row, events: list[Row], presser: Presser, clock: ManualClock, centre: Centre) -> None:
        self._meta, self._presser, self._clock = meta, presser, clock
        self._centre = msgspec.structs.replace(centre, grounds=())  # a trace says who goes first, and not why
        self._press_ids = itertools.count(1)
        self._order = itertools.count()
        self._queue: list[tuple[float, int, int, Row]] = []
        for row in events:
            self._plan(row["t"], row)
        self._counters = [row["id"] for row in meta["counters"]]
        self._speed = {row["id"]: row.get("speed", 1.0) for row in meta["counters"]}
        self._skills = {row["id"]: row["skills"] for row in meta["counters"]}
        self._is_open = dict.fromkeys(self._counters, False)
        self._is_paused = dict.fromkeys(self._counters, False)
        self._is_busy = dict.fromkeys(self._counters, False)
        self._idle_since = dict.fromkeys(self._counters, -1.0)
        self._visits: dict[str, Visit] = {}
        self._by_ticket: dict[str, Visit] = {}
        self._waiting = {row["id"].lower(): 0 for row in meta["depts"]}
        self.log: list[Row] = []

    async def run(self) -> list[Row]:
        """Play the day; returns the log the scorer reads."""
        await self._presser.configure(self._centre)
        while self._queue:
            now = self._queue[0][0]
            while self._queue and self._queue[0][0] == now:
                await self._happen(heapq.heappop(self._queue)[3], now)
            await self._call_all(now)
        return self.log

    def _plan(self, at: float, row: Row) -> None:
        heapq.heappush(self._queue, (at, ORDER[row["ev"]], next(self._order), row))

    async def _press(self, now: float, command: Command) -> Reply:
        due_ms = MIDNIGHT_MS + round(now * 1000)
        self._clock.advance(due_ms - self._clock.now_ms())
        return await self._presser.press(
            self._centre.id, command, actor="system", press_id=str(next(self._press_ids)), over=True
        )

    async def _happen(self, row: Row, now: float) -> None:
        match row["ev"]:
            case "arrive":
                await self._arrive(row, now)
            case "end":
                await self._end(row, now)
            case "back":
                visit = self._visits[row["id"]]
                await self._press(now, Revive(ticket=visit.ticket))
                self._set_waiting(visit, True)
            case "skills":
                self._skills[row["c"]] = row["skills"]
                counters = tuple(
                    msgspec.structs.replace(counter, serves=_serves(row["skills"]))
                    if counter.id == row["c"].lower()
                    else counter
                    for counter in self._centre.counters
                )
                self._centre = msgspec.structs.replace(self._centre, counters=counters)
                await self._presser.configure(self._centre)
            case change:
                await self._change_counter(row["c"], change, now)

    async def _arrive(self, row: Row, now: float) -> None:
        visit = Visit(row, [i for i, need in enumerate(row["need"]) if not need.get("hid")])
        self._visits[row["id"]] = visit
        first, *rest = [visit.service(stage) for stage in visit.todo]
        appointment = row.get("apt")
        reply = await self._press(
            now,
            IssueTicket(
                service=first,
                further=tuple(rest),
                any_order=row.get("order") == "any",
                cls=CLASSES[row["cls"]],
                appointment_ms=None if appointment is None else MIDNIGHT_MS + round(appointment * 1000),
            ),
        )
        ticket = reply["ticket"]
        visit.ticket = ticket["id"]
        wait = ticket.get("wait")
        eta = [wait["low_ms"] / 1000, wait["mid_ms"] / 1000, wait["high_ms"] / 1000] if wait else None
        self._by_ticket[visit.ticket] = visit
        printed = [id.upper() for id in ticket["counters"] or ()]
        self.log.append({"ev": "ticket", "t": now, "id": row["id"], "printed": printed, "eta": eta})
        self._set_waiting(visit, True)

    async def _end(self, row: Row, now: float) -> None:
        counter, out, stage = row["c"], row["out"], row["i"]
        visit = self._visits[row["id"]]
        self._is_busy[counter] = False
        self._idle_since[counter] = now
        here = counter.lower()
        if out == "gone":
            visit.todo = []
            await self._press(now, MarkNoShow(counter=here))
        elif out in ("park", "miss"):
            gap = visit.row["need"][stage]["run"][visit.done_runs.get(stage, 0)]["gap"]
            visit.done_runs[stage] = visit.done_runs.get(stage, 0) + 1
            await self._press(now, Park(counter=here) if out == "park" else MarkNoShow(counter=here))
            self._plan(now + gap, {"ev": "back", "id": row["id"]})
        else:
            await self._complete(visit, stage, here, now)

    async def _complete(self, visit: Visit, stage: int, counter: str, now: float) -> None:
        visit.done_runs[stage] = 0
        place = visit.todo.index(stage)
        visit.todo.remove(stage)
        following = stage + 1
        if following < len(visit.row["need"]) and visit.row["need"][following].get("hid"):  # a transfer comes to light
            visit.todo.insert(place if visit.row.get("order") != "any" else 0, following)
            services = [visit.service(left) for left in visit.todo]
            await self._press(
                now, Transfer(counter=counter, service=services[0], further=tuple(services[1:]), served=True)
            )
        else:
            await self._press(now, Complete(counter=counter))
        if visit.todo:
            self._set_waiting(visit, True)

    async def _change_counter(self, counter: str, change: str, now: float) -> None:
        here = counter.lower()
        if change in ("open", "resume"):
            if change == "open":
                self._is_open[counter] = True
            self._is_paused[counter] = False
            self._idle_since[counter] = now
            if self._is_open[counter]:
                await self._press(now, Open(counter=here))
        elif change == "pause":
            self._is_paused[counter] = True
            if self._is_open[counter]:
                await self._press(now, Pause(counter=here))
        else:
            self._is_open[counter] = False
            await self._press(now, Close(counter=here))

    def _set_waiting(self, visit: Visit, is_waiting: bool) -> None:
        visit.is_waiting = is_waiting
        for stage in visit.eligible():
            self._waiting[visit.service(stage)] += 1 if is_waiting else -1

    async def _call_all(self, now: float) -> None:
        """Every idle counter that could serve somebody presses, longest idle first, until a whole pass calls nobody."""
        place = {counter: n for n, counter in enumerate(self._counters)}
        has_called = True
        while has_called:
            has_called = False
            idle = [c for c in self._counters if self._is_open[c] and not self._is_paused[c] and not self._is_busy[c]]
            for counter in sorted(idle, key=lambda c: (self._idle_since[c], place[c])):
                if any(self._waiting[service.lower()] for service, _ in self._skills[counter]):
                    has_called = await self._call_next(counter, now) or has_called

    async def _call_next(self, counter: str, now: float) -> bool:
        reply = await self._press(now, CallNext(counter=counter.lower(), yields=True))
        ticket = reply.get("ticket")
        if not ticket:
            return False
        visit = self._by_ticket[ticket["id"]]
        stage = next(stage for stage in visit.eligible() if visit.service(stage) == ticket["service"])
        self._set_waiting(visit, False)
        run = visit.row["need"][stage]["run"][visit.done_runs.get(stage, 0)]
        out = run.get("out", "served")
        seconds = self._meta["noshow_s"] if out in ("miss", "gone") else round(run["s"] / self._speed[counter], 3)
        end = round(now + seconds, 3)
        self._is_busy[counter] = True
        self.log.append(
            {
                "ev": "call",
                "id": visit.row["id"],
                "d": ticket["service"].upper(),
                "c": counter,
                "called": now,
                "finished": end,
                "out": out if out in ("served", "park") else "absent",
            }
        )
        self._plan(end, {"ev": "end", "c": counter, "id": visit.row["id"], "i": stage, "out": out})
        return True


def digest(calls: Iterable[Row]) -> str:
    """What an exact log is known by: SHA-256 of ``id department counter called``, a line per call."""
    lines = (f"{call['id']} {call['d']} {call['c']} {call['called']:.3f}" for call in calls)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@asynccontextmanager
async def private_core(mirror: Mirror | None = None) -> AsyncIterator[tuple[Dispatch, ManualClock]]:
    """
    The real core in a store of its own that forgets everything at the end, with a clock that stands still.

    Args:
        mirror: kept up with the events of the centre that is played, so that tickets announce waits; None: they do not.
    """
    with TemporaryDirectory(prefix="replay-") as folder:
        server = EmbeddedServer(Path(folder), fsync="no")
        client = connect(await server.start())
        channel = Channel(client.connection_pool.make_connection, timeout_s=30)
        store = TicketStore(channel, client)

        async def caught_up(centre: str) -> Mirror | None:
            if mirror is not None:
                while events := await store.read_events(centre, mirror.seq, 1000):
                    for event in events:
                        mirror.apply(event)
            return mirror

        clock = ManualClock(MIDNIGHT_MS)
        try:
            await store.prepare()
            yield Dispatch(store, clock, caught_up), clock
        finally:
            await channel.close()
            await client.aclose()
            await server.stop()


async def replay(meta: Row, events: list[Row], centre: Centre) -> list[Row]:
    """Play a day at *centre* in a private core; returns the log the scorer reads."""
    async with private_core(Mirror()) as (dispatch, clock):
        return await Replay(meta, events, dispatch, clock, centre).run()
