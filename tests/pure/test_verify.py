"""Verify finds each fault that is planted in an otherwise clean history, and nothing else."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

from displays.board import apply, snapshot
from loadtest.record import AnyRow, BoardTruth, Fact, Frame, Joined, Pressed, Run, Truth, read, write
from loadtest.verify import Kind, verify
from queue_service.events import public_form

CENTRE = {
    "departments": [{"id": "cat", "mode": "cluster"}],
    "counters": [{"id": "q01", "serves": [{"service": "cat", "level": 1}]}],
    "policy": {
        "window_s": {"counter": 300, "cluster": 180, "department": 0},
        "classes": [{"id": "standard", "promise_s": 1800}, {"id": "priority", "promise_s": 300}],
    },
}
WALL_MS = 1_000_000
MILLISECOND = 1_000_000


class Story:
    """A hall told from outside: what was pressed and answered, logged, and seen by one screen.  Times are in ms."""

    def __init__(self) -> None:
        self.rows: list[AnyRow] = []
        self.facts: list[dict[str, Any]] = []
        self.keys = 0
        self.view = snapshot({"day": "2026-11-22", "issuing": "open", "issuing_text": ""}, {})
        self.begin = copy.deepcopy(self.view)
        self.cls: dict[str, str] = {}

    def event(self, at: int, kind: str, number: str, **more: Any) -> dict[str, Any]:
        fact = {
            "epoch": "e",
            "seq": len(self.facts) + 1,
            "at_ms": WALL_MS + at,
            "type": kind,
            "number": number,
            "ticket": f"id-{number}",
            "department": "cat",
            "service": "cat",
            **more,
        }
        self.facts.append(fact)
        apply(self.view, public_form(fact))
        return fact

    def press(self, at: int, who: str, press: str, answer: dict[str, Any] | None, key: str = "", **more: Any) -> None:
        self.keys += 1
        row = {"status": 200, "planned_ns": at * MILLISECOND, "sent_ns": at * MILLISECOND, **more}
        row.setdefault("done_ns", row["sent_ns"] + MILLISECOND)
        self.rows.append(Pressed(key=key or f"key-{self.keys}", who=who, press=press, body={}, answer=answer, **row))

    def issue(self, at: int, number: str, cls: str = "standard") -> None:
        self.cls[number] = cls
        self.event(at, "TicketIssued", number, counters=["q01"], **{"class": cls}, virtual_ms=WALL_MS + at)
        ticket = {"id": f"id-{number}", "number": number, "day": "2026-11-22", "state": "waiting"}
        self.press(at, "kiosk:k1", "issue", {"ticket": ticket}, status=201)

    def call(self, at: int, number: str, key: str = "", **more: Any) -> None:
        called = {"counter": "q01", "call": len(self.facts) + 1, "language": "vi", "was": "waiting", "why": {}}
        self.event(at, "TicketCalled", number, **called, **{"class": self.cls[number]})
        self.told(at, number, key, **more)

    def told(self, at: int, number: str, key: str = "", counter: str = "q01", called_at: int | None = None) -> None:
        called_at_ms = WALL_MS + (at if called_at is None else called_at)
        ticket = {"id": f"id-{number}", "number": number, "state": "called", "called_at_ms": called_at_ms}
        self.press(at, f"counter:{counter}", "call-next", {"ticket": ticket}, key)

    def nobody(self, at: int) -> None:
        self.press(at, "counter:q01", "call-next", {"ticket": None})

    def serve(self, at: int, number: str) -> None:
        self.event(at, "ServiceStarted", number, counter="q01")
        self.event(at + 1, "TicketServed", number, counter="q01")

    def history(self, waiting: tuple[str, ...] = (), screen: list[AnyRow] | None = None) -> list[AnyRow]:
        """Everything as a record; *waiting* are the numbers still in line at the end."""
        line = [{"id": f"id-{number}"} for number in waiting]
        run = Run(
            name="story",
            seed=1,
            pace="profile",
            seconds=1.0,
            speed=1.0,
            base="http://127.0.0.1:1",
            centre=CENTRE,
            machine={},
            started_ns=0,
            started_ms=WALL_MS,
        )
        return [
            run,
            *self.rows,
            *(self.screen() if screen is None else screen),
            *(Fact(epoch="e", event=fact) for fact in self.facts),
            Truth(state={"lines": [{"tickets": line}], "counters": [], "parked": [], "no_show": []}),
            BoardTruth(board="ba", epoch="e", seq=len(self.facts), view=self.view),
        ]

    def joined(self, seq: int = 0, view: dict[str, Any] | None = None, **more: Any) -> Joined:
        row: dict[str, Any] = {"asked_epoch": None, "asked_seq": None, "recovered": False, **more}
        row["view"] = None if row["recovered"] else view or self.begin
        return Joined(screen="s1", board="ba", link=1, at_ns=0, epoch="e", seq=seq, **row)

    def frame(self, fact: dict[str, Any], screen: str = "s1", digest: int | None = None) -> Frame:
        digest = fact["seq"] if digest is None else digest
        return Frame(screen=screen, link=1, at_ns=1, seq=fact["seq"], digest=digest, event=public_form(fact))

    def screen(self) -> list[AnyRow]:
        return [self.joined(), *(self.frame(fact) for fact in self.facts)]


@pytest.fixture
def story() -> Story:
    """Two visitors, called in their order and served, and then nobody."""
    story = Story()
    story.issue(0, "C001")
    story.issue(10, "C002")
    story.call(20, "C001", key="first")
    story.serve(30, "C001")
    story.call(40, "C002")
    story.serve(50, "C002")
    story.nobody(100)
    return story


def kinds(rows: list[AnyRow], **options: Any) -> set[Kind]:
    return set(verify(rows, **options).counts())


def test_clean_history(story: Story):
    """A hall that kept its promises has no faults, and the verdict says how much was looked at."""
    verdict = verify(story.history())

    assert verdict.is_clean, verdict.faults
    assert {"requests": 5, "presses": 5, "events": 8, "screens": 1, "frames": 8} == verdict.looked_at


def test_record_survives_its_file(story: Story):
    """What is written is what is read, and reads with the same verdict."""
    file = io.BytesIO()
    write(story.history(), file)
    file.seek(0)

    assert story.history() == list(read(file))


def test_ticket_called_twice_in_the_log(story: Story):
    """A call of somebody who is already called."""
    story.issue(200, "C003")
    story.call(210, "C003")
    story.call(220, "C003")

    assert {Kind.CALLED_TWICE} == kinds(story.history(waiting=("C003",)))


def test_ticket_called_twice_in_the_answers(story: Story):
    """Two officers hold the same call, though the log knows one."""
    story.told(25, "C001", counter="q02", called_at=20)

    assert {Kind.CALLED_TWICE} == kinds(story.history())


def test_served_ticket_called_again(story: Story):
    """An end is an end."""
    story.call(300, "C001")

    assert {Kind.CALLED_TWICE} == kinds(story.history())


def test_undo_is_no_double_call(story: Story):
    """A call that was taken back may be made again."""
    story.issue(200, "C003")
    story.call(210, "C003")
    story.event(220, "StepUndone", "C003", counter="q01", was="called", now="waiting", call_before=None)
    story.call(230, "C003")
    story.serve(240, "C003")

    assert set() == kinds(story.history())


def test_lost_ticket(story: Story):
    """A number that somebody holds and that is nowhere in the hall."""
    story.issue(200, "C003")

    assert {Kind.LOST} == kinds(story.history())
    assert set() == kinds(story.history(waiting=("C003",)))
    assert {Kind.LOST} == kinds(story.history(waiting=("C003", "C003")))


def test_ticket_that_the_log_does_not_know(story: Story):
    """An acknowledged ticket must be on record."""
    ticket = {"id": "id-C009", "number": "C009", "day": "2026-11-22", "state": "waiting"}
    story.press(200, "kiosk:k1", "issue", {"ticket": ticket}, status=201)

    assert {Kind.LOST} == kinds(story.history(waiting=("C009",)))


def test_number_given_twice(story: Story):
    """Two people with one number."""
    ticket = {"id": "id-other", "number": "C001", "day": "2026-11-22", "state": "waiting"}
    story.press(200, "kiosk:k1", "issue", {"ticket": ticket}, status=201)

    assert Kind.NUMBER_TWICE in kinds(story.history())


def test_call_that_nobody_was_told_of(story: Story):
    """A ticket left the line, and no answer at that counter names it."""
    story.rows = [row for row in story.rows if not (isinstance(row, Pressed) and row.key == "first")]

    assert {Kind.UNTOLD} == kinds(story.history())


def test_calls_before_the_run_were_told_to_others(story: Story):
    """What is in the log from before the run is not looked for in its answers."""
    story.rows = [row for row in story.rows if not (isinstance(row, Pressed) and row.key == "first")]
    run, *rows = story.history()

    assert set() == kinds([Run(**{**_fields(run), "after_seq": 3}), *rows])


def test_same_key_same_answer(story: Story):
    """A repeated press may be answered twice, and with the same words."""
    story.told(60, "C001", key="first", called_at=20)
    assert set() == kinds(story.history())

    story.press(70, "counter:q01", "call-next", {"ticket": None}, key="first")
    assert {Kind.DIFFERENT_ANSWERS} == kinds(story.history())


def test_lost_answer_is_no_answer(story: Story):
    """A press that was cut off and repeated is one press."""
    story.press(19, "counter:q01", "call-next", None, key="first", status=0, lost="cut by plan")

    assert set() == kinds(story.history())


def test_order_within_line_and_class(story: Story):
    """The later ticket goes first: a fault without a margin, and none within it."""
    story.issue(200, "C003")
    story.issue(260, "C004")
    story.call(300, "C004")
    story.serve(301, "C004")
    history = story.history(waiting=("C003",))

    assert {Kind.OUT_OF_ORDER} == kinds(history, margin_ms={})
    assert {Kind.OUT_OF_ORDER} == kinds(history, margin_ms={"standard": 59.0})
    assert set() == kinds(history, margin_ms={"standard": 60.0})


def test_margin_is_the_allocation_window(story: Story):
    """Without a margin given, a standard ticket may pass by the window and a priority ticket by its share of it."""
    story.issue(200, "C003", "priority")
    story.issue(200 + 31_000, "C004", "priority")
    story.call(40_000, "C004")
    story.serve(40_001, "C004")

    assert {Kind.OUT_OF_ORDER} == kinds(story.history(waiting=("C003",)))


def test_classes_are_lines_of_their_own(story: Story):
    """A priority ticket passes older standard ones; that is what it is for."""
    story.issue(200, "C003")
    story.issue(260, "C004", "priority")
    story.call(300, "C004")
    story.serve(301, "C004")

    assert set() == kinds(story.history(waiting=("C003",)), margin_ms={})


def test_call_out_of_turn_is_on_record(story: Story):
    """A chosen ticket carries no explanation of the rule, and may pass others."""
    story.issue(200, "C003")
    story.issue(260, "C004")
    story.call(300, "C004")
    del story.facts[-1]["why"]
    story.serve(301, "C004")

    assert set() == kinds(story.history(waiting=("C003",)), margin_ms={})


def test_nobody_waits_must_be_true(story: Story):
    """Somebody waited from before the press until after its answer."""
    story.issue(200, "C003")
    story.nobody(300)

    assert {Kind.NOT_NOBODY} == kinds(story.history(waiting=("C003",)))


def test_nobody_waits_may_be_true_of_the_first_sending(story: Story):
    """A repeat returns the first answer, though somebody has come since."""
    story.press(190, "counter:q01", "call-next", None, key="late", status=0, lost="cut by plan")
    story.issue(200, "C003")
    story.press(300, "counter:q01", "call-next", {"ticket": None}, key="late")

    assert set() == kinds(story.history(waiting=("C003",)))


def test_polite_refusals_only(story: Story):
    """503 asks for patience; any other 5xx is a fault."""
    story.press(200, "kiosk:k1", "issue", {"code": "STORE_AWAY"}, status=503)
    assert set() == kinds(story.history())

    story.press(201, "kiosk:k1", "issue", None, status=500)
    assert {Kind.SERVICE_BROKE} == kinds(story.history())


def test_gap_in_the_log(story: Story):
    """The log itself must be whole."""
    history = [row for row in story.history() if not (isinstance(row, Fact) and row.event["seq"] == 4)]

    assert Kind.LOG_GAP in kinds(history)


def test_screen_missed_an_event(story: Story):
    """A hole in what a screen saw, although it ends in the right place."""
    rows = [row for row in story.screen() if not (isinstance(row, Frame) and row.seq == 4)]

    assert {Kind.GAP} <= kinds(story.history(screen=rows))


def test_screen_was_shown_an_event_twice(story: Story):
    """The same number again."""
    rows = story.screen()
    rows.insert(3, rows[2])

    assert {Kind.REPEATED} == kinds(story.history(screen=rows))


def test_screen_continues_from_its_place(story: Story):
    """After a cut the screen goes on where it was; from elsewhere would be a hole."""
    rows = story.screen()
    back = {"asked_epoch": "e", "recovered": True}
    good = [*rows[:4], story.joined(seq=3, asked_seq=3, **back), *rows[4:]]
    bad = [*rows[:4], story.joined(seq=4, asked_seq=3, **back), *rows[5:]]

    assert set() == kinds(story.history(screen=good))
    assert Kind.GAP in kinds(story.history(screen=bad))


def test_needless_snapshot(story: Story):
    """A screen that knows its place of the same epoch is continued, not started anew."""
    rows = [story.joined(seq=8, view=story.view, asked_epoch="e", asked_seq=3)]

    assert {Kind.NEEDLESS_SNAPSHOT} == kinds(story.history(screen=rows))


def test_reloaded_screen_gets_a_snapshot(story: Story):
    """A screen that has forgotten its place is told everything, and that calls may have been missed."""
    assert set() == kinds(story.history(screen=[story.joined(seq=8, view=story.view)]))


def test_screen_that_stays_behind(story: Story):
    """Every board ends at the final state."""
    assert {Kind.NOT_CONVERGED} == kinds(story.history(screen=story.screen()[:-1]))


def test_screen_that_shows_something_else(story: Story):
    """The fold of what a screen saw is what the service says the board shows."""
    wrong = copy.deepcopy(story.begin)
    wrong["waiting"]["cat"] = 7

    assert {Kind.NOT_CONVERGED} == kinds(story.history(screen=[story.joined(view=wrong), *story.screen()[1:]]))


def test_screens_see_the_same(story: Story):
    """One number, one event, on every screen."""
    other = [story.joined(), *(story.frame(fact, digest=99) for fact in story.facts)]
    rows = [*story.screen(), *(type(row)(**{**_fields(row), "screen": "s2"}) for row in other)]

    assert {Kind.DIFFERENT_EVENTS} == kinds(story.history(screen=rows))


def test_screen_sees_what_the_log_says(story: Story):
    """An event that carries more than its public form, or something else, does not belong on a board."""
    rows = story.screen()
    told = dict(rows[1].event) | {"ticket": "id-C001"}
    rows[1] = Frame(**{**_fields(rows[1]), "event": told})

    assert {Kind.DIFFERENT_EVENTS} == kinds(story.history(screen=rows))


def test_log_without_its_beginning(story: Story):
    """A log that is no longer kept from the start speaks of tickets it did not issue: no fault."""
    story.facts = [fact | {"seq": fact["seq"] + 50} for fact in story.facts[2:]]
    story.rows = [row for row in story.rows if row.press == "call-next"]
    story.view = story.begin

    assert set() == kinds(story.history(screen=[]))


def _fields(row: AnyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}
