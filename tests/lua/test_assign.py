"""qs_assign: what a counter serves for the rest of the day."""

from __future__ import annotations

from builders import DAY, a_centre
from queue_service.assignments import Assignments
from queue_service.commands import Assign, CallNext, Park, Undo
from queue_service.keys import centre_keys

BOSS = {"actor": "staff:boss", "over": True}


async def test_a_counter_helps_where_people_wait(hall_of):
    """What it serves, who said so and why are on record; a counter that was ready calls at once."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.open("q02")
    await hall.press(CallNext(counter="q02"))
    await hall.issue("a")

    change = await hall.change(Assign(counter="q02", serves={"b": 1, "a": 2}, reason="many wait"), **BOSS)

    assert ["CounterAssigned", "CentreChanged", "TicketReassigned", "TicketCalled"] == change.told
    fact = {"type": "CounterAssigned", "counter": "q02", "serves": {"b": 1, "a": 2}, "reason": "many wait"}
    assert fact == change.facts[0]
    assert ("called", "q02") == (change.state["t1.state"], change.state["t1.counter"])
    assert Assignments(DAY, {"q02": {"b": 1, "a": 2}}).text() == change.state["day.assigned"]
    assert hall.centre.version == change.state["day.version"]


async def test_slips_that_would_name_the_wrong_counter_choose_again(hall_of):
    """The counter they name goes to another line."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "a", "q03": "b"}, mode="counter"))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.issue()
    assert ["q02"] == (await hall.ticket("t2"))["counters"]

    change = await hall.change(Assign(counter="q02", serves={"b": 1}, reason="b is short"), **BOSS)

    assert ["CounterAssigned", "CentreChanged", "TicketReassigned"] == change.told
    assert ["q01"] == (await hall.ticket("t2"))["counters"]


async def test_what_the_file_says_comes_back(hall_of):
    """By hand, when it is no longer needed; nothing of it is left."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    before = await hall.client.hgetall(centre_keys(hall.centre.id).centre)
    version = hall.centre.version
    await hall.press(Assign(counter="q02", serves={"a": 1, "b": 2}, reason="many wait"), **BOSS)
    assert before != await hall.client.hgetall(centre_keys(hall.centre.id).centre)

    await hall.press(Assign(counter="q02", reason="enough"), **BOSS)

    assert before == await hall.client.hgetall(centre_keys(hall.centre.id).centre)
    day = (await hall.picture())["day"]
    assert (version, None) == (day["version"], day.get("assigned"))


async def test_nobody_is_left_without_a_counter(hall_of):
    """While people wait for what only this counter serves, it goes on serving it."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "b"}))
    await hall.issue("b")

    assert "NOBODY_SERVES" == await hall.refuses(Assign(counter="q02", serves={"a": 1}, reason="few come"), **BOSS)


async def test_the_visitor_in_hand_stays_and_steps_before_cannot_be_undone(hall_of):
    """As with another configuration."""
    hall = await hall_of(a_centre({"q01": "a", "q02": "a b"}))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.issue()
    await hall.press(CallNext(counter="q01"))
    await hall.press(Park(counter="q01"))
    await hall.press(CallNext(counter="q01"))

    reply = await hall.press(Assign(counter="q01", serves={"b": 1}, reason="b is short"), **BOSS)

    assert ("A002", "open") == (reply["ticket"]["number"], reply["counter"]["state"])
    assert "NOTHING_TO_UNDO" == await hall.refuses(Undo(counter="q01"))


async def test_refusals(hall_of):
    """An unknown counter, no reason."""
    hall = await hall_of(a_centre())

    assert "UNKNOWN_COUNTER" == await hall.refuses(Assign(counter="q99", serves={"a": 1}, reason="few come"), **BOSS)
    assert "MALFORMED" == await hall.refuses(Assign(counter="q01", serves={}, reason=""), **BOSS)
