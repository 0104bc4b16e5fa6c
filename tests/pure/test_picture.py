"""What stands on a terminal: every row as wide as the glass whatever letters it holds, and words that never lie."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.utils import get_cwidth

from counters import picture
from counters.building import Building, Counter, Department, Policy, PromisedClass, Serves, Service
from counters.memory import Held, Keep
from counters.picture import Question, Sight, apart, clean, cut, fit, stopwatch, width, wrap
from counters.press import (
    Button,
    CounterView,
    LineView,
    MessageView,
    PressReply,
    SeatView,
    TicketView,
    UndoView,
    Why,
    is_newer,
    numbers_meant,
    primary,
    rings_left,
)
from queue_service.tickets import State

HOSTILE = st.text(
    st.characters(codec="utf-8") | st.sampled_from("ệẩừđ\u0302\u0323\u202e\u200b\x1b\x07日本🙂"), max_size=90
)


def a_building(name: str = "Đất đai") -> Building:
    return Building(
        id="c", name=name, timezone="Asia/Ho_Chi_Minh",
        departments=(Department(id="d", name=name, letter="A"), Department(id="e", name="E", letter="B")),
        services=(Service(id="a", name=name, department="d"), Service(id="b", name="b", department="e")),
        counters=(Counter(id="q05", number=5, serves=(Serves(service="b", level=2), Serves(service="a"))),),
        policy=Policy(calls_before_no_show=3, classes=(PromisedClass(id="standard", promise_s=1800),)),
    )  # fmt: skip


def a_ticket(state: State = State.CALLED, **more: Any) -> TicketView:
    fields = {
        "id": "t", "number": "A012", "department": "d", "service": "a", "cls": "standard", "state": state,
        "issued_at_ms": 0, "called_at_ms": 1_000, "rings": 1,
    }  # fmt: skip
    return TicketView(**(fields | more))


def a_view(state: str = "open", ticket: TicketView | None = None, **more: Any) -> CounterView:
    return CounterView(
        counter=SeatView(id="q05", number=5, state=state, since_ms=0, reason="họp", **more.pop("seat", {})),
        ticket=ticket,
        lines=(LineView(service="a", department="d", level=1, waiting=3, priority=1, oldest_at_ms=0),),
        **more,
    )


def a_sight(view: CounterView, **more: Any) -> Sight:
    fields = {"language": "vi", "building": a_building(), "officer": "lan", "counter": 5, "now_ms": 61_000}
    return Sight(view=view, **(fields | more))


def text_of(rows: list[picture.Row]) -> str:
    return "\n".join("".join(piece for _, piece in row).rstrip() for row in rows)


@given(HOSTILE, HOSTILE, st.integers(80, 132), st.integers(24, 50))
def test_every_row_is_as_wide_as_the_glass(name: str, note: str, columns: int, rows: int):
    """Combining marks, wide letters, turned directions, escapes: the library that writes the cells counts the same."""
    ticket = a_ticket(note=note, language="en", cls="priority", procedure=note)
    view = a_view(
        ticket=ticket,
        next=a_ticket(State.WAITING),
        parked=(a_ticket(State.PARKED, park_reason=note),),
        messages=(MessageView(message=1, at_ms=0, sender="x", text=note),),
        seat={"undo": UndoView(press="start", until_ms=99_000)},
    )
    sight = a_sight(
        view, building=a_building(name), officer=name, message=clean(note), why=Why(rule="own", waited_ms=60_000)
    )

    for drawn in (
        picture.desk(sight, columns, rows),
        picture.question(Question(title="?", choices=(("1", name, note),), field="f", typed=name), name, columns, rows),
    ):
        assert rows == len(drawn)
        for row in drawn:
            line = "".join(piece for _, piece in row)
            assert columns == width(line)
            assert not [letter for letter in line if unicodedata.category(letter) in ("Cc", "Cf")]


@given(HOSTILE)
def test_cells_are_counted_as_the_library_counts_them(text: str):
    """Our rows and the library's cells agree for whatever may stand in a name."""
    assert get_cwidth(clean(text)) == width(clean(text))


@given(HOSTILE, st.integers(1, 30))
def test_cut_and_wrap_keep_to_their_cells(text: str, cells: int):
    """Never a cell too many."""
    assert width(cut(clean(text), cells)) <= cells
    assert all(width(line) <= cells for line in wrap(clean(text), cells))
    assert cells == sum(width(piece) for _, piece in fit([("", clean(text))], cells))
    assert cells == sum(width(piece) for _, piece in apart([("", clean(text))], [("", "x")], cells))


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (a_view("closed"), ["Quầy đã đóng", "Enter Mở quầy"]),
        (a_view("paused"), ["Quầy đang tạm nghỉ", "họp", "Enter Mở quầy"]),
        (a_view(), ["3 người đang chờ quầy này", "Enter F2 Gọi số tiếp theo", "lâu nhất 1 / 30 phút", "1 ưu tiên"]),
        (a_view(seat={"ready": True}), ["Quầy đã sẵn sàng"]),
        (a_view(ticket=a_ticket()), ["Đang mời", "1:00 ! chưa thấy đến", "A012", "Vắng mặt (thêm 2 lần)"]),
        (a_view(ticket=a_ticket(State.SERVING, started_at_ms=1_000)), ["Đang phục vụ", "1:00", "Enter Hoàn thành"]),
    ],
)
def test_the_desk_says_where_things_stand(view: CounterView, says: list[str]):
    """In words: colours are only beside them."""
    shown = text_of(picture.desk(a_sight(view, live=frozenset(Button)), 80, 24))

    assert [said for said in says if said not in shown] == []


