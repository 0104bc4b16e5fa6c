"""The law, pair by pair: a command succeeds in a state exactly when TRANSITIONS has the row."""

from __future__ import annotations

import pytest

from builders import Hall, a_centre
from queue_service.commands import (
    CallChosen,
    CallNext,
    Cancel,
    Command,
    Complete,
    CounterCommand,
    Expire,
    MarkLate,
    MarkNoShow,
    MarkPrinted,
    Park,
    Recall,
    Resume,
    Revive,
    SetPlace,
    Start,
    TicketCommand,
    Transfer,
)
from queue_service.tickets import TRANSITIONS, State

STATES = list(State)
COMMANDS = sorted({command for row in TRANSITIONS.values() for command in row} - {*TRANSITIONS[None]}, key=str)

# The presses that bring the ticket t1 into a state, after it was issued.
WAYS: dict[State, list[Command]] = {
    State.WAITING: [],
    State.CALLED: [CallNext(counter="q01")],
    State.SERVING: [CallNext(counter="q01"), Start(counter="q01")],
    State.SERVED: [CallNext(counter="q01"), Complete(counter="q01")],
    State.NO_SHOW: [CallNext(counter="q01"), MarkNoShow(counter="q01")],
    State.PARKED: [CallNext(counter="q01"), Park(counter="q01")],
    State.CANCELLED: [Cancel(ticket="t1")],
    State.EXPIRED: [Expire(ticket="t1")],
}

# What is said when the law has no row: of a ticket that is at no counter, the presses of a counter know nothing.
ELSEWHERE = {"COUNTER_BUSY", "COUNTER_IDLE"}


def wish(command: type[Command]) -> Command:
    """The command, aimed at t1 and the counter q01."""
    if command is SetPlace:
        return SetPlace(ticket="t1", reason="asked", after=0)
    if issubclass(command, TicketCommand):
        return command(ticket="t1")
    assert issubclass(command, CounterCommand)
    if command in (CallChosen, Resume):
        return command(counter="q01", ticket="t1")
    return command(counter="q01", service="a") if command is Transfer else command(counter="q01")


async def in_state(hall: Hall, state: State) -> None:
    """t1 is in *state*; the counter is open."""
    await hall.open("q01")
    await hall.issue()
    for step in WAYS[state]:
        await hall.press(step)
    assert state == (await hall.ticket("t1"))["state"]


def test_every_state_has_a_way():
    """And every command of the law is tried."""
    assert set(State) == set(WAYS) == set(TRANSITIONS) - {None}
    assert {CallNext, CallChosen, Recall, Revive, MarkLate, MarkPrinted} < set(COMMANDS)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.press_name())
async def test_a_command_succeeds_where_the_law_has_a_row(hall_of, state, command):
    """After it the ticket is in the state the row names; without a row nothing has changed."""
    hall = await hall_of(a_centre(calls_before_no_show=1, no_show_returns=0))
    await in_state(hall, state)
    row = TRANSITIONS[state]

    if command in row:
        await hall.press(wish(command))
        assert row[command] == (await hall.ticket("t1"))["state"]
    elif command is CallNext and state not in (State.CALLED, State.SERVING):
        reply = await hall.press(wish(command))  # nobody waits, which is an answer
        assert "ticket" not in reply
        assert state == (await hall.ticket("t1"))["state"]
    else:
        assert await hall.refuses(wish(command)) in {"WRONG_STATE", *ELSEWHERE}
