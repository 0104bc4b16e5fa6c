"""Dossiers over HTTP: taken in, moved on, listed; who may; and what somebody with a code sees."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession

from dossier_world import SESSIONS, at
from queue_service import registry
from queue_service.app import EXAMPLES, Service
from queue_service.archive.archive import Archive
from queue_service.archive.dossiers import DossierStore, Envelope, Reception
from queue_service.centre import Centre
from queue_service.clock import ManualClock
from queue_service.demo import addresses
from queue_service.dossiers import Progress, Receive, Search, State, decide
from queue_service.dossiers import receive as receive_dossier
from queue_service.http_api.dossiers import SECRET, Track, masked
from queue_service.settings import Settings
from queue_service.slip_key import SlipKey
from queue_service.working_days import Limit, WorkingDays
from service_world import DEADLINE_S, Answer, Caller, House, a_hall, a_house, a_proxy

NAME, PHONE, IDENTITY = "Nguyễn Văn Đánh Dấu", "0987654321", "000123456789"
MARKERS = ("Nguy", "Đánh", "0987654321", "000123456789", "456789", "6789", "bí mật")
"""Of the person and of what staff noted: nowhere but where staff of the centre look."""
WEEK = ("mon", "tue", "wed", "thu", "fri")


def told(text: str) -> list[str]:
    """The markers in *text*; the last four digits only by themselves: among others they may be those of a time."""
    alone = re.compile(r"(?<![\d.])6789(?!\d)")
    return [marker for marker in MARKERS if (alone.search(text) if marker == "6789" else marker in text)]


def a_procedure(code: str, *times: tuple[str, int], department: str = "a") -> dict[str, Any]:
    return {
        "code": code,
        "name": f"Thủ tục {code}",
        "department": department,
        "field": {"code": "F", "name": "Lĩnh vực"},
        "fee_status": "free",
        "online": "none",
        "channels": ["direct"],
        "source_url": "https://example.vn",
        "confirmed": True,
        "times": [{"unit": unit, "value": value} for unit, value in times],
    }


PROCEDURES = [
    a_procedure("1.000001", ("working_day", 5)),
    a_procedure("1.000002", ("working_day", 3), ("working_day", 10)),
    a_procedure("1.000003"),
]


def an_office() -> Centre:
    hall = a_hall()
    return msgspec.structs.replace(
        hall, hours=msgspec.structs.replace(hall.hours, days=WEEK, sessions=SESSIONS, ticket_sessions=SESSIONS)
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(at("2026-11-18 09:00"))


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, clock: ManualClock, cheap_passwords: None) -> AsyncIterator[House]:
    centre = an_office()
    catalogue = {"schema": "procedures/1", "centre": centre.id, "source": "s", "taken": "2026-11-01"}
    file = tmp_path / f"{centre.id}-procedures.json"
    file.write_text(json.dumps(catalogue | {"procedures": PROCEDURES}), "utf-8")
    async with a_house(redis_url, tmp_path, centre, clock) as house:
        yield house


async def receive(who: Caller, key: str | None = None, **body: Any) -> Answer:
    return await who.press("dossiers", {"procedure": "1.000001"} | body, key)


async def received(who: Caller, **body: Any) -> dict[str, Any]:
    """The receipt of a dossier that was taken in."""
    answer = await receive(who, **body)
    assert 201 == answer.status, answer.raw
    return answer.value


async def do(who: Caller, code: str, press: str, key: str | None = None, **body: Any) -> Answer:
    return await who.press(f"dossiers/{code}/{press}", body, key)


async def track(who: Caller, code: str, secret: str | None = None) -> Answer:
    return await who.get(f"/api/v1/track/{code}", headers={SECRET: secret} if secret is not None else {})


# Reception


async def test_a_receipt_has_what_its_slip_needs(house: House):
    """Code, secret, due date and the link of the QR; the dossier links the ticket, whose language it speaks."""
    ticket = await house.kiosk.issue(language="en")
    receipt = await received(
        house.lan, ticket=ticket["id"], applicant={"name": NAME, "phone": PHONE, "identity": IDENTITY}
    )
    dossier, slip = receipt["dossier"], receipt["slip"]
    assert f"{house.centre.id.upper()}-261118-0001" == dossier["code"] == slip["code"]
    assert at("2026-11-26 17:00") == dossier["due_ms"] == slip["due_ms"]
    assert f"{house.service.base}/track#{slip['code']}.{slip['secret']}" == slip["payload"]
    assert (ticket["id"], "en", "a", "received") == tuple(
        dossier[name] for name in ("ticket", "language", "department", "state")
    )
    whole = (await house.lan.get(f"dossiers/{slip['code']}")).value
    assert {"name": NAME, "phone": PHONE, "identity_end": "6789"} == whole["person"]
    assert ["receive"] == [step["change"] for step in whole["steps"]]
    assert house.lan.name in whole["steps"][0]["actor"]


async def test_a_repeat_shows_the_same_secret_though_nobody_keeps_it(house: House):
    """To the byte, whatever has happened since."""
    first = await receive(house.lan, "one-finger")
    await do(house.lan, first.value["slip"]["code"], "ready")
    again = await receive(house.lan, "one-finger")
    assert (first.status, first.raw) == (again.status, again.raw)
    assert "KEY_REUSED" == (await receive(house.lan, "one-finger", fee_paid=True)).code
    everything = b"".join(file.read_bytes() for file in house.service.settings.data_dir.glob("archive.db*"))
    assert first.value["slip"]["code"].encode() in everything
    assert first.value["slip"]["secret"].encode() not in everything


async def test_which_limit(house: House):
    """A procedure with several cases, or none, needs it said."""
    for procedure in ("1.000002", "1.000003"):
        assert "MALFORMED" == (await receive(house.lan, procedure=procedure)).code
    dossier = (await received(house.lan, procedure="1.000002", limit={"unit": "working_day", "value": 3}))["dossier"]
    assert at("2026-11-23 17:00") == dossier["due_ms"]
    assert "MALFORMED" == (await receive(house.lan, limit={"unit": "hour", "value": 0})).code


async def test_what_is_unknown_is_refused_with_its_code(house: House):
    """And leaves no gap in the codes."""
    for code, body in {
        "UNKNOWN_PROCEDURE": {"procedure": "9.999999"},
        "UNKNOWN_DEPARTMENT": {"department": "zz"},
        "UNKNOWN_TICKET": {"ticket": "0" * 22},
        "MALFORMED": {"language": "km"},
    }.items():
        assert code == (await receive(house.lan, **body)).code
    assert (await received(house.lan))["slip"]["code"].endswith("-0001")


async def test_a_code_from_outside_is_taken_as_it_is_once(house: House):
    """With what was promised there; only an outside system or a supervisor says so."""
    outside = {
        "code": "H15.50.05.13-261008-0975",
        "received_ms": at("2026-11-10 08:00"),
        "due_ms": at("2026-11-17 17:00"),
    }
    assert "NOT_ALLOWED" == (await receive(house.lan, **outside)).code
    dossier = (await received(house.integrator, **outside))["dossier"]
    assert (outside["code"], outside["due_ms"]) == (dossier["code"], dossier["due_ms"])
    assert (True, "late") == (dossier["is_late"], dossier["warning"])
    assert "CODE_TAKEN" == (await receive(house.lan, code=outside["code"])).code
    for wrong in ({"received_ms": at("2026-11-19 08:00")}, {"due_ms": 5}, {"received_ms": 5}):
        assert "MALFORMED" == (await receive(house.integrator, **wrong)).code


async def test_texts_are_clean_in_lists_too(house: House):
    """No control characters, no changes of writing direction, composed letters."""
    for hostile in ("a\u202eb", "a\x00b", "x" * 201, " "):
        assert "MALFORMED" == (await receive(house.lan, papers=[{"name": "Tờ khai"}, {"name": hostile}])).code
    code = (await received(house.lan, papers=[{"name": "To\u031b khai", "status": "data"}]))["slip"]["code"]
    papers = (await house.lan.get(f"dossiers/{code}")).value["papers"]
    assert ["Tơ khai"] == [paper["name"] for paper in papers]


# A life


async def test_a_life_over_http(house: House, clock: ManualClock):
    """Every press answers with the dossier after it, and a wrong one with its code."""
    code = (await received(house.lan))["slip"]["code"]
    missing = [{"paper": "Bản vẽ", "reason": "chưa ký", "how": "ký và nộp lại"}]
    for press, body, state in (
        ("handover", {"department": "b", "receiver": "bí mật", "limit": {"unit": "hour", "value": 4}}, "handed_over"),
        ("progress", {"title": "Thẩm định", "note": "bí mật"}, "in_progress"),
        ("supplement", {"missing": missing}, "supplement"),
        ("supplied", {}, "in_progress"),
        ("extend", {"until": "2026-12-01", "reason": "chờ ý kiến"}, "in_progress"),
        ("ready", {}, "ready"),
        ("return", {"way": "post"}, "returned"),
    ):
        clock.advance(60_000)
        answer = await do(house.lan, code, press, **body)
        assert (200, state) == (answer.status, answer.value["dossier"]["state"]), press
    assert "WRONG_STATE" == (await do(house.lan, code, "return")).code
    steps = (await house.lan.get(f"dossiers/{code}")).value["steps"]
    assert list(range(1, 9)) == [step["n"] for step in steps]
    assert (missing, True) == (steps[3]["missing"], steps[2]["on_time"])


async def test_refusals_of_the_law(house: House, clock: ManualClock):
    """Papers once, another day once and on a working day, late with a cause."""
    code = (await received(house.lan))["slip"]["code"]
    missing = [{"paper": "a", "reason": "b", "how": "c"}]
    await do(house.lan, code, "supplement", missing=missing)
    await do(house.lan, code, "supplied")
    assert "SUPPLEMENT_AGAIN" == (await do(house.lan, code, "supplement", missing=missing)).code
    assert "MALFORMED" == (await do(house.lan, code, "extend", until="2026-11-29", reason="chờ")).code
    assert 200 == (await do(house.lan, code, "extend", until="2026-11-30", reason="chờ")).status
    assert "EXTENDED_ALREADY" == (await do(house.lan, code, "extend", until="2026-12-01", reason="chờ")).code
    clock.advance(20 * 86_400_000)
    house.lan = await house.staff("lan2", "officer")
    assert "CAUSE_NEEDED" == (await do(house.lan, code, "ready")).code
    late = (await do(house.lan, code, "ready", cause="thiếu người")).value["dossier"]
    assert (True, "thiếu người", "a") == (late["is_late"], late["cause"], late["late_department"])
    assert "UNKNOWN_DOSSIER" == (await do(house.lan, "NOBODY-1", "ready")).code
    assert "UNKNOWN_DEPARTMENT" == (await do(house.lan, code, "handover", department="zz")).code


async def test_a_repeated_press_does_nothing_again(house: House):
    """The same bytes; with another body it is another press."""
    code = (await received(house.lan))["slip"]["code"]
    first = await do(house.lan, code, "progress", "the-same-key", title="Thẩm định")
    again = await do(house.lan, code, "progress", "the-same-key", title="Thẩm định")
    assert first.raw == again.raw
    assert "KEY_REUSED" == (await do(house.lan, code, "progress", "the-same-key", title="Trình ký")).code
    assert 2 == (await house.lan.get(f"dossiers/{code}")).value["dossier"]["steps"]


async def test_lists_and_warnings(house: House, clock: ManualClock):
    """By urgency, page by page; a warning comes by itself when its time has come."""
    codes = [
        (await received(house.lan, limit={"unit": "working_day", "value": days}))["slip"]["code"] for days in (8, 2, 5)
    ]
    await do(house.lan, codes[2], "handover", department="b")

    async def listed(**query: str) -> list[int]:
        found = (await house.desk.get("dossiers", params=query)).value["dossiers"]
        return [codes.index(dossier["code"]) for dossier in found]

    assert [1, 2, 0] == await listed() == await listed(state="all")
    assert [2] == await listed(department="b") == await listed(state="handed_over")
    assert [0] == await listed(q=codes[0])
    assert [1, 2, 0] == await listed(q=codes[0][:-2])
    assert [1] == await listed(due_before_ms=str(at("2026-11-21 00:00")))
    assert [] == await listed(warn="1") == await listed(late="1")
    clock.advance(at("2026-11-19 08:00") - clock.now_ms())
    assert [1] == await listed(warn="1")
    clock.advance(at("2026-11-20 17:01") - clock.now_ms())
    house.desk = await house.staff("desk2", "desk")
    assert [1] == await listed(late="1") == await listed(warn="true")
    page = (await house.desk.get("dossiers", params={"limit": "2"})).value
    assert [1, 2] == [codes.index(dossier["code"]) for dossier in page["dossiers"]]
    assert ["late", None] == [dossier["warning"] for dossier in page["dossiers"]]
    rest = (await house.desk.get("dossiers", params={"limit": "2", "after": page["next"]})).value
    assert ([0], None) == ([codes.index(dossier["code"]) for dossier in rest["dossiers"]], rest["next"])
    assert "MALFORMED" == (await house.desk.get("dossiers", params={"state": "lost"})).code


async def test_the_audit_says_who_looked(house: House, clock: ManualClock, monkeypatch: pytest.MonkeyPatch):
    """Once in ten minutes for each of them and each dossier, by its code; a list shows nobody, and is not noted."""
    one, other = [(await received(house.lan, applicant={"name": NAME}))["slip"]["code"] for _ in range(2)]

    async def looks(at_least: int) -> list[tuple[str, str]]:
        """Entries, oldest first, when there are so many: they are written a moment later."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                said = (await house.chief.get("audit", params={"action": "look-up-dossier"})).value["entries"]
                if len(said) >= at_least:
                    break
        assert [] == told(json.dumps(said, ensure_ascii=False))
        return [(entry["actor"], entry["object"]) for entry in reversed(said)]

    lan, desk = f"staff:{house.lan.name}", f"staff:{house.desk.name}"
    for who, code in ((house.lan, one), (house.lan, one), (house.desk, one), (house.lan, other)):
        assert 200 == (await who.get(f"dossiers/{code}")).status
    assert "UNKNOWN_DOSSIER" == (await house.lan.get("dossiers/NOBODY-1")).code
    await house.lan.get("dossiers")
    noted = [(lan, one), (desk, one), (lan, other)]
    assert noted == await looks(3)
    clock.advance(registry.LOOK_MS)
    await house.lan.get(f"dossiers/{one}")
    assert [*noted, (lan, one)] == await looks(4)
    monkeypatch.setattr(registry, "MOST_LOOKS", 1)
    for code in (other, one, one, other):
        await house.lan.get(f"dossiers/{code}")
    assert [*noted, (lan, one), (lan, other), (lan, one), (lan, other)] == await looks(7)


