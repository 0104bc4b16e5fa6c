"""What is pushed: boards, staff and phones over the real service; also when two workers share a store and a port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, TCPConnector, WSServerHandshakeError

from displays import board
from service_world import Caller, House, a_service, until


class Pushed:
    """The frames of a stream of server-sent events."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response
        self.frames: list[tuple[str, str, dict[str, Any]]] = []
        """Event, id and data of each."""
        self.is_over = False
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        name = id = ""
        async for line in self.response.content:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            match field:
                case "event":
                    name = value
                case "id":
                    id = value
                case "data":
                    self.frames.append((name, id, json.loads(value)))
        self.is_over = True

    async def sees(self, kind: str, at_least: int = 1) -> list[dict[str, Any]]:
        """The data of all frames of *kind*, once there are so many."""
        await until(lambda: len(self.of(kind)) >= at_least, f"{at_least} × {kind}, seen {[f[0] for f in self.frames]}")
        return self.of(kind)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [data for name, _, data in self.frames if name == kind]

    async def leave(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)


@asynccontextmanager
async def pushed(who: Caller, path: str, **headers: str) -> AsyncIterator[Pushed]:
    """*path* as server-sent events."""
    async with who.session.get(who.url(path), headers=who.headers(Accept="text/event-stream", **headers)) as response:
        assert 200 == response.status
        assert response.headers["Content-Type"].startswith("text/event-stream")
        stream = Pushed(response)
        try:
            yield stream
        finally:
            await stream.leave()


@pytest.mark.parametrize("protocol", ["queue.v1.json", "queue.v1.msgpack"])
async def test_a_board_begins_with_what_is_and_goes_on_with_what_happens(house: House, protocol: str) -> None:
    waiting = await house.kiosk.issue()
    screen = await house.board.socket("boards/hall/stream", protocol)
    start = await screen.begins()
    assert ("snapshot", False) == (start["type"], start["recovered"])
    assert 1 == start["view"]["waiting"]["a"]

    await house.lan.at("q01", "open")
    called = (await house.lan.at("q01", "call-next")).value
    event = await screen.sees("TicketCalled")
    assert ("A001", "q01", "a") == (event["number"], event["counter"], event["department"])
    await until(lambda: screen.events[-1]["seq"] == called["seq"], "the last event")
    assert list(range(start["seq"] + 1, called["seq"] + 1)) == [event["seq"] for event in screen.events]
    everything = json.dumps(screen.frames)
    assert waiting["id"] not in everything
    assert house.lan.name not in everything
    await screen.leave()


async def test_what_was_pushed_and_what_is_asked_agree(house: House) -> None:
    screen = await house.board.socket("boards/hall/stream")
    view = json.loads(json.dumps((await screen.begins())["view"]))
    for service in ("a", "b", "a", "a"):
        await house.kiosk.issue(service)
    await house.lan.at("q01", "open")
    await house.binh.at("q03", "open")
    for press in ("call-next", "recall", "start", "park"):
        await house.lan.at("q01", press)
    await house.binh.at("q03", "call-next")
    await house.binh.at("q03", "start")
    await house.binh.press("counters/q03/transfer", {"service": "a"})
    await house.lan.at("q01", "call-next")
    await house.lan.at("q01", "undo")
    await house.lan.at("q01", "pause", reason="họp")
    now = (await house.board.get("boards/hall")).value
    await until(lambda: screen.events and screen.events[-1]["seq"] == now["seq"], "the last event")
    for event in screen.events:
        board.apply(view, event)
    assert now["view"] == json.loads(json.dumps(view))
    await screen.leave()


async def test_a_screen_that_was_away_gets_what_it_missed_once(house: House) -> None:
    screen = await house.board.socket("boards/hall/stream")
    start = await screen.begins()
    await screen.leave()
    for _ in range(5):
        await house.kiosk.issue()
    again = await house.board.socket("boards/hall/stream", epoch=start["epoch"], seq=start["seq"])
    resumed = await again.begins()
    assert ("resumed", True, start["seq"]) == (resumed["type"], resumed["recovered"], resumed["seq"])
    last = (await house.kiosk.press("tickets", {"service": "a"})).value["seq"]
    await until(lambda: again.events and again.events[-1]["seq"] == last, "the last event")
    assert list(range(start["seq"] + 1, last + 1)) == [event["seq"] for event in again.events]
    await again.leave()


