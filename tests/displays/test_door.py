"""Who gets in, how connections end, and what a screen that misbehaves does to the others: nothing."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientResponse, ClientSession, TCPConnector, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer

from displays import metrics, screen_door
from displays.frames import Close
from displays.screen import State
from displays.screen_door import PER_ADDRESS
from displays_world import Hall, Screen, Writer, running, until

GOOD = ("queue.v1.json", "queue.token.good")
FLOOD = 2_000
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "A" * 22 + "==",
}


async def test_who_asks_once_gets_the_snapshot(centre: Writer, hall: Hall) -> None:
    """GET …/boards/{board}: the board's description and the view, fresh."""
    await centre.call("A001", "q05")
    async with hall.client.get(hall.url(rest=""), headers={"Authorization": "Bearer good"}) as answer:
        body = await answer.json()

    assert (200, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert ("e1", 1, "2026-11-22") == (body["epoch"], body["seq"], body["day"])
    assert {"id": "hall-a", "zones": ["a"], "layout": "calls"} == body["board"]
    assert "A001" == body["view"]["counters"]["q05"]["number"]


@pytest.mark.parametrize(
    ("token", "board", "status", "code"),
    [
        ("bad", "hall-a", 401, "SIGN_IN_REQUIRED"),
        ("other", "hall-a", 403, "NOT_ALLOWED"),
        ("good", "hall-z", 404, "UNKNOWN_BOARD"),
    ],
)
async def test_refusals_are_problem_documents(hall: Hall, token: str, board: str, status: int, code: str) -> None:
    """Snapshot and server-sent events are refused with a stable code."""
    for rest in ("", "/stream"):
        async with hall.client.get(hall.url(board, rest), headers={"Authorization": f"Bearer {token}"}) as answer:
            assert (status, "application/problem+json") == (answer.status, answer.content_type)
            body = await answer.json()
            assert (code, f"urn:queue-service:problem:{code.lower().replace('_', '-')}") == (body["code"], body["type"])


async def test_an_unknown_centre_is_not_found(hall: Hall) -> None:
    """A centre that the store does not know is refused before the handshake."""
    url = hall.url().replace(hall.centre, "nowhere")
    with pytest.raises(WSServerHandshakeError) as refused:
        await hall.client.ws_connect(url, protocols=("queue.v1.json", "queue.token.good"))
    assert 404 == refused.value.status


@pytest.mark.parametrize("token", ["bad", "other"])
async def test_a_token_that_does_not_cover_the_board_is_closed(hall: Hall, token: str) -> None:
    """A page can read the close code 4401, where a refused handshake would tell it nothing."""
    screen = await hall.connect("queue.v1.json", f"queue.token.{token}")
    assert Close.NOT_ALLOWED == await screen.is_closed()


async def test_a_revoked_token_loses_its_screens(hall: Hall) -> None:
    """All connections of a revoked identity end with 4401, the others stay."""
    lost = [await hall.screen("queue.v1.json", "queue.token.good-1") for _ in range(3)]
    kept = await hall.screen("queue.v1.json", "queue.token.good-2")

    assert 3 == hall.hub.close_identity("good-1")
    assert [4401] * 3 == [await screen.is_closed() for screen in lost]
    assert kept.closed is None


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
async def test_a_page_of_another_host_is_refused(hall: Hall, origin: str) -> None:
    """A foreign Origin gets 403 and no WebSocket."""
    with pytest.raises(WSServerHandshakeError) as refused:
        await hall.connect(origin=origin)
    assert 403 == refused.value.status


async def test_our_own_page_is_welcome(hall: Hall) -> None:
    """The Origin of the host itself is no foreign one."""
    screen = await hall.connect(origin=f"http://{hall.host}:{hall.port}")
    await screen.say(type="hello")
    await until(lambda: screen.starts, "the start")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**UPGRADE, "Sec-WebSocket-Protocol": "chat, queue.token.good"}, 400),
        ({**UPGRADE, "Sec-WebSocket-Protocol": "queue.token.good"}, 400),
        ({**UPGRADE, "Sec-WebSocket-Key": "short", "Authorization": "Bearer good"}, 400),
        ({**UPGRADE, "Sec-WebSocket-Version": "6", "Authorization": "Bearer good"}, 400),
        ({"Accept": "application/json", "Authorization": "Bearer good"}, 406),
    ],
)
async def test_malformed_handshakes_are_refused(hall: Hall, headers: dict[str, str], status: int) -> None:
    """Never accepted, never a mistake of ours."""
    async with hall.client.get(hall.url(), headers=headers) as answer:
        assert status == answer.status


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        ("queue.v1.json", "{"),
        ("queue.v1.json", "[" * 3000),
        ("queue.v1.json", '{"type":"hello","seq":-1}'),
        ("queue.v1.json", '{"type":"hello","epoch":{"a":1}}'),
        ("queue.v1.json", '{"type":"goodbye"}'),
        ("queue.v1.json", '{"type":"hello","screen":"' + "x" * 65 + '"}'),
        ("queue.v1.json", b'{"type":"hello"}'),
        ("queue.v1.msgpack", '{"type":"hello"}'),
        ("queue.v1.msgpack", b"\xc1"),
        ("queue.v1.msgpack", b"\x91" * 3000),
        ("queue.v1.msgpack", b"\x81\xa4type\xa5hell\xff"),
    ],
)
async def test_malformed_messages_close_the_connection(hall: Hall, wire: str, said: str | bytes) -> None:
    """Whatever is not in the protocol ends with 4003."""
    screen = await hall.connect(wire, "queue.token.good")
    await (screen.websocket.send_str(said) if isinstance(said, str) else screen.websocket.send_bytes(said))
    assert Close.BAD_FRAME == await screen.is_closed()


