"""
Dispatch: from a wish to the store and back.

Holds the centres in force, wraps each command in its envelope, and counts and times it.  Knows no wire format and no
HTTP; every rule about tickets is in the Function that carries the command out.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import msgspec

from queue_service import metrics
from queue_service.alarms import Alarm, Reading, alarms
from queue_service.assignments import After, assigned
from queue_service.assignments import after as after_assignment
from queue_service.audit import DONE, Audit
from queue_service.authority import EVERYWHERE, Account
from queue_service.centre import Centre, to_json
from queue_service.clock import Clock, business_day, local_time
from queue_service.codec import APPOINTMENT_LEAD_MS, Reply, centre_pieces
from queue_service.commands import (
    AdvanceDay,
    Assign,
    Command,
    Complete,
    Configure,
    IssueTicket,
    Open,
    Press,
    PressName,
    RenewEpoch,
)
from queue_service.errors import (
    GroundMissing,
    IssuingClosed,
    Malformed,
    NotFound,
    QueueError,
    RecordMissing,
    StaleCentre,
    UnknownCentre,
    UnknownProcedure,
)
from queue_service.mirror import Mirror
from queue_service.procedures import Catalogue, Procedure
from queue_service.store import Day, TicketStore

DONE_SHOWN = 24
"""Tickets done at a counter that its officer can look back on."""

LOOKED_BACK = 1000
"""Events looked back on for the procedures that a counter handles most."""

NO_PROCEDURES = Catalogue(())

TRACED = ("service", "open", "take_over", "drain", "day", "any_order")
"""What the audit says of a command besides counter and number: words of the centre's file, and yes or no."""

SYSTEM = "system"
"""The actor of what the service does by itself."""


def new_ticket_id() -> str:
    """128 random bits, as 22 characters that may stand in an address."""
    return secrets.token_urlsafe(16)


def new_epoch() -> str:
    """A name no event order has had."""
    return secrets.token_hex(6)


ReadMirror = Callable[[str], Awaitable[Mirror | None]]
"""Centre id -> its mirror."""


