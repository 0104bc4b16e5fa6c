"""What was done at the counter: checked against the catalogue, obligatory where the centre says so, for staff only."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import queue_service
from service_world import House, a_hall, a_house, a_key

EXAMPLES = Path(queue_service.__file__).parent / "examples"


@pytest.fixture
async def house_of(redis_url: str, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[Any]:
    """Makes a house with a catalogue; *policy* says what is recorded."""
    opened = []

    async def make(**policy: Any) -> House:
        centre = a_hall(**policy)
        shutil.copy(EXAMPLES / "demo-xa-procedures.json", tmp_path / f"{centre.id}-procedures.json")
        opened.append(a_house(redis_url, tmp_path, centre))
        house: House = await opened[-1].__aenter__()
        await house.lan.at("q01", "open")
        return house

    yield make
    for house in opened:
        await house.__aexit__(None, None, None)


async def codes(house: House) -> list[str]:
    return [found["code"] for found in (await house.lan.get("procedures")).value["procedures"]]


async def a_visitor(house: House) -> None:
    """Somebody sits at q01."""
    await house.kiosk.issue()
    await house.lan.at("q01", "call-next")


async def served(house: House) -> list[dict[str, Any]]:
    events = (await house.chief.get("events")).value["events"]
    return [event for event in events if event["type"] == "TicketServed"]


async def test_what_was_done_is_recorded_and_shown_first_next_time(house_of) -> None:
    house = await house_of()
    *_, rare = await codes(house)
    await a_visitor(house)
    done = [{"procedure": rare, "dossiers": 4}]
    assert 200 == (await house.lan.at("q01", "complete", done=done, outcome="referred")).status

    (event,) = await served(house)
    assert (done, "referred") == (event["done"], event["outcome"])
    usual = (await house.lan.get("counters/q01/procedures")).value["procedures"]
    assert rare == usual[0]["code"]


@pytest.mark.parametrize(
    ("record", "body", "code"),
    [
        ("optional", {"done": [{"procedure": "9.999999"}]}, "UNKNOWN_PROCEDURE"),
        ("optional", {"outcome": "nowhere"}, "MALFORMED"),
        ("optional", {"done": [{"procedure": "X", "dossiers": -1}]}, "MALFORMED"),
        ("off", {"outcome": "done"}, "MALFORMED"),
        ("required", {}, "RECORD_MISSING"),
        ("required", {"outcome": "done"}, "RECORD_MISSING"),
    ],
)
async def test_a_faulty_record_is_refused_and_the_visitor_stays(house_of, record, body, code) -> None:
    house = await house_of(record=record)
    await a_visitor(house)
    assert code == (await house.lan.at("q01", "complete", **body)).code
    assert "called" == (await house.lan.get("counters/q01")).value["ticket"]["state"]


async def test_a_number_is_for_a_procedure_of_the_catalogue(house_of) -> None:
    """What nobody can do there takes no number; what the catalogue has does."""
    house = await house_of()
    refused = await house.kiosk.press("tickets", {"service": "a", "procedure": "9.999999"})
    assert (404, "UNKNOWN_PROCEDURE") == (refused.status, refused.code)
    first, *_ = await codes(house)
    assert "A001" == (await house.kiosk.issue(procedure=first))["number"]


async def test_the_same_procedure_twice_is_refused(house_of) -> None:
    house = await house_of()
    await a_visitor(house)
    first, *_ = await codes(house)
    assert "MALFORMED" == (await house.lan.at("q01", "complete", done=[{"procedure": first}] * 2)).code


async def test_a_repeat_gets_the_first_answer_although_the_rule_is_new(house_of) -> None:
    house = await house_of()
    await a_visitor(house)
    key = a_key()
    first = await house.lan.press("counters/q01/complete", {}, key)
    await house.service._dispatch.configure(a_hall_with(house, record="required"))

    again = await house.lan.press("counters/q01/complete", {}, key)
    assert (first.status, first.raw) == (again.status, again.raw)
    await a_visitor(house)
    assert "RECORD_MISSING" == (await house.lan.at("q01", "complete")).code


def a_hall_with(house: House, **policy: Any) -> Any:
    """The same centre with other rules."""
    return msgspec.structs.replace(house.centre, policy=msgspec.structs.replace(house.centre.policy, **policy))


async def test_a_note_is_for_staff(house: House) -> None:
    """The visitor's phone and the kiosk do not see it."""
    ticket = await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    assert "nghe kém" == (await house.lan.at("q01", "note", text="nghe kém")).ticket["note"]

    assert (await house.nobody.look(ticket["id"]))["note"] is None
    assert "nghe kém" == (await house.lan.get("counters/q01")).value["ticket"]["note"]
    assert "note" not in (await house.kiosk.press(f"tickets/{ticket['id']}/printed")).raw.decode().replace(
        '"note":null', ""
    )


async def test_a_visitor_is_sent_to_an_officer(house: House) -> None:
    await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    assert "OFFICER_NOT_SEATED" == (await house.lan.at("q01", "transfer", officer=house.binh.name)).code
    assert (
        "MALFORMED"
        == (await house.lan.press("counters/q01/transfer", {"officer": house.binh.name, "counter": "q02"})).code
    )
    await house.binh.at("q03", "open")
    ticket = (await house.lan.at("q01", "transfer", officer=house.binh.name)).ticket
    assert ["q03"] == ticket["announced"]["counters"]