async def test_a_second_hello_is_malformed(hall: Hall) -> None:
    """A screen says hello once."""
    screen = await hall.screen()
    await screen.say(type="hello")
    assert Close.BAD_FRAME == await screen.is_closed()


async def test_a_long_message_is_not_read(hall: Hall) -> None:
    """More than 4 kB ends the connection (RFC 6455: 1009)."""
    screen = await hall.connect()
    await screen.websocket.send_str(json.dumps({"type": "hello", "screen": "x" * 5000}))
    assert 1009 == await screen.is_closed()


async def test_who_says_nothing_is_sent_away(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a hello in time, or with something else first, the connection ends with 4004."""
    monkeypatch.setattr(screen_door, "HELLO_S", 0.1)
    silent = await hall.connect()
    hasty = await hall.connect()
    await hasty.say(type="shown", seq=1)
    assert [Close.NO_HELLO] * 2 == [await silent.is_closed(), await hasty.is_closed()]


async def test_one_address_holds_so_many_screens(redis_url: str, centre: Writer) -> None:
    """Past the cap a WebSocket is closed with 4429 and a stream gets 429; a place becomes free when a screen leaves."""
    async with running(redis_url, centre.id, per_address=2) as hall:
        first, _ = await hall.screen(), await hall.screen()
        assert Close.TOO_MANY == await (await hall.connect()).is_closed()
        async with hall.client.get(hall.url(), headers={"Authorization": "Bearer good"}) as answer:
            assert (429, "10") == (answer.status, answer.headers["Retry-After"])

        await first.leave()
        await until(lambda: len(hall.door._held) and hall.door._held["127.0.0.1"] < 2, "a free place")
        await hall.screen()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a machine has one address of its own")
async def test_two_thousand_sockets_of_one_address_leave_the_others_in_peace(centre: Writer, hall: Hall) -> None:
    """No more than its places are taken, the others are told 4429; a screen of another address sees each call."""
    asyncio.get_running_loop().set_debug(False)  # it triples the time
    held: list[asyncio.StreamWriter] = []
    turned_away = metrics.CLOSED_BY[Close.TOO_MANY]._value.get()
    async with ClientSession(connector=TCPConnector(local_addr=("127.0.0.2", 0))) as elsewhere:
        neighbour = Screen(await elsewhere.ws_connect(hall.url(), protocols=GOOD), binary=False)
        await neighbour.say(type="hello")
        await until(lambda: neighbour.starts, "the neighbour has its start")
        try:
            for batch in range(FLOOD // 100):
                held += await asyncio.gather(*(flooded(hall) for _ in range(100)))
                await centre.call(f"A{batch:03}")
                await neighbour.reaches(centre.seq)
                assert hall.door._held["127.0.0.1"] <= PER_ADDRESS
            assert turned_away + FLOOD // 2 < metrics.CLOSED_BY[Close.TOO_MANY]._value.get()
        finally:
            await neighbour.leave()
            for writer in held:
                writer.transport.abort()
    await until(lambda: not hall.door._held["127.0.0.1"], "all places are free")


async def flooded(hall: Hall) -> asyncio.StreamWriter:
    """One more socket, that has been answered and says hello."""
    reader, writer = await asyncio.open_connection(hall.host, hall.port)
    head = {**UPGRADE, "Host": "x", "Sec-WebSocket-Protocol": ", ".join(GOOD)}
    lines = [f"GET {urlsplit(hall.url()).path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.write(masked(b'{"type":"hello"}'))
    return writer


def masked(body: bytes) -> bytes:
    """A short text frame, as a client writes it."""
    return bytes((0x81, 0x80 | len(body))) + bytes(4) + body


async def test_a_screen_that_never_reads_is_cut_and_nobody_else_notices(centre: Writer, hall: Hall) -> None:
    """Its outbox overflows, it is cut within seconds, its memory is bounded; the others get everything."""
    drops = metrics.OUTBOX_DROPS._value.get()
    good = [await hall.screen() for _ in range(3)]
    reader, writer = await asyncio.open_connection(sock=_small_socket(hall))
    path = hall.url().split(str(hall.port))[1]
    head = {**UPGRADE, "Host": "x", "Authorization": "Bearer good"}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    assert b"101" in await reader.readline()
    writer.write(masked(b'{"type":"hello"}'))
    await until(lambda: [State.LIVE] * 4 == [screen.state for screen in hall.hub.screens()], "all four are live")
    writer.transport.pause_reading()

    held = 0
    while len(hall.hub.screens()) == 4:
        await centre.record("IssuingSwitched", open=True, text="x" * 2000)
        for screen in good:
            await screen.reaches(centre.seq)
        held = max(held, max(s.transport.get_write_buffer_size() for s in hall.hub.screens()))

    assert held < 256 * 1024
    assert drops + 1 == metrics.OUTBOX_DROPS._value.get()
    writer.transport.abort()


def _small_socket(hall: Hall) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((hall.host, hall.port))
    sock.setblocking(False)
    return sock


async def test_a_half_open_screen_is_noticed(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen that answers no ping is gone one and a half heartbeats later (15 s; here shortened)."""
    monkeypatch.setattr(screen_door, "HEARTBEAT_S", 0.4)
    screen = await hall.connect(autoping=False)
    await screen.say(type="hello")
    await until(lambda: screen.starts, "the start")
    await until(lambda: not hall.hub.screens(), "the hub has let it go", 3)


async def test_stopping_closes_everybody_within_five_seconds(redis_url: str, centre: Writer) -> None:
    """On stop every WebSocket is closed with 1012, streams end, and a stuck screen does not hold the process."""
    async with running(redis_url, centre.id) as hall:
        screens = [await hall.screen() for _ in range(20)]
        silent = await hall.connect()
        async with hall.client.get(hall.url(), headers={"Authorization": "Bearer good"}) as stream:
            await stream.content.readline()
            silent._reader.cancel()
            began = time.monotonic()
            await hall.runner.cleanup()
            took = time.monotonic() - began
            rest = await stream.content.read()

        assert took < 5
        assert [1012] * 20 == [await screen.is_closed() for screen in screens]
        assert b'event: close\ndata: {"type":"close","code":1012' in rest


async def test_server_sent_events_are_the_same_feed(centre: Writer, hall: Hall) -> None:
    """A snapshot, numbered events, and the same cursor as `Last-Event-ID`."""
    await centre.issue("A001")
    headers = {"Authorization": "Bearer good", "Accept": "text/event-stream"}
    async with hall.client.get(hall.url(), headers=headers) as stream:
        assert "text/event-stream" == stream.content_type
        first = await _event(stream)
        await centre.issue("A002")
        second = await _event(stream, "event")
    assert ("snapshot", "e1:1") == (first["event"], first["id"])
    assert ("event", "e1:2", "A002") == (second["event"], second["id"], json.loads(second["data"])["event"]["number"])

    async with hall.client.get(hall.url(), headers={**headers, "Last-Event-ID": "e1:1"}) as stream:
        assert "resumed" == (await _event(stream))["event"]
        assert "e1:2" == (await _event(stream, "event"))["id"]
    await until(lambda: not hall.hub.screens(), "the hub notices that the readers are gone", 7)


async def _event(stream: ClientResponse, kind: str | None = None) -> dict[str, str]:
    """The next one, or the next of *kind*: ticks come in between."""
    fields: dict[str, str] = {}
    while "data" not in fields or kind not in (None, fields["event"]):
        fields = {}
        while line := (await asyncio.wait_for(stream.content.readline(), 5)).decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
    return fields


async def test_staff_see_the_staff_form_and_confirmations(centre: Writer, hall: Hall) -> None:
    """The same stream with another projection: ticket ids, officers, and how many screens have shown a call."""
    screen = await hall.screen(name="lobby")
    console = await hall.screen(url=f"http://{hall.host}:{hall.port}/staff")
    seq = await centre.call("A001")
    await screen.reaches(seq)
    await screen.say(type="shown", seq=seq)

    await until(lambda: console.told, "the confirmation")
    assert "secret-A001" == console.events[0]["ticket"]
    told = {"call": seq, "shown": 1, "spoken": 0, "of": None, "missing": []}
    assert {"type": "shown", "calls": [told]} == console.told[0]
    assert not screen.told


async def test_a_phone_is_told_when_its_answer_changes(centre: Writer, hall: Hall) -> None:
    """`follow` reads when an event concerns the matter, says it only when it is another answer, and ends on stop."""
    place = {"ahead": 2}
    reads: list[int] = []

    async def read() -> dict[str, int]:
        reads.append(1)
        return dict(place)

    async def phone(request: web.Request) -> web.StreamResponse:
        return await hall.door.follow(
            request, centre.id, lambda e: 0.0 if e["type"] == "TicketCalled" else None, read, "ticket"
        )

    app = web.Application()
    app.router.add_get("/", phone)
    async with TestServer(app) as server, TestClient(server) as client, client.get("/") as stream:
        assert {"type": "ticket", "ahead": 2} == json.loads((await _event(stream))["data"])
        await centre.issue("A009")
        await centre.call("A001")
        await until(lambda: len(reads) == 2, "read again")
        place["ahead"] = 1
        await centre.call("A002")
        assert {"type": "ticket", "ahead": 1} == json.loads((await _event(stream))["data"])
        await hall.hub.close_all()
        assert 1012 == json.loads((await _event(stream))["data"])["code"]


async def test_a_stopping_door_refuses_newcomers(hall: Hall) -> None:
    """While the process stops, nobody new is taken in."""
    await hall.hub.close_all()
    with pytest.raises(WSServerHandshakeError) as refused:
        await hall.connect()
    assert 503 == refused.value.status
