"""qs_note: what the next colleague should know about the visitor in hand."""

from __future__ import annotations

from builders import Hall, a_centre
from queue_service.commands import CallNext, Note, Transfer, Undo
from queue_service.events import public_form


async def a_visitor(hall_of) -> Hall:
    """Somebody was called to q01."""
    hall: Hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01")
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    return hall


async def test_a_note_stays_on_the_ticket(hall_of):
    """Staff are told; the public hears that something happened and no more."""
    hall = await a_visitor(hall_of)

    change = await hall.change(Note(counter="q01", text="hard of hearing"))

    assert {"t1.note": "hard of hearing"} == change.state
    assert ["TicketNoted"] == change.told
    assert "hearing" not in str(public_form((await hall.events())[-1]))
    assert "hard of hearing" == change.reply["ticket"]["note"]


async def test_no_words_take_the_note_away(hall_of):
    """And the same words are not told twice."""
    hall = await a_visitor(hall_of)
    await hall.press(Note(counter="q01", text="a"))

    assert [] == (await hall.change(Note(counter="q01", text="a"))).told
    assert {"t1.note": None} == (await hall.change(Note(counter="q01"))).state


async def test_the_next_counter_reads_it(hall_of):
    """A transfer without words keeps it, one with words replaces it."""
    hall = await a_visitor(hall_of)
    await hall.press(Note(counter="q01", text="first"))
    assert "first" == (await hall.press(Transfer(counter="q01", service="b")))["ticket"]["note"]
    await hall.press(Undo(counter="q01"))
    assert "second" == (await hall.press(Transfer(counter="q01", service="b", note="second")))["ticket"]["note"]


async def test_a_note_outlives_an_undone_call(hall_of):
    """It is not part of the step that is taken back."""
    hall = await a_visitor(hall_of)
    await hall.press(Note(counter="q01", text="came by bus"))
    await hall.press(Undo(counter="q01"))

    assert ("waiting", "came by bus") == ((await hall.ticket("t1"))["state"], (await hall.ticket("t1"))["note"])


async def test_a_note_needs_a_visitor(hall_of):
    """And the seat."""
    hall = await a_visitor(hall_of)
    await hall.open("q02")

    assert "COUNTER_IDLE" == await hall.refuses(Note(counter="q02", text="a"))
    assert "NOT_YOUR_SEAT" == await hall.refuses(Note(counter="q01", text="a"), actor="staff:minh")
