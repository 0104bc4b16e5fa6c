"""
Who may do what: every operation of the OpenAPI document, for every role, at the own centre and at another one.

The table is taken from the document the service itself serves; an operation that is new there and has no row in ROWS
fails the first test, and a row whose operation is gone does, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from service_world import DEADLINE_S, Answer, Caller, House, a_hall, a_house, a_key, filled

ROLES = ("kiosk", "board", "integrator", "officer", "desk", "specialist", "supervisor", "admin")
EVERYBODY = frozenset({"nobody", *ROLES})
COUNTER_STAFF = frozenset({"officer", "desk", "supervisor", "admin"})
STAFF = COUNTER_STAFF | {"specialist"}
OFFICERS = frozenset({"officer", "supervisor", "admin"})
ADMINS = frozenset({"admin"})
SUPERVISORS = frozenset({"supervisor", "admin"})
HANDLERS = OFFICERS | {"integrator"}
WORKERS = HANDLERS | {"specialist"}
ISSUERS = frozenset({"kiosk", "desk", "supervisor", "admin"})
READERS = COUNTER_STAFF | {"integrator"}
LOOKERS = READERS | {"board", "kiosk"}
NO_TICKET = "0" * 22
NO_FILE = f"{'0' * 32}.png"


class Row(NamedTuple):
    """Who may, and the body of a request that is well formed; what it then meets is another test's matter."""

    roles: frozenset[str]
    body: dict[str, Any] | None = None


