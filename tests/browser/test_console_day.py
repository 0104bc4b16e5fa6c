"""
An officer's whole day with the keyboard alone, and what the record says of it: the same presses, carried out by the
reference model, leave the same facts.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browser_world import BOARD_PX, CONSOLE_PX, Hall, call_first, cut_off, strike, violations
from console_world import History


@pytest.mark.timeout(900)  # a whole day, with axe at every station
def test_an_officers_day_by_keyboard_alone(whole_hall: Hall):
    """From signing in to closing with people waiting, no mouse; the record is what the reference model makes of it."""
    hall = whole_hall
    history = History(hall)
    person, other = hall.person("q01"), hall.person("q06")

    # Sign in, and take the seat.
    console = history.watch(hall.page(f"/console/{hall.centre}?mute", {"width": 1366, "height": 768}))
    expect(console.get_by_label("Tên đăng nhập")).to_be_focused()
    assert [] == violations(console)
    console.keyboard.type(person["name"])
    console.keyboard.press("Tab")
    console.keyboard.type(person["password"])
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", name="ngồi quầy nào")).to_be_visible()
    assert [] == violations(console)
    console.locator(".seat").first.focus()
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", name="Chưa có ai chờ")).to_be_visible()

    # Nobody waits: ready, and the first to come is called.
    console.keyboard.press("Enter")
    expect(console.get_by_text("Quầy đã sẵn sàng")).to_be_visible()
    hall.issue(ground="elderly")
    expect(console.locator(".hero")).to_have_text("A001")
    for _ in range(4):
        hall.issue()
    assert [] == violations(console)
    assert [] == cut_off(console)

    # Absent after three calls, and again later.
    strike(console, "F4", "F4")
    expect(console.get_by_text("Đã gọi 3 lần")).to_be_visible()
    strike(console, "F8")
    expect(console.locator(".hero")).to_have_count(0)

    # A note, a time of return, back again.
    strike(console, "F2")
    expect(console.locator(".hero")).to_be_visible()
    number = console.locator(".hero").inner_text()
    strike(console, "Insert")
    expect(console.get_by_role("dialog")).to_be_visible()
    assert [] == violations(console)
    console.keyboard.type("Nghe kem")
    console.keyboard.press("Enter")
    expect(console.get_by_text("Lời nhắn: Nghe kem")).to_be_visible()
    strike(console, "Slash")
    expect(console.get_by_role("dialog")).to_be_visible()
    console.keyboard.press("Slash")
    expect(console.get_by_label("15 phút")).to_be_checked()
    assert [] == violations(console)
    console.keyboard.press("1")
    expect(console.locator(".beside")).to_contain_text("Bổ sung giấy tờ")
    expect(console.locator(".beside")).to_contain_text("hẹn")
    strike(console, "PageDown")
    expect(console.get_by_role("dialog")).to_contain_text(number)
    console.keyboard.press("1")
    expect(console.locator(".hero")).to_have_text(number)

    # Served, with what was done; taken back; served again.
    strike(console, "Enter")
    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible()
    for _ in range(2):
        strike(console, "F9")
        expect(console.get_by_role("dialog").locator(".add")).not_to_have_count(0)
        assert [] == violations(console)
        for key in ("1", "1", "2", "NumpadMultiply"):
            console.keyboard.press(key)
        expect(console.get_by_role("dialog")).to_contain_text("2 hồ sơ")
        console.keyboard.press("Enter")
        expect(console.locator(".today")).to_contain_text(number)
        if console.locator(".today li").count() == 1 and _ == 0:
            strike(console, "Delete")
            expect(console.locator(".hero")).to_have_text(number)

    # Help asked for and answered, a message each way.
    strike(console, "Home")
    expect(console.get_by_role("dialog")).to_be_visible()
    console.keyboard.press("2")
    expect(console.get_by_text("Đã gọi hỗ trợ lúc")).to_be_visible()
    base = f"/centres/{hall.centre}"
    hall.house.call("POST", f"{base}/counters/q01/answer-help", {"text": "toi den ngay"}, hall._manager())
    expect(console.get_by_text("toi den ngay")).to_be_visible()
    assert [] == violations(console)
    console.get_by_role("button", name="Đã đọc").focus()
    strike(console, "Enter")
    expect(console.get_by_text("toi den ngay")).to_have_count(0)
    console.keyboard.press("Escape")
    strike(console, "PageUp")
    expect(console.get_by_role("dialog")).to_be_visible()
    console.keyboard.type("Het giay in")
    console.keyboard.press("Enter")
    expect(console.get_by_role("dialog")).to_have_count(0)

    # On to a colleague, who reads the note that came along.
    colleague = history.console("q06")
    strike(console, "F2")
    expect(console.locator(".hero")).to_be_visible()
    strike(console, "F10")
    expect(console.get_by_role("option", name=f"Cán bộ Quầy số {other['counter'][1:]}")).to_be_attached()
    console.keyboard.type(other["name"])
    console.keyboard.press("Enter")
    expect(console.locator(".hero")).to_have_count(0)
    colleague.keyboard.press("F2")
    expect(colleague.locator(".hero")).to_be_visible()

    # A pause, and the end of the day with people waiting.
    strike(console, "Pause")
    expect(console.get_by_role("dialog")).to_be_visible()
    console.keyboard.press("3")
    expect(console.get_by_role("heading", name="Quầy đang tạm nghỉ")).to_be_visible()
    strike(console, "Enter")
    expect(console.get_by_text("Đang mở")).to_be_visible()
    strike(console, "End")
    expect(console.locator("#menu button").first).to_be_focused()
    assert [] == violations(console)
    console.keyboard.press("Tab")
    console.keyboard.press("Enter")
    expect(console.get_by_role("dialog")).to_contain_text("không ai mất chỗ")
    console.keyboard.press("Enter")
    expect(console.get_by_role("heading", name="Quầy đã đóng")).to_be_visible()

    history.hears(console, "close")
    history.agrees()


@pytest.mark.parametrize("size", [CONSOLE_PX, BOARD_PX])
def test_practice_touches_nothing(hall: Hall, size: dict[str, int]):
    """The guide asks for one key after another; not one request leaves the page."""
    page = hall.page(f"/console/{hall.centre}?practice&mute", size)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.get_by_text("đều không có thật")).to_be_visible()
    assert [] == violations(page)
    assert [] == cut_off(page)

    def step(number: int) -> None:
        expect(page.get_by_text(f"Hướng dẫn năm phút · {number}/10")).to_be_visible()

    step(1)
    strike(page, "Enter")
    step(2)
    strike(page, "F4")
    step(3)
    strike(page, "Enter")
    step(4)
    strike(page, "Insert")
    page.keyboard.type("abc")
    page.keyboard.press("Enter")
    step(5)
    strike(page, "Slash")
    page.keyboard.press("1")
    step(6)
    strike(page, "PageDown")
    page.keyboard.press("1")
    step(7)
    strike(page, "Enter", "F9", "1", "Enter")
    step(8)
    strike(page, "Delete")
    step(9)
    strike(page, "Home")
    page.keyboard.press("1")
    step(10)
    page.get_by_role("button", name="Đã đọc").click()
    expect(page.get_by_text("Vậy là đủ cho một ngày làm việc")).to_be_visible()

    assert [] == [address for address in asked if "/assets/" not in address]  # a font may be late
    assert [] == hall.calls()
    page.reload()
    expect(page.get_by_text("Hướng dẫn năm phút")).to_have_count(0)


def test_a_priority_call_says_that_it_is_one(hall: Hall):
    """Not the slip, but the ground."""
    hall.issue()
    hall.issue(ground="elderly")
    console = hall.console("q01")
    console.wait_for_timeout(1_000)
    call_first(console, "A002")

    expect(console.get_by_text("ưu tiên: mỗi phút chờ tính bằng 6 phút")).to_be_visible()


def test_the_sign_in_speaks_english_and_remembers(hall: Hall):
    """The choice outlives a reload."""
    page = hall.page(f"/console/{hall.centre}", {"width": 1366, "height": 768})
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="Counter sign-in")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
