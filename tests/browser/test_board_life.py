"""Boards that hang for weeks: what they missed, what they keep in memory, and how they take a newer page."""

from __future__ import annotations

import importlib.util
import re
from typing import Any

import msgpack
import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from boards_world import GLASS, RECORDER, until
from browser_world import BOARD_PX, Hall, cut_off, violations
from console_world import Wire

LOST = "Mất kết nối từ"
IMPATIENT = """(() => {
  Math.random = () => 0;
  const every = window.setInterval;
  window.setInterval = (work, ms) => every(work, ms === 5000 ? 50 : ms);
  addEventListener("pagehide", () => sessionStorage.setItem("left", JSON.stringify({
    isFresh: !!document.querySelector(".stage.fresh"),
    isSpeaking: played.some((one) => !one.isOver),
    said: played.filter((one) => one.isOver).length,
    glass: document.querySelector(".stage .called")?.textContent,
  })));
})();"""
"""The page comes back at once, looks for its moment all the time, and notes how it was when it went."""
FED = """(() => {
  class Line {
    static OPEN = 1;
    readyState = 1;
    constructor() { window.line = this; setTimeout(() => this.onopen?.()); }
    send() {}
    close() {}
    say(frame) { this.onmessage?.({ data: JSON.stringify(frame) }); }
  }
  window.WebSocket = Line;
  let seq = 1, called = 0;
  const event = (type, fields) => {
    seq += 1;
    line.say({ type: "event", seq, at_ms: Date.now(), event: { type, seq, at_ms: Date.now(), ...fields } });
  };
  window.begin = () => {
    const view = { day: "2026-11-22", counters: {}, waiting: {}, issuing: { open: true, text: "" } };
    line.say({ type: "snapshot", epoch: "fed", seq, recovered: false, view, now_ms: Date.now() });
  };
  window.feed = async (until) => {
    const counters = { q01: "tpht", q03: "kt", q06: "cax" };
    const before = {};
    while (seq < until) {
      line.say({ type: "tick", seq, now_ms: Date.now() });
      for (const [counter, service] of Object.entries(counters)) {
        const number = `A${String(1 + called % 999).padStart(3, "0")}`;
        called += 1;
        if (before[counter]) event("TicketServed", { number: before[counter], counter });
        event("TicketIssued", { number, department: service, service, counters: [counter] });
        const call = seq + 1, of = { number, department: service, service, counter, language: "vi" };
        event("TicketCalled", { ...of, call, was: "waiting" });
        before[counter] = number;
      }
      if (called % 9 === 0) await new Promise((go) => requestAnimationFrame(go));
    }
  };
})();"""
"""A line without a service behind it, on which the test lets a hall live fast."""
SMALL_PX = {"width": 960, "height": 540}
EARLY, LATE = 1_000, 5_000
LEAK_BYTES = 100
"""An event may not leave so much behind."""


def test_what_a_board_missed_is_shown_once_with_its_time(little_hall: Hall, wire: Wire):
    """Its counter has called another since, or has served it: it stands in a strip of its own, and then no more."""
    grid = little_hall.board("quay")
    for counter, service in (("q01", "tpht"), ("q03", "kt")):
        little_hall.press(counter, "open")
        little_hall.issue(service)
    wire.pull()
    expect(grid.get_by_text(LOST)).to_be_visible()
    for counter in ("q01", "q03"):
        little_hall.press(counter, "call-next")
        little_hall.press(counter, "complete")
    little_hall.issue("kt")
    little_hall.press("q03", "call-next")
    wire.mend()
    grid.evaluate("dispatchEvent(new Event('online'))")

    strip = grid.locator("section", has=grid.get_by_role("heading", name="Đã gọi khi mất kết nối"))
    expect(strip.locator("li")).to_have_count(2)
    texts = [" ".join(one.inner_text().split()) for one in strip.locator("li").all()]
    assert re.fullmatch(r"A001 \d\d:\d\d 1", texts[0])
    assert re.fullmatch(r"B001 \d\d:\d\d 3", texts[1])
    assert cut_off(grid) == []
    assert violations(grid) == []
    expect(grid.locator(".counters li.now .ticket")).to_have_text("B002")
    expect(strip).to_have_count(0)
    expect(grid.locator(".waiting")).to_be_visible()