ROWS = {
    "sign_in": Row(EVERYBODY, {"name": "nobody-we-know", "password": "wrong password"}),
    "who": Row(STAFF | {"integrator"}),
    "sign_out": Row(EVERYBODY),
    "list_centres": Row(EVERYBODY),
    "read_centre": Row(EVERYBODY),
    "find_procedures": Row(EVERYBODY),
    "read_procedure": Row(EVERYBODY),
    "list_fields": Row(EVERYBODY),
    "hear_kiosk": Row(frozenset({"kiosk"})),
    "issue_ticket": Row(ISSUERS, {"service": "a"}),
    "look_at_ticket": Row(EVERYBODY),
    "follow_ticket": Row(EVERYBODY),
    "explain_call": Row(READERS),
    "mark_printed": Row(ISSUERS),
    "cancel": Row(EVERYBODY),
    "mark_late": Row(EVERYBODY),
    "revive": Row(COUNTER_STAFF),
    "set_place": Row(SUPERVISORS, {"reason": "asked", "after": 0}),
    "open_counter": Row(OFFICERS),
    "pause_counter": Row(OFFICERS),
    "close_counter": Row(OFFICERS),
    "assign_counter": Row(SUPERVISORS, {"reason": "asked", "serves": {"a": 1, "b": 1}}),
    "call_next": Row(OFFICERS),
    "call_chosen": Row(OFFICERS, {"ticket": "A999"}),
    "ask_help": Row(OFFICERS),
    "answer_help": Row(OFFICERS),
    "send_message": Row(OFFICERS, {"text": "a word", "counter": "q01"}),
    "mark_read": Row(OFFICERS, {"message": 1, "counter": "q01"}),
    "read_messages": Row(SUPERVISORS),
    "note": Row(OFFICERS),
    "usual_procedures": Row(OFFICERS),
    "recall": Row(OFFICERS),
    "start": Row(OFFICERS),
    "complete": Row(OFFICERS),
    "mark_no_show": Row(OFFICERS),
    "park": Row(OFFICERS),
    "resume": Row(OFFICERS, {"ticket": NO_TICKET}),
    "transfer": Row(OFFICERS, {"service": "b"}),
    "undo": Row(OFFICERS),
    "read_seats": Row(OFFICERS),
    "read_desk": Row(OFFICERS),
    "read_state": Row(SUPERVISORS),
    "read_alarms": Row(SUPERVISORS),
    "switch_issuing": Row(SUPERVISORS, {"open": True}),
    "advance_day": Row(SUPERVISORS, {"day": "2020-01-01"}),
    "read_events": Row(READERS),
    "stream_events": Row(READERS),
    "read_board": Row(LOOKERS),
    "stream_board": Row(LOOKERS),
    "read_sound": Row(LOOKERS),
    "read_boards": Row(SUPERVISORS),
    "read_board_settings": Row(SUPERVISORS),
    "change_board": Row(SUPERVISORS, {"zones": ["z"]}),
    "reset_board": Row(SUPERVISORS),
    "bring_media": Row(SUPERVISORS),
    "remove_media": Row(SUPERVISORS),
    "make_plan": Row(SUPERVISORS, {"close": ["q99"]}),
    "read_plan": Row(SUPERVISORS),
    "receive_dossier": Row(HANDLERS, {"procedure": "1.000000"}),
    "list_dossiers": Row(READERS | {"specialist"}),
    "read_dossier": Row(READERS | {"specialist"}),
    "hand_over": Row(WORKERS, {"department": "a"}),
    "progress": Row(WORKERS, {"title": "Thẩm định"}),
    "request_supplement": Row(WORKERS, {"missing": [{"paper": "a", "reason": "b", "how": "c"}]}),
    "take_supplement": Row(WORKERS),
    "refuse": Row(WORKERS, {"reason": "a"}),
    "stop": Row(WORKERS, {"reason": "a"}),
    "extend": Row(WORKERS, {"until": "2027-01-04", "reason": "a"}),
    "mark_ready": Row(WORKERS),
    "return_dossier": Row(HANDLERS),
    "renew_slip": Row(OFFICERS),
    "track_dossier": Row(EVERYBODY),
    "ways": Row(EVERYBODY),
    "oidc_start": Row(EVERYBODY),
    "oidc_callback": Row(EVERYBODY),
    "change_own_password": Row(STAFF, {"password": "wrong password", "new_password": "another password"}),
    "make_secret": Row(STAFF),
    "set_second_factor": Row(STAFF, {"password": "wrong password", "secret": "A" * 32, "code": "000000"}),
    "list_users": Row(ADMINS),
    "create_user": Row(
        ADMINS, {"name": "mai", "display_name": "Mai", "roles": ["officer"], "centres": ["no-such-centre"]}
    ),
    "change_user": Row(ADMINS, {"is_disabled": True}),
    "reset_password": Row(ADMINS),
    "end_sessions": Row(ADMINS),
    "list_devices": Row(ADMINS),
    "create_device": Row(ADMINS, {"role": "kiosk", "device": "nowhere"}),
    "revoke_device": Row(ADMINS),
    "read_audit": Row(SUPERVISORS),
    "live": Row(EVERYBODY),
    "ready": Row(EVERYBODY),
}
STREAMS = {"follow_ticket", "stream_events", "stream_board"}
"""Asked for as server-sent events; whoever gets them goes away at once."""


