"""qs_configure: a configuration in force, the first one or another in the middle of the day."""

from __future__ import annotations

import pytest

from builders import DAY, EPOCH, a_centre
from queue_service.centre import to_json
from queue_service.codec import centre_pieces
from queue_service.commands import CallNext, Complete, Configure, IssueTicket, Undo
from queue_service.errors import CounterBusy, Malformed, NobodyServes, StaleCentre
from queue_service.keys import centre_keys


async def test_a_new_centre_begins_its_first_day(hall_of):
    """Open for issuing, empty, and the first fact is its configuration."""
    hall = await hall_of(a_centre())

    assert {
        "epoch": EPOCH,
        "seq": "1",
        "clock": str(hall.clock.now_ms()),
        "day": DAY,
        "version": hall.centre.version,
        "orders": "0",
        "issuing": "open",
        "issuing_text": "",
    } == (await hall.picture())["day"]
    assert ["CentreChanged"] == await hall.told()


async def test_the_same_configuration_again_changes_nothing(hall_of):
    """Every process of an installation puts it in force when it starts."""
    hall = await hall_of(a_centre())
    before = await hall.picture()

    reply = await hall.configure(day="2026-12-24")

    assert before == await hall.picture()
    assert (EPOCH, 1, DAY) == (reply["epoch"], reply["seq"], reply["day"])


async def test_the_same_configuration_packed_otherwise_is_put_in_force(hall_of):
    """Another release of the service, on the data of the one before, finds what its functions read."""
    hall = await hall_of(a_centre())
    pieces = centre_pieces(hall.centre)
    old = {name: b"\x80" if name.startswith("service:") else bytes for name, bytes in pieces.items()}
    await hall.client.hset(centre_keys(hall.centre.id).centre, mapping=old)

    await hall.configure()

    stored = await hall.client.hgetall(centre_keys(hall.centre.id).centre)
    assert pieces | {"file": to_json(hall.centre)} == {name.decode(): bytes for name, bytes in stored.items()}
    assert "t1" == await hall.issue()


async def test_a_press_checked_against_the_old_configuration_is_refused(hall_of):
    """It may be repeated with the same key, as nothing was done."""
    hall = await hall_of(a_centre())
    old = hall.centre
    await hall.configure(a_centre(2, id=old.id))
    envelope = hall.envelope(ticket="t1")
    wish = IssueTicket(service="a", cls="standard")

    with pytest.raises(StaleCentre):
        await hall.store.carry_out(old.id, wish, envelope, old.version)
    assert "t1" == (await hall.store.carry_out(old.id, wish, envelope, hall.centre.version))["ticket"]["id"]


async def test_slips_that_name_the_wrong_counters_choose_again(hall_of):
    """The counter is gone; the ticket is not."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "a"}, mode="counter"))
    await hall.issue()
    assert ["q01"] == (await hall.ticket("t1"))["counters"]
    before = await hall.picture()

    reply = await hall.configure(a_centre({"q02": "a"}, id=hall.centre.id, mode="counter"))

    change = hall.difference(before, await hall.picture(), reply)
    assert ["CentreChanged", "TicketReassigned"] == change.told
    assert {
        "announced": ["a/q02/standard/t1"],
        "day.version": hall.centre.version,
        "groups.q01": None,
        "groups.q02": 300_000,
        "t1.counters": ["q02"],
        "t1.group": "q02",
    } == change.state


@pytest.mark.parametrize("mode", ["cluster", "counter", "department"])
@pytest.mark.parametrize("after", ["cluster", "counter", "department"])
async def test_another_mode_keeps_everybody_callable(hall_of, mode, after):
    """Whatever the slips said."""
    hall = await hall_of(a_centre(7, mode=mode))
    await hall.open("q01", "q07")
    for _ in range(5):
        await hall.issue()

    await hall.configure(a_centre(3, id=hall.centre.id, mode=after))

    tickets = (await hall.picture())["tickets"].values()
    assert {"q01", "q02", "q03"} >= {id_ for ticket in tickets for id_ in ticket["counters"]}
    for n in range(1, 6):
        assert f"t{n}" == (await hall.press(CallNext(counter="q01")))["ticket"]["id"]
        await hall.press(Complete(counter="q01"))


async def test_people_wait_for_a_service_that_would_be_gone(hall_of):
    """Refused, and nothing has changed."""
    hall = await hall_of(a_centre({"q01": "a b"}))
    await hall.issue("b")
    before = await hall.picture()

    with pytest.raises(NobodyServes):
        await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id))
    with pytest.raises(NobodyServes):
        await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id, services="b"))
    assert before == await hall.picture()


async def test_somebody_sits_at_a_counter_that_would_be_gone(hall_of):
    """Refused: nobody could finish with the visitor."""
    hall = await hall_of(a_centre(2))
    await hall.open("q02")
    await hall.issue()
    await hall.press(CallNext(counter="q02"))
    before = await hall.picture()

    with pytest.raises(CounterBusy):
        await hall.configure(a_centre(1, id=hall.centre.id))
    assert before == await hall.picture()


async def test_an_open_counter_without_a_visitor_may_go(hall_of):
    """The boards are told that it has closed; if it comes back, it begins closed."""
    hall = await hall_of(a_centre(2))
    await hall.open("q02")

    await hall.configure(a_centre(1, id=hall.centre.id))

    assert ["CentreChanged", "CounterOpened", "CentreChanged", "CounterClosed"] == await hall.told()
    assert {} == (await hall.picture())["counters"]


async def test_counters_that_go_together_go_in_order(hall_of):
    """Not in whatever order the store kept them."""
    hall = await hall_of(a_centre(9))
    for n in (7, 2, 9, 4):
        await hall.open(f"q{n:02}")

    await hall.configure(a_centre(1, id=hall.centre.id))

    closed = [event["counter"] for event in await hall.events() if event["type"] == "CounterClosed"]
    assert ["q02", "q04", "q07", "q09"] == closed


async def test_a_ready_counter_looks_into_its_new_lines(hall_of):
    """Somebody waits there: called at once."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q01")
    await hall.press(CallNext(counter="q01"))
    await hall.issue("b")

    await hall.configure(a_centre({"q01": "a b", "q02": "b"}, id=hall.centre.id))

    ticket = await hall.ticket("t1")
    assert ("called", "q01") == (ticket["state"], ticket["counter"])


async def test_steps_before_it_are_not_taken_back(hall_of):
    """The line they would lead to may be gone."""
    hall = await hall_of(a_centre({"q01": "a b"}))
    await hall.open("q01")
    await hall.issue("b")
    await hall.press(CallNext(counter="q01"))

    await hall.configure(a_centre({"q01": "a"}, id=hall.centre.id))

    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))


async def test_no_policy_is_no_configuration(hall_of):
    """Refused before anything is written."""
    hall = await hall_of(a_centre())
    before = await hall.picture()
    pieces = {name: piece for name, piece in centre_pieces(hall.centre).items() if name != "policy"}

    with pytest.raises(Malformed):
        await hall.press(Configure(new_version="v2", day=DAY, epoch="e", pieces=pieces, file=b"{}"))
    assert before == await hall.picture()
