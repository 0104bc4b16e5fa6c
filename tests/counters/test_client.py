"""The counter's client repeats with the same key while the outcome is unknown, and turns refusals into typed errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from counters.client import Attempt, CounterClient, KioskClient, Unanswered, refusal
from counters.press import Button
from queue_service import errors

SEAT = {"id": "q01", "number": 1, "state": "open"}
TICKET = {
    "id": "t",
    "number": "C001",
    "department": "cat",
    "service": "cat",
    "class": "standard",
    "state": "called",
    "issued_at_ms": 1,
}
NOBODY = {"ticket": None, "counter": SEAT}

Answerer = Callable[[web.Request], web.StreamResponse]


class Service:
    """Answers one request after the other as told, and remembers them."""

    def __init__(self) -> None:
        self.script: list[Answerer] = []
        self.requests: list[tuple[str, str, dict[str, str], object]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.method, request.path, dict(request.headers), body))
        return self.script.pop(0)(request)

    @property
    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for _, _, headers, _ in self.requests]


def answers(body: object, status: int = 200) -> Answerer:
    return lambda request: web.json_response(body, status=status)


def refuses(code: str, status: int, retry_after: str | None = None) -> Answerer:
    headers = {"Retry-After": retry_after} if retry_after else None
    document = {"type": "about:blank", "title": code, "status": status, "detail": "a sentence", "code": code}
    return lambda request: web.json_response(document, status=status, headers=headers)


def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def service() -> AsyncIterator[tuple[Service, str]]:
    told = Service()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", told.handle)
    async with TestServer(app) as server:
        yield told, str(server.make_url("/"))


@pytest.fixture
async def counter(service: tuple[Service, str]) -> AsyncIterator[CounterClient]:
    async with CounterClient(service[1], "demo-xa", "q01", token="officer", deadline_s=2.0) as client:
        yield client


async def test_press_and_reply(service: tuple[Service, str], counter: CounterClient):
    """A press goes to its address with a key and the officer's token, and comes back as a ticket."""
    told, _ = service
    told.script = [answers({"ticket": TICKET, "counter": SEAT, "seq": 7})]

    reply = await counter.call_next()

    method, path, headers, body = told.requests[0]
    assert ("POST", "/api/v1/centres/demo-xa/counters/q01/call-next", {}) == (method, path, body)
    assert "Bearer officer" == headers["Authorization"]
    assert "C001" == reply.ticket.number


@pytest.mark.parametrize("trouble", [refuses("STORE_AWAY", 503), refuses("TOO_MANY", 429, "0.05"), hangs_up])
async def test_repeats_with_the_same_key(service: tuple[Service, str], counter: CounterClient, trouble: Answerer):
    """While the outcome is unknown the same press is sent again."""
    told, _ = service
    told.script = [trouble, trouble, answers(NOBODY)]

    assert (await counter.call_next()).ticket is None
    assert 3 == len(told.keys)
    assert 1 == len(set(told.keys))


async def test_own_key_is_used(service: tuple[Service, str], counter: CounterClient):
    """Who keeps a key over a restart gives it again."""
    told, _ = service
    told.script = [answers(NOBODY)]

    await counter.press(Button.START, key="kept-since-yesterday")

    assert ["kept-since-yesterday"] == told.keys


async def test_refusal_is_not_repeated(service: tuple[Service, str], counter: CounterClient):
    """A 4xx means nothing was done: it is raised at once as what it is."""
    told, _ = service
    told.script = [refuses("SEAT_TAKEN", 409)]

    with pytest.raises(errors.SeatTaken, match="a sentence"):
        await counter.open()
    assert 1 == len(told.requests)


async def test_unanswered_names_the_key(service: tuple[Service, str]):
    """At the deadline the press is still open; its key is in the error."""
    told, base = service
    told.script = [hangs_up] * 20
    async with CounterClient(base, "demo-xa", "q01", deadline_s=0.3) as counter:
        with pytest.raises(Unanswered) as caught:
            await counter.complete()

    assert {caught.value.key} == set(told.keys)
    assert caught.value.attempts == len(told.keys)


