"""The control room: what there is, what to look at, and what may be done about it, by keyboard."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from browser_world import BOARD_PX, CONSOLE_PX, PHONE_PX, Hall, cut_off, violations


def focus_on(page: Page, name: str) -> None:
    """Tab until the focus is on the button *name*."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.textContent?.trim()") == name:
            return
    raise AssertionError(f"no way to {name} by keyboard")


def counter_row(page: Page, number: int) -> object:
    return page.locator("tbody tr", has=page.get_by_role("button", name=str(number), exact=True))


def test_a_counter_is_paused_by_keyboard_and_everybody_sees_why(hall: Hall) -> None:
    """The other supervisor, the officer and the record; the officer keeps the seat."""
    console = hall.console("q01")
    console.keyboard.press("F2")
    first, second = hall.supervisor(), hall.supervisor()

    first.keyboard.press("ArrowDown")
    first.keyboard.press("Enter")
    focus_on(first, "Tạm dừng")
    first.keyboard.press("Enter")
    first.keyboard.type("Họp giao ban")
    first.keyboard.press("Enter")

    for page in (first, second):
        expect(page.get_by_text("Họp giao ban").first).to_be_visible()
        expect(page.locator("tbody tr[data-state=paused]")).to_have_count(1)
    expect(console.get_by_text("Họp giao ban").first).to_be_visible()
    first.keyboard.press("4")
    entry = first.locator("tbody tr").first
    expect(entry).to_contain_text("Tạm dừng quầy")
    expect(entry).to_contain_text("Họp giao ban")


def test_a_ticket_is_moved_by_keyboard_and_called_first(hall: Hall) -> None:
    """From a search to another place, with a reason; the other supervisor and the next call follow."""
    for _ in range(3):
        hall.issue()
    last = hall.issue()
    page, other = hall.supervisor(), hall.supervisor(words="?view=lines&open=tpht")
    expect(other.locator(".inner tbody th").first).not_to_have_text(last["number"])

    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type(last["number"])
    focus_on(page, "Chuyển chỗ")
    page.keyboard.press("Enter")
    focus_on(page, "Chuyển chỗ")  # from the first field to the button that does it
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("Người già yếu")
    page.keyboard.press("Enter")

    expect(page.get_by_text("xếp chỗ")).to_be_visible()
    expect(other.locator(".inner tbody th").first).to_have_text(last["number"])
    hall.press("q01", "open")
    assert last["number"] == hall.press("q01", "call-next")["ticket"]["number"]
    expect(page.get_by_text(re.compile("Gọi đến quầy"))).to_be_visible()


def test_a_refused_press_says_why_where_it_was_pressed(hall: Hall) -> None:
    """With the code; the form keeps what was typed."""
    hall.issue()
    waits = hall.issue()
    page = hall.supervisor(words=f"?view=tickets&q={waits['number']}")
    page.get_by_role("button", name="Chuyển chỗ").click()
    page.get_by_label("Trước số").fill(waits["number"])
    page.get_by_label("Lý do").fill("Lỗi của trung tâm")
    page.get_by_label("Lý do").press("Enter")

    trouble = page.get_by_role("alert")
    expect(trouble).to_contain_text("không chờ ở hàng này")
    expect(trouble).to_contain_text("WRONG_STATE")
    expect(page.get_by_label("Lý do")).to_have_value("Lỗi của trung tâm")


def test_numbers_are_no_longer_handed_out_and_the_kiosk_says_why(hall: Hall) -> None:
    """Asked once more in its place; the board shows it, too."""
    kiosk, page = hall.kiosk(), hall.supervisor()
    page.get_by_role("button", name="Ngừng phát số").click()
    page.get_by_label("Kiosk sẽ hiện").fill("Hôm nay đã hết số")
    page.get_by_label("Kiosk sẽ hiện").press("Enter")

    expect(page.get_by_text("Đã ngừng phát số")).to_be_visible()
    expect(kiosk.get_by_text("Hôm nay đã hết số").first).to_be_visible()
    page.get_by_role("button", name="Phát số lại").click()
    page.get_by_role("button", name="Phát số lại").press("Enter")
    expect(page.get_by_text("Đang phát số")).to_be_visible()


def test_a_counter_helps_elsewhere_for_the_day_and_an_alarm_ends(hall: Hall) -> None:
    """People wait and nobody serves them: the alarm leads there; the counter that is assigned calls at once."""
    hall.press("q01", "open")
    hall.press("q01", "call-next")
    waits = hall.issue("kt")
    page, board = hall.supervisor(), hall.board("ba")
    alarm = page.locator(".alarms li").first
    expect(alarm).to_contain_text("chưa có quầy nào mở")

    page.locator("[data-row]").first.click()
    page.get_by_role("button", name="Giao việc hôm nay").click()
    page.locator("fieldset label", has_text=re.compile("^Kinh tế")).locator("select").select_option("2")
    page.get_by_label("Lý do").fill("Đông người chờ")
    page.get_by_label("Lý do").press("Enter")

    expect(page.get_by_text("chỉ hôm nay")).to_be_visible()
    expect(board.get_by_text(waits["number"]).first).to_be_visible()
    expect(page.locator(".alarms li", has_text="chưa có quầy nào mở")).to_have_count(0)
    assert [f"{waits['number']} → q01"] == hall.calls()


