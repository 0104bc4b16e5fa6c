"""
The slow, obvious queue that everything must agree with.

Plain lists, sorted anew at each question; no index, no running sum, no cleverness.  What a command answers, refuses and
records here is what it means; the Lua functions are fast ways of saying the same.  A refusal puts everything back.

``carry_out`` takes what ``TicketStore.carry_out`` takes, and returns the same reply or raises ``Refused``.  Records and
events are maps with the names of the store; a field that is None is a field that is not there.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any

from queue_service.assignments import Assignments
from queue_service.assignments import assigned as with_assignments
from queue_service.centre import Centre, Counter, clusters
from queue_service.codec import (
    APPOINTMENT_GRACE_MS,
    APPOINTMENT_LEAD_MS,
    MEAN_MEMORY,
    MEAN_OF_UNKNOWN_SERVICE_MS,
    MEAN_WEIGHT,
)
from queue_service.commands import Command, Press
from queue_service.tickets import TRANSITIONS, State

Record = dict[str, Any]

IN_THE_BUILDING = ("waiting", "called", "serving", "parked", "no_show")
FINISHED = ("served", "cancelled", "expired")
STANDING = "department service class lines counters group announced_for virtual_ms order"
UNTOUCHED = ("centre", "file", "events", "answers", "answers_before")  # by a press that is refused, or only added to


class Refused(Exception):
    """The press is not carried out and nothing has changed."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ReferenceModel:
    """One centre's day."""

    def __init__(self, centre: Centre, day: str, epoch: str, now_ms: int) -> None:
        self.centre = self.file = centre
        self.assigned: dict[str, dict[str, int]] = {}
        self.day = day
        self.epoch = epoch
        self.now = now_ms  # the centre's clock: the latest time it was ever told
        self.orders = 0
        self.issuing: Record = {"open": True, "text": ""}
        self.sequences: dict[str, int] = {}
        self.numbers: dict[str, str] = {}
        self.means: dict[str, tuple[float, int]] = {}
        self.tickets: dict[str, Record] = {}
        self.counters: dict[str, Record] = {}
        self.messages: dict[str, Any] = {}  # inbox -> messages; "help" -> counter -> call
        self.events: list[Record] = []
        self.answers: dict[str, tuple[Command, Record]] = {}
        self.answers_before: dict[str, tuple[Command, Record]] = {}
        self.actor, self.over, self.new_ticket = "system", False, ""
        self.record("CentreChanged", version=centre.version)

    # -- a press --------------------------------------------------------------------------------------------------

    def carry_out(self, command: Command, press: Press, version: str) -> Record:
        """The answer to a press: the first one again, or that of the rule named like the command."""
        answered = self.answers.get(press.press_id) or self.answers_before.get(press.press_id)
        if answered:
            if answered[0] != command:
                raise Refused("KEY_REUSED")
            return deepcopy(answered[1])
        if version != self.centre.version:
            raise Refused("STALE_CENTRE")
        facts = len(self.events)
        saved = {name: deepcopy(value) for name, value in self.__dict__.items() if name not in UNTOUCHED}
        self.now = max(self.now, press.now_ms)
        self.actor, self.over, self.new_ticket, self.wait = press.actor, press.over, press.new_ticket, press.wait
        try:
            reply: Record = getattr(self, command.press_name().replace("-", "_"))(command)
        except Refused:
            self.__dict__.update(saved)
            del self.events[facts:]
            raise
        reply |= {"epoch": self.epoch, "seq": len(self.events), "now_ms": self.now, "day": self.day}
        self.answers[press.press_id] = command, deepcopy(reply)
        return deepcopy(reply)

    def configure(self, centre: Centre, now_ms: int) -> None:
        """Another configuration in the middle of the day; nobody may be lost by it."""
        if centre.version == self.centre.version and not self.assigned:
            return
        self.check_nobody_is_stranded(centre)
        kept = {counter.id for counter in centre.counters}
        if any(record["ticket"] for id_, record in self.counters.items() if id_ not in kept):
            raise Refused("COUNTER_BUSY")
        self.now, self.actor, self.file, self.assigned = max(self.now, now_ms), "system", centre, {}
        self.put_in_force(centre)

    def assign(self, wish: Any) -> Record:
        """What a counter serves for the rest of the day."""
        self.plan(wish.counter)
        if not wish.reason:
            raise Refused("MALFORMED")
        assigned = {counter: lines for counter, lines in self.assigned.items() if counter != wish.counter}
        (plan,) = (counter for counter in self.file.counters if counter.id == wish.counter)
        if wish.serves is not None and wish.serves != {line.service: line.level for line in plan.serves}:
            assigned[wish.counter] = wish.serves
        centre = with_assignments(self.file, Assignments("", assigned))
        self.check_nobody_is_stranded(centre)
        self.assigned = assigned
        self.record("CounterAssigned", counter=wish.counter, serves=wish.serves, reason=wish.reason)
        self.put_in_force(centre)
        counter = self.counter(wish.counter)
        return self.answer(self.tickets.get(counter["ticket"]), counter)

    def check_nobody_is_stranded(self, centre: Centre) -> None:
        """Whoever waits has a counter."""
        served = {line.service for counter in centre.counters for line in counter.serves}
        if any(service not in served for ticket in self.waiting() for service in ticket["lines"]):
            raise Refused("NOBODY_SERVES")

    def put_in_force(self, centre: Centre) -> None:
        """Slips choose again, ready counters look again, steps before it cannot be undone."""
        self.centre, kept = centre, {counter.id for counter in centre.counters}
        self.record("CentreChanged", version=centre.version)
        for gone in sorted(set(self.counters) - kept):
            if self.counters.pop(gone)["state"] != "closed":
                self.record("CounterClosed", counter=gone, draining=False)
        for record in self.counters.values():
            record["last"] = None
        for ticket in self.in_order(self.waiting()):
            if self.slip(ticket["announced_for"], ticket["group"]) != ticket["counters"]:
                self.announce_again(ticket)
        ready = [record for record in self.counters.values() if record["ready"]]
        for counter in sorted(ready, key=lambda record: (record["idle_since"], record["id"])):
            if self.centre.policy.auto_ready and (due := self.due(counter)):
                self.invite(*due[:2], counter, "call-next", due[2])

    def record(self, kind: str, **fact: Any) -> int:
        """Number a fact."""
        known = {name: value for name, value in fact.items() if value is not None}
        envelope = {"epoch": self.epoch, "seq": len(self.events) + 1, "at_ms": self.now, "type": kind}
        self.events.append(deepcopy({**known, **envelope, "actor": self.actor}))
        return len(self.events)

    # -- what there is --------------------------------------------------------------------------------------------

    def ticket(self, id: str) -> Record:
        """The ticket."""
        if id not in self.tickets:
            raise Refused("UNKNOWN_TICKET")
        return self.tickets[id]

    def waiting(self, service: str | None = None) -> list[Record]:
        """Who waits (for *service*)."""
        return [
            ticket
            for ticket in self.tickets.values()
            if ticket["state"] == "waiting" and (service is None or service in ticket["lines"])
        ]

    @staticmethod
    def in_order(tickets: list[Record]) -> list[Record]:
        """By virtual arrival, then by order."""
        return sorted(tickets, key=lambda ticket: (ticket["virtual_ms"], parts(ticket)))

    def line(self, service: str, cls: str) -> list[Record]:
        """One line and class, first come first."""
        return self.in_order([ticket for ticket in self.waiting(service) if ticket["class"] == cls])

    def ahead(self, ticket: Record) -> int:
        """People of the same line who are due before *ticket*."""
        promise = {cls.id: cls.promise_s * 1000 for cls in self.centre.policy.classes}

        def due(one: Record) -> tuple[float, tuple[str, ...]]:
            return one["virtual_ms"] + promise[one["class"]], parts(one)

        return sum(due(other) < due(ticket) for other in self.waiting(ticket["service"]))

    def mean(self, service: str) -> tuple[float, int]:
        """Mean service time of a line in ms, and how many services it stands for."""
        configured = {one.id: one.mean_service_s * 1000.0 for one in self.centre.services}
        return self.means.get(service) or (configured.get(service, MEAN_OF_UNKNOWN_SERVICE_MS), MEAN_WEIGHT)

    def counter(self, id: str) -> Record:
        """The live record of a counter."""
        nobody = {"id": id, "state": "closed", "since_ms": 0, "idle_since": 0}
        nothing = dict.fromkeys(("officer", "reason", "ready", "ticket", "call", "last", "has_left"))
        return self.counters.setdefault(id, {**nobody, **nothing})

    def plan(self, id: str) -> Counter:
        """What the configuration says of a counter."""
        for counter in self.centre.counters:
            if counter.id == id:
                return counter
        raise Refused("UNKNOWN_COUNTER")

    def own_counter(self, id: str) -> Record:
        """The counter of a press; the actor has its seat, or may act over it."""
        self.plan(id)
        counter = self.counter(id)
        if not self.over and counter["officer"] != self.actor:
            raise Refused("NOT_YOUR_SEAT")
        return counter

    def free_counter(self, id: str) -> Record:
        """The same, and it may invite somebody."""
        counter = self.own_counter(id)
        if counter["ticket"]:
            raise Refused("COUNTER_BUSY")
        if counter["state"] in ("paused", "closed"):
            raise Refused("COUNTER_" + counter["state"].upper())
        return counter

    def in_hand(self, command: Any) -> tuple[Record, Record]:
        """The ticket in hand and the counter; the law allows the command."""
        counter = self.own_counter(command.counter)
        if not counter["ticket"]:
            raise Refused("COUNTER_IDLE")
        ticket = self.tickets[counter["ticket"]]
        self.lawful(ticket, command)
        return ticket, counter

    @staticmethod
    def lawful(ticket: Record, command: Command) -> None:
        """Refuse what the law of tickets.py has no row for."""
        if type(command) not in TRANSITIONS[State(ticket["state"])]:
            raise Refused("WRONG_STATE")

    def served(self, service: str) -> bool:
        """Some counter serves it."""
        return any(line.service == service for counter in self.centre.counters for line in counter.serves)

    def show(self, counter: Record) -> Record:
        """What staff see of a counter."""
        plan, last = self.plan(counter["id"]), counter["last"]
        seen = {name: counter[name] for name in ("id", "state", "officer", "since_ms", "reason", "ticket")}
        undo = last and {"press": last["press"], "until_ms": last["until_ms"]}
        return seen | {"number": plan.number, "zone": plan.zone, "ready": bool(counter["ready"]), "undo": undo}

    # -- what the ticket names ------------------------------------------------------------------------------------

    def residual(self, counter: Record) -> float:
        """When the counter will be free, in ms from now."""
        if not counter["ticket"]:
            return 0.0
        ends: float = counter["called_at_ms"] + counter["mean_at_call"] - self.now
        return max(ends, 0.25 * self.mean(counter["service"])[0])

    def work(self, group: str) -> float:
        """Mean service times of those who wait and whose slip says *group*."""
        return math.fsum(ticket["work_ms"] for ticket in self.waiting() if ticket["group"] == group)

    def slip(self, service: str, group: str) -> list[str] | None:
        """The counters that a slip announced to *group* names."""
        if service not in [one.id for one in self.centre.services]:
            return None
        mode = self.mode(service)
        every = [counter.id for counter in self.centre.counters_of(service)]
        if mode == "cluster":
            for n, cluster in enumerate(clusters(self.centre, service), 1):
                if group == f"{service}.{n}":
                    return [counter.id for counter in cluster]
        if group not in every:
            return None
        return every if mode == "department" else [group]

    def choose(self, lines: list[str]) -> tuple[str, str]:
        """The group that would begin soonest with one more, and the line it was chosen for."""
        everybody = [(counter, line) for line in lines for counter in self.centre.counters_of(line)]
        opened = [one for one in everybody if self.counter(one[0].id)["state"] == "open"]
        staying = [one for one in everybody if not self.counter(one[0].id)["has_left"]]
        takers = opened or staying or everybody
        _, group, line = min(self.keys(lines, takers) or self.keys(lines, everybody), key=lambda key: key[0])
        return group, line

    def keys(self, lines: list[str], takers: list[tuple[Counter, str]]) -> list[tuple[Any, str, str]]:
        """What could be announced, with the order of preference."""
        keys: list[tuple[Any, str, str]] = []
        for line in lines:
            for counter in [one for one, its in takers if its == line and self.mode(line) != "cluster"]:
                start = self.residual(self.counter(counter.id)) + self.work(counter.id)
                keys.append((self.preference(start, counter, line), counter.id, line))
            for n, run in enumerate(clusters(self.centre, line) if self.mode(line) == "cluster" else (), 1):
                here = [counter for counter in run if (counter, line) in takers]
                if here:
                    least = min(self.residual(self.counter(counter.id)) for counter in here)
                    start = least + sum(map(self.share, here)) / len(here)
                    keys.append((min(self.preference(start, one, line) for one in here), f"{line}.{n}", line))
        return keys

    def mode(self, service: str) -> str:
        """What slips of the service's department name."""
        return self.centre.department_of(service).mode

    def share(self, counter: Counter) -> float:
        """A counter's share of the work of its clusters."""
        share = 0.0
        for line in sorted(counter.serves, key=lambda line: line.level):
            for n, run in enumerate(clusters(self.centre, line.service), 1):
                if counter in run and self.mode(line.service) == "cluster":
                    attended = sum(self.counter(one.id)["state"] == "open" for one in run)
                    share += self.work(f"{line.service}.{n}") / max(attended, 1)
        return share

    def preference(self, start: float, counter: Counter, line: str) -> tuple[Any, ...]:
        """The earlier start, to the second; own work; the less flexible; who became free first; who stands first."""
        seconds, place = math.floor(start / 1000 + 0.5), self.centre.counters.index(counter)
        return seconds, counter.level(line), len(counter.serves), self.counter(counter.id)["idle_since"], place

    def stand_in_line(self, ticket: Record, to_counter: str | None = None) -> None:
        """The ticket begins to wait: for what is half done, for all it needs in any order, or for the next."""
        ticket["state"] = "away"  # its own work does not count while it chooses
        half_done, needs = ticket.get("half_done"), ticket["needs"]
        lines = [half_done] if half_done else list(needs) if ticket["any_order"] else needs[:1]
        group, line = (to_counter, lines[0]) if to_counter else self.choose(lines)
        ticket |= {"lines": lines, "service": lines[0], "group": group, "announced_for": line}
        ticket["counters"] = [to_counter] if to_counter else self.slip(line, group)
        ticket |= dict.fromkeys(("counter", "called_at_ms", "started_at_ms", "ended_at_ms"))
        ticket |= {"state": "waiting", "rings": 0, "work_ms": self.mean(line)[0]}

    def announce_again(self, ticket: Record) -> None:
        """Its slip names counters that are not there: it chooses again."""
        named, ticket["state"] = ticket["counters"], "away"
        group, line = self.choose(ticket["lines"])
        ticket |= {"group": group, "announced_for": line, "counters": self.slip(line, group), "state": "waiting"}
        ticket["work_ms"] = self.mean(line)[0]
        if ticket["counters"] != named:
            self.tell("TicketReassigned", ticket, STANDING)

    def move_back(self, ticket: Record, places: int) -> bool:
        """Behind up to *places* others of its line and class."""
        here = (ticket["virtual_ms"], parts(ticket))
        behind = [
            one for one in self.line(ticket["service"], ticket["class"]) if (one["virtual_ms"], parts(one)) > here
        ][:places]
        if behind:
            ticket |= {"virtual_ms": behind[-1]["virtual_ms"], "placed": None}
            ticket["order"] = behind[-1]["order"] + ":" + parts(ticket)[-1]
        return bool(behind)

    # -- who is called --------------------------------------------------------------------------------------------

    def due(self, counter: Record) -> tuple[Record, str, Record] | None:
        """Counted-wait first: whom the counter calls, for which service, and why."""
        policy, plan = self.centre.policy, self.plan(counter["id"])
        promise = {cls.id: cls.promise_s * 1000 for cls in policy.classes}
        lines = sorted(plan.serves, key=lambda line: line.level)
        level = {line.service: line.level for line in lines}

        def handicap(line: str) -> float:
            return policy.handicap_s * 1000 * (level[line] - 1)

        def ratio(ticket: Record) -> float:
            return promise["standard"] / promise[ticket["class"]]

        def counted(one: tuple[Record, str]) -> float:
            ticket, line = one
            share: float = ratio(ticket) * (self.now - ticket["virtual_ms"])
            return share - handicap(line) - policy.kappa * self.mean(line)[0]

        def is_own(one: tuple[Record, str]) -> bool:
            ticket, line = one
            mine = [counter["id"]]
            for n, run in enumerate(clusters(self.centre, line), 1):
                if plan in run:
                    mine.append(f"{line}.{n}")
            return self.mode(line) != "department" and ticket["announced_for"] == line and ticket["group"] in mine

        everybody = [(ticket, line.service) for line in lines for ticket in self.waiting(line.service)]
        by_wait = sorted(everybody, key=lambda one: (-counted(one), parts(one[0])))
        own = next(filter(is_own, by_wait), None)
        if not everybody or (counter["state"] == "draining" and not own):
            return None
        chosen = oldest = by_wait[0]
        window = policy.window(self.centre.department_of(own[1]).mode) * 1000 if own else 0
        rule = "oldest"
        if own and (counter["state"] == "draining" or counted(own) >= counted(oldest) - window):
            chosen, rule = own, "own"
        heads = {(ticket["class"], line) for ticket, line in everybody}
        is_oldest = chosen[0] is oldest[0]
        why = {
            "rule": "only" if len(heads) == 1 and is_oldest else rule,
            "class": chosen[0]["class"],
            "waited_ms": self.now - chosen[0]["virtual_ms"],
            "counted_ms": math.floor(counted(chosen) + 0.5),
            "ratio": ratio(chosen[0]),
            "handicap_ms": handicap(chosen[1]),
            "mean_ms": math.floor(self.mean(chosen[1])[0] + 0.5),
            "considered": len(heads),
            "window_ms": window,
        }
        if not is_oldest:
            why["oldest"] = oldest[0]["id"]
            why["oldest_counted_ms"] = math.floor(counted(oldest) + 0.5)
            why["window_used_ms"] = math.floor(counted(oldest) - counted(chosen) + 0.5)
        return *chosen, why

    def invite(
        self, ticket: Record, service: str, counter: Record, press: str, why: Record, reason: str | None = None
    ) -> None:
        """The one place where a call happens."""
        before, was = deepcopy(ticket), ticket["state"]
        why = {**why, "placed": ticket.get("placed")}
        call = len(self.events) + 1
        ticket |= {"service": service, "department": self.department(service, ticket)}
        ticket |= {"state": "called", "counter": counter["id"], "called_at_ms": self.now, "rings": 1, "call": call}
        ticket |= dict.fromkeys(("started_at_ms", "ended_at_ms", "park_reason", "park_until_ms"))
        self.remember(counter, press, before, ticket)
        counter |= {"ready": None, "ticket": ticket["id"], "called_at_ms": self.now, "service": ticket["service"]}
        counter["mean_at_call"] = self.mean(ticket["service"])[0]
        shown = {name: ticket[name] for name in ("number", "department", "language")}
        counter["call"] = shown | {"at_ms": self.now, "seq": call, "rings": 1, "ticket_state": "called"}
        fields = "department service class counter call language"
        lines = several(ticket) if was == "waiting" else None
        self.tell("TicketCalled", ticket, fields, was=was, lines=lines, why=why, reason=reason)

    def department(self, service: str, ticket: Record) -> str:
        """Of a service; that of the ticket if the service was taken out of the configuration."""
        found = [one.department for one in self.centre.services if one.id == service]
        return found[0] if found else str(ticket["department"])

    def offer(self, ticket: Record) -> None:
        """A ticket has begun to wait: a counter that asked and got nobody calls it; those the slip names go first."""
        if not self.centre.policy.auto_ready:
            return
        ready, named = [], []
        for line in ticket["lines"]:
            for plan in self.centre.counters_of(line):
                live = self.counter(plan.id)
                if live["ready"] and live["state"] == "open" and not live["ticket"]:
                    place = live["idle_since"], self.centre.counters.index(plan)
                    ready.append((place, live, line))
                    if plan.id in ([ticket["group"]] if self.mode(line) == "department" else ticket["counters"]):
                        named.append((place, live, line))
        if ready:
            _, taker, line = min(named or ready, key=lambda one: one[0])
            self.invite(ticket, line, taker, "call-next", self.reason("ready", ticket))

    def reason(self, rule: str, ticket: Record) -> Record:
        """Why a call that nobody had to choose."""
        return {"rule": rule, "class": ticket["class"], "waited_ms": self.now - ticket["virtual_ms"], "considered": 1}

    def remember(self, counter: Record, press: str, before: Record, after: Record, learned: Any = None) -> None:
        """The last step of a counter, for undo."""
        until = self.now + self.centre.policy.undo_s * 1000
        counter["last"] = {"press": press, "until_ms": until, "before": before, "state": after["state"]}
        counter["last"] |= {"held": counter["ticket"], "call": deepcopy(counter["call"]), "learned": learned}
        counter["last"]["earlier"] = None

    def dismiss(self, ticket: Record, counter: Record, state: str, press: str, learned: Any = None) -> None:
        """The ticket in hand leaves the counter."""
        before = deepcopy(ticket)
        ticket |= {"state": state, "ended_at_ms": self.now}
        self.remember(counter, press, before, ticket, learned)
        self.mark_call(ticket, counter, state)
        counter |= {"ticket": None, "idle_since": self.now, "ready": None}
        if counter["state"] == "closed":
            counter["officer"] = None

    @staticmethod
    def mark_call(ticket: Record, counter: Record, state: str) -> None:
        """What the board shows beside the counter, if it still shows this call."""
        if counter["call"] and counter["call"]["seq"] == ticket["call"]:
            counter["call"]["ticket_state"] = state

    def tell(self, kind: str, ticket: Record, fields: str, **more: Any) -> None:
        """Record what happened to a ticket: its number, *fields* of it, and *more*."""
        shown = {name: several(ticket) if name == "lines" else ticket.get(name) for name in fields.split()}
        self.record(kind, ticket=ticket["id"], number=ticket["number"], **shown | more)

    def answer(self, ticket: Record | None, counter: Record | None = None, ahead: int | None = None) -> Record:
        """What most presses answer."""
        return {
            **({"ticket": deepcopy(ticket), "ahead": ahead} if ticket else {}),
            **({"counter": self.show(counter)} if counter else {}),
        }

    # -- presses, each named like its command ---------------------------------------------------------------------

    def issue_ticket(self, wish: Any) -> Record:
        service = next((one for one in self.centre.services if one.id == wish.service), None)
        if not service:
            raise Refused("UNKNOWN_SERVICE")
        if not self.issuing["open"] and not self.over:
            raise Refused("ISSUING_CLOSED")
        if not self.served(service.id):
            raise Refused("NOBODY_SERVES")
        if wish.cls not in [cls.id for cls in self.centre.policy.classes]:
            raise Refused("MALFORMED")
        self.check_further(service.id, wish.further)
        if self.new_ticket in self.tickets:
            raise Refused("MALFORMED")
        department = self.centre.department_of(service.id)
        taken = [
            ticket["number"]
            for ticket in self.tickets.values()
            if ticket["day"] == self.day or ticket["state"] in IN_THE_BUILDING
        ]
        for n in range(self.sequences.get(department.id, 0) + 1, department.daily_cap + 1):
            if f"{department.letter}{n:03}" not in taken:
                break
        else:
            raise Refused("NUMBERS_EXHAUSTED")
        cls, virtual_ms = wish.cls, self.now
        if wish.appointment_ms is not None:
            if self.now > wish.appointment_ms + APPOINTMENT_GRACE_MS:
                cls = "standard"
            else:
                virtual_ms = max(self.now, wish.appointment_ms - APPOINTMENT_LEAD_MS)
        self.sequences[department.id] = n
        self.orders += 1
        ticket = {
            "id": self.new_ticket,
            "number": f"{department.letter}{n:03}",
            "department": department.id,
            "service": service.id,
            "class": cls,
            "ground": wish.ground,
            "language": wish.language,
            "procedure": wish.procedure,
            "day": self.day,
            "issued_at_ms": self.now,
            "virtual_ms": virtual_ms,
            "needs": [service.id, *wish.further],
            "any_order": wish.any_order or None,
            "wait": self.wait,
            "state": "away",
            "order": f"{self.orders:08}",
            "printed": False,
        }
        self.numbers[ticket["number"]] = ticket["id"]
        ahead = self.ahead(ticket)
        self.stand_in_line(ticket)
        self.tickets[ticket["id"]] = ticket
        self.tell("TicketIssued", ticket, STANDING + " ground procedure wait")
        self.offer(ticket)
        return self.answer(ticket, ahead=ahead)

    def check_further(self, service: str, further: Any) -> None:
        """More services of a visit: known, served, each once."""
        seen = [service]
        for need in further or ():
            if need not in [one.id for one in self.centre.services]:
                raise Refused("UNKNOWN_SERVICE")
            if not self.served(need):
                raise Refused("NOBODY_SERVES")
            if need in seen:
                raise Refused("MALFORMED")
            seen.append(need)

    def call_next(self, wish: Any) -> Record:
        counter = self.free_counter(wish.counter)
        due = self.due(counter)
        if due:
            self.invite(*due[:2], counter, "call-next", due[2])
        elif counter["state"] == "open":
            counter["ready"] = True
        return self.answer(due and due[0], counter)

    def call_chosen(self, wish: Any) -> Record:
        counter = self.free_counter(wish.counter)
        ticket = self.ticket(self.numbers.get(wish.ticket.upper(), wish.ticket))
        self.lawful(ticket, wish)
        lines = sorted(self.plan(wish.counter).serves, key=lambda line: line.level)
        waited_for = ticket["lines"] if ticket["state"] == "waiting" else []
        service = next((line.service for line in lines if line.service in waited_for), ticket["service"])
        self.invite(ticket, service, counter, "call", self.reason("chosen", ticket), wish.reason)
        return self.answer(ticket, counter)

    def resume(self, wish: Any) -> Record:
        counter = self.free_counter(wish.counter)
        ticket = self.ticket(wish.ticket)
        self.lawful(ticket, wish)
        self.invite(ticket, ticket["service"], counter, "resume", self.reason("resumed", ticket))
        return self.answer(ticket, counter)

    def recall(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        ticket["rings"] += 1
        if counter["call"] and counter["call"]["seq"] == ticket["call"]:
            counter["call"]["rings"] = ticket["rings"]
        self.tell("TicketRecalled", ticket, "department counter rings language")
        return self.answer(ticket, counter)

    def start(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        before, earlier = deepcopy(ticket), counter["last"]
        ticket |= {"state": "serving", "started_at_ms": self.now}
        self.remember(counter, "start", before, ticket)
        counter["last"]["earlier"] = earlier
        self.mark_call(ticket, counter, "serving")
        self.tell("ServiceStarted", ticket, "counter")
        return self.answer(ticket, counter)

    def complete(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        learned = self.learn(ticket)
        self.dismiss(ticket, counter, "served", "complete", learned)
        done = [{"procedure": one.procedure, "dossiers": one.dossiers} for one in wish.done or ()]
        self.tell_served(ticket, done=done or None, outcome=wish.outcome)
        self.tick_off(ticket)
        if ticket["needs"]:
            self.go_on(ticket, counter)
        return self.answer(ticket, counter)

    def learn(self, ticket: Record) -> Any:
        """A lesson for the mean; before and after."""
        mean, services = before = self.mean(ticket["service"])
        n = min(services + 1, MEAN_MEMORY)
        after = mean + (self.now - ticket["called_at_ms"] - mean) / n, n
        self.means[ticket["service"]] = after
        return before, after

    def tell_served(self, ticket: Record, **done: Any) -> None:
        fields = "department service class counter called_at_ms started_at_ms"
        self.tell("TicketServed", ticket, fields, mean_ms=self.mean(ticket["service"])[0], **done)

    def tick_off(self, ticket: Record) -> None:
        """The service in hand is done, and what nobody serves any more is let go."""
        left = [need for need in ticket["needs"] if need != ticket["service"] and self.served(need)]
        ticket |= {"needs": left, "half_done": None}

    def go_on(self, ticket: Record, counter: Record, to_counter: str | None = None) -> None:
        """To the next line of the visit, with at most some of its age."""
        was = {"from_department": ticket["department"], "from_service": ticket["service"], "counter": counter["id"]}
        oldest = self.now - self.centre.policy.transfer_age_cap_s * 1000
        ticket |= {"virtual_ms": max(ticket["issued_at_ms"], oldest), "placed": None}
        self.mark_call(ticket, counter, "waiting")
        counter["last"]["state"] = "waiting"
        self.stand_in_line(ticket, to_counter)
        ticket["department"] = self.department(ticket["service"], ticket)
        self.tell("TicketTransferred", ticket, STANDING + " note", **was)
        self.offer(ticket)

    def mark_no_show(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        policy = self.centre.policy
        if ticket["rings"] < policy.calls_before_no_show:
            raise Refused("TOO_EARLY_NO_SHOW")
        ticket_was_at = ticket["counter"]
        self.dismiss(ticket, counter, "no_show", "no-show")
        ticket |= {"missed": ticket.get("missed", 0) + 1, "half_done": ticket["service"]}
        self.tell("TicketNoShow", ticket, "department service", counter=ticket_was_at)
        places = policy.no_show_back_places
        if ticket["missed"] <= policy.no_show_returns and self.served(ticket["service"]):
            counter["last"] = None
            self.move_back(ticket, places)
            self.stand_in_line(ticket)
            self.tell("TicketRevived", ticket, STANDING, was="no_show")
            self.offer(ticket)
        return self.answer(ticket, counter)

    def park(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        self.dismiss(ticket, counter, "parked", "park")
        ticket |= {"park_reason": wish.reason, "park_until_ms": wish.until_ms, "half_done": ticket["service"]}
        self.tell("TicketParked", ticket, "department service counter", reason=wish.reason, until_ms=wish.until_ms)
        return self.answer(ticket, counter)

    def transfer(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        service, to_counter = wish.service, wish.to_counter
        if wish.to_officer:
            to_counter = self.where_sits(wish.to_officer)
        if to_counter:
            lines = sorted(self.plan(to_counter).serves, key=lambda line: line.level)
            serves = [line.service for line in lines]
            if service and service not in serves:
                raise Refused("NOBODY_SERVES")
            if not service and serves:
                service = ticket["service"] if ticket["service"] in serves else serves[0]
        if not service:
            raise Refused("MALFORMED")
        if service not in [one.id for one in self.centre.services]:
            raise Refused("UNKNOWN_SERVICE")
        if not self.served(service):
            raise Refused("NOBODY_SERVES")
        self.check_further(service, wish.further)
        is_here = (to_counter, service) == (counter["id"], ticket["service"])
        if is_here and not wish.served and wish.further is None:
            raise Refused("ALREADY_HERE")
        learned = self.learn(ticket) if wish.served else None
        self.dismiss(ticket, counter, "waiting", "transfer", learned)
        if wish.served:
            self.tell_served(ticket)
        self.tick_off(ticket)
        rest = ticket["needs"] if wish.further is None else wish.further
        ticket |= {
            "needs": [service, *(need for need in rest if need != service)],
            "note": wish.note or ticket.get("note"),
        }
        ticket["half_done"] = service if to_counter else None
        self.go_on(ticket, counter, to_counter)
        return self.answer(ticket, counter)

    def where_sits(self, officer: str) -> str:
        """The counter where somebody works; the first of several."""
        for plan in self.centre.counters:
            live = self.counter(plan.id)
            if live["officer"] == officer and live["state"] != "closed":
                return plan.id
        raise Refused("OFFICER_NOT_SEATED")

    def note(self, wish: Any) -> Record:
        ticket, counter = self.in_hand(wish)
        if ticket.get("note") != wish.text:
            ticket["note"] = wish.text
            self.tell("TicketNoted", ticket, "counter note")
        return self.answer(ticket, counter)

    def cancel(self, wish: Any) -> Record:
        return self.finish(wish, "cancelled", "TicketCancelled", wish.reason)

    def expire(self, wish: Any) -> Record:
        return self.finish(wish, "expired", "TicketExpired")

    def finish(self, wish: Any, state: str, kind: str, reason: str | None = None) -> Record:
        ticket = self.ticket(wish.ticket)
        self.lawful(ticket, wish)
        was = ticket["state"]
        ticket |= {"state": state, "ended_at_ms": self.now}
        lines = several(ticket) if was == "waiting" else None
        self.tell(kind, ticket, "department service", was=was, lines=lines, reason=reason)
        return self.answer(ticket)

    def revive(self, wish: Any) -> Record:
        ticket = self.ticket(wish.ticket)
        self.lawful(ticket, wish)
        if not self.served(ticket["service"]):
            raise Refused("NOBODY_SERVES")
        if self.numbers.get(ticket["number"]) != ticket["id"]:
            raise Refused("WRONG_STATE")
        was = ticket["state"]
        if was == "no_show":
            ticket["virtual_ms"] += self.now - ticket["ended_at_ms"]
        ticket |= {
            "park_reason": None,
            "park_until_ms": None,
            "needs": [need for need in ticket["needs"] if self.served(need)],
        }
        ahead = self.ahead(ticket)
        self.stand_in_line(ticket)
        self.tell("TicketRevived", ticket, STANDING, was=was, reason=wish.reason)
        self.offer(ticket)
        return self.answer(ticket, ahead=ahead)

    def set_place(self, wish: Any) -> Record:
        ticket = self.ticket(wish.ticket)
        self.lawful(ticket, wish)
        if not wish.reason or [wish.before, wish.after, wish.at_ms].count(None) != 2:
            raise Refused("MALFORMED")
        service = wish.service or ticket["service"]
        if service not in [one.id for one in self.centre.services]:
            raise Refused("UNKNOWN_SERVICE")
        if not self.served(service):
            raise Refused("NOBODY_SERVES")
        virtual_ms, order = self.wished_place(wish, ticket, service)
        is_moved = service != ticket["service"]
        was = {"was": ticket["state"], "was_virtual_ms": ticket["virtual_ms"]}
        was["left"] = ticket["lines"] if ticket["state"] == "waiting" else None
        if is_moved:
            was |= {"from_department": ticket["department"], "from_service": ticket["service"]}
        replaced = ticket["service"] if service not in ticket["needs"] else None
        needs = [need for need in ticket["needs"] if need != replaced and self.served(need)]
        if wish.service:
            needs = [service, *(need for need in needs if need != service)]
            ticket["half_done"] = service
        ticket |= {"service": service, "needs": needs, "virtual_ms": virtual_ms, "order": order, "park_reason": None}
        ticket |= {"placed": {"by": self.actor, "at_ms": self.now, "reason": wish.reason}, "state": "away"}
        ahead = self.ahead(ticket)
        self.stand_in_line(ticket)
        ticket["department"] = self.department(ticket["service"], ticket)
        self.tell("TicketPlaced", ticket, STANDING, reason=wish.reason, **was)
        self.offer(ticket)
        return self.answer(ticket, ahead=ahead)

    def wished_place(self, wish: Any, ticket: Record, service: str) -> tuple[int, str]:
        """The virtual arrival and the order with which it stands where it is wished to."""
        own = parts(ticket)[-1]
        if wish.at_ms is not None:
            if not self.now - 86_400_000 <= wish.at_ms <= self.now:
                raise Refused("MALFORMED")
            return wish.at_ms, own
        promise = {cls.id: cls.promise_s * 1000 for cls in self.centre.policy.classes}

        def stands(one: Record) -> tuple[int, tuple[str, ...]]:
            return one["virtual_ms"] + promise[one["class"]], parts(one)

        line = sorted((one for one in self.waiting(service) if one is not ticket), key=stands)
        if wish.before is not None:
            target = self.ticket(self.numbers.get(wish.before.upper(), wish.before))
            if target not in line:
                raise Refused("WRONG_STATE")
            n = line.index(target)
        elif 0 <= wish.after <= 99:
            n = wish.after
        else:
            raise Refused("MALFORMED")
        front, behind = line[:n][-1:], line[n : n + 1]
        if not line:
            return ticket["virtual_ms"], own
        low = stands(front[0]) if front else (0, ())
        high = stands(behind[0]) if behind else (math.inf, ())
        due = low[0] if not behind or low[0] == high[0] else int(high[0]) - 1
        order = (*low[1], own) if low[0] == due else (own,)
        while low[0] == high[0] and order >= high[1]:  # somebody was put right behind the one in front before
            order = (*order[:-1], "00000000", own)
        return due - promise[ticket["class"]], ":".join(order)

    def mark_late(self, wish: Any) -> Record:
        ticket = self.ticket(wish.ticket)
        self.lawful(ticket, wish)
        if self.move_back(ticket, self.centre.policy.late_back_places):
            self.tell("TicketMovedBack", ticket, STANDING)
        return self.answer(ticket, ahead=self.ahead(ticket))

    def mark_printed(self, wish: Any) -> Record:
        ticket = self.ticket(wish.ticket)
        self.lawful(ticket, wish)
        if not ticket["printed"]:
            ticket["printed"] = True
            self.tell("TicketPrinted", ticket, "")
        return self.answer(ticket)

    def undo(self, wish: Any) -> Record:
        counter = self.own_counter(wish.counter)
        last = counter["last"]
        if not last:
            raise Refused("NOTHING_TO_UNDO")
        if self.now > last["until_ms"]:
            raise Refused("UNDO_EXPIRED")
        before = deepcopy(last["before"])
        ticket = self.tickets.get(before["id"])
        if not ticket or self.numbers.get(before["number"]) != before["id"]:
            raise Refused("TICKET_ELSEWHERE")
        in_hand = last["state"] in ("called", "serving")
        if in_hand and counter["ticket"] != ticket["id"]:
            raise Refused("TICKET_ELSEWHERE")
        if not in_hand and (ticket["state"], ticket["call"]) != (last["state"], before["call"]):
            raise Refused("TICKET_ELSEWHERE")
        if last["learned"] and self.means[before["service"]] == last["learned"][1]:
            self.means[before["service"]] = last["learned"][0]
        before["printed"] = ticket["printed"]
        if in_hand:  # what was noted since then is not part of the step
            before["note"] = ticket.get("note")
        self.tickets[before["id"]] = before
        counter |= {"ticket": last["held"], "call": last["call"], "last": last["earlier"], "ready": None}
        stands = before["state"] == "waiting"
        self.tell(
            "StepUndone",
            before,
            STANDING if stands else "department service",
            was=ticket["state"],
            now=before["state"],
            left=ticket["lines"] if ticket["state"] == "waiting" else None,
            lines=before["lines"] if stands else None,
            call_before=counter["call"],
            counter=counter["id"],
            mean_ms=self.mean(before["service"])[0] if last["learned"] else None,
        )
        if before["state"] == "waiting":
            self.offer(before)
        return self.answer(before, counter)

    def open(self, wish: Any) -> Record:
        self.plan(wish.counter)
        counter = self.counter(wish.counter)
        officer = (wish.keep_officer and self.over and counter["officer"]) or self.actor
        taken_from = counter["officer"] if counter["officer"] != officer else None
        if taken_from and not wish.take_over:
            raise Refused("SEAT_TAKEN")
        if (counter["state"], counter["officer"]) != ("open", officer):
            if counter["state"] != "open":
                counter |= {"since_ms": self.now, "idle_since": self.now}
            counter |= {"state": "open", "officer": officer, "reason": None, "ready": None, "has_left": None}
            seat = {"counter": counter["id"], "officer": officer, "taken_from": taken_from}
            self.record("CounterOpened", **seat, reason=wish.reason)
        return self.answer(self.tickets.get(counter["ticket"]), counter)

    def pause(self, wish: Any) -> Record:
        counter = self.own_counter(wish.counter)
        if counter["state"] == "closed":
            raise Refused("COUNTER_CLOSED")
        if counter["state"] != "paused":
            counter |= {"state": "paused", "since_ms": self.now, "reason": wish.reason, "ready": None}
            self.record("CounterPaused", counter=counter["id"], reason=wish.reason)
        return self.answer(self.tickets.get(counter["ticket"]), counter)

    def close(self, wish: Any) -> Record:
        counter = self.own_counter(wish.counter)
        state = "draining" if wish.drain and counter["state"] != "closed" else "closed"
        if counter["state"] != state:
            counter |= {"state": state, "since_ms": self.now, "reason": None, "ready": None}
            if state == "closed":
                counter |= {"call": None, "officer": counter["officer"] if counter["ticket"] else None}
                counter["has_left"] = True
            self.record("CounterClosed", counter=counter["id"], draining=state == "draining", reason=wish.reason)
            if state == "closed":
                for ticket in self.in_order(self.waiting()):
                    if self.sits_in_the_dark(ticket, counter["id"]):
                        self.announce_again(ticket)
        return self.answer(self.tickets.get(counter["ticket"]), counter)

    def sits_in_the_dark(self, ticket: Record, closed: str) -> bool:
        """The counter that closed is the one it was announced to, or its cluster has no open counter left."""
        if ticket["group"] == closed:
            return True
        is_cluster = self.mode(ticket["announced_for"]) == "cluster"
        attended = any(self.counter(id_)["state"] == "open" for id_ in ticket["counters"])
        return is_cluster and closed in ticket["counters"] and not attended

    def ask_help(self, wish: Any) -> Record:
        counter = self.own_counter(wish.counter)
        calls = self.messages.setdefault("help", {})
        asked = calls.get(counter["id"])
        if not asked or asked["text"] != wish.text:
            seq = self.record("HelpAsked", counter=counter["id"], text=wish.text)
            since = asked["at_ms"] if asked else self.now
            calls[counter["id"]] = {"message": seq, "at_ms": since, "actor": self.actor, "text": wish.text}
        return self.answer(self.tickets.get(counter["ticket"]), counter)

    def answer_help(self, wish: Any) -> Record:
        counter = self.own_counter(wish.counter)
        asked = self.messages.get("help", {}).pop(counter["id"], None)
        if asked:
            about = {"answers": asked["message"], "text": wish.text}
            self.record("HelpAnswered", counter=counter["id"], **about)
            if asked["actor"] != self.actor:
                self.deliver(f"counter:{counter['id']}", **about)
        return self.answer(self.tickets.get(counter["ticket"]), counter)

    def send_message(self, wish: Any) -> Record:
        seat = self.own_counter(wish.counter) if wish.counter else None
        if not wish.text:
            raise Refused("MALFORMED")
        for id_ in wish.to or ():
            self.plan(id_)
        if not wish.to and (seat is None or seat["officer"] != self.actor):
            raise Refused("MALFORMED")
        self.record("MessageSent", counter=wish.counter, to=wish.to and list(wish.to), text=wish.text)
        for inbox in [f"counter:{id_}" for id_ in wish.to or ()] or ["supervisors"]:
            self.deliver(inbox, counter=wish.counter, text=wish.text)
        return {"message": len(self.events)}

    def deliver(self, inbox: str, **about: Any) -> None:
        """What was just recorded lies in an inbox, which holds fifty."""
        lie_there = self.messages.setdefault(inbox, [])
        if len(lie_there) >= 50:
            raise Refused("INBOX_FULL")
        lie_there.append({**about, "message": len(self.events), "at_ms": self.now, "actor": self.actor})

    def mark_read(self, wish: Any) -> Record:
        if wish.counter:
            self.own_counter(wish.counter)
        inbox = f"counter:{wish.counter}" if wish.counter else "supervisors"
        kept = [one for one in self.messages.get(inbox, []) if one["message"] != wish.message]
        if kept != self.messages.get(inbox, []):
            self.messages[inbox] = kept
            self.record("MessageRead", counter=wish.counter, message=wish.message)
        return {"message": wish.message}

    def publish(self, wish: Any) -> Record:
        if not isinstance(wish.fact.get("step"), int):
            raise Refused("MALFORMED")
        self.record("DossierChanged", **wish.fact)
        return {}

    def switch_issuing(self, wish: Any) -> Record:
        issuing = {"open": wish.open, "text": wish.text}
        if issuing != self.issuing:
            self.issuing = issuing
            self.record("IssuingSwitched", **issuing)
        return {"issuing": issuing}

    def advance_day(self, wish: Any) -> Record:
        if wish.day <= self.day:
            raise Refused("DAY_NOT_LATER")
        self.day, self.sequences, self.messages = wish.day, {}, {}
        self.answers_before, self.answers = self.answers, {}
        for counter in self.counters.values():
            counter |= {"call": None, "last": None}
        self.record("DayAdvanced", day=wish.day)
        return {}

    def forget(self, wish: Any) -> Record:
        gone = [
            id_
            for id_ in dict.fromkeys(wish.tickets)
            if (ticket := self.tickets.get(id_)) and ticket["state"] in FINISHED and ticket["day"] < self.day
        ]
        for id_ in gone:
            number = self.tickets.pop(id_)["number"]
            if self.numbers.get(number) == id_:
                del self.numbers[number]
        return {"forgotten": len(gone)}

    def renew_epoch(self, wish: Any) -> Record:
        self.epoch = wish.epoch
        self.record("EpochRenewed")
        return {}


def several(ticket: Record) -> list[str] | None:
    """The lines of a ticket that stands in more than one."""
    lines: list[str] = ticket["lines"]
    return lines if len(lines) > 1 else None


def parts(ticket: Record) -> tuple[str, ...]:
    """The order of a ticket; ``00000002:00000001`` is the first ticket, moved right behind the second."""
    return tuple(ticket["order"].split(":"))