class Dispatch:
    """
    Carries presses out.

    Args:
        store: where the centres live.
        clock: tells the time of a press.
        mirror: what a centre's hall looks like now, for the wait that a new ticket announces; None where nobody asks.
        catalogues: the procedures of each centre, for what officers say was done.
        audit: is told of what supervisors do; None where nobody keeps a trace.
    """

    def __init__(
        self,
        store: TicketStore,
        clock: Clock,
        mirror: ReadMirror | None = None,
        catalogues: Mapping[str, Catalogue] | None = None,
        audit: Audit | None = None,
    ) -> None:
        self.store = store
        self.clock = clock
        self._mirror = mirror
        self._catalogues = catalogues if catalogues is not None else {}
        self.archive_away_ms: int | None = None
        """Since when the archive does not answer, as the archiver says."""
        self._audit = audit
        self._centres: dict[str, Centre] = {}

    async def centre(self, id: str) -> Centre:
        """
        The configuration in force.

        Raises:
            UnknownCentre: no such centre.
        """
        centre = self._centres.get(id)
        return centre if centre is not None else await self.read_again(id)

    def known(self, id: str) -> Centre:
        """The configuration last read; for those who have awaited ``centre`` before."""
        return self._centres[id]

    async def read_again(self, id: str) -> Centre:
        """
        The configuration as another process has put it in force.

        Raises:
            UnknownCentre: no such centre.
        """
        centre = self._centres[id] = await self.store.read_centre(id)
        return centre

    def catalogue(self, id: str) -> Catalogue:
        """The procedures of the centre; one without a file has none."""
        return self._catalogues.get(id, NO_PROCEDURES)

    async def wants_second_factor(self, account: Account) -> bool:
        """Whether a centre where *account* works wants a second factor of one of its roles."""
        everywhere = EVERYWHERE in account.centres
        for id in await self.store.centre_ids() if everywhere else account.centres:
            with suppress(UnknownCentre):
                if not account.roles.isdisjoint((await self.centre(id)).policy.second_factor):
                    return True
        return False

    async def in_force(self, id: str) -> tuple[Centre, Day]:
        """
        The configuration and the day as the store has them now, for who asks because something has changed.

        Raises:
            UnknownCentre: no such centre.
        """
        centre = await self.centre(id)
        day = await self.store.read_day(id)
        return (centre if day["version"] == centre.version else await self.read_again(id)), day

    async def configure(self, centre: Centre, actor: str = SYSTEM) -> Reply:
        """
        Put the file *centre* in force here and for every process, with what counters serve only today; a centre that
        is new begins its first business day.

        Args:
            actor: who is to stand in the audit, if that changes anything.
        """
        try:
            return await self._configure(centre, actor)
        except StaleCentre:  # a counter was assigned between reading and writing
            return await self._configure(centre, actor)

    async def pack_again(self, id: str) -> None:
        """
        Put the file in force again if this release packs it in another way; nothing if another process has put
        another file in force meanwhile.
        """
        file, _, _ = await self.store.read_file(id)
        version = (await self.store.read_day(id))["version"]
        with suppress(StaleCentre):
            await self._configure(file, SYSTEM, version)

    async def _configure(self, file: Centre, actor: str, was_version: str = "") -> Reply:
        now_ms = self.clock.now_ms()
        version = (await self.store.read_day(file.id)).get("version") if self._audit is not None else None
        before, day = await self.store.read_assignments(file.id)
        today = before.on(day)
        centre = assigned(file, today)
        command = Configure(
            new_version=centre.version,
            day=business_day(now_ms, centre.timezone),
            epoch=new_epoch(),
            pieces=centre_pieces(centre),
            assigned=today.text(),
            was_assigned=before.text(),
            was_version=was_version,
            file=to_json(file),
        )
        reply = await self.store.put_centre(file, command, self._own_press("configure", centre.version, now_ms))
        self._centres[centre.id] = centre
        if self._audit is not None and version != centre.version:
            self._audit.note(
                self._audit.entry(
                    now_ms,
                    centre=centre.id,
                    actor=actor,
                    action=_press_name(Configure),
                    object="centre",
                    version=centre.version,
                    before=version,
                    event=reply.get("seq"),
                )
            )
        return reply

    async def return_to_file(self, id: str) -> None:
        """
        What counters serve is what the file says again, when the day of its assignments is over.  A file leaves no
        service without a counter, so nobody is stranded by it.
        """
        file, assignments, day = await self.store.read_file(id)
        if assignments.counters and assignments.day != day:
            await self.configure(file)

    async def advance_day(self, centre: Centre) -> bool:
        """
        Begin the business day of the centre's own calendar if it is later than the one in force; say whether it was.
        """
        now_ms = self.clock.now_ms()
        today = business_day(now_ms, centre.timezone)
        if (await self.store.read_day(centre.id))["day"] >= today:
            return False
        await self.press(centre.id, AdvanceDay(day=today), actor=SYSTEM, press_id=f"day-{today}")
        await self.return_to_file(centre.id)
        return True

    async def renew_epoch(self, centre: Centre) -> None:
        """Begin a new event order: after a restore, or when a replica was promoted."""
        epoch = new_epoch()
        await self.press(centre.id, RenewEpoch(epoch=epoch), actor=SYSTEM, press_id=f"epoch-{epoch}")

    async def press(self, centre_id: str, command: Command, *, actor: str, press_id: str, over: bool = False) -> Reply:
        """
        Carry out *command*.

        Args:
            actor: ``staff:<name>``, ``device:<id>``, ``phone`` or ``system``; part of what a press id is remembered by.
            press_id: repeating it returns the first answer.
            over: whether the actor may act on a seat that is not theirs.

        Raises:
            QueueError: the refusal.
        """
        started = time.perf_counter()
        name = _press_name(type(command))
        try:
            reply = await self._carry_out(centre_id, command, actor, press_id, over)
        except QueueError as refusal:
            metrics.presses(name, refusal.code).inc()
            self._note(centre_id, command, actor, over, refusal.code, {})
            raise
        except Exception:  # a mistake of ours, as the door will call it
            metrics.presses(name, "INTERNAL").inc()
            self._note(centre_id, command, actor, over, "INTERNAL", {})
            raise
        metrics.presses(name, "done").inc()
        self._note(centre_id, command, actor, over, DONE, reply)
        if ticket := reply.get("ticket"):
            _count(centre_id, ticket, reply["now_ms"])
        metrics.press_seconds(name).observe(time.perf_counter() - started)
        return reply

    async def _carry_out(self, centre_id: str, command: Command, actor: str, press_id: str, over: bool) -> Reply:
        centre = await self.centre(centre_id)
        now_ms = self.clock.now_ms()
        after: After | None = None
        if isinstance(command, Assign):
            centre, after = await self._assigning(command, centre_id)
        press = Press(
            press_id=f"{actor}|{command.function}|{press_id}",
            actor=actor,
            now_ms=now_ms,
            over=over,
            new_ticket=new_ticket_id() if isinstance(command, IssueTicket) else "",
            wait=await self._announced(centre, command, now_ms) if isinstance(command, IssueTicket) else None,
            after=after.packed() if after is not None else None,
        )
        try:
            if isinstance(command, IssueTicket) and not over:
                check_hours(centre, now_ms)
            if isinstance(command, IssueTicket):
                check_appointment(command, now_ms)
                check_wish(centre, self.catalogue(centre_id), command)
            if isinstance(command, Complete):
                check_record(centre, self.catalogue(centre_id), command)
        except QueueError:  # a repeat gets the first answer, whatever has changed since
            if not await self.store.is_answered(centre_id, press.press_id):
                raise
        try:
            reply = await self.store.carry_out(centre_id, command, press, centre.version)
        except StaleCentre:
            centre = await self.read_again(centre_id)
            if isinstance(command, Assign):
                centre, after = await self._assigning(command, centre_id)
                press = msgspec.structs.replace(press, after=after.packed())
            reply = await self.store.carry_out(centre_id, command, press, centre.version)
        if isinstance(command, Assign):
            await self.read_again(centre_id)
        return reply

    async def _assigning(self, command: Assign, centre_id: str) -> tuple[Centre, After]:
        """The centre as it is in force, and as *command* would leave it."""
        file, assignments, day = await self.store.read_file(centre_id)
        now = assigned(file, assignments)
        now.counter(command.counter)
        for service in command.serves or ():
            now.service(service)
        return now, after_assignment(file, assignments, day, command.counter, command.serves)

    async def _announced(self, centre: Centre, command: IssueTicket, now_ms: int) -> dict[str, int] | None:
        """The wait to announce; a visit that may begin anywhere stands in all its lines."""
        mirror = await self._mirror(centre.id) if self._mirror is not None else None
        if mirror is None:
            return None
        lines = (command.service, *command.further) if command.any_order else (command.service,)
        virtual_ms = max(now_ms, (command.appointment_ms or 0) - APPOINTMENT_LEAD_MS)
        try:
            estimate = mirror.announce(centre, command.cls, lines, virtual_ms, now_ms)
        except (NotFound, KeyError):  # what the command names does not exist; the Function says so in its words
            return None
        return msgspec.to_builtins(estimate) if estimate is not None else None

    async def remaining(self, centre: Centre, ticket: str) -> dict[str, int] | None:
        """What is left of the wait of *ticket*, as a map; None when it does not wait or cannot be foretold."""
        mirror = await self._mirror(centre.id) if self._mirror is not None else None
        estimate = mirror.remaining(centre, ticket, self.clock.now_ms()) if mirror is not None else None
        return msgspec.to_builtins(estimate) if estimate is not None else None

    async def set_aside(self, centre: Centre, counter: str) -> list[str]:
        """
        Ids of the tickets that *counter* could resume and of those that ended there, from the mirror of this process.
        """
        mirror = await self._mirror(centre.id) if self._mirror is not None else None
        if mirror is None:
            mirror = Mirror()
            day, counters, tickets, _ = await self.store.read_all(centre.id)
            mirror.read(day, counters, tickets)
        serves = {line.service for line in centre.counter(counter).serves}
        parked = [id for id, (service, at) in mirror.parked.items() if service in serves or at == counter]
        done = [id for id, at in mirror.done.items() if at == counter]
        return [*parked, *done[-DONE_SHOWN:]]

    async def usual_procedures(self, centre: Centre, counter: str, limit: int) -> list[Procedure]:
        """
        The procedures that *counter* and its lines have handled most of late, then those of its departments.

        Source: the last events of the centre, so every worker says the same and nothing more has to be kept.
        """
        services = {line.service for line in centre.counter(counter).serves}
        catalogue = self.catalogue(centre.id)
        if not catalogue.procedures:
            return []
        last = int((await self.store.read_day(centre.id))["seq"])
        events = await self.store.read_events(centre.id, max(0, last - LOOKED_BACK), LOOKED_BACK)
        handled: Counter[str] = Counter()
        for event in events:
            for item in event.get("done") or ():
                if event["counter"] == counter:
                    handled[item["procedure"]] += LOOKED_BACK  # what is done here comes before all that is done beside
                elif event["service"] in services:
                    handled[item["procedure"]] += 1
        departments = {centre.service(service).department for service in services}
        codes = [code for code, _ in handled.most_common()]
        codes += [one.code for one in catalogue.procedures if one.department in departments]
        found = (catalogue.get(code) for code in dict.fromkeys(codes))
        return [procedure for procedure in found if procedure is not None][:limit]

    async def reading(self, id: str) -> Reading:
        """Everything of the centre that can be wrong."""
        (day, counters, tickets, waiting), (_, calls), (kiosks, boards) = await asyncio.gather(
            self.store.read_all(id), self.store.read_messages(id, None), self.store.read_heard(id)
        )
        return Reading(day, counters, tickets, waiting, calls, kiosks, boards, self.archive_away_ms)

    async def alarms(self, id: str) -> tuple[Centre, tuple[Alarm, ...], int]:
        """The centre in force, what is wrong there, and when that was asked."""
        reading = await self.reading(id)
        centre = await self.centre(id)
        if reading.day["version"] != centre.version:
            centre = await self.read_again(id)
        now_ms = max(self.clock.now_ms(), int(reading.day["clock"]))
        return centre, alarms(centre, reading, now_ms), now_ms

    async def worst_overtaking_ms(self, centre: str) -> int:
        """The worst overtaking of the day that this process knows of (``Mirror.worst_overtaking_ms``)."""
        mirror = await self._mirror(centre) if self._mirror is not None else None
        return mirror.worst_overtaking_ms if mirror is not None else 0

    def _note(
        self, centre: str, command: Command, actor: str, over: bool, outcome: str, reply: Mapping[str, Any]
    ) -> None:
        """
        Leave a trace of what goes beyond an officer's own seat: presses of supervisors, and a seat taken over.

        What an officer does at the own seat is in the events.  No text that somebody typed, and no id of a ticket,
        which opens its page: the event, by its number, has both.
        """
        is_taken_over = isinstance(command, Open) and command.take_over
        if self._audit is None or actor == SYSTEM or not (over or is_taken_over):
            return
        ticket = reply.get("ticket") or {}
        said = {name: value for name, value in msgspec.to_builtins(command).items() if name in TRACED}
        self._audit.note(
            self._audit.entry(
                self.clock.now_ms(),
                centre=centre,
                actor=actor,
                action=_press_name(type(command)),
                object=getattr(command, "counter", None) or ticket.get("number") or "centre",
                outcome=outcome,
                **said,
                number=ticket.get("number"),
                event=reply.get("seq"),
            )
        )

    def _own_press(self, what: str, key: str, now_ms: int) -> Press:
        return Press(press_id=f"{SYSTEM}|{what}|{key}", actor=SYSTEM, now_ms=now_ms, over=True)


