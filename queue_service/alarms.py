"""
What somebody should look at: a pure fold of the hall's state, the time and the thresholds of the centre's policy.

Nothing is stored: an alarm is there while its cause is.  Knows no store and no words for people (http_api/alarms.py has
those); whoever asks brings one reading of everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from msgspec import Struct

from queue_service.centre import Centre, TicketClass
from queue_service.clock import local_time
from queue_service.keys import HEARD_S

Records = Mapping[str, Mapping[str, Any]]


class Kind(StrEnum):
    """What is wrong, the gravest first."""

    ARCHIVE_AWAY = "archive-away"
    HELP_ASKED = "help-asked"
    LINE_UNATTENDED = "line-unattended"
    """People wait, and no counter that serves them is open."""
    LINE_LATE = "line-late"
    """The first in line has waited longer than its class was promised."""
    BOARD_DARK = "board-dark"
    """No screen of the board is connected, while counters work."""
    KIOSK_SILENT = "kiosk-silent"
    """The kiosk's page does not say that it is at work, while numbers are handed out."""
    COUNTER_IDLE = "counter-idle"
    """Open, nobody in hand, nobody called, while people wait whom it serves."""
    TICKET_LONG = "ticket-long"
    """One visitor takes several times the mean."""
    COUNTER_PAUSED = "counter-paused"
    LINE_WARNED = "line-warned"
    """The first in line has used up most of the promise."""
    COUNTER_READY = "counter-ready"
    """Nobody has come for so long that the officer could help elsewhere."""


class Alarm(Struct, frozen=True):
    """One thing to look at."""

    kind: Kind
    since_ms: int
    counter: str | None = None
    service: str | None = None
    device: str | None = None
    """A kiosk or a board."""
    values: dict[str, int | str] = {}
    """What the sentence says besides: people, minutes, the ticket's number."""


class Reading(Struct, frozen=True):
    """Everything of one centre, read in one step, and what else is known."""

    day: Mapping[str, str]
    counters: Records
    tickets: Records
    waiting: Sequence[str]
    """Members of the waiting set, in calling order."""
    help: Records = {}
    """Calls for help by counter."""
    kiosks: Mapping[str, int] = {}
    """When each kiosk was last heard, Unix ms; one that never was stands in no hall yet."""
    boards: Mapping[str, int] = {}
    """The same of boards."""
    archive_away_ms: int | None = None
    """Since when the archive does not answer."""


def alarms(centre: Centre, reading: Reading, now_ms: int) -> tuple[Alarm, ...]:
    """What is wrong at *now_ms*, the gravest kind first, in each the oldest first."""
    found = [
        *_from_outside(reading),
        *_lines(centre, reading, now_ms),
        *_devices(centre, reading, now_ms),
        *_counters(centre, reading, now_ms),
    ]
    order = list(Kind)
    return tuple(sorted(found, key=lambda alarm: (order.index(alarm.kind), alarm.since_ms, alarm.counter or "")))


def heard_boards(centre: Centre, reading: Reading) -> dict[str, int]:
    """The boards of the centre that were ever heard, and when last, Unix ms."""
    return {board.id: reading.boards[board.id] for board in centre.boards if board.id in reading.boards}


def heard_kiosks(centre: Centre, reading: Reading) -> dict[str, int]:
    """The same of kiosks."""
    return {kiosk.id: reading.kiosks[kiosk.id] for kiosk in centre.kiosks if kiosk.id in reading.kiosks}


def _from_outside(reading: Reading) -> Iterator[Alarm]:
    if reading.archive_away_ms is not None:
        yield Alarm(Kind.ARCHIVE_AWAY, reading.archive_away_ms)
    for counter, call in reading.help.items():
        yield Alarm(Kind.HELP_ASKED, call["at_ms"], counter=counter, values={"text": call.get("text") or ""})


