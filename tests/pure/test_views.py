"""What the doors show: the same bytes for the same record, and nothing that breaks when a centre has changed since."""

from __future__ import annotations

import msgspec
import pytest

from builders import a_centre, a_ticket
from queue_service import views
from queue_service.errors import UnknownCounter
from queue_service.tickets import State

CENTRE = a_centre({"q01": "a b:2", "q02": "a", "q03": "b"})


def test_a_ticket_names_its_counters_as_people_read_them() -> None:
    view = views.ticket_view(CENTRE, a_ticket(counters=("q01", "q02")), ahead=4)
    assert (("q01", "q02"), "1–2", "z") == (view.announced.counters, view.announced.label, view.announced.zone)
    assert (4, None, None) == (view.ahead, view.counter, view.counter_number)
    assert views.ticket_view(CENTRE, a_ticket()).ahead is None


def test_a_slip_names_no_zone_when_its_counters_stand_in_several() -> None:
    first, second = CENTRE.counters[:2]
    apart = msgspec.structs.replace(CENTRE, counters=(first, msgspec.structs.replace(second, zone="y")))
    assert views.ticket_view(apart, a_ticket(counters=("q01", "q02"))).announced.zone is None
    assert "y" == views.ticket_view(apart, a_ticket(counters=("q02",))).announced.zone


def test_a_counter_that_is_gone_from_the_configuration_is_left_out_and_breaks_nothing() -> None:
    view = views.ticket_view(CENTRE, a_ticket(counters=("q99", "q02"), counter="q99", state=State.SERVED))
    assert ("2", "z", "q99", None) == (view.announced.label, view.announced.zone, view.counter, view.counter_number)
    gone = views.ticket_view(CENTRE, a_ticket(counters=("q99",)))
    assert ("", None) == (gone.announced.label, gone.announced.zone)


def test_the_same_ticket_is_the_same_bytes() -> None:
    one, two = (msgspec.json.encode(views.ticket_view(CENTRE, a_ticket())) for _ in range(2))
    assert one == two
    assert b'"class":"standard"' in one


def test_a_counter_nobody_opened_is_closed() -> None:
    view = views.counter_view(CENTRE, "q01", None)
    assert ("closed", None, False, None, None, 0) == (
        view.state,
        view.officer,
        view.ready,
        view.ticket,
        view.undo,
        view.since_ms,
    )


def test_a_counter_shows_the_account_and_not_the_actor() -> None:
    record = {"state": "open", "officer": "staff:demo-xa.q01", "since_ms": 5, "ready": True}
    view = views.counter_view(
        CENTRE, "q01", {**record, "last": {"press": "complete", "until_ms": 9, "ticket": "secret"}}
    )
    assert ("demo-xa.q01", True, views.UndoView(press="complete", until_ms=9)) == (view.officer, view.ready, view.undo)
    assert b"secret" not in msgspec.json.encode(view)


def test_a_counter_with_its_ticket_in_hand() -> None:
    state = views.counter_state(CENTRE, "q01", {"state": "open", "ticket": "ticket-1"}, a_ticket(state=State.CALLED))
    assert state.in_hand is not None
    assert ("ticket-1", State.CALLED) == (state.in_hand.id, state.in_hand.state)
    assert views.counter_state(CENTRE, "q01", None, None).in_hand is None
    with pytest.raises(UnknownCounter):
        views.counter_view(CENTRE, "q99", None)


def test_lines_are_summed_over_classes_in_the_order_the_counter_serves_them() -> None:
    heads: list[tuple[str, str, int, str | None]] = [
        ("a", "standard", 3, "a/standard/0000000002000/00000002/t2"),
        ("a", "priority", 1, "a/priority/0000000001000/00000001/t1"),
        ("a", "appointment", 2, "a/appointment/0000000003000/00000003/t3"),
        ("b", "standard", 0, None),
        ("b", "priority", 0, None),
        ("b", "appointment", 0, None),
    ]
    a, b = views.line_views(CENTRE, "q01", heads)
    assert ("a", 1, 6, 1, 2, 1000) == (a.service, a.level, a.waiting, a.priority, a.appointments, a.oldest_at_ms)
    assert ("b", 2, 0, 0, 0, None) == (b.service, b.level, b.waiting, b.priority, b.appointments, b.oldest_at_ms)


def test_time_never_goes_back_in_an_answer() -> None:
    day = {"epoch": "e", "seq": "7", "day": "2026-11-22", "clock": "2000"}
    assert {"epoch": "e", "seq": 7, "day": "2026-11-22", "now_ms": 2000} == views.day_anchor(day, 1000)
    assert 3000 == views.day_anchor(day, 3000)["now_ms"]


def test_issuing() -> None:
    assert views.IssuingView(open=True, text="") == views.issuing_view({"issuing": "open", "issuing_text": ""})
    assert views.IssuingView(open=False, text="Nghỉ") == views.issuing_view({"issuing": "x", "issuing_text": "Nghỉ"})
