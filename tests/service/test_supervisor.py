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


async def test_what_a_counter_serves_is_changed_for_the_day(house: House) -> None:
    """Everybody sees it: the centre, the desk, the console; who and why are on record."""
    changed = await house.chief.press("counters/q03/assign", {"reason": "Đất đai đông", "serves": {"b": 1, "a": 2}})

    assert (200, "q03") == (changed.status, changed.value["counter"]["id"])
    counters = {counter["id"]: counter for counter in (await house.nobody.get()).value["counters"]}
    assert [{"service": "b"}, {"service": "a", "level": 2}] == [
        {name: value for name, value in line.items() if (name, value) != ("level", 1)}
        for line in counters["q03"]["serves"]
    ]
    desk = (await house.chief.get("counters/q03")).value
    assert {"a", "b"} == {line["service"] for line in desk["lines"]}
    events = (await house.chief.get("events?limit=1000")).value["events"]
    told = next(event for event in events if event["type"] == "CounterAssigned")
    assert ("Đất đai đông", f"staff:{house.chief.name}") == (told["reason"], told["actor"])
    await house.kiosk.issue("a")
    await house.binh.at("q03", "open")
    assert "A001" == (await house.binh.at("q03", "call-next")).ticket["number"]


async def test_an_assignment_that_makes_no_sense_is_refused(house: House) -> None:
    await house.kiosk.issue("a")
    await house.chief.at("q01", "assign", reason="asked", serves={"b": 1})

    assert "NOBODY_SERVES" == (await house.chief.at("q02", "assign", reason="asked", serves={})).code
    assert "UNKNOWN_SERVICE" == (await house.chief.at("q02", "assign", reason="asked", serves={"nowhere": 1})).code
    assert "UNKNOWN_COUNTER" == (await house.chief.at("q99", "assign", reason="asked", serves={})).code
    assert "MALFORMED" == (await house.chief.at("q02", "assign", serves={"a": 1})).code
    assert "MALFORMED" == (await house.chief.at("q02", "assign", reason="asked", serves={"a": 0})).code


async def test_a_supervisor_pauses_and_opens_an_officers_counter(house: House) -> None:
    """The officer keeps the seat and is told why."""
    await house.lan.at("q01", "open")

    paused = (await house.chief.at("q01", "pause", reason="Họp giao ban")).value["counter"]
    assert ("paused", "Họp giao ban", house.lan.name) == (paused["state"], paused["reason"], paused["officer"])
    assert "SEAT_TAKEN" == (await house.binh.at("q01", "open", keep_officer=True)).code
    opened = (await house.chief.at("q01", "open", keep_officer=True, reason="Họp xong")).value["counter"]
    assert ("open", house.lan.name) == (opened["state"], opened["officer"])
    closed = (await house.chief.at("q01", "close", reason="Hết việc")).value["counter"]
    assert ("closed", None) == (closed["state"], closed["officer"])
    assert "Hết việc" == (await last_event(house))["reason"]


async def test_alarms_say_what_is_wrong_and_what_to_do_in_two_languages(house: House) -> None:
    """Somebody waits and nobody is there; an officer asks for help."""
    await house.kiosk.issue("a")
    await house.binh.at("q03", "open")
    await house.binh.at("q03", "ask-help", text="cần con dấu")

    reply = (await house.chief.get("alarms")).value

    assert ["help-asked", "line-unattended"] == [alarm["kind"] for alarm in reply["alarms"]]
    help, line = reply["alarms"]
    assert ("q03", "Quầy 3 cần hỗ trợ", "Counter 3 asks for help") == (
        help["counter"],
        help["says"]["vi"],
        help["says"]["en"],
    )
    assert ("a", None) == (line["service"], line["counter"])
    assert "1 người chờ" in line["says"]["vi"]
    assert all(text and "{" not in text for text in (*line["says"].values(), *line["do"].values()))


async def test_the_state_says_where_everybody_stands_and_what_today_was(house: House) -> None:
    """With what the staff feed goes on from."""
    first = await house.kiosk.issue()
    second = await house.kiosk.issue()
    await house.lan.at("q02", "open")
    await house.lan.at("q02", "call-next")
    await house.lan.at("q02", "complete")
    await house.chief.press(f"tickets/{second['id']}/place", {"reason": "asked", "after": 0})
    await house.chief.at("q03", "assign", reason="asked", serves={"b": 1, "a": 2})

    state = await house.state()

    (line,) = state["lines"]
    (waits,) = line["tickets"]
    assert (second["id"], ["a"], f"staff:{house.chief.name}") == (waits["id"], waits["lines"], waits["placed"]["by"])
    assert second["issued_at_ms"] == waits["virtual_ms"]
    assert (2, 1, 1, 0) == tuple(state["today"]["a"][name] for name in ("issued", "called", "served", "no_show"))
    assert ["q03"] == state["assigned"]
    assert first["id"] not in str(state["lines"])


async def test_a_place_without_a_reason_or_without_a_where_is_refused(house: House) -> None:
    ticket = await house.kiosk.issue()
    path = f"tickets/{ticket['id']}/place"

    assert "MALFORMED" == (await house.chief.press(path, {"after": 0})).code
    assert "MALFORMED" == (await house.chief.press(path, {"after": 0, "reason": "  "})).code
    assert "MALFORMED" == (await house.chief.press(path, {"reason": "asked"})).code
    assert "MALFORMED" == (await house.chief.press(path, {"reason": "asked", "after": 100})).code


async def test_whoever_is_named_is_called_by_name(house: House) -> None:
    """Readings say the display name beside the account, and a change of it counts at once."""
    staff, name = house.service._staff, house.lan.name
    await house.lan.at("q02", "open")
    await house.lan.at("q02", "ask-help", text="in phiếu")

    await staff.change(name, house.operator, display_name="Cán bộ quầy hai")

    called = {name: "Cán bộ quầy hai"}
    for path in ("counters", "counters/q02", "state", "messages"):
        assert called == (await house.chief.get(path)).value["names"], path
    await staff.remove(name, house.operator)
    assert {} == (await house.chief.get("counters")).value["names"]
