"""The face of the service as transcripts: what is pressed, what is answered, what is true afterwards."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from builders import a_centre
from queue_service.authority import EVERYWHERE
from queue_service.centre import Hours, Span
from queue_service.clock import ManualClock
from queue_service.second_factor import STEP_MS, code_at, new_secret
from queue_service.sweeper import Sweeper
from service_world import MSGPACK, Caller, House, a_hall, a_house, a_key, a_service

# One visitor, from the kiosk to the end


async def test_a_visit(house: House) -> None:
    """issue, printed, open, call, recall, start, complete: each answer carries the ticket and the counter after it."""
    answer = await house.kiosk.press("tickets", {"service": "a", "ground": "elderly", "language": "vi"})
    assert 201 == answer.status
    ticket = answer.ticket
    assert ("A001", "a", "a", "priority", "elderly") == tuple(
        ticket[name] for name in ("number", "department", "service", "class", "ground")
    )
    assert ("waiting", 0, False, None) == tuple(ticket[name] for name in ("state", "ahead", "printed", "counter"))
    announced = ticket["announced"]
    assert ({"q01", "q02"}, "1–2", "z") == (set(announced["counters"]), announced["label"], announced["zone"])
    assert 22 == len(ticket["id"])

    path = f"tickets/{ticket['id']}"
    assert (await house.kiosk.press(f"{path}/printed")).ticket["printed"]
    assert (await house.nobody.look(ticket["id"]))["printed"]

    opened = (await house.lan.at("q01", "open")).value
    assert ("open", house.lan.name, None) == tuple(opened["counter"][name] for name in ("state", "officer", "ticket"))
    called = (await house.lan.at("q01", "call-next")).value
    assert ("A001", "called", "q01", 1, 1) == tuple(
        called["ticket"][name] for name in ("number", "state", "counter", "counter_number", "rings")
    )
    assert ticket["id"] == called["counter"]["ticket"]
    assert 2 == (await house.lan.at("q01", "recall")).ticket["rings"]
    assert "serving" == (await house.lan.at("q01", "start")).ticket["state"]
    done = (await house.lan.at("q01", "complete")).value
    assert ("served", None) == (done["ticket"]["state"], done["counter"]["ticket"])
    assert done["ticket"]["started_at_ms"] <= done["ticket"]["ended_at_ms"]
    assert "served" == (await house.nobody.look(ticket["id"]))["state"]


async def test_every_answer_says_where_it_stands_in_the_order_of_events(house: House) -> None:
    first = (await house.kiosk.press("tickets", {"service": "a"})).value
    second = (await house.kiosk.press("tickets", {"service": "a"})).value
    assert first["epoch"] == second["epoch"]
    assert first["seq"] + 1 == second["seq"]
    assert (1, "A002") == (second["ticket"]["ahead"], second["ticket"]["number"])
    assert second["day"] == second["ticket"]["day"]


async def test_nobody_waits_is_an_answer_and_whoever_comes_is_called(house: House) -> None:
    await house.lan.at("q01", "open")
    answer = await house.lan.at("q01", "call-next")
    assert (200, None, True) == (answer.status, answer.value["ticket"], answer.value["counter"]["ready"])

    ticket = await house.kiosk.issue()
    seen = await house.nobody.look(ticket["id"])
    assert ("called", "q01") == (seen["state"], seen["counter"])
    desk = (await house.lan.get("counters/q01")).value
    assert (ticket["id"], False) == (desk["ticket"]["id"], desk["counter"]["ready"])


async def test_a_chosen_ticket_is_called_out_of_turn_by_its_number_with_the_reason_on_record(house: House) -> None:
    await house.kiosk.issue()
    chosen = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    called = (await house.lan.at("q01", "call", ticket="A002", reason="con nhỏ")).ticket
    assert chosen["id"] == called["id"]
    why = (await house.chief.get(f"tickets/{chosen['id']}/why")).value
    assert "TicketCalled" == why["called"]["type"]
    assert "con nhỏ" in json.dumps(why, ensure_ascii=False)


async def test_why_says_nothing_of_a_ticket_that_was_never_called(house: House) -> None:
    ticket = await house.kiosk.issue()
    assert {"ticket": ticket["id"], "why": None, "called": None} == (
        await house.chief.get(f"tickets/{ticket['id']}/why")
    ).value


async def test_why_explains_an_ordinary_call(house: House) -> None:
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    why = (await house.lan.get(f"tickets/{ticket['id']}/why")).value
    assert why["why"]
    assert "q01" == why["called"]["counter"]


async def test_who_is_absent_is_called_three_times_waits_once_more_and_is_missed(house: House) -> None:
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    early = await house.lan.at("q01", "no-show")
    assert (409, "TOO_EARLY_NO_SHOW") == (early.status, early.code)
    for _ in range(2):
        await house.lan.at("q01", "recall")
    assert "waiting" == (await house.lan.at("q01", "no-show")).ticket["state"]

    await house.lan.at("q01", "call-next")
    for _ in range(2):
        await house.lan.at("q01", "recall")
    assert "no_show" == (await house.lan.at("q01", "no-show")).ticket["state"]
    state = await house.state()
    assert [ticket["id"]] == [absent["id"] for absent in state["no_show"]]
    assert (
        "waiting"
        == (await house.desk.press(f"tickets/{ticket['id']}/revive", {"reason": "đã quay lại"})).ticket["state"]
    )


async def test_a_parked_ticket_comes_back_to_the_counter(house: House) -> None:
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    await house.lan.at("q01", "start")
    parked = (await house.lan.at("q01", "park", reason="thiếu bản sao")).ticket
    assert ("parked", "thiếu bản sao") == (parked["state"], parked["park_reason"])
    desk = (await house.lan.get("counters/q01")).value
    assert ([ticket["id"]], None) == ([aside["id"] for aside in desk["parked"]], desk["ticket"])
    assert [ticket["id"]] == [aside["id"] for aside in (await house.state())["parked"]]
    assert "called" == (await house.lan.at("q01", "resume", ticket=ticket["id"])).ticket["state"]


async def test_a_visitor_is_sent_on_to_a_service_and_to_a_counter(house: House) -> None:
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    await house.lan.at("q01", "start")
    moved = (await house.lan.at("q01", "transfer", service="b", note="hỏi thêm")).ticket
    assert ("waiting", "b", "A001", "hỏi thêm") == tuple(moved[name] for name in ("state", "service", "number", "note"))

    await house.binh.at("q03", "open")
    assert ticket["id"] == (await house.binh.at("q03", "call-next")).ticket["id"]
    await house.binh.at("q03", "start")
    moved = (await house.binh.press("counters/q03/transfer", {"counter": "q02"})).ticket
    assert ["q02"] == moved["announced"]["counters"]


async def test_a_transfer_to_nowhere_is_refused(house: House) -> None:
    await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    await house.lan.at("q01", "start")
    before = await house.state()
    assert "UNKNOWN_SERVICE" == (await house.lan.at("q01", "transfer", service="nowhere")).code
    assert "UNKNOWN_COUNTER" == (await house.lan.press("counters/q01/transfer", {"counter": "q99"})).code
    assert "MALFORMED" == (await house.lan.at("q01", "transfer")).code
    assert before == await house.state()


async def test_the_last_step_is_taken_back(house: House) -> None:
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    await house.lan.at("q01", "start")
    done = (await house.lan.at("q01", "complete")).value
    assert "complete" == done["counter"]["undo"]["press"]
    undone = (await house.lan.at("q01", "undo")).value
    assert ("serving", ticket["id"]) == (undone["ticket"]["state"], undone["counter"]["ticket"])
    assert "NOTHING_TO_UNDO" == (await house.lan.at("q01", "undo")).code


async def test_the_visitor_may_be_late_and_may_give_up(house: House) -> None:
    """Whoever knows the id of the ticket may say so; no sign-in is asked for."""
    ids = [(await house.kiosk.issue())["id"] for _ in range(5)]
    late = await house.nobody.press(f"tickets/{ids[0]}/late")
    assert ("waiting", 3) == (late.ticket["state"], (await house.nobody.look(ids[0]))["ahead"])
    assert "cancelled" == (await house.nobody.press(f"tickets/{ids[1]}/cancel", {"reason": "bận"})).ticket["state"]
    assert "WRONG_STATE" == (await house.nobody.press(f"tickets/{ids[1]}/late")).code
    assert "waiting" == (await house.desk.press(f"tickets/{ids[1]}/revive")).ticket["state"]


async def test_pause_close_and_drain(house: House) -> None:
    await house.lan.at("q01", "open")
    paused = (await house.lan.at("q01", "pause", reason="họp")).value["counter"]
    assert ("paused", "họp", house.lan.name) == (paused["state"], paused["reason"], paused["officer"])
    assert "COUNTER_PAUSED" == (await house.lan.at("q01", "call-next")).code
    assert "open" == (await house.lan.at("q01", "open")).value["counter"]["state"]
    closed = (await house.lan.at("q01", "close")).value["counter"]
    assert ("closed", None) == (closed["state"], closed["officer"])
    refused = await house.lan.at("q01", "call-next")
    assert refused.code in ("COUNTER_CLOSED", "NOT_YOUR_SEAT")


async def test_whoever_goes_first_has_a_ground_that_the_centre_knows(house: House) -> None:
    """A class for which the centre has grounds is given for one of them only; one that it has none for needs none."""
    for body, refusal in {
        ("class", "priority"): (409, "GROUND_MISSING"),
        ("ground", "royal"): (404, "NOT_FOUND"),
    }.items():
        answer = await house.desk.press("tickets", {"service": "a"} | dict([body]))
        assert refusal == (answer.status, answer.code)
    given = await house.desk.issue(**{"class": "priority", "ground": "elderly"})
    assert ("A001", "priority", "elderly") == (given["number"], given["class"], given["ground"])
    assert "appointment" == (await house.desk.issue(**{"class": "appointment"}))["class"]


async def test_who_waits_is_listed_in_calling_order(house: House) -> None:
    ordinary = [(await house.kiosk.issue())["id"] for _ in range(3)]
    urgent = (await house.kiosk.issue(ground="elderly"))["id"]
    state = await house.state()
    lines = {(line["service"], line["class"]): [ticket["id"] for ticket in line["tickets"]] for line in state["lines"]}
    assert {("a", "standard"): ordinary, ("a", "priority"): [urgent]} == lines
    assert ["q01", "q02", "q03"] == [counter["id"] for counter in state["counters"]]
    assert {"closed"} == {counter["state"] for counter in state["counters"]}


async def test_the_desk_shows_lines_next_and_recent(house: House) -> None:
    first = await house.kiosk.issue()
    await house.kiosk.issue(ground="elderly")
    await house.lan.at("q01", "open")
    desk = (await house.lan.get("counters/q01")).value
    lines = {line["service"]: (line["level"], line["waiting"], line["priority"]) for line in desk["lines"]}
    assert {"a": (1, 2, 1), "b": (2, 0, 0)} == lines
    called = (await house.lan.at("q01", "call-next")).ticket
    assert desk["next"]["id"] == called["id"]
    await house.lan.at("q01", "start")
    await house.lan.at("q01", "complete")
    desk = (await house.lan.get("counters/q01")).value
    assert [called["id"]] == [ticket["id"] for ticket in desk["recent"]]
    assert {first["id"], called["id"]} >= {desk["next"]["id"]}


async def test_the_seats_are_seen_by_whoever_looks_for_one(house: House) -> None:
    await house.binh.at("q02", "open")
    seats = (await house.lan.get("counters")).value["counters"]
    assert {"q01": None, "q02": house.binh.name, "q03": None} == {seat["id"]: seat["officer"] for seat in seats}


async def test_the_board_as_it_is_now(house: House) -> None:
    await house.kiosk.issue("b")
    await house.kiosk.issue()
    await house.lan.at("q01", "open")
    called = (await house.lan.at("q01", "call", ticket="A001", reason="thử")).value
    board = (await house.board.get("boards/hall")).value
    assert ("hall", called["epoch"], called["seq"], called["day"]) == (
        board["board"]["id"],
        board["epoch"],
        board["seq"],
        board["day"],
    )
    assert {"b": 1} == {service: people for service, people in board["view"]["waiting"].items() if people}
    assert ("A001", 1) == (board["view"]["counters"]["q01"]["number"], board["view"]["counters"]["q01"]["rings"])
    assert called["ticket"]["id"] not in json.dumps(board)
    assert house.lan.name not in json.dumps(board)


async def test_events_come_in_pages_without_a_gap(house: House) -> None:
    for _ in range(5):
        await house.kiosk.issue()
    last = (await house.state())["seq"]
    seen: list[int] = []
    after = 0
    while page := (await house.integrator.get("events", params={"after": str(after), "limit": "2"})).value:
        seen += [event["seq"] for event in page["events"]]
        if page["next"] == after:
            break
        after = page["next"]
    assert list(range(1, last + 1)) == seen
    assert last == after
    whole = (await house.chief.get("events")).value
    assert ["TicketIssued"] * 5 == [event["type"] for event in whole["events"]][-5:]


async def test_handing_out_is_switched_off_and_on(house: House) -> None:
    answer = (await house.chief.press("issuing", {"open": False, "text": "Hết số hôm nay"})).value
    assert {"open": False, "text": "Hết số hôm nay"} == answer["issuing"]
    refused = await house.kiosk.press("tickets", {"service": "a"})
    assert (409, "ISSUING_CLOSED", "Hết số hôm nay") == (refused.status, refused.code, refused.value["detail"])
    assert answer["issuing"] == (await house.nobody.get()).value["issuing"]
    await house.chief.press("issuing", {"open": True})
    assert "A001" == (await house.kiosk.issue())["number"]


async def test_a_new_day_begins_numbers_again_and_nobody_loses_the_place(house: House) -> None:
    waiting = await house.kiosk.issue()
    tomorrow = (date.fromisoformat(waiting["day"]) + timedelta(days=1)).isoformat()
    assert tomorrow == (await house.chief.press("day", {"day": tomorrow})).value["day"]
    seen = await house.nobody.look(waiting["id"])
    assert ("waiting", "A001") == (seen["state"], seen["number"])
    newcomer = await house.kiosk.issue()
    assert (tomorrow, "A002", 1) == (newcomer["day"], newcomer["number"], newcomer["ahead"])
    assert "DAY_NOT_LATER" == (await house.chief.press("day", {"day": tomorrow})).code
    assert "MALFORMED" == (await house.chief.press("day", {"day": "2031-02-31"})).code


# What can be looked up


async def test_the_centre_is_public_and_says_whether_it_has_changed(house: House) -> None:
    first = await house.nobody.get()
    assert (200, house.centre.version) == (first.status, first.value["version"])
    assert {"open": True, "text": ""} == first.value["issuing"]
    same = await house.nobody.get(headers={"If-None-Match": first.headers["ETag"]})
    assert (304, b"") == (same.status, same.raw)
    await house.chief.press("issuing", {"open": False, "text": "Nghỉ"})
    other = await house.nobody.get(headers={"If-None-Match": first.headers["ETag"]})
    assert (200, False) == (other.status, other.value["issuing"]["open"])


async def test_the_version_of_an_answer_is_the_same_in_every_process(
    house: House, redis_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    async with a_service(redis_url, folder, house.centre) as other:
        there = await Caller(house.session, other.base, house.centre.id).get()
    assert (await house.nobody.get()).headers["ETag"] == there.headers["ETag"]


async def test_centres_are_listed(house: House) -> None:
    listed = (await house.nobody.get("/api/v1/centres")).value["centres"]
    assert house.centre.id in [centre["id"] for centre in listed]


async def test_a_centre_without_a_catalogue_has_no_procedures(house: House) -> None:
    assert {"procedures": [], "total": 0} == (await house.nobody.get("procedures", params={"q": "khai sinh"})).value
    assert [] == (await house.nobody.get("fields")).value
    assert "UNKNOWN_PROCEDURE" == (await house.nobody.get("procedures/1.001193")).code


async def test_health_and_metrics(house: House) -> None:
    assert {"status": "live"} == (await house.nobody.get("/health/live")).value
    ready = await house.nobody.get("/health/ready")
    assert (200, "ready") == (ready.status, ready.value["status"])
    assert "loses everything" in ready.value["durability"]
    assert ready.value["archive"].startswith("sqlite 3")
    await house.kiosk.issue()
    text = (await house.nobody.get("/metrics")).raw.decode()
    assert 'press="issue-ticket"' in text


async def test_a_worker_without_a_demo_has_no_demo_identities(house: House) -> None:
    assert "NOT_FOUND" == (await house.nobody.get("/api/v1/demo")).code


# Signing in and out


async def test_signing_in_as_a_page_and_as_a_program(house: House) -> None:
    credentials = {"name": house.lan.name, "password": "right password"}
    page = await house.nobody.ask("POST", "/api/v1/session", json=credentials)
    assert ["officer"] == page.value["user"]["roles"]
    assert "token" not in page.value
    assert "HttpOnly" in page.headers["Set-Cookie"]
    program = await house.nobody.ask("POST", "/api/v1/session", json={**credentials, "bearer": True})
    somebody = house.caller(program.value["token"])
    assert house.lan.name == (await somebody.get("/api/v1/session")).value["user"]["name"]
    assert 204 == (await somebody.ask("DELETE", "/api/v1/session")).status
    assert 401 == (await somebody.get("/api/v1/session")).status
    house.session.cookie_jar.clear()


async def test_a_wrong_password_is_refused(house: House) -> None:
    answer = await house.nobody.ask(
        "POST", "/api/v1/session", json={"name": house.lan.name, "password": "wrong password"}
    )
    assert (401, "WRONG_PASSWORD") == (answer.status, answer.code)


# MessagePack


async def test_every_operation_speaks_messagepack_too(house: House) -> None:
    headers = {"Content-Type": MSGPACK, "Accept": MSGPACK}
    answer = await house.kiosk.ask(
        "POST", "tickets", {**headers, "Idempotency-Key": a_key()}, data=msgpack.packb({"service": "a"})
    )
    assert (201, MSGPACK) == (answer.status, answer.headers["Content-Type"])
    assert "A001" == answer.ticket["number"]
    for path, caller in (
        ("state", house.chief),
        ("counters/q01", house.lan),
        ("events", house.chief),
        ("", house.nobody),
    ):
        packed = await caller.get(path, headers={"Accept": MSGPACK})
        assert MSGPACK == packed.headers["Content-Type"]
        plain = (await caller.get(path)).value
        assert _timeless(plain) == _timeless(packed.value)
    refused = await house.kiosk.ask(
        "POST", "tickets", {**headers, "Idempotency-Key": a_key()}, data=msgpack.packb({"service": "x"})
    )
    assert "UNKNOWN_SERVICE" == refused.code


def _timeless(value: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if name != "now_ms"}


# One press, one effect, one answer


async def test_a_repeated_key_gets_the_same_status_and_the_same_bytes(house: House) -> None:
    async def twice(who: Caller, path: str, body: dict[str, Any]) -> None:
        key = a_key()
        first = await who.press(path, body, key)
        assert first.status in (200, 201), first.raw
        before = await house.state()
        again = await who.press(path, body, key)
        assert (first.status, first.raw) == (again.status, again.raw), path
        assert before == await house.state(), path

    await twice(house.kiosk, "tickets", {"service": "a"})
    waiting = (await house.state())["lines"][0]["tickets"][0]["id"]
    await twice(house.kiosk, f"tickets/{waiting}/printed", {})
    await twice(house.nobody, f"tickets/{waiting}/late", {})
    await twice(house.nobody, f"tickets/{waiting}/cancel", {"reason": "bận"})
    await twice(house.desk, f"tickets/{waiting}/revive", {})
    await twice(house.lan, "counters/q01/open", {})
    await twice(house.lan, "counters/q01/call-next", {})
    await twice(house.lan, "counters/q01/recall", {})
    await twice(house.lan, "counters/q01/start", {})
    await twice(house.lan, "counters/q01/park", {"reason": "giấy tờ"})
    await twice(house.lan, "counters/q01/resume", {"ticket": waiting})
    await twice(house.lan, "counters/q01/start", {})
    await twice(house.lan, "counters/q01/complete", {})
    await twice(house.lan, "counters/q01/undo", {})
    await twice(house.lan, "counters/q01/transfer", {"service": "b"})
    await twice(house.lan, "counters/q01/call", {"ticket": "A001", "reason": "quay lại"})
    await twice(house.lan, "counters/q01/recall", {})
    await twice(house.lan, "counters/q01/recall", {})
    await twice(house.lan, "counters/q01/no-show", {})
    await twice(house.lan, "counters/q01/pause", {})
    await twice(house.lan, "counters/q01/close", {})
    await twice(house.chief, "issuing", {"open": False})


async def test_nobody_waits_is_repeated_too(house: House) -> None:
    await house.lan.at("q01", "open")
    key = a_key()
    first = await house.lan.press("counters/q01/call-next", {}, key)
    await house.kiosk.issue()
    again = await house.lan.press("counters/q01/call-next", {}, key)
    assert (first.status, first.raw) == (again.status, again.raw)


async def test_a_key_used_for_another_body_is_refused(house: House) -> None:
    key = a_key()
    await house.kiosk.press("tickets", {"service": "a"}, key)
    before = await house.state()
    refused = await house.kiosk.press("tickets", {"service": "b"}, key)
    assert (422, "KEY_REUSED") == (refused.status, refused.code)
    assert before == await house.state()


async def test_a_key_belongs_to_whoever_pressed_and_to_what_was_pressed(house: House) -> None:
    key = a_key()
    assert "A001" == (await house.kiosk.press("tickets", {"service": "a"}, key)).ticket["number"]
    assert "A002" == (await house.desk.press("tickets", {"service": "a"}, key)).ticket["number"]
    assert 200 == (await house.lan.press("counters/q01/open", {}, key)).status
    assert "A001" == (await house.lan.press("counters/q01/call-next", {}, key)).ticket["number"]


async def test_a_refusal_is_not_remembered(house: House) -> None:
    key = a_key()
    await house.lan.at("q01", "open")
    assert "COUNTER_IDLE" == (await house.lan.press("counters/q01/recall", {}, key)).code
    await house.kiosk.issue()
    await house.lan.at("q01", "call-next")
    assert 2 == (await house.lan.press("counters/q01/recall", {}, key)).ticket["rings"]


async def test_the_first_answer_outlives_the_process_and_midnight(
    redis_url: str, tmp_path: Path, cheap_passwords: None
) -> None:
    centre = a_hall()
    key = a_key()
    async with a_house(redis_url, tmp_path, centre) as house:
        first = await house.kiosk.press("tickets", {"service": "a"}, key)
        token = house.kiosk.token
        tomorrow = (date.fromisoformat(first.value["day"]) + timedelta(days=1)).isoformat()
        async with a_service(redis_url, tmp_path, centre) as second:
            restarted = Caller(house.session, second.base, centre.id, token)
            again = await restarted.press("tickets", {"service": "a"}, key)
            assert (first.status, first.raw) == (again.status, again.raw)
            await house.chief.press("day", {"day": tomorrow})
            again = await restarted.press("tickets", {"service": "a"}, key)
            assert (first.status, first.raw) == (again.status, again.raw)
            assert 422 == (await restarted.press("tickets", {"service": "b"}, key)).status


# Hours, and a configuration that changes in the middle of the day


async def test_outside_its_hours_a_centre_hands_out_nothing_but_repeats_its_answers(
    redis_url: str, tmp_path: Path, cheap_passwords: None
) -> None:
    clock = ManualClock(1_795_402_800_000)  # a Monday, 10:00 in Vietnam
    centre = msgspec.structs.replace(
        a_hall(enforce_hours=True),
        hours=Hours(days=("mon",), sessions=(Span("07:00", "17:00"),), ticket_sessions=(Span("07:00", "16:30"),)),
    )
    async with a_house(redis_url, tmp_path, centre, clock) as house:
        key = a_key()
        first = await house.kiosk.press("tickets", {"service": "a"}, key)
        assert 201 == first.status
        clock.advance(8 * 3_600_000)
        refused = await house.kiosk.press("tickets", {"service": "a"})
        assert "ISSUING_CLOSED" == refused.code
        assert "07:00–16:30" in refused.value["detail"]
        again = await house.kiosk.press("tickets", {"service": "a"}, key)
        assert (first.status, first.raw) == (again.status, again.raw)
        assert 201 == (await house.chief.press("tickets", {"service": "a"})).status


async def test_another_process_puts_a_centre_in_force_and_presses_follow_it(
    house: House, redis_url: str, tmp_path: Path
) -> None:
    """The worker that has the old configuration learns of the new one by the first press it sends."""
    changed = msgspec.structs.replace(
        a_centre({"q01": "a", "q02": "a", "q03": "b"}, id=house.centre.id), boards=house.centre.boards
    )
    folder = tmp_path / "other"
    folder.mkdir()
    async with a_service(redis_url, folder, changed):
        pass
    assert house.centre.version != changed.version
    assert 201 == (await house.kiosk.press("tickets", {"service": "a"})).status
    assert changed.version == (await house.nobody.get()).value["version"]


async def test_who_reads_because_the_centre_changed_reads_the_new_one(
    house: House, redis_url: str, tmp_path: Path
) -> None:
    """Pages ask at the event that tells of it, before the worker has pressed or swept."""
    assert house.centre.version == (await house.nobody.get()).value["version"]
    changed = msgspec.structs.replace(house.centre, name="Tên mới")
    folder = tmp_path / "other"
    folder.mkdir()
    async with a_service(redis_url, folder, changed):
        pass
    building = (await house.nobody.get()).value
    assert (changed.version, "Tên mới") == (building["version"], building["name"])


async def test_a_board_that_reads_its_place_again_reads_the_new_one(
    house: House, redis_url: str, tmp_path: Path
) -> None:
    board = house.centre.boards[0]
    assert board.name == (await house.chief.get(f"boards/{board.id}")).value["board"]["name"]
    changed = msgspec.structs.replace(house.centre, boards=(msgspec.structs.replace(board, name="Bảng mới"),))
    folder = tmp_path / "other"
    folder.mkdir()
    async with a_service(redis_url, folder, changed):
        pass
    assert "Bảng mới" == (await house.chief.get(f"boards/{board.id}")).value["board"]["name"]


async def test_the_sweeper_learns_of_a_new_configuration_without_a_press(
    house: House, redis_url: str, tmp_path: Path
) -> None:
    changed = msgspec.structs.replace(house.centre, name="Tên mới")
    folder = tmp_path / "other"
    folder.mkdir()
    async with a_service(redis_url, folder, changed):
        pass
    await Sweeper(house.service._dispatch).sweep()
    assert "Tên mới" == (await house.nobody.get()).value["name"]


async def test_a_centre_wants_a_second_factor_of_some_roles(
    redis_url: str, tmp_path: Path, cheap_passwords: None
) -> None:
    """An administrator, also one of all centres, sets one up with the sign-in; an officer needs none."""
    async with a_house(redis_url, tmp_path, a_hall(second_factor=("admin",))) as house:
        address = f"{house.service.base}/api/v1/session"

        async def signs_in(name: str, **given: str) -> tuple[int, str | None]:
            proof = {"name": name, "password": "right password", "bearer": True, **given}
            async with house.session.post(address, json=proof) as answer:
                return answer.status, (await answer.json()).get("code")

        everywhere = f"{house.centre.id}.operator"
        await house.service._staff.create(
            everywhere, password="right password", roles=("admin",), centres=(EVERYWHERE,), by=house.operator
        )
        assert (200, None) == await signs_in(house.lan.name)
        for name in (house.admin.name, everywhere):
            assert (401, "SECOND_FACTOR_MISSING") == await signs_in(name)
        secret = new_secret()
        code = code_at(secret, house.service.clock.now_ms() // STEP_MS)
        assert (200, None) == await signs_in(house.admin.name, secret=secret, code=code)
        assert (401, "SECOND_FACTOR_REQUIRED") == await signs_in(house.admin.name)
        assert (400, "MALFORMED") == await signs_in(everywhere, secret="short", code=code)