@pytest.fixture
def people(house: House) -> dict[str, Caller]:
    return {
        "nobody": house.nobody,
        "kiosk": house.kiosk,
        "board": house.board,
        "integrator": house.integrator,
        "officer": house.lan,
        "desk": house.desk,
        "supervisor": house.chief,
        "admin": house.admin,
    }


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Name, method, path and description of every operation."""
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            yield described["operationId"], method.upper(), path, described


def address(path: str, centre: str) -> str:
    """*path* with names that exist, but for the ticket, the procedure and the file."""
    return filled(
        path,
        centre=centre,
        counter="q01",
        board="hall",
        ticket=NO_TICKET,
        code="1.000000",
        user="nobody-we-know",
        device="0" * 12,
        dossier="X-0",
        file=NO_FILE,
    )


async def ask(who: Caller, name: str, method: str, path: str, described: dict[str, Any]) -> Answer:
    headers = {"Accept": "application/json"}
    if any(part["name"] == "Idempotency-Key" for part in described["parameters"]):
        headers["Idempotency-Key"] = a_key()
    options: dict[str, Any] = {"json": ROWS[name].body or {}} if method in ("POST", "PUT") else {}

    async def once() -> Answer:
        if name not in STREAMS:
            return await who.ask(method, path, headers, **options)
        accept = headers | {"Accept": "text/event-stream"}
        async with who.session.get(who.url(path), headers=who.headers(**accept)) as stream:
            return Answer(stream.status, stream.headers, b"" if stream.status == 200 else await stream.read())

    async with asyncio.timeout(DEADLINE_S):
        while (answer := await once()).status == 429:
            await asyncio.sleep(0.05)  # nobody in particular asks for everything at once
    return answer


async def test_every_operation_has_a_row(house: House) -> None:
    document = (await house.nobody.get("/openapi.json")).value
    assert {name for name, *_ in operations(document)} == set(ROWS)


async def test_the_document_says_who_may(house: House) -> None:
    """What is open to everybody has no roles; boards are asked by their own door, which knows their tokens."""
    document = (await house.nobody.get("/openapi.json")).value
    for name, _, _, described in operations(document):
        if name not in ("read_board", "stream_board", "read_sound"):
            said = frozenset(described.get("x-roles", ())) or EVERYBODY
            assert ROWS[name].roles == said, name
        if ROWS[name].roles != EVERYBODY:
            assert "401" in described["responses"], name
            assert "403" in described["responses"], name


async def test_role_by_operation_at_the_own_centre(house: House, people: dict[str, Caller]) -> None:
    """Whoever may not gets 401 or 403, as documented; whoever may gets anything else."""
    document = (await house.nobody.get("/openapi.json")).value
    wrong = []
    for name, method, path, described in operations(document):
        for role, who in people.items():
            if name == "sign_out" and role != "nobody":
                continue  # it would end the callers' sessions; tests/service/test_http_api.py signs out
            answer = await ask(who, name, method, address(path, house.centre.id), described)
            is_refused = answer.status in (401, 403) and answer.code not in ("NOT_YOUR_SEAT", "WRONG_PASSWORD")
            expected = 401 if role == "nobody" else 403
            assert answer.status < 500
            if is_refused and answer.status != expected:
                wrong.append(f"{role} {name}: {answer.status} and not {expected}")
            if is_refused != (role not in ROWS[name].roles):
                wrong.append(f"{role} {name}: {answer.status} {answer.raw[:120]!r}")
            if is_refused:
                assert str(answer.status) in described["responses"], name
    assert [] == wrong


async def test_nobody_of_another_centre_may(redis_url: str, tmp_path: Path, cheap_passwords: None) -> None:
    """The same people at a neighbour's centre: 403 wherever a role is asked for, and nothing happens there."""
    home, foreign = a_hall(), a_hall()
    (tmp_path / "foreign").mkdir()
    async with a_house(redis_url, tmp_path, home) as house, a_house(redis_url, tmp_path / "foreign", foreign) as other:
        document = (await house.nobody.get("/openapi.json")).value
        people = {
            "kiosk": house.kiosk,
            "board": house.board,
            "integrator": house.integrator,
            "officer": house.lan,
            "desk": house.desk,
            "supervisor": house.chief,
            "admin": house.admin,
        }
        before = await other.state()
        wrong = []
        for name, method, path, described in operations(document):
            if "{centre}" not in path or ROWS[name].roles == EVERYBODY:
                continue
            for role, who in people.items():
                answer = await ask(who, name, method, address(path, foreign.id), described)
                if (403, "NOT_ALLOWED") != (answer.status, answer.code):
                    wrong.append(f"{role} {name}: {answer.status}")
        assert [] == wrong
        assert before == await other.state()