@cache
def _press_name(kind: type[Command]) -> PressName:
    return kind.press_name()


def check_appointment(command: IssueTicket, now_ms: int) -> None:
    """
    Refuse a number for an appointment of another day: its holder would stand in line until then.

    Raises:
        Malformed: more than 24 hours ahead.
    """
    if (command.appointment_ms or 0) > now_ms + 24 * 3600 * 1000:
        raise Malformed("an appointment is within the next 24 hours; take the number on its day")


def check_wish(centre: Centre, catalogue: Catalogue, command: IssueTicket) -> None:
    """
    Refuse a number for what the catalogue does not know, or ahead of others without one of the centre's grounds.

    Raises:
        UnknownProcedure: not in the catalogue.
        GroundMissing: the centre has grounds for the class, and none is named.
    """
    if command.procedure is not None and catalogue.get(command.procedure) is None:
        raise UnknownProcedure(f"there is no procedure {command.procedure} at this centre")
    if command.ground is None and any(ground.cls == command.cls for ground in centre.grounds):
        raise GroundMissing(f"name the ground for which this is a ticket of class {command.cls}")


def check_hours(centre: Centre, now_ms: int) -> None:
    """
    Refuse to hand out numbers outside the centre's hours, where the centre keeps to them.

    Raises:
        IssuingClosed: with the hours.
    """
    if not centre.policy.enforce_hours:
        return
    local = local_time(now_ms, centre.timezone)
    if not centre.hours.is_issuing(local.weekday(), local.hour * 60 + local.minute):
        spans = ", ".join(f"{span.start}–{span.end}" for span in centre.hours.ticket_sessions)
        raise IssuingClosed(f"numbers are handed out from {spans}")


