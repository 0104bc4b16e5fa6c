"""
The allocation core alone: what one press costs the store, beside what any press must cost.

Presses are packed beforehand as `store.py` packs them and sent by plain sockets, so that the store's CPU is measured
and nobody else's.  Anchors: a Function that does nothing with the same arguments, EVALSHA `return 1`, and the writes
of the press alone in MULTI, with bytes as long as the real ones.
"""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from loadtest.bench_meter import (
    Figure,
    Measure,
    Pipe,
    PrivateStore,
    Target,
    compare,
    cpu_us,
    packed,
    private_store,
    rounds,
)
from queue_service import library
from queue_service.centre import Centre, Counter, Department, Hours, Policy, Serves, Service, Span, Zone, to_json
from queue_service.codec import centre_pieces, pack, unpack
from queue_service.commands import CallNext, Command, Complete, Configure, IssueTicket, Open, Press
from queue_service.keys import centre_keys
from queue_service.store import packed_press

COUNTERS: Final = 20
DEPARTMENTS: Final = 6
BATCH: Final = COUNTERS
CONNECTIONS: Final = 50
NO_CAP: Final = 10**9
SAMPLES: Final = 100
"""How many of those who wait take their number properly; the others are written as copies of them."""
START_MS: Final = 1_795_000_000_000
NOTHING: Final = "#!lua name=bench_nothing\nredis.register_function('bench_nothing', function() return 1 end)"


def a_centre(id: str, mean_s: int = 600) -> Centre:
    """Twenty counters, six departments, three of them at every counter; numbers without a daily limit."""
    ids = [f"d{n}" for n in range(DEPARTMENTS)]
    return Centre(
        id=id,
        name=id,
        name_en=id,
        level="province",
        hours=Hours(days=("mon",), sessions=(Span("07:00", "17:00"),), ticket_sessions=(Span("07:00", "16:30"),)),
        zones=(Zone(id="a", name="A", name_en="A"),),
        departments=tuple(
            Department(id=name, name=name, name_en=name, letter=chr(65 + n), daily_cap=NO_CAP)
            for n, name in enumerate(ids)
        ),
        services=tuple(
            Service(id=name, department=name, name=name, name_en=name, mean_service_s=mean_s) for name in ids
        ),
        counters=tuple(
            Counter(
                id=f"q{n + 1:02}",
                number=n + 1,
                name=str(n + 1),
                zone="a",
                serves=tuple(Serves(service=ids[(n + k) % DEPARTMENTS], level=1 if k == 0 else 2) for k in range(3)),
            )
            for n in range(COUNTERS)
        ),
        policy=Policy(),
    )


