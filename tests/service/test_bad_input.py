"""
Whatever is sent: a definite answer with a code and a sentence, nothing changed, and nothing of the inside shown.

What each check of the door does in detail is tested in test_guard.py and tests/pure/test_contract.py; here the whole
service is asked, and its centre is compared before and after.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import msgpack
import pytest
import pytest_asyncio
import schemathesis
from openapi_spec_validator import validate
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

import queue_service.app
from queue_service.errors import CODES
from queue_service.guard import RUNNER_OPTIONS, Guard, Limits
from service_world import JSON, LEAKS, MSGPACK, Answer, Caller, House, a_hall, a_house, a_key, filled

TICKET = "0" * 22
LONGEST = RUNNER_OPTIONS["max_line_size"]
MADE_REQUESTS = 500
"""Requests made from the document, over all its operations: what a busy machine answers within a minute."""
HOSTILE = {
    "control characters": "a\x00b\x1b[31m",
    "right to left": "\u202egnp.exe",
    "marks of direction": "a\u200fb",
    "line separators": "a\u2028b",
    "byte order mark": "\ufeffa",
    "tags": "a\U000e0041b",
    "far too long": "x" * 201,
}


pytestmark = pytest.mark.asyncio(loop_scope="module")
WIDE = Limits(public_per_s=1e6, public_burst=1_000_000, issue_per_min=1e6, issue_burst=1_000_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """One service for this module, which does not count how often an address asks; somebody is in every place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("queue_service.passwords._MEMORY_KIB", 64)
        patch.setattr("queue_service.passwords._TIME_COST", 1)
        patch.setattr(queue_service.app, "Guard", partial(Guard, limits=WIDE))
        async with a_house(redis_url, tmp_path_factory.mktemp("house"), a_hall()) as house:
            for _ in range(3):
                await house.kiosk.issue()
            await house.lan.at("q01", "open")
            await house.lan.at("q01", "call-next")
            yield house


@pytest_asyncio.fixture(loop_scope="module")
async def unchanged(house: House) -> AsyncIterator[House]:
    """The house; whatever the test does, it looks the same afterwards."""
    before = await house.state()
    yield house
    assert before == await house.state()


async def post(who: Caller, path: str, data: bytes, kind: str | None = JSON, **headers: str) -> Answer:
    """A press as raw bytes."""
    given = {"Idempotency-Key": a_key(), **headers} | ({"Content-Type": kind} if kind else {})
    return await who.ask("POST", path, given, data=data, skip_auto_headers=("Content-Type",))