def check_record(centre: Centre, catalogue: Catalogue, command: Complete) -> None:
    """
    Refuse to complete with what the catalogue or the centre does not know, or without what the centre wants to know.

    Raises:
        UnknownProcedure: not in the catalogue.
        Malformed: an outcome the centre has not, a procedure named twice, or a record where the centre keeps none.
        RecordMissing: the centre wants an outcome and, if it has a catalogue, a procedure.
    """
    policy = centre.policy
    done, outcome = command.done or (), command.outcome
    if policy.record == "off" and (done or outcome):
        raise Malformed("this centre does not record what was done")
    for item in done:
        if catalogue.get(item.procedure) is None:
            raise UnknownProcedure(f"there is no procedure {item.procedure} at this centre")
    if len({item.procedure for item in done}) < len(done):
        raise Malformed("name each procedure once, with its number of dossiers")
    if outcome is not None and outcome not in [known.id for known in policy.outcomes]:
        raise Malformed(f"there is no outcome {outcome} at this centre")
    if policy.record == "required" and (outcome is None or (catalogue.procedures and not done)):
        raise RecordMissing("say which procedures were handled and with what outcome, and complete again")


def _count(centre: str, ticket: dict[str, Any], now_ms: int) -> None:
    """Count what this very press did to the ticket: it was called, or it left."""
    if ticket.get("called_at_ms") == now_ms and ticket["state"] == "called":
        waited_ms = now_ms - ticket["virtual_ms"]
        metrics.WAIT_SECONDS.labels(centre, ticket["department"]).observe(max(waited_ms, 0) / 1000)
    if ticket.get("ended_at_ms") == now_ms:
        metrics.TICKETS_ENDED.labels(centre, ticket["department"], ticket["state"]).inc()
        if ticket["state"] == "served":
            metrics.SERVICE_SECONDS.labels(centre, ticket["department"]).observe(
                (now_ms - ticket["called_at_ms"]) / 1000
            )