async def test_the_demo_has_dossiers_in_every_state(tmp_path: Path, clock: ManualClock, cheap_passwords: None):
    """Made once; the slip that is printed opens one, and whose they are is seen to be invented."""
    settings = Settings(port=0, data_dir=tmp_path, centres=(EXAMPLES / "demo-xa.toml",))
    made: list[set[str]] = []
    for _ in range(2):
        async with Service(settings, with_demo=True, clock=clock).running() as service, ClientSession() as session:
            assert service.demo is not None
            centre = service.demo.centres["demo-xa"]
            assert centre.slip is not None
            kiosk = Caller(session, service.base, "demo-xa", centre.kiosks[0].token)
            seen = (await track(kiosk, centre.slip.code, centre.slip.secret)).value
            assert ("supplement", "N••• M••• S•••") == (seen["state"], seen["details"]["person"][:14])
            assert f"/track#{centre.slip.code}.{centre.slip.secret}" in addresses(service.demo)
            found = await service._registry.search(Search(centre="demo-xa", limit=200))
            assert {*State} == {dossier.state for dossier in found}
            made.append({dossier.code for dossier in found})
    assert made[0] == made[1]


# With a code


async def test_a_bare_code_shows_where_it_stands_and_nothing_more(house: House):
    """State, steps, due date; neither whose it is nor what it is about."""
    code = (await received(house.lan, applicant={"name": NAME, "phone": PHONE, "identity": IDENTITY}))["slip"]["code"]
    await do(house.lan, code, "progress", title="bí mật", note="bí mật")
    answer = await track(house.nobody, code)
    assert "no-store" == answer.headers["Cache-Control"]
    assert None is answer.value["details"]
    assert [("receive", "received"), ("progress", "in_progress")] == [
        (step["change"], step["state"]) for step in answer.value["steps"]
    ]
    text = answer.raw.decode()
    assert [] == told(text)
    assert not [marker for marker in ("Thủ tục", "1.000001") if marker in text]