class Halls:
    """Some centres in one private store, and the presses at them."""

    def __init__(self, store: PrivateStore, centres: int, waiting: int) -> None:
        self.store = store
        self.pipe = Pipe(store.port)
        self.extra = [Pipe(store.port) for _ in range(CONNECTIONS)]
        # Mean service times differ, so that the pieces of the configuration do, as in a country they would.
        self.centres = [a_centre(f"c{n:04}", 300 + n) for n in range(centres)]
        self._press_numbers = itertools.count(1)
        self._random = random.Random(1)
        self._turn = itertools.cycle(self.centres)
        self._last_press_id = ""
        self._is_small = waiting < COUNTERS
        self._writes: dict[str, Iterator[list[bytes]]] = {}
        self.pipe.one("FUNCTION", "LOAD", "REPLACE", library.source())
        self.pipe.one("FUNCTION", "LOAD", "REPLACE", NOTHING)
        self.sha = self.pipe.one("SCRIPT", "LOAD", "return 1")
        self._begin(self.centres[0], waiting)
        for centre in self.centres[1:]:
            self._copy(self.centres[0], centre)

    def _configure(self, centre: Centre) -> None:
        wish = Configure(
            new_version=centre.version,
            day="2026-11-22",
            epoch="epoch",
            pieces=centre_pieces(centre),
            file=to_json(centre),
        )
        self._done(self.pipe.ask([self.press(centre, wish, "system")]))

    def _begin(self, centre: Centre, waiting: int) -> None:
        """*centre* in force, all its counters open, *waiting* people in its lines; most of them written at once."""
        self._configure(centre)
        self._done(self.pipe.ask([self.press(centre, Open(counter=one.id), "staff:lan") for one in centre.counters]))
        self._done(self.pipe.ask(self.issues(centre, min(SAMPLES, waiting))))
        keys = centre_keys(centre.id)
        samples = [unpack(bytes) for bytes in self.pipe.one("HVALS", keys.tickets)]
        for start in range(SAMPLES, waiting, 500):
            writes = []
            for n in range(start, min(start + 500, waiting)):
                ticket = samples[n % len(samples)] | {"id": f"w{n:021}", "order": f"{n:08}", "virtual_ms": START_MS + n}
                place = f"{ticket['class']}/{ticket['virtual_ms']}/{ticket['order']}/{ticket['id']}"
                writes += [
                    packed("HSET", keys.tickets, ticket["id"], pack(ticket)),
                    packed("ZADD", keys.waiting, 0, f"{ticket['service']}/{place}"),
                    packed("ZADD", keys.announced, 0, f"{ticket['service']}/{ticket['group']}/{place}"),
                    packed("HINCRBY", keys.day, f"waiting:{ticket['service']}", 1),
                    packed("HINCRBYFLOAT", keys.groups, ticket["group"], ticket["work_ms"]),
                ]
            self.pipe.ask(writes)
        if waiting > SAMPLES:
            self.pipe.one("HSET", keys.day, "orders", waiting)
        self.pipe.one("HDEL", keys.day, "stamp")  # what was written by hand is remembered by nobody
        next(itertools.islice(self._press_numbers, waiting, waiting), None)

    def _copy(self, pattern: Centre, centre: Centre) -> None:
        """*centre* as *pattern* is, but with a configuration of its own."""
        self._configure(centre)
        ours, its = centre_keys(pattern.id), centre_keys(centre.id)
        names = ("day", "counters", "steps", "groups", "tickets", "waiting", "announced", "sequences", "numbers")
        self.pipe.ask([packed("COPY", getattr(ours, name), getattr(its, name), "REPLACE") for name in names])
        self.pipe.one("HSET", its.day, "version", centre.version)

    def press(self, centre: Centre, command: Command, actor: str) -> bytes:
        """One press, packed; a second of the hall's clock passes."""
        n = next(self._press_numbers)
        self._last_press_id = f"{actor}|{command.function}|{n:032}"
        envelope = Press(
            press_id=self._last_press_id,
            actor=actor,
            now_ms=START_MS + n,
            over=False,
            new_ticket=f"{n:022}" if isinstance(command, IssueTicket) else "",
        )
        return packed_press(centre.id, command, envelope, centre.version)

    def issues(self, centre: Centre, count: int) -> list[bytes]:
        """Presses at the kiosk; every tenth visitor has priority."""
        return [
            self.press(
                centre,
                IssueTicket(
                    service=f"d{self._random.randrange(DEPARTMENTS)}",
                    cls="priority" if self._random.random() < 0.1 else "standard",
                ),
                "device:k1",
            )
            for _ in range(count)
        ]

    def calls(self, centre: Centre, kind: type[CallNext | Complete]) -> list[bytes]:
        """The same press at every counter."""
        return [self.press(centre, kind(counter=one.id), "staff:lan") for one in centre.counters]

    def cpu_of(self, commands: Sequence[bytes]) -> float:
        """What the store spends on *commands*, in one pipeline."""
        before = cpu_us(self.store.pid)
        replies = self.pipe.ask(commands)
        spent = cpu_us(self.store.pid) - before
        self._done(replies)
        return spent

    def cpu_alone(self, commands: Sequence[bytes]) -> float:
        """The same, one command per connection: nothing is saved by pipelining."""
        before = cpu_us(self.store.pid)
        for pipe, command in zip(self.extra, commands, strict=False):
            pipe.send(command)
        replies = [pipe.reply() for pipe, _ in zip(self.extra, commands, strict=False)]
        spent = cpu_us(self.store.pid) - before
        self._done(replies)
        return spent

    def cycle(self, times: int, *, alone: bool = False) -> tuple[float, float, float]:
        """µs per issue, call-next and complete, *times* batches of each; as many wait afterwards as before."""
        cost = self.cpu_alone if alone else self.cpu_of
        spent = [0.0, 0.0, 0.0]
        for _ in range(times):
            centre = next(self._turn)
            spent[0] += cost(self.issues(centre, BATCH))
            spent[1] += cost(self.calls(centre, CallNext))
            spent[2] += cost(self.calls(centre, Complete))
        issue, call, complete = (part / (times * BATCH) for part in spent)
        return issue, call, complete

    def anchors(self, times: int, *, alone: bool = False) -> dict[str, float]:
        """µs per operation of what any press must cost."""
        cost = self.cpu_alone if alone else self.cpu_of
        centre = self.centres[0]
        keys = centre_keys(centre.id).as_list()
        wish, envelope = b"w" * 30, b"e" * 200
        once = {
            "EVALSHA return 1": [packed("EVALSHA", self.sha, 2, "k1", "k2", *"abcdef")] * BATCH,
            "EVALSHA, our arguments": [packed("EVALSHA", self.sha, len(keys), *keys, wish, envelope)] * BATCH,
            "FCALL nothing": [packed("FCALL", "bench_nothing", len(keys), *keys, wish, envelope)] * BATCH,
        }
        return {name: sum(cost(batch) for _ in range(times)) / (times * BATCH) for name, batch in once.items()}

    def multis(self, times: int) -> dict[str, float]:
        """µs of the writes of a press in MULTI: the same commands with values of the same length."""
        if not self._writes:
            self._writes = {"issue in MULTI": self._issue_writes(), "call-next in MULTI": self._call_writes()}
        cost = {}
        for name, writes in self._writes.items():  # the second removes what the first has added
            spent = 0.0
            for _ in range(times):
                spent += self.cpu_of([word for _ in range(BATCH) for word in next(writes)])
            cost[name] = spent / (times * BATCH)
        return cost

    def _sample(self, kind: str) -> tuple[bytes, bytes, bytes, bytes]:
        """A stored ticket, counter, answer and event of the press just done."""
        centre = self.centres[0]
        keys = centre_keys(centre.id)
        self._done(self.pipe.ask(self.issues(centre, BATCH)))
        if kind == "call":
            self._done(self.pipe.ask(self.calls(centre, CallNext)))
        answer = self.pipe.one("HGET", keys.answers, self._last_press_id)
        event = self.pipe.one("XREVRANGE", keys.events, "+", "-", "COUNT", 1)[0][1][1]
        counter = self.pipe.one("HGET", keys.counters, "q01")
        ticket = self.pipe.one("HGET", keys.tickets, unpack(event)["ticket"])
        if kind == "call":
            self._done(self.pipe.ask(self.calls(centre, Complete)))
        else:
            self._done(self.pipe.ask(self.calls(centre, CallNext)))
            self._done(self.pipe.ask(self.calls(centre, Complete)))
        return ticket, counter, answer, event

    def _issue_writes(self) -> Iterator[list[bytes]]:
        ticket, _, answer, event = self._sample("issue")
        for n in itertools.count(10**9):
            member = f"d0/standard/{START_MS + n:013}/{n:08}/{n:022}"
            yield _multi(
                ("HSET", "m:sequences", "d0", n),
                ("HSET", "m:numbers", f"A{n % 1000:03}", f"{n:022}"),
                ("ZADD", "m:waiting", 0, member),
                ("ZADD", "m:announced", 0, f"d0/d0.1/{member}"),
                ("HINCRBY", "m:day", "waiting:d0", 1),
                ("HSET", "m:groups", "d0.1", n),
                ("HSET", "m:tickets", f"{n:022}", ticket),
                ("XADD", "m:events", "MAXLEN", "~", 100000, "*", "e", event),
                ("SPUBLISH", "m:bell", event),
                ("HSET", "m:day", "seq", n, "clock", START_MS + n, "orders", n),
                ("HSET", "m:answers", f"device:k1|qs_issue_ticket|{n:032}", answer),
            )

    def _call_writes(self) -> Iterator[list[bytes]]:
        ticket, counter, answer, event = self._sample("call")
        for n in itertools.count(10**9):
            member = f"d0/standard/{START_MS + n:013}/{n:08}/{n:022}"
            yield _multi(
                ("ZREM", "m:waiting", member),
                ("ZREM", "m:announced", f"d0/d0.1/{member}"),
                ("HINCRBY", "m:day", "waiting:d0", -1),
                ("HSET", "m:groups", "d0.1", n),
                ("HSET", "m:tickets", f"{n:022}", ticket),
                ("HSET", "m:counters", "q01", counter),
                ("XADD", "m:events", "MAXLEN", "~", 100000, "*", "e", event),
                ("SPUBLISH", "m:bell", event),
                ("HSET", "m:day", "seq", n, "clock", START_MS + n, "orders", n),
                ("HSET", "m:answers", f"staff:lan|qs_call_next|{n:032}", answer),
            )

    def memory(self) -> tuple[float, float, float]:
        """Bytes of a waiting ticket, while nobody has been called yet; of an answer kept for repeats; of an event."""
        keys = centre_keys(self.centres[0].id)
        sizes = {key: self.pipe.one("MEMORY", "USAGE", key, "SAMPLES", 0) for key in keys.as_list()}
        place = sum(sizes[key] for key in (keys.waiting, keys.announced, keys.tickets)) / self.pipe.one(
            "ZCARD", keys.waiting
        )
        answer = sizes[keys.answers] / self.pipe.one("HLEN", keys.answers)
        return place, answer, sizes[keys.events] / self.pipe.one("XLEN", keys.events)

    def close(self) -> None:
        """End the connections."""
        for pipe in (self.pipe, *self.extra):
            pipe.__exit__()

    def _done(self, replies: Sequence[Any]) -> None:
        """
        Every press was carried out.  Where fewer wait than there are counters, one that finds nobody gets the next who
        comes: it has nobody to complete, then somebody already.  That is cheap, so the small hall seems no dearer.
        """
        for reply in replies:
            if isinstance(reply, bytes) and reply[:1] > b"\x7f" and b"refused" in reply[:20]:
                refusal = unpack(reply)
                if not self._is_small or refusal["refused"] not in ("COUNTER_IDLE", "COUNTER_BUSY"):
                    raise AssertionError(refusal)