def test_a_revoked_token_darkens_the_board_and_says_what_to_do(little_hall: Hall):
    """The sentence stands there; what was true stays readable, and nothing new comes."""
    board, kept = little_hall.board("ba"), little_hall.board("tong")
    little_hall.press("q01", "open")
    little_hall.issue()
    little_hall.press("q01", "call-next")
    expect(board.locator(".stage .called")).to_have_text("A001")
    little_hall.revoke("ba")

    expect(board.get_by_role("alert")).to_contain_text("Màn hình này chưa được kết nối với trung tâm")
    expect(board.locator(".stage .called")).to_have_text("A001")
    expect(kept.get_by_role("alert")).to_have_count(0)
    assert cut_off(board) == []


def test_five_thousand_events_leave_nothing_behind(little_hall: Hall):
    """The heap and the nodes of a board are after five thousand events what they were after one thousand."""
    page = little_hall.page(
        f"/board/{little_hall.centre}/ba?mute#token={little_hall._device('boards', 'ba')}", SMALL_PX, FED
    )
    until(page, "!!window.line")
    page.evaluate("begin()")
    expect(page.get_by_text("kết nối lúc")).to_be_visible()
    meter = page.context.new_cdp_session(page)

    def measured(events: int) -> tuple[int, int]:
        page.evaluate(f"feed({events})")
        expect(page.locator(".stage .called")).to_be_visible()
        for _ in range(2):
            meter.send("HeapProfiler.collectGarbage")
        nodes: int = meter.send("Memory.getDOMCounters")["nodes"]
        used: int = meter.send("Runtime.getHeapUsage")["usedSize"]
        return used, nodes

    early_bytes, early_nodes = measured(EARLY)
    late_bytes, late_nodes = measured(LATE)

    assert late_bytes - early_bytes < LEAK_BYTES * (LATE - EARLY)
    assert late_nodes < early_nodes * 1.1


def newer(page: Page) -> None:
    """From now on the service hands out another page, and says so to whoever comes back."""

    def serve(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=re.sub(r"(/assets/board-[\w-]+\.js)", r"\1?newer", answer.text()))

    page.route("**/board/**", serve)


def of_build(message: str | bytes, build: str) -> bytes:
    """The frame, from a service with those pages."""
    frame: dict[str, Any] = msgpack.unpackb(message)
    return msgpack.packb(frame | {"build": build} if "build" in frame else frame)


@pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="no extra `voice`")
def test_a_newer_page_comes_when_nothing_is_shown_or_spoken(little_hall: Hall):
    """Told of another build in the middle of a call, the board waits for the last word, and comes back as it was."""
    hall = little_hall
    page = hall.page("/health/live", BOARD_PX, GLASS + RECORDER + IMPATIENT)
    lines: list[WebSocketRoute] = []

    def relay(line: WebSocketRoute) -> None:
        build = "another" if lines else "one"
        lines.append(line)
        line.connect_to_server().on_message(lambda message: line.send(of_build(message, build)))

    page.route_web_socket("**/stream", relay)
    page.goto(f"{hall.base}/board/{hall.centre}/ba#token={hall._device('boards', 'ba')}")
    expect(page.get_by_text("kết nối lúc")).to_be_visible()
    page.mouse.click(5, 5)
    hall.press("q01", "open")
    hall.issue("tpht")
    hall.press("q01", "call-next")
    until(page, "played.length === 1")
    newer(page)
    with page.expect_event("domcontentloaded", timeout=40_000):
        lines[0].close(code=1012)

    expect(page.locator("script[src$='?newer']")).to_have_count(1)
    expect(page.locator(".stage .called")).to_have_text("A001")
    expect(page.locator(".stage.fresh")).to_have_count(0)
    left = page.evaluate("JSON.parse(sessionStorage.getItem('left'))")
    assert {"isFresh": False, "isSpeaking": False, "said": 2, "glass": "A001"} == left
    assert [] == page.evaluate("[...played, ...rung]")