# What does not exist, and what is not in that state


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("tickets", {"service": "nowhere"}, 404, "UNKNOWN_SERVICE"),
        ("tickets", {"service": "a", "ground": "nowhere"}, 404, "NOT_FOUND"),
        ("tickets", {"service": "a", "language": "fr"}, 400, "MALFORMED"),
        (f"tickets/{TICKET}/cancel", {}, 404, "UNKNOWN_TICKET"),
        (f"tickets/{TICKET}/printed", {}, 404, "UNKNOWN_TICKET"),
        ("counters/q99/open", {}, 404, "UNKNOWN_COUNTER"),
        ("counters/q01/call", {"ticket": "A999"}, 409, "COUNTER_BUSY"),
        ("counters/q01/resume", {"ticket": TICKET}, 409, "COUNTER_BUSY"),
        ("counters/q01/call-next", {}, 409, "COUNTER_BUSY"),
        ("counters/q01/no-show", {}, 409, "TOO_EARLY_NO_SHOW"),
        ("counters/q01/transfer", {"service": "nowhere"}, 404, "UNKNOWN_SERVICE"),
        ("counters/q02/recall", {}, 403, "NOT_YOUR_SEAT"),
        ("counters/q01/call-him", {}, 404, "NOT_FOUND"),
        ("nothing", {}, 404, "NOT_FOUND"),
        ("", {}, 405, "METHOD_NOT_ALLOWED"),
        ("day", {"day": "2026-02-30"}, 400, "MALFORMED"),
        ("day", {"day": "2020-01-01"}, 409, "DAY_NOT_LATER"),
    ],
)
async def test_a_press_that_cannot_be(
    unchanged: House, path: str, body: dict[str, Any], status: int, code: str
) -> None:
    is_officers = path.startswith("counters")
    who = unchanged.lan if is_officers else unchanged.chief if path == "day" else unchanged.desk
    answer = await who.press(path, body)
    assert (status, code) == (answer.status, answer.code), answer.raw


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/centres/no-such-centre",
        "/api/v1/centres/no-such-centre/procedures",
        f"/api/v1/centres/no-such-centre/tickets/{TICKET}",
        "/api/v1/centres/No_Slug",
        "/api/v1/centres/%2e%2e/tickets",
        "/api/v1/centres/{}/tickets/short",
        "/api/v1/centres/{}/boards/..%2f..%2fetc",
        "/api/v1/centres/{}/procedures/%00",
        "/assets/..%2f..%2fapp.py",
        "/assets/%2e%2e/index.html",
        "/assets/" + "a" * 300,
        "/assets/%00",
        "/assets/%ff%fe",
        "/api/v1/",
        "/.git/config",
        "//evil.example/x",
        "/kiosk/only-one",
    ],
)
async def test_an_address_where_nothing_is(unchanged: House, path: str) -> None:
    reader, writer = await raw(unchanged)
    writer.write(
        f"GET {path.replace('{}', unchanged.centre.id)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    answer = await everything(reader)
    writer.close()
    assert answer.status in (400, 404), answer
    assert answer.code


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_method_the_address_does_not_know(unchanged: House, method: str) -> None:
    answer = await unchanged.lan.ask(method, "counters/q01/call-next", {"Idempotency-Key": a_key()})
    assert (405, "METHOD_NOT_ALLOWED", "POST") == (answer.status, answer.code, answer.headers["Allow"])


# Keys


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ([], "KEY_MISSING"),
        (["short"], "KEY_MALFORMED"),
        (["x" * 201], "KEY_MALFORMED"),
        (["with spaces in it"], "KEY_MALFORMED"),
        (["khóa-của-tôi-1"], "KEY_MALFORMED"),
        (["press|0001|x"], "KEY_MALFORMED"),
        (["press-0001", "press-0002"], "KEY_MALFORMED"),
    ],
)
async def test_a_press_without_a_proper_key(unchanged: House, keys: list[str], code: str) -> None:
    reader, writer = await raw(unchanged)
    lines = "".join(f"Idempotency-Key: {key}\r\n" for key in keys)
    writer.write(request(unchanged.kiosk, "tickets", b'{"service":"a"}', lines))
    answer = await everything(reader)
    writer.close()
    assert (400, code) == (answer.status, answer.code)


