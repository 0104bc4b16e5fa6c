"""
A hall with four boards lives through a day: calls, recalls, a killed service, a killed store, cut lines, a board that
comes late, and hundreds of calls as fast as boards can take them.  What stood on each glass and what the loudspeaker
played is written down in the pages by witnesses of our own, and held against the record of the service.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import cycle, pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from boards_world import GLASS, RECORDER, chimes, spoken, until
from browser_world import Hall, Refused
from console_world import Wire

pytestmark = pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="no extra `voice`")

WIDE_PX = {"width": 960, "height": 540}
"""Half the size of the screens: what is asked here is when, and four screens are drawn without a graphics card."""
UPRIGHT_PX = {"width": 540, "height": 960}
ROUNDS = 70
"""Every counter calls somebody in each: 210 calls."""
COUNTERS = {"q01": "tpht", "q03": "kt", "q06": "cax"}
READ_MS = 2_500
"""Nobody reads a number in less."""
ON_THE_WAY_MS = 1_000
"""A visitor may come while the call is still on its way to a board."""
SETTLES = {"ServiceStarted", "TicketServed", "TicketNoShow", "TicketParked", "TicketTransferred"}


def patiently(ask: Callable[[], Any]) -> Any:
    """Repeat a question that changes nothing of importance until the service answers."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return ask()
        except (Refused, OSError):
            assert time.monotonic() < deadline
            time.sleep(0.05)


class Day:
    """Four boards, the officers, and what the boards have seen."""

    def __init__(self, hall: Hall, boards: dict[str, Page]) -> None:
        self.hall, self.boards = hall, boards
        self.hands = ThreadPoolExecutor(len(COUNTERS))
        self.kiosks = cycle([hall.one_more_kiosk() for _ in range(6)])
        for counter in COUNTERS:
            hall.press(counter, "open")

    def issue(self, service: str) -> None:
        self.hall.issue(service, at=next(self.kiosks))

    def next(self, counter: str) -> int:
        """Who is there is served, and the next is called: the number of the call."""
        self.issue(COUNTERS[counter])
        self.hall.press(counter, "complete")
        seq: int = self.hall.press(counter, "call-next")["seq"]
        return seq

    def stands(self, *calls: int, on: list[str] | None = None) -> None:
        """Await that each of the calls has stood on each of the boards."""
        for board in on or self.boards:
            until(self.boards[board], f"{list(calls)}.every((call) => glass.seen.has(call))", 20)

    def heard(self, seq: int) -> None:
        until(self.boards["ba"], f"played.some((one) => one.seq === {seq} && one.isOver)")

    def hurry(self, *boards: str) -> None:
        """As a network that is back tells it; left alone they come back within half a minute."""
        for board in boards:
            self.boards[board].evaluate("dispatchEvent(new Event('online'))")
        for board in boards:
            expect(self.boards[board].get_by_text("Mất kết nối từ")).to_have_count(0, timeout=20_000)


def kill_the_store(hall: Hall) -> None:
    os.kill(json.loads((hall.house.folder / "data" / "server.lock").read_text())["server"], signal.SIGKILL)


@pytest.fixture
def wires(loud_hall: Hall) -> Iterator[list[Wire]]:
    """A line for each of two boards."""
    with closing(Wire(loud_hall.house.port)) as one, closing(Wire(loud_hall.house.port)) as other:
        yield [one, other]


def shows_everything(board: Page, events: list[dict[str, Any]], desks: dict[str, str]) -> None:
    """Each call of the record has stood on the glass, in order, with its number and its counter, long enough."""
    glass: dict[str, Any] = board.evaluate("({ stood: glass.stood, stage: glass.stage })")
    calls = {event["seq"]: event for event in events if event["type"] == "TicketCalled"}
    first: dict[int, dict[str, Any]] = {}
    for stood in glass["stood"]:
        first.setdefault(stood["call"], stood)
        event = calls[stood["call"]]
        assert {event["number"], desks[event["counter"]]} <= set(stood["words"])
    assert set(calls) == set(first)
    frames = [first[call]["frame"] for call in sorted(first)]
    assert frames == sorted(frames)
    for call, stood in first.items():
        came_ms = settled_ms(events, calls[call]) or stood["at"] + READ_MS
        if not stood["at"] - ON_THE_WAY_MS <= came_ms < stood["at"] + READ_MS:  # who comes at once needs no more
            assert READ_MS <= sum(ms(one) for one in glass["stood"] if one["call"] == call)
    on_stage(glass["stage"], events)


def ms(stood: dict[str, Any]) -> int:
    """How long; what stands there still has all the time."""
    until: int = stood["until"] or stood["at"] + READ_MS
    return until - stood["at"]


