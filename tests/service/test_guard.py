"""What stands before every door, over real sockets: whatever is sent, the answer is definite and shows nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import msgspec
import pytest
from aiohttp import WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from msgspec import Meta, Struct
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from queue_service.authority import Identity
from queue_service.clock import ManualClock
from queue_service.commands import PressId
from queue_service.contract import MOST_BODY_BYTES, Answer, clean_text, operation, register
from queue_service.errors import UnknownTicket, WrongPassword, WrongState
from queue_service.guard import (
    COOKIE,
    RUNNER_OPTIONS,
    SECURE_COOKIE,
    Buckets,
    Guard,
    Limits,
    session_cookie,
)
from queue_service.identity import TRUST_S, Identities

LAN = Identity(name="lan", roles=frozenset({"officer"}), centres=frozenset({"demo-xa"}), kind="staff")
KEY = {"Idempotency-Key": "press-0001"}
TICKET = "abcdefghijklmnopqrstuv"
TICKETS = "/api/v1/centres/demo-xa/tickets"
JSON = {"Content-Type": "application/json"}
MSGPACK = {"Content-Type": "application/vnd.msgpack"}


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    service: Annotated[str, Meta(pattern=r"\A[a-z-]{1,32}\Z")]
    note: Annotated[str, clean_text(200)] = ""
    extra: Any = None


class SignIn(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    password: str


class Slip(Struct, frozen=True):
    number: str
    by: str


class Door:
    """A door whose handlers do what a test tells them to."""

    def __init__(self, identities: Identities) -> None:
        self.identities = identities
        self.issued: list[str] = []
        self.act: Callable[[], Awaitable[object]] | None = None

    @operation(
        "POST",
        "/api/v1/centres/{centre}/tickets",
        summary="Issue",
        roles=("kiosk", "integrator"),
        press=True,
        body=Wish,
        answers={201: Slip},
        issues=True,
    )
    async def issue(self, body: Wish, press_id: PressId, identity: Identity) -> Slip:
        self.issued.append(press_id)
        return Slip(body.service, identity.name)

    @operation(
        "POST",
        "/api/v1/centres/{centre}/counters/{counter}/call-next",
        summary="Call next",
        roles=("officer",),
        press=True,
        answers={200: Slip},
    )
    async def call_next(self, press_id: PressId, identity: Identity) -> Slip:
        if self.act is not None:
            await self.act()
        return Slip(press_id, identity.name)

    @operation("GET", "/api/v1/centres/{centre}/tickets/{ticket}", summary="Ticket", answers={200: Slip})
    async def ticket(self, ticket: str) -> Slip:
        if self.act is not None:
            await self.act()
        if ticket != TICKET:
            raise UnknownTicket("There is no such ticket today.")
        return Slip(ticket, "")

    @operation("POST", "/api/v1/session", summary="Sign in", body=SignIn, answers={200: Slip})
    async def sign_in(self, body: SignIn, address: str) -> Answer:
        if body.password != "right password":
            raise WrongPassword(f"{body.name} at {address} has another password.")
        token = await self.identities.sessions.create(LAN, 0, 0)
        return Answer(Slip(token, LAN.name), headers=session_cookie(token, is_secure=False))

    @operation("GET", "/api/v1/centres/{centre}/stream", summary="Stream", answers={101: None}, stream=True)
    async def stream(self, request: web.Request, identity: Identity) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=("queue.v1.json",))
        await socket.prepare(request)
        await socket.send_str(identity.name)
        await socket.close()
        return socket


class Hall:
    """A served door, its guard and its people."""

    def __init__(self, client: TestClient, door: Door, guard: Guard, seen: list[tuple[str, int]]) -> None:
        self.client, self.door, self.guard, self.seen = client, door, guard, seen
        self.kiosk: dict[str, str] = {}
        self.officer: dict[str, str] = {}
        self.cookie: dict[str, str] = {}
        self.device_id = ""

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any) -> Answered:
        async with self.client.request(method, path, headers=headers or {}, **options) as answer:
            return Answered(answer.status, dict(answer.headers), await answer.read())

    async def issue(self, data: bytes = b'{"service":"cat"}', **headers: str) -> Answered:
        """Issue as the kiosk would, with *headers* (underscores for hyphens) instead of the usual ones."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask("POST", TICKETS, {**self.kiosk, **KEY, **JSON, **given}, data=data)


