"""A visit told from its events: its end, its times, its detours."""

from __future__ import annotations

from typing import Any

from queue_service.tickets import State
from queue_service.visits import read_visit

MINUTE_MS = 60_000


def events(*told: tuple[int, str] | tuple[int, str, dict[str, Any]]) -> list[dict[str, Any]]:
    """One event each minute named; a counter's events are by lan at q01."""
    found = []
    for minute, kind, *more in told:
        event = {"type": kind, "at_ms": minute * MINUTE_MS, "ticket": "t1", "number": "A001", "actor": "device:k1"}
        if kind == "TicketIssued":
            event |= {"department": "a", "service": "s", "class": "standard"}
        elif kind not in ("TicketRevived", "TicketCancelled", "TicketExpired"):
            event |= {"counter": "q01", "actor": "staff:lan"}
        found.append(event | (more[0] if more else {}))
    return found


def test_an_ordinary_visit():
    """Waited from the issue to the call, served from the call to the end; rings are calls and recalls."""
    wait = {"low_ms": 1, "mid_ms": 2, "high_ms": 3}
    visit = read_visit(
        events(
            (0, "TicketIssued", {"wait": wait, "ground": "elderly", "procedure": "1.001193"}),
            (1, "TicketPrinted"),
            (10, "TicketCalled"),
            (11, "TicketRecalled"),
            (12, "ServiceStarted"),
            (20, "TicketServed"),
        )
    )

    assert visit is not None
    assert (State.SERVED, "q01", "lan") == (visit.end, visit.counter, visit.officer)
    assert (0, 10, 12, 20) == tuple(
        at and at // MINUTE_MS
        for at in (visit.issued_at_ms, visit.called_at_ms, visit.started_at_ms, visit.ended_at_ms)
    )
    assert (10, 10) == (visit.waited_ms // MINUTE_MS, visit.served_ms // MINUTE_MS)
    assert (1, 2, 0, 0) == (visit.calls, visit.rings, visit.no_shows, visit.transfers)
    assert ("elderly", "1.001193", 1, 3) == (
        visit.ground, visit.procedure, visit.announced_low_ms, visit.announced_high_ms,
    )  # fmt: skip


def test_waiting_is_added_up_over_detours():
    """Absent and parked time is nobody's; the last service and counter are those of the row."""
    visit = read_visit(
        events(
            (0, "TicketIssued"),
            (5, "TicketCalled"),
            (6, "TicketNoShow"),
            (10, "TicketRevived"),
            (12, "TicketCalled"),
            (13, "TicketTransferred", {"service": "s2", "department": "b"}),
            (20, "TicketCalled", {"counter": "q02"}),
            (21, "TicketParked", {"counter": "q02"}),
            (30, "TicketCalled", {"counter": "q02", "actor": "staff:binh"}),
            (33, "TicketServed", {"counter": "q02", "actor": "staff:binh"}),
        )
    )

    assert visit is not None
    assert (5 + 2 + 7, 1 + 1 + 1 + 3) == (visit.waited_ms // MINUTE_MS, visit.served_ms // MINUTE_MS)
    assert ("b", "s2", "q02", "binh") == (visit.department, visit.service, visit.counter, visit.officer)
    assert (4, 1, 1) == (visit.calls, visit.no_shows, visit.transfers)
    assert 5 * MINUTE_MS == visit.called_at_ms
    assert visit.started_at_ms is None


def test_a_step_taken_back_is_no_end():
    """Served by mistake, then served: the end is the second one."""
    story = events(
        (0, "TicketIssued"),
        (1, "TicketCalled"),
        (2, "TicketServed"),
        (3, "StepUndone", {"was": "served", "now": "called"}),
        (5, "TicketServed"),
    )

    assert read_visit(story[:4]) is None
    visit = read_visit(story)
    assert visit is not None
    assert (5, 1 + 2) == (visit.ended_at_ms // MINUTE_MS, visit.served_ms // MINUTE_MS)


def test_who_is_called_by_taking_a_number_was_served_by_the_officer():
    """A ready counter gets the ticket by the kiosk's press; the officer is who then serves."""
    visit = read_visit(events((0, "TicketIssued"), (0, "TicketCalled", {"actor": "device:k1"}), (9, "TicketServed")))

    assert visit is not None
    assert "lan" == visit.officer


def test_a_visit_is_over_when_the_visitor_is_missed_gives_up_or_is_let_go():
    """Until then it is not told; without its beginning it is never told."""
    for kind, end in (
        ("TicketNoShow", State.NO_SHOW),
        ("TicketCancelled", State.CANCELLED),
        ("TicketExpired", State.EXPIRED),
    ):
        story = events((0, "TicketIssued"), (1, "TicketCalled"), (2, kind))
        visit = read_visit(story)
        assert visit is not None
        assert end == visit.end
        assert read_visit(story[:2]) is None
        assert read_visit(story[1:]) is None
