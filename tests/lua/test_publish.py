"""qs_publish: what the archive has decided of a dossier becomes an event, once."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import Publish

FACT = {"code": "X-261118-0001", "was": "received", "state": "ready", "step": 2}


async def test_a_fact_is_recorded_as_it_is(hall_of):
    """With the next number; nothing else of the hall changes."""
    hall = await hall_of(a_centre())

    change = await hall.change(Publish(fact=FACT))

    assert [{"type": "DossierChanged", **FACT}] == change.facts
    assert {} == change.state


async def test_a_step_is_recorded_once(hall_of):
    """Telling it again gives the first answer and no event."""
    hall = await hall_of(a_centre())
    first = await hall.change(Publish(fact=FACT), key="X-261118-0001/2")
    again = await hall.change(Publish(fact=FACT), key="X-261118-0001/2")

    assert first.reply == again.reply
    assert [] == again.facts


async def test_a_fact_cannot_pass_for_another_kind(hall_of):
    """What it says of its kind, number and time is written over."""
    hall = await hall_of(a_centre())

    change = await hall.change(Publish(fact=FACT | {"type": "TicketCalled", "seq": 1, "epoch": "other", "at_ms": 1}))

    assert [{"type": "DossierChanged", **FACT}] == change.facts


async def test_refusals(hall_of):
    """A fact says what it is about."""
    hall = await hall_of(a_centre())

    assert "MALFORMED" == await hall.refuses(Publish(fact={"code": "X-1", "state": "ready"}))