def test_a_call_for_help_is_answered(hall: Hall) -> None:
    """It is an alarm and a request until somebody says that they come."""
    hall.press("q01", "open")
    page = hall.supervisor()
    hall.press("q01", "ask-help", text="Cần phiên dịch")

    expect(page.get_by_text("Cần phiên dịch")).to_be_visible()
    expect(page.locator(".alarms")).to_contain_text("cần hỗ trợ")
    page.get_by_role("button", name="Trả lời", exact=True).click()
    page.get_by_label("Nội dung").press("Enter")

    expect(page.get_by_text("Cần phiên dịch")).to_have_count(0)
    expect(page.get_by_text("Chưa có ai cần hỗ trợ.")).to_be_visible()


def test_what_is_shown_is_folded_from_events_and_not_asked_again(hall: Hall) -> None:
    """A day's work goes by on the page while the service is asked for the whole truth only once more at most."""
    hall.press("q01", "open")  # who sits there, and is called by name, is known
    page = hall.supervisor()
    expect(page.get_by_text("Không có gì cần chú ý.")).to_be_visible()
    asked: list[str] = []

    def note(route: Route) -> None:
        asked.append(route.request.url)
        route.continue_()

    page.route("**/state", note)
    tickets = [hall.issue() for _ in range(3)]
    hall.press("q01", "call-next")
    hall.press("q01", "start")
    hall.press("q01", "complete")
    hall.press("q01", "call-next")

    glance = page.locator(".glance button")
    expect(glance.nth(0)).to_contain_text("1")
    expect(glance.nth(3)).to_contain_text("1")
    expect(page.locator("tbody tr[data-state=open]")).to_contain_text(tickets[1]["number"])
    assert asked == []
    page.reload()
    expect(glance.nth(0)).to_contain_text("1")
    expect(glance.nth(3)).to_contain_text("1")
    expect(page.locator("tbody tr[data-state=open]")).to_contain_text(tickets[1]["number"])


def test_a_lost_link_is_said_and_mends(hall: Hall) -> None:
    """What is shown stays, dimmed, with the time since when it may be old."""
    page = hall.supervisor()
    is_lost = False

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda message: None if is_lost else socket.send(message))

    page.route_web_socket("**/stream", relay)
    page.reload()
    expect(page.locator(".glance")).to_be_visible()
    is_lost = True
    expect(page.get_by_text("Mất kết nối từ")).to_be_visible(timeout=20_000)
    hall.issue()
    is_lost = False
    expect(page.get_by_text("Mất kết nối từ")).to_have_count(0, timeout=30_000)
    expect(page.locator(".glance button").first).to_contain_text("1")


@pytest.mark.parametrize("size", [CONSOLE_PX, BOARD_PX, PHONE_PX], ids=["desk", "wall", "phone"])
@pytest.mark.parametrize("view", ["counters", "lines", "tickets", "history", "plan"])
def test_everybody_can_use_it_at_every_size(long_hall: Hall, size: dict[str, int], view: str) -> None:
    """No serious violation, nothing cut off, with names as long as a centre may have."""
    page = long_hall.supervisor(size, f"?view={view}")
    page.locator("[data-row]").first.click() if view in ("counters", "lines") else None

    assert [] == violations(page)
    assert [] == [one for one in cut_off(page) if not one.startswith("below")]


def test_on_a_phone_a_part_is_a_line_until_it_is_opened(long_hall: Hall) -> None:
    """It says what it holds; so does the row of a counter, whose details follow when it is opened."""
    page = long_hall.supervisor(PHONE_PX)
    part = page.get_by_role("button", name=re.compile("^Phát số"))
    expect(part).to_contain_text("Đang phát số")
    expect(page.get_by_role("button", name="Ngừng phát số")).to_have_count(0)
    part.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Ngừng phát số")).to_be_visible()

    row = page.locator("tbody tr").first
    expect(row.locator("td").last).to_be_hidden()
    assert row.evaluate("row => row.offsetHeight") < 90
    row.get_by_role("button").click()
    expect(row.locator("td").last).to_be_visible()


def test_an_officer_is_told_that_the_page_is_for_supervisors(hall: Hall) -> None:
    """And may sign in as somebody else."""
    page = hall.page(f"/supervisor/{hall.centre}", CONSOLE_PX)
    hall.sign_in(page, "q01")
    expect(page.get_by_text("Trang này dành cho người điều hành.")).to_be_visible()