# Bodies


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        (JSON, b"", "MALFORMED"),
        (JSON, b"{", "MALFORMED"),
        (JSON, b'{"service":', "MALFORMED"),
        (JSON, b"null", "MALFORMED"),
        (JSON, b'["a"]', "MALFORMED"),
        (JSON, b'"a"', "MALFORMED"),
        (JSON, b'{"service":"a"} trailing', "MALFORMED"),
        (JSON, b'{"service":"a","service":"b"}', "MALFORMED"),
        (JSON, b'{"service":"a","extra":1}', "MALFORMED"),
        (JSON, b'{"service":1}', "MALFORMED"),
        (JSON, b'{"service":-1}', "MALFORMED"),
        (JSON, b'{"service":1e999}', "MALFORMED"),
        (JSON, b'{"service":NaN}', "MALFORMED"),
        (JSON, b'{"service":"a","class":"royal"}', "MALFORMED"),
        (JSON, b'{"service":"../../etc/passwd"}', "MALFORMED"),
        (JSON, b'{"service":"a}b"}', "MALFORMED"),
        (JSON, b'{"service":"\xff\xfe"}', "MALFORMED"),
        (JSON, b'{"service":"\\ud800"}', "MALFORMED"),
        (JSON, b"[" * 10_000, "MALFORMED"),
        (JSON, b'{"service":' * 2_000 + b'"a"' + b"}" * 2_000, "MALFORMED"),
        (JSON, b'{"service":"' + b"a" * 70_000 + b'"}', "TOO_LARGE"),
        (JSON, b'{"service":"a","procedure":"\\u0000"}', "MALFORMED"),
        (MSGPACK, b"", "MALFORMED"),
        (MSGPACK, b"\xc1", "MALFORMED"),
        (MSGPACK, b"\x81\xa7service", "MALFORMED"),
        (MSGPACK, b"\xdf\xff\xff\xff\xff", "MALFORMED"),
        (MSGPACK, b"\xc6\xff\xff\xff\xff", "MALFORMED"),
        (MSGPACK, b"\x91" * 5_000 + b"\x90", "MALFORMED"),
        (MSGPACK, b"\x81\x90\x90", "MALFORMED"),
        (MSGPACK, msgpack.packb({"service": b"a"}), "MALFORMED"),
        (MSGPACK, msgpack.packb({1: "a"}), "MALFORMED"),
        (MSGPACK, msgpack.packb({"service": msgpack.Timestamp(1)}), "MALFORMED"),
        (MSGPACK, msgpack.packb({"service": msgpack.ExtType(5, b"x")}), "MALFORMED"),
        (MSGPACK, msgpack.packb({"service": "a"}) + b"\xc0", "MALFORMED"),
        (MSGPACK, b"\x81\xa7service\xa2\xff\xfe", "MALFORMED"),
        ("text/plain", b'{"service":"a"}', "UNSUPPORTED_TYPE"),
        ("application/x-www-form-urlencoded", b"service=a", "UNSUPPORTED_TYPE"),
        ("multipart/form-data; boundary=x", b"--x--", "UNSUPPORTED_TYPE"),
        ("application/json; charset=utf-16", b'{"service":"a"}', "UNSUPPORTED_TYPE"),
        ("application/json, text/plain", b'{"service":"a"}', "UNSUPPORTED_TYPE"),
        ("; ; ;", b'{"service":"a"}', "UNSUPPORTED_TYPE"),
        (None, b'{"service":"a"}', "UNSUPPORTED_TYPE"),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_a_body_that_is_none(unchanged: House, kind: str | None, body: bytes, code: str) -> None:
    answer = await post(unchanged.kiosk, "tickets", body, kind)
    assert code == answer.code, answer.raw


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip", "nonsense"])
async def test_a_packed_body(unchanged: House, encoding: str) -> None:
    for body in (
        gzip.compress(b'{"service":"a"}', mtime=0),
        gzip.compress(b'{"service":"a"}', mtime=0)[:12],
        b"no gzip",
        b"",
        gzip.compress(b"0" * 10_000_000, mtime=0),
    ):
        answer = await post(unchanged.kiosk, "tickets", body, **{"Content-Encoding": encoding})
        assert answer.status in (400, 413, 415)
        assert answer.code in ("UNSUPPORTED_TYPE", "MALFORMED", "TOO_LARGE")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "application/json;q=0", "image/*"])
async def test_an_answer_we_cannot_give(unchanged: House, accept: str) -> None:
    answer = await unchanged.kiosk.press("tickets", {"service": "a"}, headers={"Accept": accept})
    assert (406, "NOT_ACCEPTABLE") == (answer.status, answer.code)


@pytest.mark.parametrize(
    "query",
    [
        "after=-1",
        "after=x",
        "after=1&after=2",
        "limit=0",
        "limit=1001",
        "more=1",
        "after=" + "9" * 40,
        "after=%00",
        "after=9223372036854775808",
    ],
)
async def test_a_query_that_is_none(unchanged: House, query: str) -> None:
    answer = await unchanged.chief.get(f"events?{query}")
    assert (400, "MALFORMED") == (answer.status, answer.code)


@pytest.mark.parametrize(
    "query",
    [
        "q=%ff",
        "q=%ED%A0%80",
        "q=%00",
        "q=" + "a" * 121,
        "limit=101",
        "department=Kh%C3%B4ng",
        "field=" + "x" * 41,
        "q=a&q=b",
    ],
)
async def test_a_search_that_is_none(unchanged: House, query: str) -> None:
    answer = await unchanged.nobody.get(f"procedures?{query}")
    assert (400, "MALFORMED") == (answer.status, answer.code)


