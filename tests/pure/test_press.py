"""Which buttons are live, what one finger means, and what a reply changes on the officer's screen."""

from __future__ import annotations

import re

import msgspec
import pytest

from counters.press import (
    AT_THE_COUNTER,
    INVITING,
    Button,
    CounterView,
    HelpView,
    PressReply,
    SeatView,
    TicketView,
    UndoView,
    can_bring,
    fold,
    live_buttons,
    new_key,
    pressed,
)
from queue_service.tickets import TRANSITIONS, State


def a_ticket(number: str = "A001", state: State = State.WAITING, rings: int = 0) -> TicketView:
    return TicketView(
        id=f"id-{number}",
        number=number,
        department="cat",
        service="cat",
        cls="standard",
        state=state,
        issued_at_ms=1000,
        rings=rings,
    )


def a_seat(state: str = "open") -> SeatView:
    return SeatView(id="q05", number=5, state=state)


def a_view(state: str = "open", ticket: TicketView | None = None, **more: object) -> CounterView:
    return CounterView(counter=a_seat(state), ticket=ticket, **more)


def test_closed_counter_can_only_be_opened():
    """Nothing but the seat can be taken at a dark counter."""
    assert {Button.OPEN} == live_buttons(a_view("closed"), 0)


def test_free_counter_can_invite():
    """An open counter without a visitor calls, pauses or closes; resuming needs somebody parked."""
    free = {Button.CALL_NEXT, Button.CALL, Button.PAUSE, Button.CLOSE, Button.ASK_HELP}

    assert free == live_buttons(a_view(), 0)
    assert free | {Button.RESUME} == live_buttons(a_view(parked=(a_ticket(state=State.PARKED),)), 0)


def test_help_is_withdrawn_while_nobody_has_come():
    """Whoever asked needs nobody any more; without a call there is nothing to withdraw."""
    asked = a_view(help=HelpView(message=7, since_ms=0))

    assert Button.ANSWER_HELP in live_buttons(asked, 0)
    assert Button.ANSWER_HELP not in live_buttons(a_view(), 0)


def test_busy_counter_invites_nobody():
    """While somebody is at the counter nobody else can be called there."""
    assert not INVITING.keys() & live_buttons(a_view(ticket=a_ticket(state=State.SERVING)), 0)


@pytest.mark.parametrize("state", [State.CALLED, State.SERVING])
@pytest.mark.parametrize("button", AT_THE_COUNTER)
def test_buttons_follow_the_law(state: State, button: Button):
    """A button about the visitor is live exactly when the life of a ticket has that step."""
    live = live_buttons(a_view(ticket=a_ticket(state=state)), 0, calls_before_no_show=0)

    assert (AT_THE_COUNTER[button] in TRANSITIONS[state]) == (button in live)


def test_absence_counts_after_enough_calls():
    """A visitor is called three times before being marked absent."""
    twice, thrice = (a_view(ticket=a_ticket(state=State.CALLED, rings=rings)) for rings in (2, 3))

    assert Button.NO_SHOW not in live_buttons(twice, 0, calls_before_no_show=3)
    assert Button.NO_SHOW in live_buttons(thrice, 0, calls_before_no_show=3)


def test_pause_keeps_the_visitor():
    """A paused counter can finish with whoever is there, and calls nobody."""
    live = live_buttons(a_view("paused", a_ticket(state=State.SERVING)), 0)

    assert {
        Button.OPEN,
        Button.CLOSE,
        Button.ASK_HELP,
        Button.COMPLETE,
        Button.PARK,
        Button.TRANSFER,
        Button.NOTE,
    } == live


def test_undo_is_live_for_its_seconds():
    """The last step can be taken back until its time is over."""
    seat = SeatView(id="q05", number=5, state="open", undo=UndoView(press="no-show", until_ms=5000))
    view = CounterView(counter=seat)

    assert Button.UNDO in live_buttons(view, 4999)
    assert Button.UNDO not in live_buttons(view, 5000)


@pytest.mark.parametrize(
    ("button", "state", "can"),
    [
        (Button.CALL, State.WAITING, True),
        (Button.CALL, State.NO_SHOW, True),
        (Button.CALL, State.SERVED, False),
        (Button.RESUME, State.PARKED, True),
        (Button.RESUME, State.WAITING, False),
        (Button.COMPLETE, State.SERVING, False),
    ],
)
def test_chosen_ticket(button: Button, state: State, can: bool):
    """Who waits or was absent can be called, who was parked can be resumed."""
    assert can == can_bring(button, a_ticket(state=state))


def test_key_struck_twice_is_one_press():
    """Until it is answered, the same wish is the same press with the same key."""
    first = pressed(None, Button.CALL_NEXT, {})

    assert first == pressed(first, Button.CALL_NEXT, {})
    assert first.key != pressed(first, Button.PAUSE, {"reason": "lunch"}).key
    assert first.key != pressed(None, Button.CALL_NEXT, {}).key


def test_keys_have_the_letters_of_the_protocol():
    """A key is 8 to 200 of letters, digits and dashes, and no two are alike."""
    keys = {new_key() for _ in range(100)}

    assert 100 == len(keys)
    assert all(re.fullmatch(r"[A-Za-z0-9-]{8,200}", key) for key in keys)


def test_called_ticket_comes_to_the_counter():
    """The reply to a call puts the ticket at the counter and takes it from the place of the next."""
    called = a_ticket(state=State.CALLED)
    view = fold(a_view(next=a_ticket()), PressReply(counter=a_seat(), ticket=called))

    assert called == view.ticket
    assert view.next is None


def test_parked_ticket_moves_aside_and_back():
    """Parking frees the counter and lists the ticket beside it; resuming takes it from the list."""
    parked = a_ticket(state=State.PARKED)
    aside = fold(a_view(ticket=a_ticket(state=State.SERVING)), PressReply(counter=a_seat(), ticket=parked))
    back = fold(aside, PressReply(counter=a_seat(), ticket=a_ticket(state=State.CALLED)))

    assert (None, (parked,)) == (aside.ticket, aside.parked)
    assert (State.CALLED, ()) == (back.ticket.state, back.parked)


def test_nobody_waits_is_an_answer():
    """A reply without a ticket leaves a free counter as it was."""
    view = a_view(next=a_ticket())

    assert view == fold(view, PressReply(counter=a_seat()))


def test_later_versions_may_say_more():
    """Fields that we do not know are passed over."""
    reply = b'{"counter":{"id":"q05","number":5,"state":"open","lamp":"green"},"ticket":null,"line":{}}'

    assert "open" == msgspec.json.decode(reply, type=PressReply).counter.state
