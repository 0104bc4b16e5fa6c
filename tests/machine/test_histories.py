"""
Random histories: the same presses go to the Functions and to the reference model, and everything must agree.

After every step: the reply or the refusal, the events it recorded, and the whole state; and what must hold at all times
whatever the history.  How many histories is the profile's matter (``make machine``: many).
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter as Bag
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from msgspec.structs import replace

from builders import DAY, EPOCH, Hall, a_centre, a_store
from pictures import actual_picture, expected_picture, tidy
from queue_service.centre import Centre, Mode
from queue_service.commands import (
    AdvanceDay,
    AnswerHelp,
    AskHelp,
    Assign,
    CallChosen,
    CallNext,
    Cancel,
    Close,
    Command,
    Complete,
    CounterCommand,
    Done,
    Expire,
    Forget,
    IssueTicket,
    MarkLate,
    MarkNoShow,
    MarkPrinted,
    MarkRead,
    Note,
    Open,
    Park,
    Pause,
    Press,
    Publish,
    Recall,
    RenewEpoch,
    Resume,
    Revive,
    SendMessage,
    SetPlace,
    Start,
    SwitchIssuing,
    Transfer,
    Undo,
)
from queue_service.errors import QueueError
from queue_service.events import ENVELOPE, PUBLIC_FIELDS, STAFF_FIELDS
from queue_service.tickets import TRANSITIONS
from reference_model import FINISHED, IN_THE_BUILDING, ReferenceModel, Refused

pytestmark = pytest.mark.timeout(1800)  # many histories: a machine that is busy may take its time

COUNTERS = ("q01", "q02", "q03", "q04")
PLANS = (
    {"q01": "a", "q02": "a b:2", "q03": "b", "q04": "c a:2"},
    {"q01": "a b", "q02": "a", "q03": "a b:2 c:3", "q04": "b c"},
    {"q01": "a", "q02": "a", "q03": "a", "q04": "a b c"},
    {"q01": "a", "q03": "a c"},
)
MODES: tuple[Mode, ...] = ("cluster", "counter", "department")

PAUSES = (0, 0, 1, 999, 1_000, 7_500, 60_000, 61_000, 400_000, -30_000)
NAMES = ("a", "a", "b", "b", "c")
CLASSES = ("standard", "standard", "priority", "appointment")

randoms = st.randoms(use_true_random=False)  # every choice is hypothesis's, so that failures shrink


def some_centre(random: Random) -> Centre:
    return a_centre(
        random.choice(PLANS),
        mode=random.choice(MODES),
        modes={"b": random.choice(MODES)},
        services="d",
        departments=random.choice([{}, {"c": "a"}]),
        letters=random.choice([{}, {"b": "Z", "c": "Y"}, {"a": "B", "b": "A"}]),
        means={"a": 300, "b": random.choice([120, 700]), "c": 301},
        cap=random.choice([999, 999, 999, 3]),
        calls_before_no_show=random.choice([1, 2]),
        no_show_back_places=random.choice([2, 1, 0]),
        no_show_returns=random.choice([1, 2, 0]),
        late_back_places=random.choice([2, 1, 0]),
        auto_ready=random.choice([True, True, True, False]),
        kappa=random.choice([1.0, 0.3, 0.0]),
    )


class QueueMachine(RuleBasedStateMachine):
    """One centre, its model, and hands that press at random."""

    url: str

    @initialize(random=randoms)
    def begin(self, random: Random) -> None:
        self.runner = asyncio.Runner()
        self.room = a_store(self.url)
        store, client = self.runner.run(self.room.__aenter__())
        self.hall = Hall(store, client, some_centre(random))
        self.runner.run(self.hall.configure())
        self.model = ReferenceModel(self.hall.centre, DAY, EPOCH, self.hall.clock.now_ms())
        self.fresh = itertools.count(1)
        self.days = itertools.count(23)
        self.pressed: list[tuple[Command, Press]] = []
        self.transcript: list[str] = [str(self.hall.centre)]
        self.seen = 0
        self.compare()
        for counter in COUNTERS[:3]:
            self.press(Open(counter=counter), "staff:lan")
        for service in "aab":
            self.press(IssueTicket(service=service, cls="standard"), "device:k1")

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self.room.__aexit__(None, None, None))
            self.runner.close()

    # -- pressing -----------------------------------------------------------------------------------------------------

    def press(self, command: Command, actor: str, over: bool = False, version: str | None = None) -> None:
        n = next(self.fresh)
        now_ms = self.hall.clock.now_ms()
        envelope = Press(press_id=f"press-{n:04}", actor=actor, now_ms=now_ms, over=over, new_ticket=f"ticket-{n:04}")
        self.pressed.append((command, envelope))
        self.send(command, envelope, version)

    def send(self, command: Command, envelope: Press, version: str | None = None) -> None:
        version = self.hall.centre.version if version is None else version
        self.transcript.append(f"{envelope.now_ms} {envelope.press_id} {envelope.actor} {command}")
        expected: Any
        actual: Any
        try:
            expected = tidy(self.model.carry_out(command, envelope, version))
        except Refused as no:
            expected = no.code
        try:
            reply = self.runner.run(self.hall.send(command, envelope, version))
            actual = tidy(reply)
        except QueueError as no:
            actual = no.code
        assert expected == actual, "\n".join(self.transcript)
        self.compare()

    def compare(self) -> None:
        """The whole state, and the events since the last look."""
        self.picture = self.runner.run(self.hall.picture())
        expected, actual = expected_picture(self.model), actual_picture(self.picture)
        expected["events"], actual["events"] = (
            tidy(events[self.seen :]) for events in (self.model.events, self.picture["events"])
        )
        assert expected == actual, "\n".join(self.transcript)
        self.seen = len(self.model.events)
        self.check_everything()

    def a_ticket(self, random: Random, *states: str) -> str:
        """Mostly one in *states*, if there is one."""
        ids = [id_ for id_, ticket in self.model.tickets.items() if ticket["state"] in states]
        every = [*self.model.tickets, "ticket-none"]
        return random.choice((ids or every) * 5 + every)

    def officer(self, counter: str) -> str:
        """Whoever sits there; else somebody who should not press."""
        return self.model.counter(counter)["officer"] or "staff:minh"

    def at(self, command: type[CounterCommand], counter: str, **fields: Any) -> None:
        self.press(command(counter=counter, **fields), self.officer(counter))

    # -- rules: few and broad, so that most steps of a history are steps forward --------------------------------------

    @rule(random=randoms)
    def somebody_comes(self, random: Random) -> None:
        self.hall.clock.advance(random.choice(PAUSES))
        first, *more = random.sample(["a", "b", "c"], 3) if random.random() < 0.3 else [random.choice(NAMES)]
        appointment = self.hall.clock.now_ms() + random.choice([-1_000_000, 0, 400_000])
        self.press(
            IssueTicket(
                service=first,
                further=tuple(more[: random.choice([1, 2])]),
                any_order=random.random() < 0.6,
                cls=random.choice(CLASSES),
                appointment_ms=appointment if random.random() < 0.1 else None,
            ),
            "device:k1",
        )

    @rule(random=randoms)
    def work(self, random: Random) -> None:
        """An officer's next step: call when free, go on when somebody is there."""
        self.hall.clock.advance(random.choice(PAUSES))
        counter = random.choice(COUNTERS)
        live = self.model.counter(counter)
        if live["ticket"]:
            self.go_on(random, counter)
        elif live["state"] in ("closed", "paused"):
            self.press(Open(counter=counter), self.officer(counter))
        elif random.random() < 0.7:
            self.at(CallNext, counter)
        else:
            ticket = self.a_ticket(random, "waiting", "no_show")
            if ticket in self.model.tickets and random.random() < 0.3:
                ticket = self.model.tickets[ticket]["number"].lower()
            self.at(CallChosen, counter, ticket=ticket, reason="asked")
            self.at(Resume, counter, ticket=self.a_ticket(random, "parked"))

    def go_on(self, random: Random, counter: str) -> None:
        match random.choice(["complete", "complete", "start", "no-show", "park", "transfer", "transfer", "note"]):
            case "complete":
                done = random.choice([None, None, (Done(procedure="1.001"), Done(procedure="1.002", dossiers=0))])
                self.at(Complete, counter, done=done, outcome=random.choice([None, "done"]))
            case "note":
                self.at(Note, counter, text=random.choice(["deaf", "deaf", None]))
            case "start":
                self.at(Start, counter)
            case "no-show":
                for _ in range(random.choice([1, 0, 2])):
                    self.at(Recall, counter)
                self.at(MarkNoShow, counter)
            case "park":
                until = self.hall.clock.now_ms() + 600_000
                self.at(Park, counter, reason="a paper", until_ms=random.choice([None, until]))
            case "transfer":
                service = random.choice(["a", "b", "c", "d", "nowhere", None, None, None])
                to = random.choice([*COUNTERS, "q99", None, None])
                further = random.choice([None, None, (), ("a",), ("b", "c"), ("d",), ("nowhere",), ("b", "b")])
                served = random.random() < 0.3
                officer = random.choice([None, None, None, None, "staff:lan", "staff:minh", "staff:none"])
                note = random.choice(["next", None])
                self.at(
                    Transfer, counter, service=service, further=further, to_counter=to, to_officer=officer,
                    served=served, note=note,
                )  # fmt: skip

    @rule(random=randoms)
    def visitor(self, random: Random) -> None:
        """Mostly what the law has a row for."""
        press = random.choice([Revive, Revive, MarkLate, MarkLate, Cancel, Expire, MarkPrinted])
        lawful = [state for state, row in TRANSITIONS.items() if state and press in row]
        self.press(press(ticket=self.a_ticket(random, *lawful)), "phone")

    @rule(random=randoms)
    def supervise(self, random: Random) -> None:
        """Another place in line, mostly one that there is; or other lines for a counter, today."""
        if random.random() < 0.3:
            lines = random.choice([None, {}, {"a": 1}, {"b": 1}, {"a": 2, "b": 1}, {"b": 1, "a": 1, "c": 3}])
            if lines is not None and not set(lines) <= {service.id for service in self.hall.centre.services}:
                lines = None
            self.press(Assign(counter=random.choice([*COUNTERS, "q99"]), serves=lines, reason="few come"), "staff:boss")
            return
        ticket = self.a_ticket(random, "waiting", "parked", "no_show")
        service = random.choice([None, None, "a", "b", "c", "d", "nowhere"])
        now_ms = self.hall.clock.now_ms()
        where: dict[str, Any] = random.choice(
            [
                {"after": random.choice([0, 1, 2, 3, 99, 100])},
                {"before": self.a_ticket(random, "waiting")},
                {"at_ms": now_ms - random.choice([0, 1, 400_000, 90_000_000, -1])},
            ]
        )
        self.press(SetPlace(ticket=ticket, reason="asked", service=service, **where), "staff:boss", over=True)

    @rule(random=randoms)
    def seat(self, random: Random) -> None:
        """Taken, kept, left."""
        counter, flag = random.choice(COUNTERS), random.random() < 0.4
        match random.choice(["open", "open", "close", "close", "pause"]):
            case "open":
                wish = Open(counter=counter, take_over=flag, keep_officer=random.random() < 0.3)
                self.press(wish, random.choice(["staff:lan", "staff:minh"]), random.random() < 0.3)
            case "close":
                self.press(Close(counter=counter, drain=flag), self.officer(counter), random.random() < 0.3)
            case "pause":
                self.at(Pause, counter, reason="lunch")

    @rule(random=randoms)
    def talk(self, random: Random) -> None:
        """Help asked for and given, words sent and put away."""
        counter, flag = random.choice([*COUNTERS, "q99"]), random.random() < 0.4
        text = random.choice(["a word", "another", None])
        lying = [one["message"] for box, lie in self.model.messages.items() if box != "help" for one in lie] or [1]
        match random.choice(["ask", "answer", "officer", "supervisor", "read", "read"]):
            case "ask":
                self.at(AskHelp, counter, text=text)
            case "answer":
                self.press(
                    AnswerHelp(counter=counter, text=text), "staff:boss" if flag else self.officer(counter), flag
                )
            case "officer":
                self.press(SendMessage(text=text or "", counter=counter), self.officer(counter))
            case "supervisor":
                to = tuple(random.sample(COUNTERS, random.choice([0, 1, 3]))) or None
                self.press(SendMessage(text="to all", to=to), "staff:boss", over=True)
            case "read":
                where = None if flag else counter
                self.press(MarkRead(message=random.choice(lying), counter=where), self.officer(counter), flag)

    @rule(random=randoms)
    def take_back(self, random: Random) -> None:
        """Undo, mostly where there is something to undo."""
        steps = [id_ for id_ in COUNTERS if self.model.counter(id_)["last"]]
        self.hall.clock.advance(random.choice([0, 0, 0, 60_000, 60_001]))
        counter = random.choice(steps * 5 + list(COUNTERS))
        self.press(Undo(counter=counter), self.officer(counter), random.random() < 0.2)

    @rule(random=randoms)
    def whatever(self, random: Random) -> None:
        """What an officer should not press now, perhaps; or a press again, perhaps with another meaning."""
        if random.random() < 0.5:
            presses: list[type[CounterCommand]] = [CallNext, Recall, Start, Complete, MarkNoShow, Park, Undo]
            self.at(random.choice(presses), random.choice(COUNTERS))
        else:
            command, envelope = random.choice(self.pressed[-8:])
            self.send(Cancel(ticket="ticket-none") if random.random() < 0.2 else command, envelope)

    @rule(random=randoms)
    def administer(self, random: Random) -> None:
        """What happens rarely, and what should not."""
        flag = random.random() < 0.6
        match random.choice(
            ["centre", "centre", "centre", "day", "day", "forget", "issuing", "epoch", "fact", "strange"]
        ):
            case "centre":
                self.configure(some_centre(random))
            case "day":
                self.press(AdvanceDay(day=f"2026-12-{next(self.days) - 22:02}" if flag else DAY), "system")
            case "forget":
                self.press(Forget(tickets=[*self.model.tickets, "ticket-none"]), "system")
            case "issuing":
                self.press(SwitchIssuing(open=flag, text="" if flag else "closed"), "staff:boss")
                self.press(IssueTicket(service="a", cls="standard"), "staff:boss", over=flag)
                self.press(SwitchIssuing(open=True), "staff:boss")
            case "fact":
                fact = {"code": "X-1", "state": "ready", "was": "received", "step": 2 if flag else "second"}
                self.press(Publish(fact=fact), "staff:lan")
            case "epoch":
                self.press(RenewEpoch(epoch="epoch-2" if flag else "epoch-3"), "system")
            case "strange":
                self.press(IssueTicket(service="d" if flag else "nowhere", cls="standard"), "device:k1")
                self.press(IssueTicket(service="a", cls="royal"), "device:k1")
                self.press(IssueTicket(service="a", cls="standard"), "device:k1", version="old")
                self.press(CallNext(counter="q99"), "staff:lan")

    def configure(self, centre: Centre) -> None:
        """Other counters, services, clusters and rules, in the middle of the day."""
        centre = replace(centre, id=self.hall.centre.id)
        self.transcript.append(str(centre))
        expected, actual = None, None
        try:
            self.model.configure(centre, self.hall.clock.now_ms())
        except Refused as no:
            expected = no.code
        try:
            self.runner.run(self.hall.configure(centre))
        except QueueError as no:
            actual = no.code
        assert expected == actual, "\n".join(self.transcript)
        self.compare()

    # -- what always holds --------------------------------------------------------------------------------------------

    def check_everything(self) -> None:
        self.everybody_is_in_one_place()
        self.numbers_are_unique()
        self.events_are_dense()
        self.events_carry_what_is_declared()
        self.nobody_is_ready_while_somebody_waits()
        self.everybody_who_waits_can_be_called()

    def everybody_is_in_one_place(self) -> None:
        """Waiting, in one hand, or away: each ticket once."""
        tickets = self.picture["tickets"]
        lines = sorted({member[-1] for member in self.picture["waiting"]})
        hands = [record["ticket"] for record in self.picture["counters"].values() if record.get("ticket")]
        away = [id_ for id_, ticket in tickets.items() if ticket["state"] in ("parked", "no_show", *FINISHED)]
        assert Bag(list(tickets)) == Bag(lines + hands + away)

    def numbers_are_unique(self) -> None:
        """In a department's day, and among those in the building."""
        tickets = self.picture["tickets"].values()
        issued = [(ticket["day"], ticket["number"]) for ticket in tickets]
        carried = [ticket["number"] for ticket in tickets if ticket["state"] in IN_THE_BUILDING]
        assert len(issued) == len(set(issued))
        assert len(carried) == len(set(carried))

    def events_are_dense(self) -> None:
        """Every fact is numbered, without gaps."""
        events = self.picture["events"]
        assert list(range(1, len(events) + 1)) == [event["seq"] for event in events]
        assert str(len(events)) == self.picture["day"]["seq"]

    def events_carry_what_is_declared(self) -> None:
        """Nothing that events.py does not list, so that the public form hides what it should."""
        for event in self.picture["events"]:
            known = {*ENVELOPE, *PUBLIC_FIELDS[event["type"]], *STAFF_FIELDS[event["type"]]}
            assert set(event) <= known, event

    def nobody_is_ready_while_somebody_waits(self) -> None:
        """A counter that asked and got nobody serves no line in which somebody waits."""
        if not self.hall.centre.policy.auto_ready:
            return
        waited_for = {member[0] for member in self.picture["waiting"]}
        for id_, record in self.picture["counters"].items():
            if record.get("ready"):
                assert "open" == record["state"]
                assert not record.get("ticket")
                assert not waited_for & {line.service for line in self.hall.centre.counter(id_).serves}

    def everybody_who_waits_can_be_called(self) -> None:
        """Some counter of the configuration serves each line in which somebody waits."""
        served = {line.service for counter in self.hall.centre.counters for line in counter.serves}
        assert {member[0] for member in self.picture["waiting"]} <= served


def test_random_histories_agree_with_the_model(redis_url: str) -> None:
    """Whatever is pressed: same answers, same facts, same hall."""
    machine = type("Queue", (QueueMachine,), {"url": redis_url})
    examples = settings().max_examples // 5
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=30))


STEPS = (
    *[QueueMachine.work] * 8,
    *[QueueMachine.somebody_comes] * 4,
    *[QueueMachine.visitor] * 2,
    *[QueueMachine.seat] * 2,
    *[QueueMachine.take_back] * 2,
    QueueMachine.talk,
    QueueMachine.whatever,
    QueueMachine.administer,
)


def test_long_days_agree_with_the_model(redis_url: str) -> None:
    """Days of many presses in a likely mix, deeper than hypothesis goes by itself; thorough runs look at more."""
    for seed in range(settings().max_examples // 50):
        random = Random(seed)
        machine = type("Queue", (QueueMachine,), {"url": redis_url})()
        try:
            machine.begin(random)
            for _ in range(120):
                random.choice(STEPS)(machine, random)
        finally:
            machine.teardown()