# Texts


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_text_is_refused_wherever_people_type(unchanged: House, text: str) -> None:
    presses: list[tuple[Caller, str, dict[str, Any]]] = [
        (unchanged.lan, "counters/q01/pause", {"reason": text}),
        (unchanged.lan, "counters/q01/park", {"reason": text}),
        (unchanged.lan, "counters/q01/call", {"ticket": "A002", "reason": text}),
        (unchanged.lan, "counters/q01/transfer", {"service": "b", "note": text}),
        (unchanged.chief, "issuing", {"open": False, "text": text}),
        (unchanged.nobody, f"tickets/{TICKET}/cancel", {"reason": text}),
        (unchanged.desk, f"tickets/{TICKET}/revive", {"reason": text}),
    ]
    for who, path, body in presses:
        answer = await who.press(path, body)
        assert (400, "MALFORMED") == (answer.status, answer.code), path
        assert text not in answer.value["detail"]


async def test_markup_is_text_and_stays_text(house: House) -> None:
    """It is not refused, since a person may type <; it travels as text and is never a page."""
    markup = '<script>alert("1")</script> & =1+1'
    await house.binh.at("q02", "open")
    answer = await house.binh.at("q02", "pause", reason=markup)
    assert markup == answer.value["counter"]["reason"]
    assert answer.headers["Content-Type"].startswith(JSON)
    assert "nosniff" == answer.headers["X-Content-Type-Options"]
    assert markup == (await house.state())["counters"][1]["reason"]


async def test_accents_arrive_composed(house: House) -> None:
    await house.binh.at("q02", "open")
    answer = await house.binh.at("q02", "pause", reason="  Nghi\u0309 trưa ")
    assert "Nghỉ trưa" == answer.value["counter"]["reason"]


async def test_a_hostile_name_at_the_door_is_a_wrong_password(unchanged: House) -> None:
    for name in ("' OR 1=1 --", "lan\r\nFLUSHALL", "\u202enal", "*", "x" * 64, "<b>lan</b>"):
        answer = await unchanged.nobody.ask(
            "POST", "/api/v1/session", json={"name": name, "password": "wrong password"}
        )
        assert answer.code in ("WRONG_PASSWORD", "MALFORMED", "TOO_MANY")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic bGFuOmxhbg=="},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \udcff\udcfe"},
        {"Authorization": "Bearer qsd.AAAAAAAAAAAA." + "A" * 43},
        {"Authorization": "Bearer " + "A" * 3000},
        {"Cookie": "qs_staff=\udcff; ;;=;"},
        {"Cookie": "qs_staff=qss." + "A" * 43},
        {"Sec-WebSocket-Protocol": "queue.token."},
    ],
    ids=repr,
)
async def test_a_credential_that_is_none(unchanged: House, headers: dict[str, str]) -> None:
    reader, writer = await raw(unchanged)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET /api/v1/centres/{unchanged.centre.id}/state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n"
    writer.write(head.encode("utf-8", "surrogateescape"))
    answer = await everything(reader)
    writer.close()
    assert (401, "SIGN_IN_REQUIRED") == (answer.status, answer.code)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://[", "http://[::1", "//", "javascript:alert(1)", "\udcff"]
)
async def test_a_foreign_page_changes_nothing(unchanged: House, origin: str) -> None:
    reader, writer = await raw(unchanged)
    writer.write(
        request(
            unchanged.nobody, f"tickets/{TICKET}/cancel", b"{}", f"Origin: {origin}\r\nIdempotency-Key: {a_key()}\r\n"
        )
    )
    answer = await everything(reader)
    writer.close()
    assert (403, "FOREIGN_ORIGIN") == (answer.status, answer.code)


# Connections