async def test_the_secret_shows_the_rest_with_the_name_masked(house: House):
    """As people type it; what staff noted is not for the person."""
    receipt = await received(
        house.lan,
        applicant={"name": NAME, "phone": PHONE, "identity": IDENTITY},
        papers=[{"name": "Tờ khai"}],
        agency="Sở Xây dựng",
    )
    code, secret = receipt["slip"]["code"], receipt["slip"]["secret"]
    await do(house.lan, code, "refuse", reason="không đủ điều kiện")
    await do(house.lan, code, "return", note="bí mật")
    answer = await track(house.nobody, code, f"{secret[:4].lower()} {secret[4:]}")
    details = answer.value["details"]
    assert ("N••• V••• Đ••• D•••", "Thủ tục 1.000001", "Sở Xây dựng") == (
        details["person"],
        details["procedure_name"],
        details["agency"],
    )
    assert [None, "không đủ điều kiện", None] == [step["reason"] for step in details["steps"]]
    assert [] == told(answer.raw.decode())


async def test_unknown_and_wrong_get_the_same_answer(house: House):
    """Byte for byte, so that nobody learns which of the two it was."""
    code = (await received(house.lan))["slip"]["code"]
    wrong, unknown = await track(house.nobody, code, "AAAAAAAA"), await track(house.nobody, "NOBODY-1", "AAAAAAAA")
    assert (404, "UNKNOWN_DOSSIER") == (wrong.status, wrong.code)
    assert wrong.raw == unknown.raw == (await track(house.nobody, "NOBODY-1")).raw
    for strange in ("", "x" * 2000, "\udcff"):
        assert "UNKNOWN_DOSSIER" == (await track(house.kiosk, code, strange)).code