def _lines(centre: Centre, reading: Reading, now_ms: int) -> Iterator[Alarm]:
    rules = centre.policy.alarms
    people: dict[str, int] = {}
    since: dict[str, int] = {}
    worst: dict[str, tuple[float, int, int]] = {}
    """Service -> share of the promise that its worst head has used up, that head's arrival, the promise in ms."""
    for member in reading.waiting:
        service, cls, virtual, *_ = member.split("/")
        people[service] = people.get(service, 0) + 1
        since[service] = min(since.get(service, int(virtual)), int(virtual))
        promise_ms = centre.policy.promise_s(_class(cls)) * 1000
        share = (now_ms - int(virtual)) / promise_ms
        worst[service] = max(worst.get(service, (share, int(virtual), promise_ms)), (share, int(virtual), promise_ms))
    for service, number in people.items():
        share, virtual_ms, promise_ms = worst[service]
        values: dict[str, int | str] = {"n": number, "minutes": (now_ms - virtual_ms) // 60_000}
        values["promise"] = promise_ms // 60_000
        if not any(_state(reading, counter.id) == "open" for counter in centre.counters_of(service)):
            yield Alarm(Kind.LINE_UNATTENDED, since[service], service=service, values=values)
        if share >= 1:
            yield Alarm(Kind.LINE_LATE, virtual_ms + promise_ms, service=service, values=values)
        elif share >= rules.warn_share:
            warned_ms = virtual_ms + round(promise_ms * rules.warn_share)
            yield Alarm(Kind.LINE_WARNED, warned_ms, service=service, values=values)


def _devices(centre: Centre, reading: Reading, now_ms: int) -> Iterator[Alarm]:
    local = local_time(now_ms, centre.timezone)
    now = local.weekday(), local.hour * 60 + local.minute
    limit_ms = centre.policy.alarms.silent_s * 1000
    for kind, is_needed, heard in (
        (Kind.BOARD_DARK, centre.hours.is_open(*now), heard_boards(centre, reading)),
        (Kind.KIOSK_SILENT, centre.hours.is_issuing(*now), heard_kiosks(centre, reading)),
    ):
        for device, heard_ms in heard.items():
            if is_needed and limit_ms <= now_ms - heard_ms < HEARD_S * 1000:
                yield Alarm(kind, heard_ms, device=device, values={"minutes": (now_ms - heard_ms) // 60_000})


def _counters(centre: Centre, reading: Reading, now_ms: int) -> Iterator[Alarm]:
    rules = centre.policy.alarms
    waited_for = {member.partition("/")[0] for member in reading.waiting}
    for counter in centre.counters:
        record = reading.counters.get(counter.id, {})
        state = record.get("state", "closed")
        if record.get("ticket"):
            yield from _too_long(centre, reading, counter.id, record, now_ms)
        elif state == "open":
            free_ms = record["idle_since"]
            if any(line.service in waited_for for line in counter.serves):
                if not record.get("ready") and now_ms - free_ms >= rules.idle_s * 1000:
                    yield _at(Kind.COUNTER_IDLE, counter.id, free_ms, now_ms)
            elif now_ms - free_ms >= rules.ready_s * 1000:
                yield _at(Kind.COUNTER_READY, counter.id, free_ms, now_ms)
        if state == "paused" and now_ms - record["since_ms"] >= rules.paused_s * 1000:
            yield _at(Kind.COUNTER_PAUSED, counter.id, record["since_ms"], now_ms, reason=record.get("reason") or "")


def _too_long(
    centre: Centre, reading: Reading, counter: str, record: Mapping[str, Any], now_ms: int
) -> Iterator[Alarm]:
    ticket = reading.tickets.get(record["ticket"])
    limit_ms = centre.policy.alarms.means * record["mean_at_call"]
    if ticket is not None and now_ms - record["called_at_ms"] >= limit_ms:
        mean = round(record["mean_at_call"] / 60_000)
        yield _at(Kind.TICKET_LONG, counter, record["called_at_ms"], now_ms, number=ticket["number"], mean=mean)


def _at(kind: Kind, counter: str, since_ms: int, now_ms: int, **values: int | str) -> Alarm:
    return Alarm(kind, since_ms, counter=counter, values={"minutes": (now_ms - since_ms) // 60_000, **values})


def _state(reading: Reading, counter: str) -> str:
    return str(reading.counters.get(counter, {}).get("state", "closed"))


def _class(cls: str) -> TicketClass:
    return cls  # type: ignore[return-value]  # members are written with the classes of the policy only