async def raw(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A socket to the service."""
    host, _, port = house.service.base.removeprefix("http://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


def request(who: Caller, path: str, body: bytes, lines: str = "") -> bytes:
    """A POST as bytes; the connection is closed after the answer."""
    token = f"Authorization: Bearer {who.token}\r\n" if who.token else ""
    head = (
        f"POST /api/v1/centres/{who.centre}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {JSON}\r\n"
    )
    return (head + token + lines + f"Content-Length: {len(body)}\r\n\r\n").encode("utf-8", "surrogateescape") + body


async def everything(reader: asyncio.StreamReader, deadline_s: float = 10) -> Answer:
    """What the service says until it closes the connection."""
    async with asyncio.timeout(deadline_s):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert not [leak for leak in LEAKS if leak in body]
    return Answer(int(status_line.split(" ")[1]), headers, body)


async def test_a_connection_that_ends_in_the_middle(unchanged: House) -> None:
    """Nothing is done, and the next one is served."""
    whole = request(unchanged.kiosk, "tickets", b'{"service":"a"}', f"Idempotency-Key: {a_key()}\r\n")
    for part in (b"", whole[:10], whole[: len(whole) // 2], whole[:-1]):
        _, writer = await raw(unchanged)
        writer.write(part)
        await writer.drain()
        writer.transport.abort()
    assert 200 == (await unchanged.nobody.get()).status


async def test_slow_connections_are_let_go_and_others_are_served(
    redis_url: str, tmp_path: Path, cheap_passwords: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head that does not come is cut off; a body that does not come is refused; meanwhile officers press."""
    monkeypatch.setattr(
        queue_service.app, "RUNNER_OPTIONS", {**queue_service.app.RUNNER_OPTIONS, "keepalive_timeout": 3.0}
    )
    monkeypatch.setattr(queue_service.app, "Guard", partial(Guard, limits=Limits(request_s=0.5)))
    async with a_house(redis_url, tmp_path, a_hall()) as house:
        before = await house.state()
        whole = request(house.kiosk, "tickets", b'{"service":"a"}', f"Idempotency-Key: {a_key()}\r\n")
        idle = [await raw(house) for _ in range(50)]
        heads = [await raw(house) for _ in range(50)]
        bodies = []
        try:
            for _, writer in heads:
                writer.write(whole[:40])
            for _ in range(50):
                bodies.append(await raw(house))
                bodies[-1][1].write(whole[:-3])
            assert 200 == (await house.lan.at("q01", "open")).status
            for reader, _ in idle + heads:
                async with asyncio.timeout(20):
                    said = await reader.read()
                assert said == b"" or said.split(b" ")[1].startswith(b"4")
            for reader, _ in bodies:
                answer = await everything(reader, 20)
                assert (400, "MALFORMED") == (answer.status, answer.code)
        finally:
            for _, writer in idle + heads + bodies:
                writer.transport.abort()
        assert before["lines"] == (await house.state())["lines"]


async def test_what_is_not_waited_for_is_done_once(house: House) -> None:
    """A caller who goes away after the press: it is done or not, and the repeat says which, once."""
    key = a_key()
    for _ in range(5):
        _, writer = await raw(house)
        writer.write(request(house.kiosk, "tickets", b'{"service":"b"}', f"Idempotency-Key: {key}\r\n"))
        await writer.drain()
        writer.transport.abort()
    number = (await house.kiosk.press("tickets", {"service": "b"}, key)).ticket["number"]
    assert [number] == [
        ticket["number"]
        for line in (await house.state())["lines"]
        for ticket in line["tickets"]
        if "b" == line["service"]
    ]


# The document


async def test_the_document_is_openapi_and_every_refusal_in_it_is_known(house: House) -> None:
    document = (await house.nobody.get("/openapi.json")).value
    validate(document)
    named = set(re.findall(r'"enum": ?(\[[A-Z_", ]+\])', json.dumps(document)))
    codes = {code for words in named for code in json.loads(words)}
    assert codes
    assert codes <= set(CODES)


async def test_every_refusal_that_is_met_is_documented(unchanged: House) -> None:
    """For each operation: nobody, a wrong role, no key, a bad body, nothing there; the code stands in the document."""
    document = (await unchanged.nobody.get("/openapi.json")).value
    missing = []
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            name = described["operationId"]
            there = filled(path, centre=unchanged.centre.id, counter="q01", board="hall", ticket=TICKET, code="x")
            headers = {"Accept": "text/event-stream"} if path.endswith("/stream") else {}
            tries = [
                (unchanged.nobody, there, headers),
                (unchanged.board, there, headers),
                (unchanged.board, there, {"Accept": "image/png"}),
                (unchanged.nobody, there, {"Authorization": "Basic eA=="}),
                (unchanged.admin, there + "?x=1", {"Idempotency-Key": a_key()}),
                (unchanged.admin, there, {"Idempotency-Key": a_key(), "Content-Type": "text/plain"}),
                (unchanged.admin, there, {"Idempotency-Key": a_key(), "Content-Type": JSON}),
                (unchanged.admin, there, {"Content-Type": JSON}),
                (unchanged.nobody, there.replace(unchanged.centre.id, "elsewhere"), headers),
                (
                    unchanged.admin,
                    there.replace("q01", "q99").replace("hall", "nowhere"),
                    {"Idempotency-Key": a_key(), **headers},
                ),
            ]
            for who, address, given in tries:
                if name == "sign_out" and who is not unchanged.nobody:
                    continue
                data = b"{]" if method == "post" else None
                async with who.session.request(
                    method,
                    who.url(address),
                    headers=who.headers(**given),
                    data=data,
                    skip_auto_headers=("Content-Type",),
                ) as it:
                    if it.status < 400:
                        continue
                    answer = Answer(it.status, it.headers, await it.read())
                assert answer.status < 500, (name, answer)
                response = described["responses"].get(str(answer.status), {"description": ""})
                if answer.code not in response["description"].split(", "):
                    missing.append(f"{name}: {answer.status} {answer.code}")
    assert "" == "\n".join(sorted(set(missing)))


# The service in the other thread uses `random`; hypothesis thinks it was our strategy.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
async def test_requests_made_from_the_document_never_break_the_service(house: House) -> None:
    """Good and bad ones, sent by each role; none is answered with 5xx or against the document."""
    document = (await house.nobody.get("/openapi.json")).value
    left_out = ("/stream", "/session", "/plans")  # they last, brake, or play whole days
    for path in [path for path in document["paths"] if path.endswith(left_out)]:
        del document["paths"][path]
    kinds = sum(map(len, document["paths"].values())) * len(schemathesis.GenerationMode)
    tokens = [None, house.kiosk.token, house.lan.token, house.chief.token]
    seen: list[int] = []

    def attack() -> None:
        schema = schemathesis.openapi.from_dict(document)
        schema.config.base_url = house.service.base
        for result in schema.get_all_operations():
            for mode in schemathesis.GenerationMode:
                with suppress(hypothesis.errors.Unsatisfiable):  # where nothing can be said wrongly
                    send(result.ok().as_strategy(generation_mode=mode))

    def send(strategy: Any) -> None:
        @hypothesis.settings(
            max_examples=max(2, MADE_REQUESTS // kinds),
            deadline=None,
            phases=(hypothesis.Phase.generate,),  # a failure says all there is: the request to repeat
            suppress_health_check=list(hypothesis.HealthCheck),
            database=None,
        )
        @hypothesis.given(case=strategy)
        def one(case: Any) -> None:
            if "centre" in (case.path_parameters or {}) and len(seen) % 4:
                case.path_parameters["centre"] = house.centre.id
            token = tokens[len(seen) % len(tokens)]
            response = case.call(headers={"Authorization": f"Bearer {token}"} if token else None)
            if len(response.request.path_url) > LONGEST:  # read by nobody: there is no door yet that could answer
                assert response.status_code == 400
                return
            seen.append(response.status_code)
            assert response.status_code < 500, response.text
            if response.status_code >= 400:
                assert response.json()["code"] in CODES
                assert not [leak for leak in LEAKS if leak in response.content]
            case.validate_response(
                response, checks=[status_code_conformance, content_type_conformance, response_schema_conformance]
            )

        one()

    asyncio.get_running_loop().set_debug(False)  # it triples the time
    try:
        await asyncio.to_thread(attack)
    finally:
        asyncio.get_running_loop().set_debug(True)
    assert len(seen) > 200
    assert {200, 400, 401, 403, 404} <= set(seen)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /api/v1/centres?q=" + b"x" * 5000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: h\r\nX-Long: " + b"x" * 5000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
    ids=["long address", "long header", "TLS", "another version"],
)
async def test_what_is_no_request_is_refused_like_any_other(unchanged: House, request_bytes: bytes) -> None:
    """A problem document with a code, and nothing of what was sent or of our inside."""
    reader, writer = await raw(unchanged)
    writer.write(request_bytes)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    assert b"application/problem+json" in head
    assert "BAD_REQUEST" == json.loads(body)["code"]
    assert b"xxxx" not in body
    assert b"bytearray" not in body