async def bench(programs: Sequence[Path], *, quick: bool, within_s: float) -> tuple[list[Figure], list[str]]:
    """Everything about the core, for each of *programs*."""
    figures: list[Figure] = []
    notes: list[str] = []
    for program in programs:
        name = await _floor(program, figures, notes, quick=quick, within_s=within_s / 2)
        await _growth(program, name, figures, notes, quick=quick, within_s=within_s / 2)
    return figures, notes


async def _floor(program: Path, figures: list[Figure], notes: list[str], *, quick: bool, within_s: float) -> str:
    """G1, G2 and the memory: what a press costs beside its anchors, with the append-only file synced every second."""
    times, count = (2, 2) if quick else (7, 15)
    with private_store(program, "everysec") as store:
        halls = Halls(store, *((2, 20) if quick else (100, 100)))

        async def presses() -> dict[str, float]:
            return dict(zip(("issue", "call-next", "complete"), halls.cycle(count), strict=True))

        async def presses_alone() -> dict[str, float]:
            return dict(zip(("issue alone", "call-next alone", "-"), halls.cycle(count, alone=True), strict=True))

        async def anchors_alone() -> dict[str, float]:
            return {f"{name} alone": cost for name, cost in halls.anchors(count, alone=True).items()}

        async def anchors() -> dict[str, float]:
            return halls.anchors(count)

        async def multis() -> dict[str, float]:
            return halls.multis(count)

        found = await rounds([presses, multis, anchors, presses_alone, anchors_alone], times, within_s)
        words = store.program
        for press, goal in (("issue", Target("G1", 0.40, False)), ("call-next", Target("G1", 0.40, False))):
            what = f"{words} {press}, a command per connection"
            anchor = "EVALSHA return 1 alone"
            figures.append(compare(what, found, f"{press} alone", anchor, goal, inverse=True))
        figures.append(compare(f"{words} issue, pipelined", found, "issue", "issue in MULTI", Target("G2", 1.5)))
        figures.append(
            compare(f"{words} call-next, pipelined", found, "call-next", "call-next in MULTI", Target("G2", 1.9))
        )
        figures += [
            compare(f"{words} issue, pipelined", found, "issue", anchor)
            for anchor in ("EVALSHA return 1", "EVALSHA, our arguments", "FCALL nothing")
        ]
        notes.append(f"{words}: complete {statistics.median(found['complete']):.1f} µs, pipelined")
        halls.close()
        return words


