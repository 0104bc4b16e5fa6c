"""What boards show: each event's effect, and that folding events and reading the store come to the same."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import DAY, EPOCH, a_centre
from displays import board
from queue_service import commands
from queue_service.commands import Close, Command, Press, RenewEpoch
from queue_service.events import PUBLIC_FIELDS, public_form
from reference_model import ReferenceModel, Refused

COUNTERS = ("q01", "q02", "q03")
NO_CALL = dict.fromkeys(board.CALL_FIELDS)

# What is pressed, and how often.
PRESSES = {"issue": 6, "counter": 20, "chosen": 2, "resume": 2, "move": 3, "close": 1, "ticket": 2, "rare": 1}
PRESSES |= {"place": 2}
AT_COUNTER = {"CallNext": 4, "Start": 1, "Complete": 2, "Recall": 1, "MarkNoShow": 2, "Park": 2, "Undo": 2}
AT_COUNTER |= {"Pause": 1, "Open": 4}
AT_TICKET = {"Cancel": 1, "Revive": 1, "MarkLate": 1, "MarkPrinted": 1, "Expire": 1}


def drawn(dice: random.Random, weights: dict[str, int]) -> str:
    return dice.choices([*weights], [*weights.values()])[0]


def shown(model: ReferenceModel) -> board.View:
    """The snapshot of what the store would hold."""
    waiting: dict[str, int] = {}
    for ticket in model.waiting():
        waiting[ticket["service"]] = waiting.get(ticket["service"], 0) + 1
    day = {"day": model.day, "issuing": "open" if model.issuing["open"] else "closed", "waiting:never": "0"}
    people = {f"waiting:{service}": str(count) for service, count in waiting.items()}
    return board.snapshot({**day, "issuing_text": model.issuing["text"], **people}, model.counters)


def a_press(dice: random.Random, model: ReferenceModel, n: int) -> tuple[Command, str]:
    """Something somebody may press, sensible or not, and who."""
    counter = dice.choice(COUNTERS)
    officer = model.counter(counter)["officer"] or "staff:lan"
    ticket = dice.choice([*model.tickets, "none"])
    match drawn(dice, PRESSES):
        case "issue":
            return commands.IssueTicket(service=dice.choice("abc"), cls="standard"), "device:k1"
        case "counter":
            return getattr(commands, drawn(dice, AT_COUNTER))(counter=counter), officer
        case "chosen":
            return commands.CallChosen(counter=counter, ticket=ticket, reason="asked"), officer
        case "resume":
            return commands.Resume(counter=counter, ticket=ticket), officer
        case "move":
            return commands.Transfer(counter=counter, service=dice.choice("abc")), officer
        case "close":
            return Close(counter=counter, drain=dice.random() < 0.5), officer
        case "ticket":
            return getattr(commands, drawn(dice, AT_TICKET))(ticket=ticket), "phone"
        case "place":
            service, after = dice.choice("abc"), dice.randrange(3)
            return commands.SetPlace(ticket=ticket, reason="asked", service=service, after=after), "staff:boss"
    rare: list[Command] = [
        commands.SwitchIssuing(open=dice.random() < 0.7, text="soon"),
        commands.AdvanceDay(day=f"2026-12-{n:04}"),
        RenewEpoch(epoch=f"epoch-{n}"),
    ]
    return dice.choice(rare), "system"


@given(seed=st.integers(0, 2**32))
def test_folding_events_and_reading_the_store_agree(seed: int) -> None:
    """After every press of a random day the fold of the public events equals the snapshot, byte for byte."""
    dice = random.Random(seed)
    centre = a_centre(
        {"q01": "a", "q02": "a b", "q03": "b c"},
        calls_before_no_show=1,
        no_show_back_places=dice.choice([0, 2]),
        no_show_returns=dice.choice([0, 1]),
        auto_ready=dice.random() < 0.7,
    )
    model = ReferenceModel(centre, DAY, EPOCH, 1_000)
    view, folded = shown(model), len(model.events)
    for n in range(60):
        command, actor = a_press(dice, model, n)
        press = Press(
            press_id=f"press-{n:04}", actor=actor, now_ms=1_000 * n, over=dice.random() < 0.1, new_ticket=f"t{n}"
        )
        try:
            model.carry_out(command, press, centre.version)
        except Refused:
            continue
        for event in model.events[folded:]:
            board.apply(view, public_form(event))
        folded = len(model.events)
        assert in_order(shown(model)) == in_order(view), command


def in_order(view: board.View) -> bytes:
    return msgspec.json.encode(view, order="sorted")


def test_every_public_type_is_decided() -> None:
    """Each type of event either changes the view or is known not to."""
    assert set(PUBLIC_FIELDS) == board.CHANGES.keys() | board.UNSEEN
    assert not board.CHANGES.keys() & board.UNSEEN


def test_a_type_of_a_newer_service_changes_nothing() -> None:
    """An unknown event does not stop a board."""
    view = an_empty_hall()
    board.apply(view, {"type": "CounterPainted", "seq": 1, "at_ms": 1})
    assert an_empty_hall() == view


def test_what_says_nothing_is_left_out() -> None:
    """Closed counters without a call and empty lines are not in the snapshot."""
    day = {"day": DAY, "issuing": "open", "issuing_text": "", "waiting:a": "0", "waiting:b": "2", "seq": "7"}
    counters: dict[str, dict[str, Any]] = {"q01": {"state": "closed"}, "q02": {"state": "paused", "call": None}}
    expected = {**an_empty_hall(), "waiting": {"b": 2}, "counters": {"q02": {"state": "paused", **NO_CALL}}}
    assert expected == board.snapshot(day, counters)


def test_a_call_stays_until_the_next() -> None:
    """A counter keeps its latest call after it is served; recalls count; closing takes it away."""
    view = an_empty_hall()
    board.apply(view, {"type": "CounterOpened", "counter": "q05"})
    call = {"type": "TicketCalled", "number": "A012", "department": "land", "service": "land", "counter": "q05"}
    board.apply(view, {**call, "call": 9, "at_ms": 77, "language": "en", "was": "parked"})
    board.apply(view, {"type": "TicketRecalled", "number": "A012", "counter": "q05", "rings": 2})
    board.apply(view, {"type": "TicketServed", "number": "A012", "counter": "q05"})
    assert {
        "state": "open",
        "number": "A012",
        "called_at_ms": 77,
        "call": 9,
        "rings": 2,
        "ticket_state": "served",
        "language": "en",
        "department": "land",
    } == view["counters"]["q05"]
    assert {} == view["waiting"]

    board.apply(view, {"type": "CounterClosed", "counter": "q05", "draining": False})
    assert {} == view["counters"]


@pytest.mark.parametrize("draining", [True, False])
def test_a_new_day_clears_the_calls(draining: bool) -> None:
    """Counters keep their state, lines keep their people, calls go."""
    view = {**an_empty_hall(), "waiting": {"a": 1}, "counters": {"q01": {"state": "open", **NO_CALL, "number": "A001"}}}
    if draining:
        board.apply(view, {"type": "CounterClosed", "counter": "q01", "draining": True})
    before = deepcopy(view["counters"]["q01"])
    board.apply(view, {"type": "DayAdvanced", "day": "2026-11-23"})
    assert ("2026-11-23", {"a": 1}) == (view["day"], view["waiting"])
    assert {"q01": {**before, **NO_CALL}} == view["counters"]


def an_empty_hall() -> board.View:
    return {"day": DAY, "issuing": {"open": True, "text": ""}, "waiting": {}, "counters": {}}
