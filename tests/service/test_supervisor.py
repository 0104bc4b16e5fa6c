"""What a supervisor may do, over HTTP: done, told to whoever watches, and on record with name and reason."""

from __future__ import annotations

from service_world import House


async def last_event(house: House) -> dict:
    """What was recorded last, in the staff form."""
    return (await house.chief.get("events?limit=1000")).value["events"][-1]


async def test_a_ticket_is_put_in_front_of_another_and_the_record_says_who_and_why(house: House) -> None:
    await house.kiosk.issue()
    second = await house.kiosk.issue()

    placed = await house.chief.press(f"tickets/{second['id']}/place", {"reason": "phụ nữ mang thai", "before": "A001"})

    assert ("waiting", 0) == (placed.ticket["state"], placed.ticket["ahead"])
    event = await last_event(house)
    assert ("TicketPlaced", f"staff:{house.chief.name}", "phụ nữ mang thai") == (
        event["type"],
        event["actor"],
        event["reason"],
    )
    await house.lan.at("q02", "open")
    called = (await house.lan.at("q02", "call-next")).ticket
    assert "A002" == called["number"]
    why = (await house.lan.get(f"tickets/{called['id']}/why")).value["why"]
    assert f"staff:{house.chief.name}" == why["placed"]["by"]


async def test_a_place_without_a_reason_or_without_a_where_is_refused(house: House) -> None:
    ticket = await house.kiosk.issue()
    path = f"tickets/{ticket['id']}/place"

    assert "MALFORMED" == (await house.chief.press(path, {"after": 0})).code
    assert "MALFORMED" == (await house.chief.press(path, {"after": 0, "reason": "  "})).code
    assert "MALFORMED" == (await house.chief.press(path, {"reason": "asked"})).code
    assert "MALFORMED" == (await house.chief.press(path, {"reason": "asked", "after": 100})).code
