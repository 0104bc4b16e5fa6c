"""
Values for tests that say only what matters, and a hall to press in.

``a_centre(counters=2)`` is a whole centre; ``Hall`` is one centre in the store with a clock that stands still, so that
a test reads like a transcript: ``await hall.issue()``, ``await hall.press(CallNext(counter="q01"))``.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from msgspec.structs import replace
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from queue_service.assignments import After, Assignments, after
from queue_service.centre import (
    Centre,
    Counter,
    Department,
    Hours,
    Mode,
    Policy,
    Serves,
    Service,
    Span,
    Zone,
    to_json,
)
from queue_service.channel import Channel
from queue_service.clock import ManualClock
from queue_service.codec import Reply, centre_pieces, read_event, read_record, unpack
from queue_service.commands import Assign, Command, Configure, IssueTicket, Open, Press
from queue_service.errors import QueueError
from queue_service.keys import centre_keys
from queue_service.store import TicketStore
from queue_service.tickets import State, Ticket

DAY = "2026-11-22"
NEXT_DAY = "2026-11-23"
EPOCH = "epoch-1"

ENVELOPE = ("epoch", "seq", "at_ms", "actor")
START_MS = ManualClock().now_ms()

_fresh = itertools.count(1)


def a_centre(
    counters: int | Mapping[str, str] = 1,
    *,
    id: str | None = None,
    mode: Mode = "cluster",
    modes: Mapping[str, Mode] | None = None,
    services: str = "",
    departments: Mapping[str, str] | None = None,
    letters: Mapping[str, str] | None = None,
    means: Mapping[str, int] | None = None,
    clusters: Mapping[str, Sequence[Sequence[str]]] | None = None,
    cap: int = 999,
    **policy: Any,
) -> Centre:
    """
    A centre, small unless told otherwise.

    Args:
        counters: how many, all serving ``a``; or counter -> what it serves, ``"a b:2"`` being a and, as overflow, b.
        mode: of every department that *modes* does not name.
        services: further services, which no counter serves.
        departments: service -> department, where they differ.
        letters: department -> letter, where it is not the department's first.
        means: service -> mean service time in seconds, 300 unless told.
        clusters: service -> the counters that stand together, where the line is not cut into runs.
        policy: fields of ``Policy``.
    """
    serves = {f"q{n:02}": "a" for n in range(1, counters + 1)} if isinstance(counters, int) else counters
    lines = {counter: [_line(word) for word in words.split()] for counter, words in serves.items()}
    ids = sorted({line.service for row in lines.values() for line in row} | set(services.split()))
    home = {service: (departments or {}).get(service, service) for service in ids}
    return Centre(
        id=id or f"centre-{next(_fresh)}",
        name="Trung tâm",
        name_en="Centre",
        level="commune",
        hours=Hours(days=("mon",), sessions=(Span("07:00", "17:00"),), ticket_sessions=(Span("07:00", "16:30"),)),
        zones=(Zone(id="z", name="Sảnh", name_en="Hall"),),
        departments=tuple(
            Department(
                id=department,
                name=department,
                name_en=department,
                letter=(letters or {}).get(department, department[0].upper()),
                daily_cap=cap,
                mode=(modes or {}).get(department, mode),
            )
            for department in dict.fromkeys(home.values())
        ),
        services=tuple(
            Service(
                id=service, department=home[service], name=service, name_en=service,
                mean_service_s=(means or {}).get(service, 300),
                clusters=tuple(tuple(run) for run in (clusters or {}).get(service, ())),
            )
            for service in ids
        ),
        counters=tuple(
            Counter(id=counter, number=number, name=f"Quầy {number}", zone="z", serves=tuple(lines[counter]))
            for number, counter in enumerate(serves, 1)
        ),
        policy=Policy(**policy),
    )  # fmt: skip


def _line(word: str) -> Serves:
    service, _, level = word.partition(":")
    return Serves(service=service, level=int(level or 1))


def a_ticket(**fields: Any) -> Ticket:
    """A ticket that waits, but for what *fields* say."""
    return Ticket(
        **{
            "id": "ticket-1",
            "number": "A001",
            "department": "a",
            "service": "a",
            "cls": "standard",
            "state": State.WAITING,
            "day": DAY,
            "issued_at_ms": 1_000,
            "order": "00000001",
            "virtual_ms": 1_000,
            "counters": ("q01",),
            **fields,
        }
    )


@asynccontextmanager
async def a_store(url: str) -> AsyncIterator[tuple[TicketStore, Redis]]:
    """A store on the server at *url* with the library loaded, and an ordinary client beside it."""
    pool = BlockingConnectionPool.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))
    client = Redis(connection_pool=pool)
    channel = Channel(pool.make_connection)
    try:
        store = TicketStore(channel, client)
        await store.prepare()
        yield store, client
    finally:
        await channel.close()
        await client.aclose()
        await pool.aclose()


class Change(NamedTuple):
    """One press: its reply, the fields of the state it changed, and the facts it recorded."""

    reply: Reply
    state: dict[str, Any]
    facts: list[dict[str, Any]]

    @property
    def told(self) -> list[str]:
        """The types of the facts."""
        return [fact["type"] for fact in self.facts]


def flat(picture: dict[str, Any]) -> dict[str, Any]:
    """
    Everything the store holds of a centre, one field a path; times count from the hall's first moment.

    Left out are ``seq`` and ``clock``, which every press moves.  Of a counter's last step the name stands for all, of
    the call it shows number and state; of a place in line service (group), class and id.
    """
    fields = {f"day.{name}": value for name, value in picture["day"].items() if name not in ("seq", "clock")}
    for what in ("groups", "sequences", "numbers", "messages"):
        fields |= {f"{what}.{name}": value for name, value in picture[what].items()}
    for record in (*picture["tickets"].values(), *picture["counters"].values()):
        fields |= {f"{record['id']}.{name}": _plain(name, value) for name, value in record.items()}
    for what in ("waiting", "announced"):
        fields[what] = ["/".join([*place[:-3], place[-1]]) for place in picture[what]]
    return fields


def _plain(name: str, value: Any) -> Any:
    if name == "idle_since" or (name.endswith("_ms") and name not in ("work_ms", "mean_ms")):
        return value - START_MS
    if name == "last":
        return value["press"]
    if value == {}:  # an empty table leaves Lua as a map
        return []
    if name == "call" and isinstance(value, dict):
        return f"{value['number']} {value['ticket_state']}"
    return value


def standing(ticket: str, number: str, **other: Any) -> dict[str, Any]:
    """What an event says of a ticket that begins to wait; of the first, unless told otherwise."""
    return {
        "ticket": ticket,
        "number": number,
        "department": "a",
        "service": "a",
        "class": "standard",
        "counters": ["q01"],
        "group": "a.1",
        "announced_for": "a",
        "virtual_ms": 0,
        "order": f"{int(number[1:]):08}",
        **other,
    }


class Hall:
    """
    One centre in a store, its clock, and hands that press.

    Press ids and ticket ids are made here unless a test brings its own: the first ticket is ``t1``.
    """

    def __init__(self, store: TicketStore, client: Redis, centre: Centre, clock: ManualClock | None = None) -> None:
        self.store = store
        self.client = client
        self.centre = self.file = centre
        self.assignments = Assignments()
        self.clock = clock or ManualClock()
        self._keys = itertools.count(1)
        self._tickets = itertools.count(1)

    async def configure(self, centre: Centre | None = None, *, day: str = DAY) -> Reply:
        """Put *centre* (or the hall's own) in force; nothing is assigned any more."""
        centre = centre or self.centre
        command = Configure(
            new_version=centre.version,
            day=day,
            epoch=EPOCH,
            pieces=centre_pieces(centre),
            was_assigned=self.assignments.text(),
            file=to_json(centre),
        )
        reply = await self.store.carry_out(
            self.centre.id,
            command,
            self.envelope(actor="system"),
        )
        self.centre = self.file = centre
        self.assignments = Assignments()
        return reply

    def envelope(
        self, *, key: str | None = None, actor: str = "staff:lan", over: bool = False, ticket: str | None = None
    ) -> Press:
        """What a press comes in; everything fresh unless told."""
        return Press(
            press_id=key or f"press-{next(self._keys):04}",
            actor=actor,
            now_ms=self.clock.now_ms(),
            over=over,
            new_ticket=ticket or "",
        )

    async def press(self, command: Command, **envelope: Any) -> Reply:
        """Carry out *command* and return the reply; a refusal raises."""
        if isinstance(command, IssueTicket):
            envelope.setdefault("ticket", f"t{next(self._tickets)}")
        return await self.send(command, self.envelope(**envelope))

    async def send(self, command: Command, envelope: Press, version: str | None = None) -> Reply:
        """The same in an envelope of one's own; an assignment brings the centre as it would be, as dispatch does."""
        version = self.centre.version if version is None else version
        if not isinstance(command, Assign):
            return await self.store.carry_out(self.centre.id, command, envelope, version)
        then = after(self.file, self.assignments, DAY, command.counter, command.serves)
        reply = await self.store.carry_out(self.centre.id, command, replace(envelope, after=then.packed()), version)
        await self._look_at_assignments(then)
        return reply

    async def _look_at_assignments(self, then: After) -> None:
        """What is in force after an assignment, unless the answer was one from before."""
        if (await self.picture())["day"]["version"] == then.centre.version:
            self.centre, self.assignments = then.centre, then.assignments

    async def issue(self, service: str = "a", cls: str = "standard", **envelope: Any) -> str:
        """Hand out a ticket and return its id."""
        reply = await self.press(IssueTicket(service=service, cls=cls), actor="device:k1", **envelope)
        return cast(str, reply["ticket"]["id"])

    async def open(self, *counters: str) -> None:
        """Open *counters*; the officer of all is lan."""
        for counter in counters:
            await self.press(Open(counter=counter))

    async def change(self, command: Command, **envelope: Any) -> Change:
        """Carry out *command* and say everything that is different after it."""
        before = await self.picture()
        reply = await self.press(command, **envelope)
        return self.difference(before, await self.picture(), reply)

    def difference(self, before: dict[str, Any], after: dict[str, Any], reply: Reply) -> Change:
        """What one press changed."""
        was, now = flat(before), flat(after)
        facts = after["events"][len(before["events"]) :]
        return Change(
            reply,
            {path: now.get(path) for path in sorted({*was, *now}) if was.get(path) != now.get(path)},
            [{name: _plain(name, value) for name, value in fact.items() if name not in ENVELOPE} for fact in facts],
        )

    async def refuses(self, command: Command, **envelope: Any) -> str:
        """The code with which *command* is refused; nothing has changed."""
        before = await self.picture()
        try:
            await self.press(command, **envelope)
        except QueueError as no:
            assert before == await self.picture()
            return no.code
        raise AssertionError(f"{command} was carried out")

    async def events(self) -> list[dict[str, Any]]:
        """Every event, in order."""
        entries = await cast(Any, self.client.xrange(centre_keys(self.centre.id).events))
        return [read_event(fields[b"e"]) for _, fields in entries]

    async def told(self) -> list[str]:
        """The types of the events, in order."""
        return [event["type"] for event in await self.events()]

    async def ticket(self, id: str) -> dict[str, Any]:
        """A ticket's record."""
        return cast(dict[str, Any], (await self.picture())["tickets"][id])

    async def counter(self, id: str) -> dict[str, Any]:
        """A counter's record."""
        return cast(dict[str, Any], (await self.picture())["counters"][id])

    async def line(self) -> list[str]:
        """Numbers of those who wait, in the order of the waiting set."""
        picture = await self.picture()
        return [picture["tickets"][member[-1]]["number"] for member in picture["waiting"]]

    async def picture(self) -> dict[str, Any]:
        """Everything the store holds about the centre, but for stored answers, configuration and the stamp."""
        keys = centre_keys(self.centre.id)
        async with self.client.pipeline(transaction=True) as pipe:
            for key in (
                keys.day, keys.counters, keys.groups, keys.tickets, keys.sequences, keys.numbers, keys.messages
            ):  # fmt: skip
                pipe.execute_command("HGETALL", key)
            pipe.execute_command("ZRANGE", keys.waiting, 0, -1)
            pipe.execute_command("ZRANGE", keys.announced, 0, -1)
            pipe.execute_command("XRANGE", keys.events, "-", "+")
            (
                day,
                counters,
                groups,
                tickets,
                sequences,
                numbers,
                messages,
                waiting,
                announced,
                events,
            ) = await pipe.execute()
        return {
            "day": {name.decode(): value.decode() for name, value in day.items() if name != b"stamp"},
            "counters": {name.decode(): read_record(value) for name, value in counters.items()},
            "groups": {name.decode(): float(value) for name, value in groups.items()},
            "tickets": {name.decode(): read_record(value) for name, value in tickets.items()},
            "sequences": {name.decode(): int(value) for name, value in sequences.items()},
            "numbers": {name.decode(): value.decode() for name, value in numbers.items()},
            "messages": {name.decode(): unpack(value) for name, value in messages.items()},
            "waiting": [member.decode().split("/") for member in waiting],
            "announced": [member.decode().split("/") for member in announced],
            "events": [read_event(fields[b"e"]) for _, fields in events],
        }
