"""The law of a ticket's life, read as a table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from queue_service.commands import CallNext, Command, CounterCommand, IssueTicket, Revive, TicketCommand
from queue_service.tickets import FINAL, TRANSITIONS, State, diagram


def reached() -> set[State]:
    """Where a ticket may come to, from nothing."""
    seen: set[State] = set()
    todo: list[State | None] = [None]
    while todo:
        for after in TRANSITIONS[todo.pop()].values():
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return seen


def test_every_state_has_its_row_and_is_reached():
    """No ticket falls out of the table, and the table has no room that nobody enters."""
    assert {None, *State} == set(TRANSITIONS)
    assert set(State) == reached()


def test_a_ticket_begins_by_being_issued_and_in_no_other_way():
    """Nothing else happens to a ticket that is not there."""
    assert {IssueTicket: State.WAITING} == TRANSITIONS[None]
    assert not [state for state in State if IssueTicket in TRANSITIONS[state]]


@pytest.mark.parametrize("state", sorted(FINAL))
def test_in_a_final_state_nobody_waits_for_anything(state):
    """Only the cancelled may change their mind."""
    assert ({Revive: State.WAITING} if state is State.CANCELLED else {}) == TRANSITIONS[state]


def test_every_life_can_end():
    """From each state some way leads to an end."""
    ends: set[State] = set(FINAL)
    while True:
        more = {state for state in State if ends & set(TRANSITIONS[state].values())} - ends
        if not more:
            break
        ends |= more

    assert set(State) == ends


def test_a_call_leads_only_from_the_line_or_from_absence():
    """Nobody who sits at a counter is called to another."""
    assert {State.WAITING} == {state for state in State if CallNext in TRANSITIONS[state]}


def test_commands_are_named_after_what_carries_them_out():
    """One name in the address, in the metrics and in the store."""
    assert ("call-next", "qs_call_next") == (CallNext.press_name(), CallNext.function)
    law = {command for row in TRANSITIONS.values() for command in row}
    assert all(issubclass(command, TicketCommand | CounterCommand | IssueTicket) for command in law)
    assert all(issubclass(command, Command) for command in law)


def test_the_drawing_is_the_table():
    """A line for each row, and each end."""
    lines = diagram().splitlines()

    assert "stateDiagram-v2" == lines[0]
    assert "    [*] --> waiting: issue-ticket" in lines
    assert sum(map(len, TRANSITIONS.values())) + len(FINAL) == len(lines) - 1


def test_the_module_draws_itself():
    """``python -m queue_service.tickets`` is what the page is drawn with."""
    drawn = subprocess.run(
        [sys.executable, "-m", "queue_service.tickets"], capture_output=True, text=True, check=True
    ).stdout

    assert diagram() == drawn.rstrip("\n")
