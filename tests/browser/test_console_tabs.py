"""
What does not go by the book at a console: two tabs, answers that overtake each other, a seat or a session that is gone
while a press is under the finger, a machine whose clock is wrong, and a centre that asks what was done.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, Route, expect

from browser_world import CONSOLE_PX, Hall, call_first, strike
from console_world import KEPT, Wire

HOUR_MS = 3_600_000
WRONG_CLOCK = """(() => {
  const True = Date;
  window.wrongMs = %d;
  window.Date = class extends True {
    constructor(...given) { given.length ? super(...given) : super(True.now() + window.wrongMs); }
    static now() { return True.now() + window.wrongMs; }
  };
})()"""


def second_tab(hall: Hall, console: Page) -> Page:
    """The same officer opens the console once more, in the same browser."""
    tab = console.context.new_page()
    tab.on("pageerror", lambda error: hall.troubles.append(f"second tab: {error}"))
    tab.goto(f"{hall.base}/console/{hall.centre}?mute")
    expect(tab.locator(".now")).to_be_visible()
    return tab


def test_two_tabs_show_the_same_counter(little_hall: Hall):
    """A press in one is seen in the other, and either can take the next step."""
    hall = little_hall
    for _ in range(2):
        hall.issue()
    one = hall.console("q01")
    two = second_tab(hall, one)

    call_first(one)
    expect(two.locator(".hero")).to_have_text("A001")
    strike(two, "Enter")
    expect(one.get_by_role("heading", name="Đang phục vụ")).to_be_visible()
    strike(one, "Enter")
    expect(two.locator(".today")).to_contain_text("A001")

    assert ["A001 → q01"] == hall.calls()


def test_two_tabs_press_at_once_and_one_visitor_comes(little_hall: Hall):
    """Both call before either hears of the other: one calls, the other says why it did not, and both show the same."""
    hall = little_hall
    for _ in range(2):
        hall.issue()
    one = hall.console("q01")
    two = second_tab(hall, one)
    expect(two.get_by_role("heading", name="2 người")).to_be_visible()
    late: list[Route] = []
    two.route("**/call-next", lambda route: late.append(route))

    two.keyboard.press("Enter")
    call_first(one)
    two.wait_for_timeout(0)
    late[0].continue_()

    expect(two.get_by_text("COUNTER_BUSY")).to_be_visible()
    expect(two.locator(".hero")).to_have_text("A001")
    assert ["A001 → q01"] == hall.calls()


def test_an_answer_that_was_overtaken_is_left_aside(little_hall: Hall):
    """A reading from before the press arrives after its answer: the visitor stays on the glass."""
    hall = little_hall
    hall.issue()
    console = hall.console("q01")
    old: list[Callable[[], None]] = []

    def keep_back(route: Route) -> None:
        if old:
            return route.continue_()
        before = route.fetch()
        old.append(lambda: route.fulfill(response=before))
        return None

    console.route(re.compile(r"/counters/q01$"), keep_back)
    hall.issue()  # an event: the desk reads again
    while not old:
        console.wait_for_timeout(50)
    call_first(console)
    old[0]()

    seen = console.evaluate("""() => new Promise((told) => {
      const texts = new Set();
      const look = () => texts.add(document.querySelector(".hero")?.textContent ?? "");
      const each = setInterval(look, 20);
      setTimeout(() => { clearInterval(each); told([...texts]); }, 1500);
    })""")
    assert ["A001"] == seen


@pytest.mark.parametrize("where", ["request", "reply"])
def test_a_seat_taken_over_while_a_press_is_held(little_hall: Hall, wire: Wire, where: str):
    """One sentence says who sits there now; the press that had not arrived is refused and never done."""
    hall = little_hall
    for _ in range(2):
        hall.issue()
    console = hall.console("q01")
    wire.break_at("call-next", where)
    console.keyboard.press("Enter")
    expect(console.get_by_text(KEPT)).to_be_visible()
    hall.press("q01", "open", by="q03", take_over=True)

    wire.mend()

    expect(console.get_by_role("heading", name=re.compile(r"^Cán bộ .+ \(mẫu\) đã tiếp nhận quầy 1$"))).to_be_visible(
        timeout=15_000
    )
    expect(console.get_by_text(KEPT)).to_have_count(0)
    expect(console.locator(".message")).to_have_count(0)
    console.wait_for_timeout(1_000)
    assert ([] if where == "request" else ["A001 → q01"]) == hall.calls()
    assert 1 == len(set(wire.keys("call-next")))


@pytest.mark.parametrize("where", ["request", "reply"])
def test_a_session_that_ends_while_a_press_is_held(little_hall: Hall, wire: Wire, where: str):
    """Sign in again, and the press is repeated under its key: the visitor is called once."""
    hall = little_hall
    for _ in range(2):
        hall.issue()
    console = hall.console("q01")
    wire.break_at("call-next", where)
    console.keyboard.press("Enter")
    expect(console.get_by_text(KEPT)).to_be_visible()
    console.context.clear_cookies()
    wire.mend()
    expect(console.get_by_label("Tên đăng nhập")).to_be_visible()

    hall.sign_in(console, "q01")

    expect(console.locator(".hero")).to_have_text("A001", timeout=15_000)
    assert 1 == len(set(wire.keys("call-next")))
    assert ["A001 → q01"] == hall.calls()


def test_a_held_press_never_becomes_another_officers(little_hall: Hall, wire: Wire):
    """Whoever signs in next at this machine does not carry out what the one before had pressed."""
    hall = little_hall
    hall.issue()
    console = hall.console("q01")
    wire.break_at("call-next", "request")
    console.keyboard.press("Enter")
    expect(console.get_by_text(KEPT)).to_be_visible()
    console.context.clear_cookies()
    wire.mend()
    expect(console.get_by_label("Tên đăng nhập")).to_be_visible()
    before = len(wire.tries)

    hall.sign_in(console, "q03")
    console.get_by_role("button", name="1 ").first.click()
    console.get_by_role("button", name="Tiếp nhận quầy").click()

    expect(console.get_by_role("heading", name="1 người đang chờ")).to_be_visible()
    console.wait_for_timeout(6_000)  # longer than a held press ever rests
    assert [] == [name for name, _ in wire.tries[before:] if name == "call-next"]
    assert [] == hall.calls()


@pytest.mark.parametrize("wrong_ms", [-3 * HOUR_MS, 48 * HOUR_MS])
def test_a_machine_whose_clock_is_wrong_shows_the_services_time(little_hall: Hall, wrong_ms: int):
    """Clock, timers, seconds for taking back and what is due go by the service, also when the clock is set right."""
    hall = little_hall
    hall.issue()
    hall.issue()
    console = hall.page(f"/console/{hall.centre}?mute", CONSOLE_PX, WRONG_CLOCK % wrong_ms)
    hall.sign_in(console, "q01")
    hall.sit_down(console, "q01")
    call_first(console)

    def is_true() -> None:
        zone = ZoneInfo("Asia/Ho_Chi_Minh")
        shown = console.locator("header .clock").inner_text()
        now = datetime.now(zone)
        minutes = (now.hour * 60 + now.minute) - sum(
            int(part) * unit for part, unit in zip(shown.split(":"), (60, 1), strict=True)
        )
        assert abs(minutes) % 1439 <= 1, shown
        expect(console.locator(".timer .number")).to_have_text(re.compile(r"^0?0:[0-5]\d$"))

    is_true()
    strike(console, "Slash")
    expect(console.get_by_role("dialog")).to_be_visible()
    console.keyboard.press("Slash")
    expect(console.get_by_label("15 phút")).to_be_checked()
    console.keyboard.press("1")
    expect(console.locator(".beside .due")).to_contain_text("hẹn")
    left = int(re.sub(r"\D", "", console.locator(".undo .left").inner_text()))
    assert 0 < left <= 62  # a reading may have been under way for a moment

    strike(console, "F2")
    expect(console.locator(".hero")).to_have_text("A002")
    console.evaluate("() => { window.wrongMs = 0; }")  # somebody sets the clock right
    strike(console, "F4")
    expect(console.get_by_text("Đã gọi 2 lần")).to_be_visible()
    is_true()
    expect(console.locator(".beside .due")).not_to_have_class(re.compile("come"))


def test_a_centre_that_wants_a_record_asks_for_it(recording_hall: Hall):
    """Enter and F9 ask; what the service misses is said in words; nothing chosen is not sent."""
    recording_hall.issue()
    console = recording_hall.console("q01")
    call_first(console)
    strike(console, "Enter")
    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible()
    asked = console.get_by_role("dialog")

    console.route("**/procedures?*", lambda route: route.abort())
    strike(console, "Enter")
    expect(asked.get_by_role("alert")).to_contain_text("Chưa đọc được")
    console.keyboard.press("F9")
    expect(console.locator(".message")).to_contain_text("yêu cầu ghi thủ tục")
    expect(console.locator(".hero")).to_have_text("A001")
    console.unroute("**/procedures?*")

    strike(console, "F9")
    expect(asked.locator(".add")).not_to_have_count(0)
    console.keyboard.press("F9")
    expect(asked.get_by_role("alert")).to_contain_text("yêu cầu ghi thủ tục")
    console.keyboard.press("1")
    console.keyboard.press("F9")
    expect(console.locator(".today")).to_contain_text("A001")