async def test_a_thousand_codes_in_a_row_give_twenty_answers_at_most(house: House):
    """Then it is too many, politely."""
    prefix = (await received(house.lan))["slip"]["code"][:-4]
    for _ in range(24):
        await received(house.lan)
    answers = [await track(house.nobody, f"{prefix}{n:04}") for n in range(1, 1_001)]
    assert 0 < sum(answer.status == 200 for answer in answers) <= 20
    assert "TOO_MANY" == answers[-1].code


async def test_a_secret_cannot_be_tried_out_from_many_places(house: House):
    """Nor from a terminal: each code has its own patience, and others are not kept waiting."""
    one, other = [(await received(house.lan))["slip"] for _ in range(2)]
    tries = [await track(house.kiosk, one["code"], f"AAAA{n:04}") for n in range(Track.CODE_BURST + 5)]
    assert ["TOO_MANY"] * 5 == [answer.code for answer in tries[-5:]]
    assert 200 == (await track(house.kiosk, other["code"], other["secret"])).status
    assert 200 == (await track(house.kiosk, one["code"])).status, "its state may be looked at"


async def test_another_slip_makes_the_old_secret_worthless(house: House):
    """The dossier goes on as it was."""
    slip = (await received(house.lan))["slip"]
    renewed = (await do(house.lan, slip["code"], "slip")).value["slip"]
    assert slip["secret"] != renewed["secret"]
    assert 404 == (await track(house.kiosk, slip["code"], slip["secret"])).status
    assert 200 == (await track(house.kiosk, slip["code"], renewed["secret"])).status


