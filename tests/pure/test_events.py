"""Events: who sees what of a fact."""

from __future__ import annotations

import pytest

from queue_service.events import ENVELOPE, PUBLIC_FIELDS, STAFF_FIELDS, public_form

PRIVATE = {"ticket", "actor", "reason", "note", "why", "ground", "procedure", "taken_from", "class"}
"""Whose ticket, who pressed, and what was said or known about the visitor."""


def test_every_type_has_both_forms():
    """What everybody sees, and what staff see besides."""
    assert set(PUBLIC_FIELDS) == set(STAFF_FIELDS)


@pytest.mark.parametrize("kind", PUBLIC_FIELDS)
def test_nothing_private_leaves_the_building(kind):
    """Numbers and counters only; no field is listed twice."""
    public, staff = PUBLIC_FIELDS[kind], STAFF_FIELDS[kind]

    assert not PRIVATE & set(public)
    assert not {*public, *staff} & set(ENVELOPE)
    assert len({*public, *staff}) == len(public) + len(staff)


def test_the_public_form_keeps_the_envelope_and_the_public_fields():
    """And only those that are there."""
    event = {
        "epoch": "e",
        "seq": 7,
        "at_ms": 1,
        "type": "TicketParked",
        "actor": "staff:lan",
        "ticket": "secret",
        "number": "A001",
        "counter": "q01",
        "reason": "a copy",
        "department": "a",
    }

    assert ["epoch", "seq", "at_ms", "type", "number", "counter"] == list(public_form(event))
    assert public_form(event).items() <= event.items()


def test_a_type_we_do_not_know_has_no_public_form():
    """A newer core's fact is not shown rather than shown whole."""
    with pytest.raises(KeyError):
        public_form({"epoch": "e", "seq": 7, "at_ms": 1, "type": "TicketPainted", "ticket": "secret"})
