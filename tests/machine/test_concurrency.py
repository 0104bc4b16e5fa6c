"""
Many hands at once: whatever the order in which presses arrive, it is an order that the model explains.

Clients on several connections press at the same centre and record what they asked, from when to when, and the answer.
Each press has an actor of its own, so that every fact says whose it is; ``seq`` in a reply says after which fact it was
carried out.  That order is replayed on the model: every reply and the hall at the end must agree, and nobody stands
before a press that had been answered before theirs was sent.  A refusal must be one that the model gives, too, at some
moment while the press was under way.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest

from builders import DAY, EPOCH, Hall, a_centre, a_store
from pictures import actual_picture, expected_picture, tidy
from queue_service.commands import (
    CallNext,
    Cancel,
    Close,
    Command,
    Complete,
    IssueTicket,
    MarkLate,
    MarkNoShow,
    Open,
    Park,
    Press,
    Revive,
    Transfer,
    Undo,
)
from queue_service.errors import QueueError
from queue_service.store import TicketStore
from reference_model import ReferenceModel, Refused

CLIENTS = 12
PRESSES = 15
COUNTERS = ("q01", "q02", "q03")


@dataclass
class Pressed:
    """One press of a history: what, from when to when, and the answer, or the code of the refusal."""

    command: Command
    envelope: Press
    began: int
    ended: int
    answer: Any

    @property
    def is_refused(self) -> bool:
        return isinstance(self.answer, str)


class Hands:
    """Clients that press at one centre through several stores, and remember."""

    def __init__(self, hall: Hall, stores: list[TicketStore]) -> None:
        self.hall = hall
        self.stores = itertools.cycle(stores)
        self.history: list[Pressed] = []
        self._moments = itertools.count()
        self._keys = itertools.count(1)

    async def press(self, command: Command, *, key: str | None = None) -> Any:
        """Press and remember."""
        key = key or f"press-{next(self._keys):05}"
        now_ms = self.hall.clock.advance(7)
        envelope = Press(press_id=key, actor=key, now_ms=now_ms, over=True, new_ticket=f"{key}-at-{now_ms}")
        began = next(self._moments)
        try:
            answer: Any = await next(self.stores).carry_out(
                self.hall.centre.id, command, envelope, self.hall.centre.version
            )
        except QueueError as no:
            answer = no.code
        self.history.append(Pressed(command, envelope, began, next(self._moments), answer))
        return answer

    async def press_twice(self, command: Command) -> None:
        """The same press on two connections at once: one answer, unless the first was refused and nothing kept."""
        key = f"press-{next(self._keys):05}"
        first, second = await asyncio.gather(self.press(command, key=key), self.press(command, key=key))
        assert first == second or isinstance(first, str) or isinstance(second, str)


@pytest.fixture
async def hands(redis_url: str) -> Any:
    """Three connections to a hall."""
    async with AsyncExitStack() as stack:
        rooms = [await stack.enter_async_context(a_store(redis_url)) for _ in range(3)]
        plan = {"q01": "a", "q02": "a b:2", "q03": "b a:2"}
        hall = Hall(*rooms[0], a_centre(plan, mode="counter", calls_before_no_show=1))
        await hall.configure()
        yield Hands(hall, [store for store, _ in rooms])


async def client(hands: Hands, random: Random) -> None:
    """Somebody who presses whatever comes to mind."""
    tickets = ["nobody"]
    for _ in range(PRESSES):
        counter, ticket = random.choice(COUNTERS), random.choice(tickets[-3:])
        command: Command = random.choice(
            [
                *[IssueTicket(service=random.choice("ab"), cls=random.choice(["standard", "priority"]))] * 5,
                *[CallNext(counter=counter)] * 4,
                *[Complete(counter=counter)] * 3,
                Open(counter=counter, take_over=True),
                Close(counter=counter),
                Park(counter=counter),
                MarkNoShow(counter=counter),
                Transfer(counter=counter, service=random.choice("ab")),
                Undo(counter=counter),
                Undo(counter=counter),
                Cancel(ticket=ticket),
                Revive(ticket=ticket),
                MarkLate(ticket=ticket),
            ]
        )
        if random.random() < 0.2:
            await hands.press_twice(command)
        else:
            answer = await hands.press(command)
            if isinstance(command, IssueTicket) and isinstance(answer, dict):
                tickets.append(answer["ticket"]["id"])


def in_order(history: list[Pressed], events: list[dict[str, Any]]) -> list[Pressed]:
    """
    What was carried out, in the order of the facts: first who made a fact, then who only saw it, by the centre's clock.

    Of two presses with one key the one whose ticket it became was first.
    """
    made = {event["actor"] for event in events}

    def place(pressed: Pressed) -> tuple[int, bool, int, bool, bool]:
        ticket = pressed.answer.get("ticket") or {}
        return (
            pressed.answer["seq"],
            pressed.envelope.press_id not in made,
            pressed.answer["now_ms"],
            pressed.answer["now_ms"] != pressed.envelope.now_ms,  # somebody else had moved the clock before
            isinstance(pressed.command, IssueTicket) and ticket["id"] != pressed.envelope.new_ticket,
        )

    return sorted((pressed for pressed in history if not pressed.is_refused), key=place)


def refuses(model: ReferenceModel, pressed: Pressed, version: str) -> bool:
    """The model, as it is now, refuses the press with the same code."""
    try:
        deepcopy(model).carry_out(pressed.command, pressed.envelope, version)
    except Refused as no:
        return no.code == str(pressed.answer)
    return False


@pytest.mark.parametrize("seed", range(4))
async def test_an_order_explains_every_answer(hands: Hands, seed: int) -> None:
    """Nobody is called twice, nobody out of order, and "nobody waits" was true when it was said."""
    hall, centre = hands.hall, hands.hall.centre
    model = ReferenceModel(centre, DAY, EPOCH, hall.clock.now_ms())
    for counter in COUNTERS:
        await hands.press(Open(counter=counter))

    await asyncio.gather(*(client(hands, Random(f"{seed}-{n}")) for n in range(CLIENTS)))

    witness = in_order(hands.history, await hall.events())
    for earlier, later in itertools.combinations(witness, 2):
        assert earlier.began < later.ended, "answered before the other was sent, and yet after it"

    refused = [pressed for pressed in hands.history if pressed.is_refused]
    explained: set[int] = set()
    for done in range(len(witness) + 1):
        for pressed in refused:
            under_way = all(one.began < pressed.ended for one in witness[:done]) and all(
                one.ended > pressed.began for one in witness[done:]
            )
            if pressed.began not in explained and under_way and refuses(model, pressed, centre.version):
                explained.add(pressed.began)
        if done < len(witness):
            one = witness[done]
            assert tidy(model.carry_out(one.command, one.envelope, centre.version)) == tidy(one.answer), done

    assert {pressed.began for pressed in refused} == explained
    expected, actual = expected_picture(model), actual_picture(await hall.picture())
    assert expected == actual
    assert tidy(model.events) == tidy(await hall.events())


async def test_one_press_sent_by_many_is_one_press(hands: Hands) -> None:
    """A hundred repeats on three connections: one ticket, one answer."""
    wish = IssueTicket(service="a", cls="standard")

    answers = await asyncio.gather(*(hands.press(wish, key="kiosk-key-1") for _ in range(100)))

    assert all(answer == answers[0] for answer in answers)
    assert ["CentreChanged", "TicketIssued"] == await hands.hall.told()


async def test_a_line_is_called_once_and_in_order(hands: Hands) -> None:
    """Thirty wait, and thirty officers press in the same moment, each twice: each gets one, in order of arrival."""
    await hands.hall.configure(a_centre(30, id=hands.hall.centre.id, mode="department"))
    for _ in range(30):
        await hands.press(IssueTicket(service="a", cls="standard"))
    counters = [f"q{n:02}" for n in range(1, 31)]
    for counter in counters:
        await hands.press(Open(counter=counter))

    await asyncio.gather(*(hands.press_twice(CallNext(counter=counter)) for counter in counters))

    called = [event for event in await hands.hall.events() if event["type"] == "TicketCalled"]
    assert [f"A{n:03}" for n in range(1, 31)] == [event["number"] for event in called]
    assert counters == sorted(event["counter"] for event in called)