async def test_patience_ends_with_the_refusal(service: tuple[Service, str]):
    """A service that asks for more patience than the deadline leaves is reported with what it said."""
    told, base = service
    told.script = [refuses("OVERLOADED", 503, "30")]
    async with CounterClient(base, "demo-xa", "q01", deadline_s=1.0) as counter:
        with pytest.raises(errors.Overloaded) as caught:
            await counter.complete()

    assert 30.0 == caught.value.retry_after_s


async def test_every_attempt_is_told(service: tuple[Service, str]):
    """Who records a history hears of each sending, answered or not."""
    told, base = service
    heard: list[Attempt] = []
    told.script = [hangs_up, answers(NOBODY)]
    async with CounterClient(base, "demo-xa", "q01", on_attempt=heard.append) as counter:
        await counter.call_next()

    assert [0, 200] == [attempt.status for attempt in heard]
    assert [1, 2] == [attempt.number for attempt in heard]


async def test_sign_in_gives_later_presses_a_name(service: tuple[Service, str]):
    """The bearer of the sign-in goes with every later request, and with those of whoever acts as the same person."""
    told, base = service
    told.script = [answers({"user": {}, "token": "fresh"}), answers(NOBODY), answers(NOBODY)]
    async with CounterClient(base, "demo-xa", "q01") as first, CounterClient(base, "demo-xa", "q02") as second:
        await first.sign_in("lan", "secret")
        second.act_as(first)
        await first.call_next()
        await second.call_next()

    assert {"name": "lan", "password": "secret", "bearer": True} == told.requests[0][3]
    assert ["Bearer fresh"] * 2 == [headers["Authorization"] for _, _, headers, _ in told.requests[1:]]


async def test_presses_carry_what_they_say(service: tuple[Service, str], counter: CounterClient):
    """Each method sends the documented body, and nothing that was not said."""
    told, _ = service
    told.script = [answers(NOBODY)] * 12

    await counter.open(take_over=True)
    await counter.pause("lunch")
    await counter.call("C007", reason="came back")
    await counter.recall()
    await counter.start()
    await counter.no_show()
    await counter.park("papers")
    await counter.resume("t")
    await counter.transfer(service="stp")
    await counter.transfer(counter="q02", note="ask for Lan")
    await counter.undo()
    await counter.close_counter()

    said = [(path.rpartition("/")[2], body) for _, path, _, body in told.requests]
    assert [
        ("open", {"take_over": True}),
        ("pause", {"reason": "lunch"}),
        ("call", {"ticket": "C007", "reason": "came back"}),
        ("recall", {}),
        ("start", {}),
        ("no-show", {}),
        ("park", {"reason": "papers"}),
        ("resume", {"ticket": "t"}),
        ("transfer", {"service": "stp"}),
        ("transfer", {"counter": "q02", "note": "ask for Lan"}),
        ("undo", {}),
        ("close", {}),
    ] == said


async def test_kiosk(service: tuple[Service, str]):
    """A kiosk hands out a ticket and says what became of the slip."""
    told, base = service
    told.script = [answers({"ticket": TICKET}, 201)] + [answers({"ticket": TICKET})] * 5
    async with KioskClient(base, "demo-xa", token="device") as kiosk:
        ticket = await kiosk.issue("cat", cls="priority", ground="elderly")
        for press in (kiosk.printed, kiosk.cancel, kiosk.revive, kiosk.late, kiosk.look):
            await press(ticket.id)

    assert {"service": "cat", "class": "priority", "ground": "elderly"} == told.requests[0][3]
    assert ["printed", "cancel", "revive", "late", "t"] == [
        path.rpartition("/")[2] for _, path, _, _ in told.requests[1:]
    ]


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (409, b'{"code":"COUNTER_BUSY","detail":"x"}', errors.CounterBusy),
        (404, b"not json", errors.NotFound),
        (403, b'{"code":"FROM_THE_FUTURE"}', errors.Forbidden),
        (401, b"", errors.NotSignedIn),
        (400, b"[]", errors.BadRequest),
        (500, b"<html>", errors.Broken),
        (503, b'{"code":"STORE_AWAY","detail":"x"}', errors.StoreAway),
        (502, b"<html>", errors.Broken),
    ],
)
def test_refusals_become_errors(status: int, body: bytes, kind: type[errors.QueueError]):
    """By code where there is one, else by status; the sentence is never empty."""
    error = refusal(status, body)

    assert kind is type(error)
    assert error.detail
