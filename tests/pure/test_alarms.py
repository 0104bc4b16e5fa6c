"""What supervisors are told: each alarm with its first moment, and silence before it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import a_centre
from queue_service.alarms import Alarm, Kind, Reading, alarms
from queue_service.centre import AlarmRules, Board, Kiosk

MINUTE = 60_000
CENTRE = a_centre(
    {"q01": "a", "q02": "a b:2", "q03": "b"},
    alarms=AlarmRules(warn_share=0.5, idle_s=120, ready_s=600, paused_s=900, means=3.0),
)


def a_seat(state: str = "open", **fields: Any) -> dict[str, Any]:
    return {"state": state, "since_ms": 0, "idle_since": 0, **fields}


def waiting(*places: str) -> list[str]:
    """Members: ``a/standard/60000`` waits since then."""
    heads = (place.rpartition("/") for place in places)
    return [f"{line}/{int(ms):013}/{n:08}/t{n}" for n, (line, _, ms) in enumerate(heads, 1)]


def told(now_ms: int, *places: str, **fields: Any) -> tuple[Alarm, ...]:
    """The alarms of a hall in which q01 and q03 have somebody in hand unless *fields* say otherwise."""
    busy = a_seat(ticket="t0", called_at_ms=now_ms, mean_at_call=5 * MINUTE)
    counters = {"q01": busy, "q03": busy} | fields.pop("counters", {})
    tickets = {"t0": {"number": "A000"}}
    return alarms(CENTRE, Reading({}, counters, tickets, waiting(*places), **fields), now_ms)


def kinds(found: tuple[Alarm, ...]) -> list[Kind]:
    return [alarm.kind for alarm in found]


def test_a_quiet_hall_says_nothing():
    """Nobody waits, everybody works."""
    assert () == told(0)
    assert [] == kinds(told(14 * MINUTE, "a/standard/0"))


@pytest.mark.parametrize(("minutes", "kind"), [(15, Kind.LINE_WARNED), (29, Kind.LINE_WARNED), (30, Kind.LINE_LATE)])
def test_the_first_in_line_has_waited_too_long(minutes, kind):
    """Half of the promise of half an hour, and all of it; since the moment it became so."""
    (alarm,) = told(minutes * MINUTE, "a/standard/0", f"a/standard/{MINUTE}")

    since = 15 * MINUTE if kind is Kind.LINE_WARNED else 30 * MINUTE
    assert (kind, "a", since) == (alarm.kind, alarm.service, alarm.since_ms)
    assert {"n": 2, "minutes": minutes, "promise": 30} == alarm.values


def test_each_class_has_its_own_promise():
    """Five minutes for priority: it is the one that is told, though another waits longer."""
    (alarm,) = told(10 * MINUTE, "a/standard/0", f"a/priority/{4 * MINUTE}")

    assert (Kind.LINE_LATE, 9 * MINUTE, 5) == (alarm.kind, alarm.since_ms, alarm.values["promise"])


def test_people_wait_and_no_counter_is_open():
    """A paused or draining counter opens nothing to them."""
    closed = {"q01": a_seat("draining"), "q02": a_seat("paused"), "q03": a_seat("closed")}
    (alarm,) = told(MINUTE, "b/standard/1000", counters=closed)

    assert (Kind.LINE_UNATTENDED, "b", 1000, 1) == (alarm.kind, alarm.service, alarm.since_ms, alarm.values["n"])


def test_an_open_counter_calls_nobody_while_people_wait():
    """Not one that is ready: for that one somebody is called by itself."""
    idle = {"q02": a_seat(idle_since=1_000)}
    assert [] == kinds(told(2 * MINUTE, "b/standard/0", counters=idle))
    assert [Kind.COUNTER_IDLE] == kinds(told(2 * MINUTE + 1_000, "b/standard/0", counters=idle))
    ready = {"q02": a_seat(idle_since=1_000, ready=True)}
    assert [] == kinds(told(2 * MINUTE + 1_000, "b/standard/0", counters=ready))


def test_an_open_counter_to_which_nobody_comes_could_help_elsewhere():
    """Whether its officer has asked for the next or not."""
    for seat in (a_seat(), a_seat(ready=True)):
        assert [] == kinds(told(10 * MINUTE - 1, counters={"q02": seat}))
        assert [Kind.COUNTER_READY] == kinds(told(10 * MINUTE, counters={"q02": seat}))


def test_a_pause_is_long():
    """With what the officer said."""
    assert [] == kinds(told(15 * MINUTE - 1, counters={"q02": a_seat("paused", reason="lunch")}))
    (alarm,) = told(15 * MINUTE, counters={"q02": a_seat("paused", reason="lunch")})
    assert (Kind.COUNTER_PAUSED, "q02", 0, "lunch") == (
        alarm.kind,
        alarm.counter,
        alarm.since_ms,
        alarm.values["reason"],
    )


def test_one_visitor_takes_three_times_the_mean():
    """Also at a counter that has closed meanwhile."""
    busy = {"ticket": "t0", "called_at_ms": 0, "mean_at_call": 5 * MINUTE}
    assert [] == kinds(told(15 * MINUTE - 1, counters={"q02": a_seat(**busy)}))
    (alarm,) = told(15 * MINUTE, counters={"q02": a_seat("closed", **busy)})
    assert (Kind.TICKET_LONG, "q02", {"minutes": 15, "number": "A000", "mean": 5}) == (
        alarm.kind,
        alarm.counter,
        alarm.values,
    )


def test_the_gravest_comes_first_and_of_one_kind_the_oldest():
    """Help and trouble before lines before pauses."""
    found = told(
        60 * MINUTE,
        "a/standard/0",
        counters={"q02": a_seat("paused")},
        help={"q03": {"at_ms": 9, "text": None}, "q01": {"at_ms": 3, "text": "ốm"}},
        archive_away_ms=50,
    )

    assert [
        (Kind.ARCHIVE_AWAY, None),
        (Kind.HELP_ASKED, "q01"),
        (Kind.HELP_ASKED, "q03"),
        (Kind.LINE_LATE, None),
        (Kind.COUNTER_PAUSED, "q02"),
    ] == [(alarm.kind, alarm.counter) for alarm in found]


MONDAY_MS = 1_795_366_800_000
"""Midnight of a Monday in Vietnam, as Unix milliseconds."""
HOUR = 60 * MINUTE
HALL = msgspec.structs.replace(
    CENTRE,
    boards=(Board(id="hall", name="Sảnh", zones=("z",)),),
    kiosks=(Kiosk(id="k1", name="Cửa chính", zone="z"), Kiosk(id="k2", name="Cửa phụ", zone="z")),
)


def missed(at_ms: int, **heard: dict[str, int]) -> list[tuple[Kind, str | None, int]]:
    """Devices that are missed *at_ms* after that midnight, with the minutes that the sentence says."""
    heard = {kind: {id: MONDAY_MS + ms for id, ms in devices.items()} for kind, devices in heard.items()}
    found = alarms(HALL, Reading({}, {}, {}, [], **heard), MONDAY_MS + at_ms)
    return [(alarm.kind, alarm.device, int(alarm.values["minutes"])) for alarm in found]


def test_a_device_that_falls_silent_is_missed_in_its_hours():
    """Three minutes after its last word, and not before; one that was never heard stands in no hall yet."""
    nine = 9 * HOUR
    assert [] == missed(nine, kiosks={"k1": nine - 3 * MINUTE + 1}, boards={"hall": nine - 3 * MINUTE + 1})
    assert [(Kind.BOARD_DARK, "hall", 4), (Kind.KIOSK_SILENT, "k1", 3)] == missed(
        nine, kiosks={"k1": nine - 3 * MINUTE, "k2": nine}, boards={"hall": nine - 4 * MINUTE}
    )


def test_nobody_misses_a_device_when_it_is_not_needed():
    """A kiosk until numbers end, a board until counters close; after four days a device has been taken away."""
    quiet = {"kiosks": {"k1": 8 * HOUR}, "boards": {"hall": 8 * HOUR}}
    assert [Kind.BOARD_DARK] == [kind for kind, *_ in missed(16 * HOUR + 45 * MINUTE, **quiet)]
    assert [] == missed(17 * HOUR, **quiet)
    assert [] == missed(24 * HOUR + 9 * HOUR, **quiet)  # the hall opens on Mondays
    assert 2 == len(missed(9 * HOUR, kiosks={"k1": -3 * 24 * HOUR}, boards={"hall": -3 * 24 * HOUR}))
    assert [] == missed(9 * HOUR, kiosks={"k1": -4 * 24 * HOUR}, boards={"hall": -4 * 24 * HOUR})
    assert [] == missed(9 * HOUR, kiosks={"gone": 8 * HOUR}, boards={"gone": 8 * HOUR})