def test_a_kept_press_and_a_lost_link_are_said():
    """What is on its way, that it can be withdrawn, and since when nothing is heard."""
    sight = a_sight(
        a_view(ticket=a_ticket()), on_its_way=Button.COMPLETE, unanswered=True, lost_since_ms=0, live=frozenset(Button)
    )
    shown = " ".join(text_of(picture.desk(sight, 80, 24)).split())

    assert "Mất kết nối từ 08:00 — đang nối lại" in shown
    assert "“Hoàn thành” được giữ" in shown
    assert "Esc Rút lại" in shown


def test_a_secret_is_not_on_the_glass():
    """Not even how long it is."""
    short, long = (
        picture.question(Question(title="?", field="f", typed=typed, is_secret=True), "c", 80, 24)
        for typed in ("x", "secret of many letters")
    )

    assert short == long


def test_the_choice_under_the_finger_stays_in_sight():
    """Among more choices than there are rows."""
    choices = tuple((str(n), f"choice {n}", "") for n in range(100))

    assert "> " in text_of(picture.question(Question(title="?", choices=choices, at=73), "c", 80, 24))
    assert "choice 73" in text_of(picture.question(Question(title="?", choices=choices, at=73), "c", 80, 24))


def test_a_refusal_is_a_sentence():
    """That of its code; one of a newer service shows its code."""
    assert "Quầy đang đóng; hãy mở quầy trước." == picture.sentence("vi", "COUNTER_CLOSED")
    assert "You no longer sit at this counter." == picture.sentence("en", "NOT_YOUR_SEAT")
    assert "Máy chủ không chấp nhận (TOMORROW)." == picture.sentence("vi", "TOMORROW")


@pytest.mark.parametrize(("seconds", "shown"), [(-1, "0:00"), (7, "0:07"), (75.9, "1:15"), (3700, "1:01:40")])
def test_stopwatch(seconds: float, shown: str):
    """Minutes and seconds, hours where they are."""
    assert shown == stopwatch(seconds)


# ── presses ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("12", ("A012", "B012")), ("b7", ("B007",)), ("1234", ("A1234", "B1234")), ("", ()), ("12345", ()), ("x-1", ())],
)
def test_typed_digits_mean_numbers_of_this_counter(typed: str, meant: tuple[str, ...]):
    """Letters of its own work first."""
    assert meant == numbers_meant(typed, a_building().letters("q05"))


def test_the_natural_next_press():
    """Open, call, start, complete."""
    assert [Button.OPEN, Button.CALL_NEXT, Button.START, Button.COMPLETE] == [
        primary(view)
        for view in (
            a_view("paused"), a_view("draining"), a_view(ticket=a_ticket()), a_view(ticket=a_ticket(State.SERVING)),
        )
    ]  # fmt: skip


def test_rings_that_are_missing():
    """Only who is called can be absent."""
    assert [2, 0, 0] == [rings_left(a_view(ticket=ticket), 3) for ticket in (a_ticket(), a_ticket(State.SERVING), None)]


def test_an_older_answer_is_left_aside():
    """By its place in the order of events; another order begins anew."""
    shown = a_view(epoch="e", seq=5, now_ms=10)
    seat = SeatView(id="q05", number=5, state="open")

    assert [True, False, False, True, True] == [
        is_newer(PressReply(counter=seat, epoch=epoch, seq=seq, now_ms=now), shown)
        for epoch, seq, now in (("e", 6, 0), ("e", 4, 99), ("e", 5, 9), ("e", 5, 10), ("f", 1, 0))
    ]


def test_a_memory_is_replaced_as_a_whole(tmp_path: Path):
    """What was remembered is there for the next start; a broken file is nothing, and nobody else may read it."""
    keep = Keep(tmp_path / "state", "http://x", "c")
    held = Held(key="k" * 32, button="recall", counter="q05", officer="lan", body={"reason": "é"}, at_ms=1)
    keep.change(held=held)
    keep.change(counter="q05")
    (file,) = (tmp_path / "state").iterdir()

    assert (held, "q05") == (keep.read().held, keep.read().counter)
    assert 0o600 == file.stat().st_mode & 0o777
    file.write_bytes(b"{")
    assert keep.read().held is None