async def test_what_does_not_exist_is_404_with_its_own_code(house: House) -> None:
    document = (await house.nobody.get("/openapi.json")).value
    codes = {
        "ticket": "UNKNOWN_TICKET",
        "counter": "UNKNOWN_COUNTER",
        "board": "UNKNOWN_BOARD",
        "code": "UNKNOWN_PROCEDURE",
        "dossier": "UNKNOWN_DOSSIER",
        "file": "UNKNOWN_MEDIA",
        "plan": "NOT_FOUND",
    }
    before = await house.state()
    for name, method, path, described in operations(document):
        segment = next((word for word in codes if f"{{{word}}}" in path), None)
        if segment is None:
            continue
        there = filled(
            path,
            centre=house.centre.id,
            counter="q99",
            board="nowhere",
            ticket=NO_TICKET,
            code="9.999999",
            dossier="X-9",
            file=NO_FILE,
            user="nobody-we-know",
            device="0" * 12,
        )
        answer = await ask(house.admin, name, method, there, described)
        assert (404, codes[segment]) == (answer.status, answer.code), name
        assert "404" in described["responses"], name
    for name, method, path, described in operations(document):
        if "{centre}" in path and ROWS[name].roles == EVERYBODY:
            answer = await ask(house.nobody, name, method, address(path, "no-such-centre"), described)
            assert (404, "UNKNOWN_CENTRE") == (answer.status, answer.code), name
    assert before == await house.state()


# Seats


async def test_another_officers_seat_is_not_mine(house: House) -> None:
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    before = await house.state()
    bodies: dict[str, dict[str, Any]] = {
        "call": {"ticket": "A001"},
        "resume": {"ticket": ticket["id"]},
        "transfer": {"service": "b"},
    }
    for press in (
        "pause",
        "close",
        "call-next",
        "call",
        "recall",
        "start",
        "complete",
        "no-show",
        "park",
        "resume",
        "transfer",
        "undo",
    ):
        answer = await house.binh.press(f"counters/q01/{press}", bodies.get(press))
        assert (403, "NOT_YOUR_SEAT") == (answer.status, answer.code), press
    assert before == await house.state()


async def test_a_taken_seat_is_taken_over_only_on_purpose(house: House) -> None:
    await house.lan.at("q01", "open")
    refused = await house.binh.at("q01", "open")
    assert (409, "SEAT_TAKEN") == (refused.status, refused.code)
    taken = await house.binh.at("q01", "open", take_over=True)
    assert house.binh.name == taken.value["counter"]["officer"]
    assert "NOT_YOUR_SEAT" == (await house.lan.at("q01", "call-next")).code


async def test_a_supervisor_may_act_on_any_seat(house: House) -> None:
    await house.kiosk.issue()
    await house.lan.at("q01", "open")
    assert "A001" == (await house.chief.at("q01", "call-next")).ticket["number"]
    assert house.lan.name == (await house.lan.get("counters/q01")).value["counter"]["officer"]


# Revoked


async def test_a_revoked_device_stops_within_five_seconds_and_its_screens_close(house: House) -> None:
    assert 200 == (await house.board.get("boards/hall")).status
    other = await house.device("board", "hall")
    screen = await house.board.socket("boards/hall/stream")
    bystander = await other.socket("boards/hall/stream", "queue.v1.msgpack")
    await screen.begins()
    await bystander.begins()

    assert await house.identities.devices.revoke(house.board.name)
    assert 4401 == await screen.ends(deadline_s=5)
    answer = await house.board.get("boards/hall")
    assert (401, "SIGN_IN_REQUIRED") == (answer.status, answer.code)
    assert bystander.closed is None
    again = await house.board.socket("boards/hall/stream")
    assert 4401 == await again.ends()
    assert again.start is None
    for watcher in (screen, bystander, again):
        await watcher.leave()


async def test_server_sent_events_of_a_revoked_device_end_too(house: House) -> None:
    headers = house.board.headers(Accept="text/event-stream")
    async with house.session.get(house.board.url("boards/hall/stream"), headers=headers) as stream:
        assert b"retry:" in await stream.content.readuntil(b"\n\n")
        assert b"snapshot" in await stream.content.readuntil(b"\n\n")
        assert await house.identities.devices.revoke(house.board.name)
        async with asyncio.timeout(5):
            await stream.content.read()


async def test_signing_out_ends_the_streams_of_that_session_only(house: House) -> None:
    second = await house.signed_in(house.chief.name)
    here = await house.chief.socket("events/stream")
    there = await second.socket("events/stream")
    await here.begins()
    await there.begins()
    assert 204 == (await second.ask("DELETE", "/api/v1/session")).status
    assert 4401 == await there.ends(deadline_s=5)
    assert here.closed is None
    await here.leave()
    await there.leave()