@pytest.mark.parametrize("cursor", [{"epoch": "another", "seq": 1}, {"seq": 10_000_000}])
async def test_a_cursor_of_another_order_gets_a_snapshot(house: House, cursor: dict[str, Any]) -> None:
    epoch = (await house.state())["epoch"]
    screen = await house.board.socket("boards/hall/stream", **{"epoch": epoch, **cursor})
    start = await screen.begins()
    assert ("snapshot", False) == (start["type"], start["recovered"])
    await screen.leave()


async def test_server_sent_events_go_on_where_they_were_cut(house: House) -> None:
    async with pushed(house.board, "boards/hall/stream") as first:
        await first.sees("snapshot")
        await house.kiosk.issue()
        await first.sees("event")
        _, cursor, seen = first.frames[-1] if first.frames[-1][0] == "event" else first.frames[-2]
    await house.kiosk.issue()
    await house.kiosk.issue()
    async with pushed(house.board, "boards/hall/stream", **{"Last-Event-ID": cursor}) as second:
        assert (await second.sees("resumed"))[0]["recovered"]
        events = await second.sees("event", at_least=2)
        assert [seen["seq"] + 1, seen["seq"] + 2] == [event["seq"] for event in events]


async def test_a_phone_turns_when_its_number_is_called(house: House) -> None:
    await house.kiosk.issue()
    ticket = await house.kiosk.issue()
    async with pushed(house.nobody, f"tickets/{ticket['id']}/stream") as phone:
        first = (await phone.sees("ticket"))[0]["ticket"]
        assert ("waiting", 1) == (first["state"], first["ahead"])
        await house.lan.at("q01", "open")
        await house.lan.at("q01", "call", ticket=ticket["number"], reason="thử")
        await until(lambda: phone.of("ticket")[-1]["ticket"]["state"] == "called", "the phone turns")
        called = phone.of("ticket")[-1]["ticket"]
        assert ("q01", 1) == (called["counter"], called["counter_number"])


async def test_the_staff_stream_asks_for_a_sign_in_and_tells_everything(house: House) -> None:
    for who, status in ((house.nobody, 401), (house.kiosk, 403), (house.board, 403)):
        with pytest.raises(WSServerHandshakeError) as refused:
            await who.socket("events/stream")
        assert status == refused.value.status
    watching = await house.integrator.socket("events/stream", "queue.v1.msgpack")
    await watching.begins()
    ticket = await house.kiosk.issue(ground="elderly")
    event = await watching.sees("TicketIssued")
    assert (ticket["id"], "priority", f"device:{house.kiosk.name}") == (event["ticket"], event["class"], event["actor"])
    await watching.leave()


async def test_a_board_without_a_token_is_told_that_it_may_not(house: House) -> None:
    screen = await house.nobody.socket("boards/hall/stream")
    assert 4401 == await screen.ends()
    assert screen.start is None
    await screen.leave()


async def test_staff_hear_that_a_call_was_shown(house: House) -> None:
    staff = await house.chief.socket("events/stream")
    screen = await house.board.socket("boards/hall/stream")
    await staff.begins()
    await screen.begins()
    await house.kiosk.issue()
    await house.lan.at("q01", "open")
    await house.lan.at("q01", "call-next")
    call = await screen.sees("TicketCalled")
    await screen.say(type="shown", seq=call["seq"])
    await until(lambda: any(frame["type"] == "shown" for frame in staff.frames), "the confirmation")
    await screen.leave()
    await staff.leave()


async def test_two_workers_on_one_store_and_one_port(house: House, redis_url: str, tmp_path: Path) -> None:
    """Whoever a socket lands at: what is pressed at one worker is seen at the other, in the same order."""
    folder = tmp_path / "second"
    folder.mkdir()
    port = int(house.service.base.rpartition(":")[2])
    async with a_service(redis_url, folder, house.centre, port=port) as other:
        screens = [await house.board.socket("boards/hall/stream") for _ in range(20)]
        starts = [await screen.begins() for screen in screens]
        assert len({start["epoch"] for start in starts}) == 1
        assert house.service._boards.hub.screens(), "the kernel shares the connections out"
        assert other._boards.hub.screens()
        async with ClientSession(connector=TCPConnector(force_close=True)) as fresh:
            numbers = []
            for _ in range(12):
                kiosk = Caller(fresh, house.service.base, house.centre.id, house.kiosk.token)
                numbers.append((await kiosk.issue())["number"])
        assert [f"A{n:03}" for n in range(1, 13)] == numbers
        for screen in screens:
            await until(lambda screen=screen: len(screen.events) >= 12, "twelve events")
            assert numbers == [event["number"] for event in screen.events]
        for screen in screens:
            await screen.leave()