def on_stage(turns: list[int], events: list[dict[str, Any]]) -> None:
    """Whoever took the stage took it once for a ring, in the order of the rings."""
    rings: dict[int, list[int]] = {}
    for event in events:
        if event["type"] == "TicketCalled":
            rings[event["seq"]] = [event["seq"]]
        elif event["type"] == "TicketRecalled":
            newest = max(
                one["seq"] for one in events if one["type"] == "TicketCalled" and one["number"] == event["number"]
            )
            rings[newest].append(event["seq"])
    taken = [rings[call][turns[:place].count(call)] for place, call in enumerate(turns)]
    assert taken == sorted(set(taken))


def speaks_everything(board: Page, events: list[dict[str, Any]]) -> None:
    """
    Each ring of the record was played once, in order, after a chime and never into another; left out is only whose
    visitor had come when the loudspeaker was free.
    """
    said = spoken(board)
    rings = {event["seq"]: event for event in events if event["type"] in ("TicketCalled", "TicketRecalled")}
    order = [one.seq for one in said]
    assert order == sorted(set(order))
    assert set(order) <= set(rings)
    for one, after in pairwise(said):
        assert one.until <= after.at
    rung = chimes(board)
    for one in said:
        assert any(900 < one.at - chime < 4_500 for chime in rung)
        assert not any(one.at < chime < one.until for chime in rung)
    for seq in set(rings) - set(order):
        came_ms = settled_ms(events, rings[seq])
        assert came_ms is not None, f"ring {seq} was never spoken"
        assert came_ms <= next(one.at for one in said if one.seq > seq)


def settled_ms(events: list[dict[str, Any]], ring: dict[str, Any]) -> int | None:
    """When the visitor of a call had come, or was called off."""
    whose = (ring["counter"], ring["number"])
    after = (event for event in events if event["seq"] > ring["seq"] and event["type"] in SETTLES)
    return next((event["at_ms"] for event in after if whose == (event["counter"], event["number"])), None)


@pytest.mark.timeout(300)  # a minute of its own, and a busy machine
def test_every_board_shows_and_the_loudspeaker_speaks_every_call_once_and_in_order(loud_hall: Hall, wires: list[Wire]):
    """The whole bad day; what every call had to become is read from the record afterwards."""
    hall, (line, loud_line) = loud_hall, wires
    boards: dict[str, Page] = {}
    hall.base = loud_line.base
    boards["ba"] = hall.loud_board("ba", GLASS + RECORDER, WIDE_PX)
    hall.base = line.base
    boards["quay"] = hall.board("quay", WIDE_PX, script=GLASS)
    hall.base = hall.house.base
    boards["linh-vuc"] = hall.board("linh-vuc", WIDE_PX, theme="night", script=GLASS)
    boards["tong"] = hall.board("tong", UPRIGHT_PX, script=GLASS)
    linked = ["ba", "linh-vuc", "tong"]
    day = Day(hall, boards)

    # Two officers press in the same instant; one of them calls again.
    for service in COUNTERS.values():
        day.issue(service)
    day.stands(*day.hands.map(lambda counter: hall.press(counter, "call-next")["seq"], ("q01", "q03")))
    hall.press("q01", "recall")

    # A board that comes late shows who is being called.
    late = hall.board("q01")
    expect(late.locator(".ticket")).to_have_text("A001")
    late.context.close()

    # The loudspeaker's line breaks for a moment: what was called meanwhile is shown and spoken.
    loud_line.pull()
    expect(boards["ba"].get_by_text("Mất kết nối từ")).to_be_visible()
    meanwhile: int = hall.press("q06", "call-next")["seq"]
    loud_line.mend()
    day.hurry("ba")
    day.stands(meanwhile)
    day.heard(meanwhile)

    # Another line breaks for longer, and a counter calls twice. The service is killed before the words of a call came.
    line.pull()
    unseen = [day.next("q03"), day.next("q03")]
    boards["ba"].route("**/sounds/**", lambda route: route.abort())
    unsaid = day.next("q01")
    until(boards["ba"], f"asked.includes({unsaid})")
    hall.house.kill()
    boards["ba"].unroute("**/sounds/**")
    hall.house.start()
    day.hurry(*linked)
    day.stands(*unseen, unsaid, on=linked)
    day.heard(unsaid)

    # The store is killed. Then the broken line is whole again.
    kill_the_store(hall)
    patiently(lambda: day.issue("cax"))
    after = day.next("q06")
    day.stands(after, on=linked)
    line.mend()
    day.hurry("quay")
    day.stands(*unseen, unsaid, after)
    day.heard(after)

    # A day of calls, as fast as the boards can take them; the last ones wait to be spoken.
    for _ in range(ROUNDS):
        last = list(day.hands.map(day.next, COUNTERS))
        day.stands(*last)
    for call in last:
        day.heard(call)

    events = hall.events()
    desks = {one["id"]: str(one["number"]) for one in hall.house.call("GET", f"/centres/{hall.centre}")["counters"]}
    for board in boards.values():
        shows_everything(board, events, desks)
    speaks_everything(boards["ba"], events)
