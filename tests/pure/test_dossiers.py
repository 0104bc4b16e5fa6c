"""The law of dossiers: every pair of state and wish, and what each change does to the time limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_centre
from dossier_world import a_calendar, at, said
from queue_service.centre import DossierPolicy
from queue_service.commands import Wish
from queue_service.dossiers import (
    OPEN,
    OUTCOMES,
    TRANSITIONS,
    Dossier,
    Extend,
    HandOver,
    MarkReady,
    Missing,
    Progress,
    Receive,
    Refuse,
    RequestSupplement,
    Return,
    State,
    Step,
    Stop,
    TakeSupplement,
    code_prefix,
    decide,
    receive,
)
from queue_service.errors import CauseNeeded, ExtendedAlready, Malformed, QueueError, SupplementAgain, WrongState
from queue_service.slips import LENGTH, LETTERS, Slips, payload
from queue_service.tickets import diagram
from queue_service.working_days import Limit

CALENDAR = a_calendar()
PAGE = (Path(__file__).parents[2] / "docs" / "dossiers.md").read_text("utf-8")
MISSING = (Missing(paper="Bản vẽ", reason="chưa ký", how="ký và nộp lại"),)
WISHES: dict[type[Wish], Wish] = {
    HandOver: HandOver(department="b"),
    Progress: Progress(title="Thẩm định"),
    RequestSupplement: RequestSupplement(missing=MISSING),
    TakeSupplement: TakeSupplement(),
    Refuse: Refuse(reason="không đủ điều kiện"),
    Stop: Stop(reason="người nộp rút hồ sơ"),
    Extend: Extend(until="2026-12-10", reason="chờ cơ quan phối hợp"),
    MarkReady: MarkReady(),
    Return: Return(),
}
WAYS: dict[State, list[Wish]] = {
    State.RECEIVED: [],
    State.HANDED_OVER: [WISHES[HandOver]],
    State.IN_PROGRESS: [WISHES[HandOver], WISHES[Progress]],
    State.SUPPLEMENT: [WISHES[RequestSupplement]],
    State.READY: [WISHES[MarkReady]],
    State.REFUSED: [WISHES[Refuse]],
    State.STOPPED: [WISHES[Stop]],
    State.RETURNED: [WISHES[MarkReady], WISHES[Return]],
}


class Desk:
    """One dossier and a time that moves: ``desk.do(HandOver(…), "2026-11-20 09:00")``."""

    def __init__(self, received: str = "2026-11-18 09:00", days: int = 5, **wish: Any) -> None:
        whole = Receive(
            department="a",
            procedure="1.000001",
            procedure_name="Thủ tục",
            procedure_version="v",
            limit=wish.pop("limit", Limit("working_day", days)),
            **wish,
        )
        self.at_ms = at(received)
        self.dossier, step = msgspec.structs.astuple(receive(whole, "X-1", "c", "staff:lan", self.at_ms, CALENDAR))
        self.trace: list[Step] = [step]

    def do(self, wish: Wish, when: str | None = None, extensions: int = 1) -> Step:
        self.at_ms = at(when) if when else self.at_ms
        change = decide(self.dossier, wish, "staff:lan", self.at_ms, CALENDAR, extensions)
        self.dossier = change.dossier
        self.trace.append(change.step)
        return change.step

    @property
    def due(self) -> str | None:
        return said(self.dossier.due_ms) if self.dossier.due_ms is not None else None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("kind", WISHES)
def test_every_pair(state: State, kind: type[Wish]):
    """A wish is carried out exactly where the table has a row, and leads where the row says."""
    desk = Desk()
    for wish in WAYS[state]:
        desk.do(wish)
    before = desk.dossier
    assert state == before.state

    if after := TRANSITIONS[state].get(kind):
        assert after == desk.do(WISHES[kind]).state == desk.dossier.state
        assert before.steps + 1 == desk.dossier.steps == desk.trace[-1].n
    else:
        with pytest.raises(WrongState):
            desk.do(WISHES[kind])
        assert before == desk.dossier


def test_the_life_is_drawn_from_its_table():
    """The drawing is what ``make diagram`` prints."""
    assert f"```mermaid\n{diagram(TRANSITIONS, {State.RETURNED})}\n```" in PAGE


def test_ends_are_ends_and_the_rest_is_open():
    """Whoever holds an open dossier owes a result; three ends have an outcome, and all lead to the return."""
    assert {State.RETURNED} == {state for state, row in TRANSITIONS.items() if not row}
    assert set(State) - {State.RETURNED} - OPEN == set(OUTCOMES)
    assert all(TRANSITIONS[state] == {Return: State.RETURNED} for state in OUTCOMES)


def test_received_here_and_begun_there():
    """A limit that another agency keeps begins when it has the dossier (309, Điều 8)."""
    desk = Desk("2026-11-17 09:00", starts=False, agency="Sở Xây dựng")
    assert (None, None) == (desk.dossier.clock_started_ms, desk.due)
    desk.do(HandOver(department="b"), "2026-11-20 09:00")
    assert at("2026-11-20 09:00") == desk.dossier.clock_started_ms
    assert "2026-11-30 17:00" == desk.due == said(desk.dossier.promised_ms or 0)


def test_waiting_for_papers_does_not_count():
    """Three of five days were left; they are still left when the papers come two weeks later."""
    desk = Desk("2026-11-16 09:00")
    assert "2026-11-23 17:00" == desk.due
    desk.do(WISHES[RequestSupplement], "2026-11-18 15:30")
    assert (None, None, 3) == (desk.due, desk.dossier.warning_at(at("2026-12-24 09:00"), CALENDAR), desk.dossier.left)
    assert not desk.dossier.late_at(at("2026-12-24 09:00"))
    desk.do(TakeSupplement(), "2026-12-01 08:00")
    assert "2026-12-04 17:00" == desk.due
    assert "2026-11-23 17:00" == said(desk.dossier.promised_ms or 0)
    assert not desk.dossier.was_late


def test_papers_asked_for_before_the_limit_began():
    """The whole limit runs from the day they came."""
    desk = Desk("2026-11-16 09:00", starts=False)
    desk.do(WISHES[RequestSupplement])
    desk.do(TakeSupplement(), "2026-11-18 09:00")
    assert "2026-11-26 17:00" == desk.due


def test_papers_are_asked_for_once():
    """A second time needs a reason, and is counted."""
    desk = Desk()
    desk.do(WISHES[RequestSupplement])
    desk.do(TakeSupplement())
    with pytest.raises(SupplementAgain):
        desk.do(WISHES[RequestSupplement])
    step = desk.do(RequestSupplement(missing=MISSING, reason="quy định mới từ hôm nay"))
    assert (MISSING, "quy định mới từ hôm nay", 2) == (step.missing, step.reason, desk.dossier.supplements)


def test_another_day_is_promised_once_and_on_a_working_day():
    """The apology moves the promise in force; the first one stays on record."""
    desk = Desk("2026-11-16 09:00")
    for until in ("2026-11-24", "2026-11-28", "2026-11-23", "2026-11-20"):
        with pytest.raises(Malformed):
            desk.do(Extend(until=until, reason="chờ ý kiến"))
    desk.do(Extend(until="2026-11-27", reason="chờ ý kiến"), "2026-11-20 09:00")
    assert ("2026-11-27 17:00", "2026-11-23 17:00") == (desk.due, said(desk.dossier.promised_ms or 0))
    with pytest.raises(ExtendedAlready):
        desk.do(Extend(until="2026-12-01", reason="vẫn chờ"))
    desk.do(Extend(until="2026-12-01", reason="vẫn chờ"), extensions=2)
    assert (2, False) == (desk.dossier.extensions, desk.dossier.was_late)


def test_who_is_late_says_why():
    """A broken promise stays on record with its cause and the department that had it in hand."""
    desk = Desk("2026-11-16 09:00")
    desk.do(HandOver(department="b"))
    for wish in (MarkReady(), WISHES[Extend], WISHES[Refuse]):
        with pytest.raises(CauseNeeded):
            desk.do(wish, "2026-11-23 17:01")
    desk.do(Extend(until="2026-11-27", reason="xin lỗi", cause="thiếu người"))
    assert (True, "b", "thiếu người") == (desk.dossier.was_late, desk.dossier.late_department, desk.dossier.cause)
    desk.do(MarkReady(), "2026-11-25 09:00")
    assert desk.dossier.late_at(desk.at_ms)
    assert "thiếu người" == desk.dossier.cause


def test_who_is_on_time_has_no_cause():
    """A cause given for nothing is not kept."""
    desk = Desk()
    desk.do(MarkReady(cause="không có"))
    assert (None, False) == (desk.dossier.cause, desk.dossier.was_late)


def test_steps_keep_their_share_or_do_not():
    """The step that follows says how the one before ended (form 06)."""
    desk = Desk("2026-11-16 09:00")
    assert desk.do(HandOver(department="b", limit=Limit("hour", 2))).on_time is None
    assert desk.do(Progress(title="Thẩm định", limit=Limit("working_day", 1)), "2026-11-16 11:00").on_time is True
    assert desk.do(Progress(title="Trình ký"), "2026-11-18 09:00").on_time is False
    assert desk.do(MarkReady(), "2026-11-19 09:00").on_time is None


def test_a_clock_that_runs_backwards_stands_still():
    """No step is earlier than the one before it."""
    desk = Desk("2026-11-18 09:00")
    desk.do(Progress(title="Thẩm định"), "2026-11-18 08:00")
    assert [at("2026-11-18 09:00")] * 2 == [step.at_ms for step in desk.trace]


def test_warnings():
    """Three quarters, the last day, late; nothing for what is done or stands still."""
    desk = Desk("2026-11-02 07:30", limit=Limit("working_day", 10))

    def warning(when: str) -> str | None:
        return desk.dossier.warning_at(at(when), CALENDAR)

    assert [None, "share", "last_day", "last_day", "late"] == [
        warning(when)
        for when in ("2026-11-12 09:00", "2026-11-12 10:00", "2026-11-13 07:30", "2026-11-16 17:00", "2026-11-16 17:01")
    ]
    desk.do(MarkReady(), "2026-11-12 09:00")
    assert warning("2026-12-16 17:01") is None


def test_codes_of_an_agency_and_day():
    """The department's own code, else the centre's, else something no real code looks like."""
    day = CALENDAR.day_of(at("2026-11-22 08:00"))
    centre = a_centre({"q01": "a b"}, id="demo")
    assert "DEMO-261122-" == code_prefix(centre, "a", day)
    departments = tuple(
        msgspec.structs.replace(department, agency="H15.50.05.13" if department.id == "b" else "")
        for department in centre.departments
    )
    centre = msgspec.structs.replace(centre, departments=departments, dossiers=DossierPolicy(agency="H15"))
    assert ["H15-261122-", "H15.50.05.13-261122-"] == [code_prefix(centre, id, day) for id in "ab"]
    by_field = DossierPolicy(agency="M1", code="{agency}.{department}-{yymmdd}-07{sequence}")
    assert "M1.b-261122-07" == code_prefix(
        msgspec.structs.replace(a_centre({"q01": "a b"}), dossiers=by_field), "b", day
    )


wishes = (
    st.sampled_from(list(WISHES.values()))
    | st.just(RequestSupplement(missing=MISSING, reason="lần nữa"))
    | st.just(MarkReady(cause="thiếu người"))
)


@given(st.lists(st.tuples(wishes, st.integers(0, 5 * 1440))), st.booleans(), st.integers(0, 10))
def test_any_life_is_a_whole_trace(life: list[tuple[Wish, int]], starts: bool, days: int):
    """Steps are numbered without gaps, the limit runs or stands still, ends have outcomes, refusals change nothing."""
    desk = Desk(days=days, starts=starts)
    now_ms = desk.at_ms
    for wish, minutes in life:
        now_ms += minutes * 60_000
        before = desk.dossier
        try:
            change = decide(before, wish, "staff:lan", now_ms, CALENDAR, 1)
        except QueueError:
            assert before is desk.dossier
            continue
        desk.dossier = after = change.dossier
        desk.trace.append(change.step)
        assert change.step.was == before.state
        assert (after.state in OPEN) == (after.outcome is None) == (after.ended_ms is None)
        assert (after.due_ms is None) == (after.state == State.SUPPLEMENT or after.clock_started_ms is None) or (
            after.state not in OPEN
        )
        assert not (before.was_late and not after.was_late)
        assert after.promised_ms == before.promised_ms or before.promised_ms is None
        assert msgspec.convert(msgspec.to_builtins(after), Dossier) == after
    assert list(range(1, len(desk.trace) + 1)) == [step.n for step in desk.trace]
    assert [step.state for step in desk.trace[:-1]] == [step.was for step in desk.trace[1:]]


# Slips


SLIPS = Slips(bytes(range(32)))


def test_a_secret_is_short_and_readable():
    """Letters that nobody mistakes; the same press gives the same one, another press or code another."""
    secret = SLIPS.secret("X-1", "press-1")
    assert LENGTH == len(secret)
    assert set(secret) <= set(LETTERS)
    assert not set(LETTERS) & set("0O1IL2Z5S8BV")
    assert secret == SLIPS.secret("X-1", "press-1")
    others = {SLIPS.secret(code, press) for code in ("X-1", "X-2") for press in ("press-1", "press-2")}
    assert 4 == len(others)


def test_a_secret_is_checked_as_people_type_it():
    """Spaces, hyphens and small letters do not matter; the code does."""
    secret = SLIPS.secret("X-1", "press-1")
    kept = SLIPS.digest("X-1", secret)
    assert SLIPS.is_right(kept, "X-1", f" {secret[:4].lower()}-{secret[4:]} ")
    assert not SLIPS.is_right(kept, "X-2", secret)
    assert not SLIPS.is_right(kept, "X-1", secret[:-1])
    assert not SLIPS.is_right(None, "X-1", secret)
    assert not Slips(bytes(32)).is_right(kept, "X-1", secret)


def test_a_key_is_long_enough():
    """Otherwise twelve digits are found from their hash."""
    with pytest.raises(ValueError, match="32"):
        Slips(b"short")


def test_the_link_of_a_slip_keeps_its_secret_in_the_fragment():
    """What stands behind # stays in the phone."""
    assert "https://hcc.example/track#X-1.ABCD" == payload("https://hcc.example", "X-1", "ABCD")