async def test_nothing_of_a_person_in_logs_metrics_and_pages_for_all(
    house: House, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    """Planted markers are found nowhere but in the staff's own view."""
    with caplog.at_level(logging.DEBUG):
        receipt = await received(house.lan, applicant={"name": NAME, "phone": PHONE, "identity": IDENTITY})
        await do(house.lan, receipt["slip"]["code"], "progress", title="Thẩm định", note="bí mật")
        await do(house.lan, receipt["slip"]["code"], "return")
        listed = await house.lan.get("dossiers")
        shown = await house.nobody.get("/metrics")
    said = capfd.readouterr()
    for text in (said.out, said.err, caplog.text, listed.raw.decode(), shown.raw.decode(), json.dumps(receipt)):
        assert [] == told(text)


def test_masked_names():
    """Enough to know one's own."""
    assert "Đ••• A•••" == masked("Đoàn  An")


def test_the_key_is_made_once_and_is_nobody_elses(tmp_path: Path):
    """A file that only we read; the setting wins."""
    settings = Settings(data_dir=tmp_path / "new")
    key = SlipKey.of(settings).read()
    assert 32 == len(key)
    assert key == SlipKey.of(settings).read()
    assert 0o600 == stat.S_IMODE((tmp_path / "new" / "slip.key").stat().st_mode)
    assert ["slip.key"] == [file.name for file in (tmp_path / "new").iterdir()]
    assert bytes(32) == SlipKey.of(Settings(data_dir=tmp_path, slip_key="00" * 32)).read()


# One feed


async def test_a_change_of_a_dossier_is_an_event_for_all_and_more_for_staff(house: House):
    """With the next number; the public form names a code, never a person or an officer."""
    watcher = await house.lan.socket("events/stream")
    board = await house.board.socket("boards/hall/stream")
    await watcher.begins()
    await board.begins()
    ticket = await house.kiosk.issue()
    code = (await received(house.lan, ticket=ticket["id"], applicant={"name": NAME}))["slip"]["code"]

    told = await watcher.sees("DossierChanged")
    assert (code, "received", 1, "receive", ticket["id"]) == tuple(
        told[name] for name in ("code", "state", "step", "change", "ticket")
    )
    assert house.lan.name in told["actor"]
    shown = await board.sees("DossierChanged")
    assert {"code", "department", "state", "due_ms", "step", "done_ms"} == shown.keys() - {
        "epoch",
        "seq",
        "at_ms",
        "type",
    }
    for one in (watcher, board):
        await one.leave()


async def changes(house: House) -> list[tuple[str, int]]:
    """Code and step of every fact that the centre's events have."""
    events = (await house.integrator.get("events", params={"after": "0"})).value["events"]
    return [(event["code"], event["step"]) for event in events if event["type"] == "DossierChanged"]


async def test_facts_wait_while_the_store_is_away(
    redis_url: str, tmp_path: Path, clock: ManualClock, cheap_passwords: None
):
    """Dossiers are moved on meanwhile; afterwards every step is told, once, and each dossier's in order."""
    centre = an_office()
    async with (
        a_proxy(redis_url) as (proxy, through),
        a_house(redis_url, tmp_path, centre, clock, through=through) as house,
    ):
        archive = await Archive.open(f"sqlite:///{tmp_path / 'archive.db'}")
        store = DossierStore(archive)
        calendar = WorkingDays(centre)

        async def step(code: str, n: int) -> None:
            """As another worker would, which has not noticed yet."""
            envelope = Envelope(key=f"{code}/{n}", fingerprint=b"f", day="2026-11-18")
            if n > 1:
                wish, now_ms = Progress(title=f"Bước {n}"), at("2026-11-18 10:00")
                await store.change(
                    envelope,
                    centre.id,
                    code,
                    lambda dossier: decide(dossier, wish, "staff:lan", now_ms, calendar, 1),
                )
                return
            taken = Receive(
                department="a", procedure="1", procedure_name="a", procedure_version="v", limit=Limit("working_day", 5)
            )
            reception = Reception(
                code=code,
                prefix="",
                digits=4,
                make=lambda code: receive_dossier(
                    taken, code, centre.id, "staff:lan", at("2026-11-18 09:00"), calendar
                ),
                secret=str.encode,
                papers=(),
                person=None,
                record={},
            )
            await store.receive(envelope, reception)

        proxy.is_open.clear()
        for n in range(1, 5):
            for code in ("X-1", "X-2"):
                await step(code, n)
        proxy.cut()
        assert 8 == await store.backlog()
        proxy.drops = 3  # what was told is told again: the answer was lost
        proxy.is_open.set()

        async def is_settled() -> bool:
            return await store.backlog() == 0

        async with asyncio.timeout(30):
            while not await is_settled():
                await asyncio.sleep(0.02)
        told = await changes(house)
        assert {(code, n) for code in ("X-1", "X-2") for n in range(1, 5)} == set(told)
        assert 8 == len(told)
        for code in ("X-1", "X-2"):
            assert [1, 2, 3, 4] == [n for who, n in told if who == code]
        await archive.close()


async def test_gauges_of_dossiers(house: House, clock: ManualClock):
    """Open ones by state, late ones by department; labels are those of the centre file."""
    await received(house.integrator, received_ms=at("2026-11-02 09:00"))
    await received(house.lan)
    done = (await received(house.lan))["slip"]["code"]
    await do(house.lan, done, "ready")
    clock.advance(60_000)
    code = (await received(house.lan, department="b"))["slip"]["code"]
    await do(house.lan, code, "progress", title="Thẩm định")
    expected = {
        f'queue_dossiers{{centre="{house.centre.id}",department="a",state="received"}} 2.0',
        f'queue_dossiers{{centre="{house.centre.id}",department="b",state="in_progress"}} 1.0',
        f'queue_late_dossiers{{centre="{house.centre.id}",department="a"}} 1.0',
        f'queue_late_dossiers{{centre="{house.centre.id}",department="b"}} 0.0',
    }
    async with asyncio.timeout(20):
        while True:
            clock.advance(30_000)
            shown = (await house.nobody.get("/metrics")).raw.decode().splitlines()
            if expected == {line for line in shown if line.startswith(("queue_dossiers{", "queue_late_dossiers{"))}:
                break
            await asyncio.sleep(0.1)