class Answered(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a refusal, which is a proper problem document and shows nothing of the inside."""
        assert "application/problem+json" == self.headers["Content-Type"]
        assert "no-store" == self.headers["Cache-Control"]
        assert {"type", "title", "status", "detail", "code"} <= set(self.document)
        assert self.status == self.document["status"]
        for leak in (b"Traceback", b"File ", b".py", b"redis", b"aiohttp", b"msgspec", b"Error"):
            assert leak not in self.body
        return self.document["code"]


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def hall_with(store: Redis) -> AsyncIterator[Callable[..., Awaitable[Hall]]]:
    """Opens a hall with other limits."""
    opened: list[TestClient] = []

    async def open_hall(**options: Any) -> Hall:
        identities = Identities(store, tag=secrets.token_hex(8))
        seen: list[tuple[str, int]] = []
        guard = Guard(
            identities, ManualClock(0), observe=lambda name, status, _: seen.append((name, status)), **options
        )
        door = Door(identities)
        app = web.Application(client_max_size=MOST_BODY_BYTES)
        guard.install(app)
        register(app, door)
        client = TestClient(TestServer(app))
        await client.server.start_server(**RUNNER_OPTIONS)
        opened.append(client)
        hall = Hall(client, door, guard, seen)
        device, token = await identities.devices.create(role="kiosk", centre="demo-xa", now_ms=0)
        session = await identities.sessions.create(LAN, 0, 0)
        hall.kiosk, hall.device_id = {"Authorization": f"Bearer {token}"}, device.id
        hall.officer = {"Authorization": f"Bearer {session}"}
        hall.cookie = {"Cookie": f"{COOKIE}={session}"}
        return hall

    yield open_hall
    for client in opened:
        await client.close()


@pytest.fixture
async def hall(hall_with: Callable[..., Awaitable[Hall]]) -> Hall:
    return await hall_with()


# What is understood


async def test_json_and_msgpack_are_both_read_and_written(hall):
    plain = await hall.issue()
    packed = await hall.ask(
        "POST",
        TICKETS,
        {**hall.kiosk, **KEY, **MSGPACK, "Accept": MSGPACK["Content-Type"]},
        data=msgspec.msgpack.encode({"service": "cat"}),
    )

    assert [201, 201] == [plain.status, packed.status]
    assert plain.document == msgspec.msgpack.decode(packed.body)
    assert MSGPACK["Content-Type"] == packed.headers["Content-Type"]


async def test_every_answer_carries_the_security_headers(hall):
    """Success, refusal and what no handler made; nobody keeps what the API says."""
    answers = [await hall.issue(), await hall.ask("GET", "/api/v1/nowhere"), await hall.ask("GET", "/nowhere")]
    for answer in answers:
        assert "nosniff" == answer.headers["X-Content-Type-Options"]
        assert "no-referrer" == answer.headers["Referrer-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert "queue-service" == answer.headers["Server"]
        assert "no-store" == answer.headers["Cache-Control"]


async def test_behind_https_the_browser_is_told_to_stay_there(hall_with):
    hall = await hall_with(public_url="https://queue.example")

    assert "Strict-Transport-Security" in (await hall.issue()).headers


# What is not understood: 4xx, a code, no state change, and the next request works


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", JSON, "MALFORMED"),
        (b"{", JSON, "MALFORMED"),
        (b"null", JSON, "MALFORMED"),
        (b"[]", JSON, "MALFORMED"),
        (b"{}", JSON, "MALFORMED"),
        (b'{"service":"cat"}{}', JSON, "MALFORMED"),
        (b'{"service":"cat","admin":true}', JSON, "MALFORMED"),
        (b'{"service":7}', JSON, "MALFORMED"),
        (b'{"service":"CAT; FLUSHALL"}', JSON, "MALFORMED"),
        (b'{"service":"cat","service":"dog"}', JSON, "MALFORMED"),
        (b'{"service":"cat","note":"a\\u0000b"}', JSON, "MALFORMED"),
        ('{"service":"cat","note":"\u202egpj.exe"}'.encode(), JSON, "MALFORMED"),
        (b'{"service":"cat","note":"\\ud800"}', JSON, "MALFORMED"),
        (b'{"service":"cat","note":"' + b"x" * 201 + b'"}', JSON, "MALFORMED"),
        (b'{"service":"cat\xff"}', JSON, "MALFORMED"),
        (b'\xef\xbb\xbf{"service":"cat"}', JSON, "MALFORMED"),
        (b'{"service":"cat","extra":' + b"[" * 30_000 + b"]" * 30_000 + b"}", JSON, "MALFORMED"),
        (b'{"service":"cat","extra":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}", JSON, "MALFORMED"),
        (b'{"service":"cat","extra":1e999}', JSON, "MALFORMED"),
        (b'{"service":"cat","extra":NaN}', JSON, "MALFORMED"),
        (b'{"service":"cat","extra":' + b"9" * 60_000 + b',"b\\n":1}', JSON, "MALFORMED"),
        (b'{"service":"cat","extra":"' + b"x" * MOST_BODY_BYTES + b'"}', JSON, "TOO_LARGE"),
        (b"\xc1", MSGPACK, "MALFORMED"),
        (b"\x81\xa7service", MSGPACK, "MALFORMED"),
        (b"\x81\xa7service\xa3cat\x00", MSGPACK, "MALFORMED"),
        (b"\x82\xa7service\xa3cat\xa7service\xa3dog", MSGPACK, "MALFORMED"),
        (b"\x81\xa7service\xa1\xff", MSGPACK, "MALFORMED"),
        (b"\x82\xa7service\xa3cat\xa5extra" + b"\x91" * 60_000 + b"\xc0", MSGPACK, "MALFORMED"),
        (b"\x82\xa7service\xa3cat\xa5extra\xdd\xff\xff\xff\xff", MSGPACK, "MALFORMED"),
        (b"\x82\xa7service\xa3cat\x01\x01", MSGPACK, "MALFORMED"),
        (b"\x82\xa7service\xa3cat\x90\x01", MSGPACK, "MALFORMED"),
        (b"\x82\xa7service\xa3cat\xa5extra\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff", MSGPACK, "MALFORMED"),
        (b'{"service":"cat"}', MSGPACK, "MALFORMED"),
        (b"service=cat", {"Content-Type": "application/x-www-form-urlencoded"}, "UNSUPPORTED_TYPE"),
        (b'{"service":"cat"}', {"Content-Type": "text/plain"}, "UNSUPPORTED_TYPE"),
        (b"", {"Content-Type": "text/plain"}, "UNSUPPORTED_TYPE"),
        (b'{"service":"cat"}', {"Content-Type": "application/json; charset=utf-7"}, "UNSUPPORTED_TYPE"),
        (b"\x1f\x8bgarbage", {**JSON, "Content-Encoding": "gzip"}, "UNSUPPORTED_TYPE"),
        (gzip.compress(b'{"service":"cat"}', mtime=0), {**JSON, "Content-Encoding": "gzip"}, "UNSUPPORTED_TYPE"),
        (gzip.compress(b"[" * 10_000_000, mtime=0), {**JSON, "Content-Encoding": "gzip"}, "UNSUPPORTED_TYPE"),
        (b"garbage", {**JSON, "Content-Encoding": "deflate"}, "UNSUPPORTED_TYPE"),
        (b"garbage", {**JSON, "Content-Encoding": "br"}, "UNSUPPORTED_TYPE"),
        (b"garbage", {**JSON, "Content-Encoding": "gzip, zstd, nonsense"}, "UNSUPPORTED_TYPE"),
    ],
)
async def test_a_bad_body_is_refused_and_the_next_request_works(hall, body, headers, code):
    answer = await hall.ask("POST", TICKETS, {**hall.kiosk, **KEY, **headers}, data=body)

    assert (code, []) == (answer.code, hall.door.issued)
    assert 201 == (await hall.issue()).status


async def test_a_type_is_needed(hall):
    answer = await hall.ask(
        "POST", TICKETS, {**hall.kiosk, **KEY}, data=b'{"service":"cat"}', skip_auto_headers=("Content-Type",)
    )

    assert "UNSUPPORTED_TYPE" == answer.code


async def test_a_press_needs_a_proper_key(hall):
    without = await hall.ask("POST", TICKETS, {**hall.kiosk, **JSON}, data=b'{"service":"cat"}')

    assert "KEY_MISSING" == without.code
    for key in ("short", "x" * 201, "with space", "a_b_c_d_e"):
        assert "KEY_MALFORMED" == (await hall.issue(Idempotency_Key=key)).code
    assert [] == hall.door.issued


async def test_two_keys_are_no_key(hall):
    answer = await hall.client.post(
        TICKETS, headers=[*hall.kiosk.items(), *JSON.items(), *KEY.items(), *KEY.items()], data=b'{"service":"cat"}'
    )

    assert (400, "KEY_MALFORMED") == (answer.status, (await answer.json(content_type=None))["code"])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nowhere", 404, "NOT_FOUND"),
        ("GET", f"{TICKETS}/1", 404, "NOT_FOUND"),
        ("GET", f"{TICKETS}/..%2f..%2fetc%2fpasswd", 404, "NOT_FOUND"),
        ("GET", f"{TICKETS}/{'z' * 22}", 404, "UNKNOWN_TICKET"),
        ("PUT", TICKETS, 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", TICKETS, 405, "METHOD_NOT_ALLOWED"),
        ("GET", f"{TICKETS}/{TICKET}?x=1", 400, "MALFORMED"),
    ],
)
async def test_what_is_not_there_is_refused_in_the_same_form(hall, method, path, status, code):
    answer = await hall.ask(method, path)

    assert (status, code) == (answer.status, answer.code)
    assert (status == 405) == ("Allow" in answer.headers)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST "
        + TICKETS.encode()
        + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0",
        b"POST " + TICKETS.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST " + TICKETS.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST " + TICKETS.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 500 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_answered_with_400_or_silence(hall, head, caplog):
    """And it is not worth a line in the log, where a torn header could leave somebody's token."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hall.client.port)
    writer.write(head)
    async with asyncio.timeout(5):
        answer = await reader.read(4096)
    writer.close()

    assert answer == b"" or answer.split(b" ", 2)[1].startswith(b"4")
    assert b"Traceback" not in answer
    assert [] == caplog.records


# Who asks


async def test_nobody_the_wrong_one_and_the_right_one(hall):
    call = "/api/v1/centres/{}/counters/q05/call-next"
    answers = [
        await hall.ask("POST", call.format("demo-xa"), KEY),
        await hall.ask("POST", call.format("demo-xa"), {**KEY, "Authorization": "Bearer qsd.AAAA.BBBB"}),
        await hall.ask("POST", call.format("demo-xa"), {**KEY, "Authorization": "Basic bGFuOng="}),
        await hall.ask("POST", call.format("demo-xa"), {**KEY, **hall.kiosk}),
        await hall.ask("POST", call.format("demo-tinh"), {**KEY, **hall.officer}),
        await hall.ask("POST", call.format("demo-xa"), {**KEY, **hall.officer}),
        await hall.ask("POST", call.format("demo-xa"), {**KEY, **hall.cookie}),
    ]

    assert [401, 401, 401, 403, 403, 200, 200] == [answer.status for answer in answers]
    assert ["SIGN_IN_REQUIRED"] * 3 + ["NOT_ALLOWED"] * 2 == [answer.code for answer in answers[:5]]
    assert ["Bearer"] * 3 == [answer.headers["WWW-Authenticate"] for answer in answers[:3]]
    assert {"number": "press-0001", "by": "lan"} == answers[-1].document


async def test_a_dead_token_is_refused_even_where_none_is_needed_and_a_dead_cookie_is_ignored(hall):
    """A kiosk learns that it was revoked; a visitor with an old cookie still sees the ticket."""
    token = await hall.ask("GET", f"{TICKETS}/{TICKET}", {"Authorization": "Bearer qss." + "A" * 43})
    cookie = await hall.ask("GET", f"{TICKETS}/{TICKET}", {"Cookie": f"{COOKIE}=qss.{'A' * 43}"})

    assert [401, 200] == [token.status, cookie.status]


async def test_a_revoked_kiosk_is_refused_within_seconds(hall):
    assert 201 == (await hall.issue()).status
    await hall.door.identities.devices.revoke(hall.device_id)
    async with asyncio.timeout(5):
        while (await hall.issue()).status == 201:
            await asyncio.sleep(0.1)

    assert TRUST_S < 5


async def test_signing_in_gives_a_cookie_that_pages_cannot_read(hall):
    answer = await hall.ask("POST", "/api/v1/session", JSON, data=b'{"name":"lan","password":"right password"}')
    cookie = answer.headers["Set-Cookie"]
    wrong = await hall.ask("POST", "/api/v1/session", JSON, data=b'{"name":"lan","password":"wrong password"}')

    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert ("WRONG_PASSWORD", 401) == (wrong.code, wrong.status)


def test_over_https_the_cookie_is_bound_to_the_host_and_can_be_taken_away():
    assert (
        f"{SECURE_COOKIE}=t; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure"
        == (session_cookie("t", is_secure=True)["Set-Cookie"])
    )
    assert (
        f"{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        == (session_cookie(None, is_secure=False)["Set-Cookie"])
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://HOST"}, 200),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "https://queue.example"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://HOST.evil.example"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://HOST", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
async def test_a_foreign_page_cannot_press_with_our_cookie(hall_with, headers, status):
    hall = await hall_with(public_url="http://queue.example")
    host = f"127.0.0.1:{hall.client.port}"
    given = {name: value.replace("HOST", host) for name, value in headers.items()}
    answer = await hall.ask("POST", "/api/v1/centres/demo-xa/counters/q05/call-next", {**KEY, **hall.cookie, **given})

    assert status == answer.status
    if status == 403:
        assert "FOREIGN_ORIGIN" == answer.code


async def test_a_foreign_page_cannot_sign_somebody_in(hall):
    """Before there is a cookie, too."""
    answer = await hall.ask(
        "POST",
        "/api/v1/session",
        {**JSON, "Origin": "https://evil.example"},
        data=b'{"name":"lan","password":"right password"}',
    )

    assert "FOREIGN_ORIGIN" == answer.code


async def test_a_foreign_page_cannot_open_a_socket_with_our_cookie(hall):
    with pytest.raises(WSServerHandshakeError) as refusal:
        await hall.client.ws_connect(
            "/api/v1/centres/demo-xa/stream", headers={**hall.cookie, "Origin": "https://evil.example"}
        )

    assert 403 == refusal.value.status


async def test_a_socket_brings_its_token_as_a_subprotocol(hall):
    token = hall.kiosk["Authorization"].removeprefix("Bearer ")
    async with hall.client.ws_connect(
        "/api/v1/centres/demo-xa/stream", protocols=("queue.v1.json", f"queue.token.{token}")
    ) as socket:
        assert ("queue.v1.json", f"device:{hall.device_id}") == (socket.protocol, await socket.receive_str())


# How often


async def test_one_token_that_issues_too_often_leaves_the_other_kiosks_alone(hall):
    """200 in a minute from one token end in 429; another kiosk notices nothing."""
    _, token = await hall.door.identities.devices.create(role="kiosk", centre="demo-xa", now_ms=0)
    answers = [await hall.issue() for _ in range(200)]
    statuses = [answer.status for answer in answers]
    other = await hall.issue(Authorization=f"Bearer {token}")

    assert {201, 429} == set(statuses)
    assert statuses.count(201) <= 60 + 60
    assert "TOO_MANY" == answers[-1].code
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert 201 == other.status


async def test_an_integrator_may_issue_in_bulk(hall):
    _, token = await hall.door.identities.devices.create(role="integrator", centre="demo-xa", now_ms=0)
    answers = [await hall.issue(Authorization=f"Bearer {token}") for _ in range(100)]

    assert {201} == {answer.status for answer in answers}


async def test_guessing_tickets_ends_in_429_and_misses_cost_more(hall_with):
    """Ten thousand guesses find nothing; after the first thirty they are not even looked up."""
    hall = await hall_with(limits=Limits(public_per_s=0.01))
    statuses = [(await hall.ask("GET", f"{TICKETS}/{number:022}")).status for number in range(100)]

    assert [404] * 30 + [429] * 70 == statuses
    assert 200 == (await hall.ask("GET", f"{TICKETS}/{TICKET}", hall.kiosk)).status


async def test_guessing_tokens_ends_in_429(hall_with):
    hall = await hall_with(limits=Limits(public_per_s=0.01))
    statuses = [
        (await hall.ask("GET", f"{TICKETS}/{TICKET}", {"Authorization": f"Bearer qss.{number:043}"})).status
        for number in range(100)
    ]

    assert [401] * 30 + [429] * 70 == statuses


async def test_the_public_counts_by_address_and_the_proxy_tells_it(hall_with):
    """Behind a proxy that we trust, neighbours do not share a bucket; a stranger's header is not believed."""
    hall = await hall_with(trusted_proxies=frozenset({"127.0.0.1"}), limits=Limits(public_per_s=0.01, public_burst=1))
    path = f"{TICKETS}/{TICKET}"
    statuses = [
        (await hall.ask("GET", path, {"X-Forwarded-For": forwarded})).status
        for forwarded in ("192.0.2.1", "9.9.9.9, 192.0.2.1", "192.0.2.2, 127.0.0.1", "2001:db8::1", "2001:db8::2", "x")
    ]

    assert [200, 429, 200, 200, 429, 200] == statuses


def test_a_bucket_holds_its_burst_and_fills():
    now = [0.0]
    buckets = Buckets(rate_per_s=2.0, burst=3, monotonic=lambda: now[0])
    taken = [buckets.take("a") for _ in range(4)]
    now[0] = 0.5
    buckets.charge("b", 100)

    assert [0.0, 0.0, 0.0, 0.5] == taken
    assert [0.0, 0.5] == [buckets.take("a"), buckets.take("a")]
    assert 0.5 == buckets.take("b")


def test_buckets_are_bounded(monkeypatch):
    monkeypatch.setattr(Buckets, "MOST_KEYS", 2)
    now = [0.0]
    buckets = Buckets(rate_per_s=1.0, burst=1, monotonic=lambda: now[0])
    for key in "ab":
        buckets.take(key)
    now[0] = 5.0
    buckets.take("c")

    assert ["c"] == list(buckets._full_at)


# How much at once, and how long


async def test_under_pressure_officers_go_before_kiosks_and_kiosks_before_the_public(hall_with):
    """Ten rooms: the public may fill five, devices eight, officers all; a refusal comes at once."""
    hall = await hall_with(limits=Limits(in_flight=10))
    gate = asyncio.Event()
    hall.door.act = gate.wait
    call, look = "/api/v1/centres/demo-xa/counters/q05/call-next", f"{TICKETS}/{TICKET}"
    hall.door.act = None
    for headers in (hall.kiosk, hall.officer):  # so that the guard has met them
        await hall.ask("GET", look, headers)
    hall.door.act = gate.wait

    async def crowd(size: int, *request: Any) -> list[asyncio.Task[Answered]]:
        before = hall.guard.in_flight
        tasks = [asyncio.create_task(hall.ask(*request)) for _ in range(size)]
        async with asyncio.timeout(5):
            while sum(task.done() for task in tasks) + hall.guard.in_flight - before < size:
                await asyncio.sleep(0.005)
        return tasks

    public = await crowd(7, "GET", look)
    kiosks = await crowd(5, "GET", look, hall.kiosk)
    officers = await crowd(4, "POST", call, {**hall.officer, **KEY})
    refused = [[task.result() for task in tasks if task.done()] for tasks in (public, kiosks, officers)]
    gate.set()
    answers = await asyncio.gather(*public, *kiosks, *officers)

    assert [2, 2, 2] == [len(some) for some in refused]
    assert {"OVERLOADED"} == {answer.code for some in refused for answer in some}
    assert 10 == sum(answer.status == 200 for answer in answers)
    assert 0 == hall.guard.in_flight


async def test_a_handler_that_hangs_is_answered_with_unknown(hall_with):
    """503: repeat with the same key; and nothing is left behind."""
    hall = await hall_with(limits=Limits(request_s=0.1))
    hall.door.act = asyncio.Event().wait
    async with asyncio.timeout(5):
        answer = await hall.ask("POST", "/api/v1/centres/demo-xa/counters/q05/call-next", {**hall.officer, **KEY})

    assert ("STORE_AWAY", 503, "1") == (answer.code, answer.status, answer.headers["Retry-After"])
    assert (0, {}, set()) == (hall.guard.in_flight, hall.guard._started, hall.guard._overdue)


async def test_a_body_that_does_not_arrive_is_refused(hall_with):
    """Nothing was done, and the room is free again."""
    hall = await hall_with(limits=Limits(request_s=0.1))
    reader, writer = await asyncio.open_connection("127.0.0.1", hall.client.port)
    lines = [f"POST {TICKETS} HTTP/1.1", "Host: x", "Content-Length: 17", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in {**hall.kiosk, **KEY}.items()]
    writer.write("\r\n".join(lines).encode() + b'\r\n\r\n{"serv')
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
    writer.close()

    assert head.startswith(b"HTTP/1.1 400")
    assert b"connection: close" in head.lower()
    assert (0, []) == (hall.guard.in_flight, hall.door.issued)


async def test_a_head_that_does_not_arrive_is_not_waited_for():
    """Half a request line holds a connection for as long as an idle one may stand, and no longer."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/", page)
    server = TestServer(app)
    await server.start_server(**{**RUNNER_OPTIONS, "keepalive_timeout": 0.2})
    reader, writer = await asyncio.open_connection(server.host, server.port)
    writer.write(b"GET / HT")
    async with asyncio.timeout(5):
        assert b"" == await reader.read()
    writer.close()
    await server.close()


# What breaks inside


async def test_a_refusal_from_within_is_a_problem(hall):
    async def refuse() -> None:
        raise WrongState("Ticket A012 is served already.")

    hall.door.act = refuse
    answer = await hall.ask("GET", f"{TICKETS}/{TICKET}")

    assert (409, "WRONG_STATE", "Ticket A012 is served already.") == (
        answer.status,
        answer.code,
        answer.document["detail"],
    )


async def test_a_store_that_is_away_is_503_and_says_when_to_come_back(hall):
    async def lose() -> None:
        raise ConnectionError("Error 111 connecting to 10.1.2.3:6379.")

    hall.door.act = lose
    answer = await hall.ask("GET", f"{TICKETS}/{TICKET}")

    assert (503, "STORE_AWAY", "1") == (answer.status, answer.code, answer.headers["Retry-After"])
    assert b"10.1.2.3" not in answer.body


async def test_a_mistake_of_ours_shows_nothing_and_is_written_down(hall, capsys):
    async def break_down() -> None:
        raise ZeroDivisionError("secret marker in a message")

    hall.door.act = break_down
    answer = await hall.ask("GET", f"{TICKETS}/{TICKET}", hall.kiosk)
    written = capsys.readouterr().out

    assert (500, "INTERNAL") == (answer.status, answer.code)
    assert b"secret marker" not in answer.body
    assert "ZeroDivisionError" in written
    assert hall.kiosk["Authorization"][7:40] not in written


async def test_every_answer_is_counted_by_operation(hall):
    await hall.issue()
    await hall.ask("GET", "/nowhere")
    await hall.ask("GET", f"{TICKETS}/{'z' * 22}")

    assert [("issue", 201), ("other", 404), ("ticket", 404)] == hall.seen


async def test_a_redirect_is_not_a_refusal(hall_with):
    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/there")

    identities_hall = await hall_with()
    guard = identities_hall.guard
    app = web.Application()
    guard.install(app)
    app.router.add_get("/here", elsewhere)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/here", allow_redirects=False)

    assert (302, "/there", "nosniff") == (
        answer.status,
        answer.headers["Location"],
        answer.headers["X-Content-Type-Options"],
    )


async def test_a_long_stream_can_ask_whether_it_is_still_welcome(hall):
    """A socket outlives neither its session nor its token."""
    met: list[web.Request] = []
    welcome = hall.guard._welcome

    def remember(request: web.Request, *rest: Any) -> None:
        welcome(request, *rest)
        met.append(request)

    hall.guard._welcome = remember
    await hall.ask("GET", f"{TICKETS}/{TICKET}")
    await hall.ask("GET", f"{TICKETS}/{TICKET}", hall.kiosk)
    nobody, kiosk = met
    assert [True, True] == [await hall.guard.is_still_welcome(request) for request in met]

    await hall.door.identities.devices.revoke(hall.device_id)
    async with asyncio.timeout(5):
        while await hall.guard.is_still_welcome(kiosk):
            await asyncio.sleep(0.1)
    assert await hall.guard.is_still_welcome(nobody)