async def _growth(
    program: Path, words: str, figures: list[Figure], notes: list[str], *, quick: bool, within_s: float
) -> None:
    """G3: more people waiting, more centres; without an append-only file, whose cost would hide the growth."""
    times, count = (2, 2) if quick else (7, 15)
    sizes = (
        ((1, 10), (1, 100), (5, 20)) if quick else ((1, 10), (1, 1000), (1, 100_000), (1, 100), (100, 100), (3355, 100))
    )
    with ExitStack() as stack:
        measures: list[Measure] = []
        for centres, waiting in sizes:
            halls = Halls(stack.enter_context(private_store(program, "off")), centres, waiting)
            stack.callback(halls.close)
            if (centres, waiting) == sizes[2]:
                place, answer, event = halls.memory()
                what = f"{words} bytes per ticket, {waiting:,} waiting"
                figures.append(Figure(what, place, 130, "130 B", place / 130, Target("G3", 1)))
                notes.append(f"{words}: an answer kept for repeats takes {answer:.0f} B, an event {event:.0f} B")
            measures.append(_measured(halls, f"{centres} × {waiting:,}", count))
        found = await rounds(measures, times, within_s)
    names = [f"{centres} × {waiting:,}" for centres, waiting in sizes]
    pairs = [(names[1], names[0]), (names[2], names[0])]
    if not quick:
        pairs += [(names[4], names[3]), (names[5], names[3])]
    for press in ("issue", "call-next"):
        for large, small in pairs:
            what = f"{words} {press}, {large} waiting"
            figures.append(compare(what, found, f"{press} {large}", f"{press} {small}", Target("G3", 1.8)))


def _measured(halls: Halls, name: str, count: int) -> Measure:
    async def measure() -> dict[str, float]:
        issue, call, _ = halls.cycle(count)
        return {f"issue {name}": issue, f"call-next {name}": call}

    return measure


def _multi(*commands: tuple[Any, ...]) -> list[bytes]:
    return [packed("MULTI"), *(packed(*command) for command in commands), packed("EXEC")]
