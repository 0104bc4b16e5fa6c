"""The counter console: a keyboard, one press at a time, and nothing lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Route, expect

from browser_world import SAME_STRIKE_MS, call_first, strike


def test_a_visit_by_keyboard_alone(hall):
    """The menu and away from it, call, recall, start, complete, without touching the mouse after sitting down."""
    hall.issue()
    console = hall.console("q01")

    console.keyboard.press("End")
    expect(console.locator("#menu button").first).to_be_focused()
    console.keyboard.press("Escape")
    expect(console.locator("#menu")).to_have_count(0)
    strike(console, "Enter")
    expect(console.get_by_role("heading", name="Đang mời")).to_be_visible()
    strike(console, "F4")
    expect(console.get_by_text("Đã gọi 2 lần")).to_be_visible()
    strike(console, "Enter")
    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible()
    strike(console, "F9")
    expect(console.get_by_role("dialog")).to_be_visible()
    console.keyboard.press("Enter")

    expect(console.get_by_role("heading", name="Chưa có ai chờ")).to_be_visible()
    expect(console.locator(".today")).to_contain_text("A001")


def test_a_finger_that_strikes_twice_strikes_once(hall):
    """Two quick strikes of the large key call one visitor, and do not start or complete anybody."""
    hall.issue()
    hall.issue()
    console = hall.console("q01")
    expect(console.get_by_role("heading", name="2 người")).to_be_visible()

    console.keyboard.press("Enter")
    console.keyboard.press("Enter")

    expect(console.locator(".hero")).to_have_text("A001")
    expect(console.get_by_role("heading", name="Đang mời")).to_be_visible()
    assert ["A001 → q01"] == hall.calls()


def test_an_empty_line_makes_the_counter_ready(hall):
    """Nobody waits: the counter says that it is ready, and whoever comes is called to it at once."""
    console = hall.console("q01")

    console.keyboard.press("Enter")
    expect(console.get_by_text("Quầy đã sẵn sàng")).to_be_visible()
    hall.issue()

    expect(console.locator(".hero")).to_have_text("A001")
    expect(console.get_by_text("vừa đến khi quầy đang sẵn sàng")).to_be_visible()


def test_no_show_says_how_often_to_call_first(hall):
    """Too early is no mistake: the button says what is missing, and the third call makes it live."""
    hall.issue()
    console = hall.console("q01")
    call_first(console)

    strike(console, "F8")
    expect(console.get_by_text("Cần gọi thêm 2 lần nữa")).to_be_visible()
    strike(console, "NumpadAdd", "NumpadAdd")
    expect(console.get_by_text("Đã gọi 3 lần")).to_be_visible()
    strike(console, "NumpadSubtract")

    expect(console.locator(".hero")).to_have_count(0)


def test_digits_call_a_given_number(hall):
    """12 and Enter on a keypad is A012; the letter is the counter's own."""
    for _ in range(3):
        hall.issue()
    console = hall.console("q01")

    console.keyboard.press("Numpad3")
    console.keyboard.press("NumpadEnter")

    expect(console.locator(".hero")).to_have_text("A003")


def test_park_and_resume(hall):
    """Parked with a quick reason, back with one press."""
    hall.issue()
    console = hall.console("q01")
    call_first(console)

    strike(console, "NumpadDivide")
    console.get_by_role("dialog").get_by_text("Nộp phí, lệ phí").wait_for()
    console.keyboard.press("2")
    expect(console.locator(".beside")).to_contain_text("Nộp phí, lệ phí")
    console.wait_for_timeout(SAME_STRIKE_MS)
    console.get_by_role("button", name="Gọi vào").click()

    expect(console.locator(".hero")).to_have_text("A001")


def test_transfer_finds_the_service_without_accents(hall):
    """Three letters, Enter: the visitor waits in the other line, with the note."""
    hall.issue()
    other = hall.console("q06")
    console = hall.console("q01")
    call_first(console)

    strike(console, "F10")
    console.keyboard.type("cong an")
    console.get_by_label("Lời nhắn cho quầy sau").fill("Đã có bản sao")
    console.keyboard.press("Enter")

    expect(console.locator(".hero")).to_have_count(0)
    expect(other.get_by_text("A001 được chuyển đến. Đã có bản sao")).to_be_visible()
    call_first(other)


def test_undo_takes_the_last_step_back(hall):
    """Started by mistake: called again, and the call can be taken back; completed by mistake: in hand again."""
    hall.issue()
    console = hall.console("q01")
    call_first(console)
    strike(console, "Enter")
    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible()
    strike(console, "Delete")
    expect(console.get_by_role("heading", name="Đang mời")).to_be_visible()
    expect(console.get_by_role("button", name="Hoàn tác lần gọi")).to_be_enabled()
    strike(console, "Enter")
    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible()
    strike(console, "Enter")
    expect(console.locator(".hero")).to_have_count(0)

    console.wait_for_timeout(SAME_STRIKE_MS)
    console.get_by_role("button", name="Hoàn tác hoàn thành").click()

    expect(console.locator(".hero")).to_have_text("A001")


def test_the_ticket_in_hand_survives_a_reload_and_a_new_sign_in(hall):
    """Neither costs the visitor anything."""
    hall.issue()
    console = hall.console("q01")
    call_first(console)

    console.reload()
    expect(console.locator(".hero")).to_have_text("A001")
    console.context.clear_cookies()
    console.reload()
    hall.sign_in(console, "q01")

    expect(console.locator(".hero")).to_have_text("A001")
    assert ["A001 → q01"] == hall.calls()


def test_a_seat_changes_hands_only_after_asking(hall):
    """The second officer is asked; the first is told."""
    first = hall.console("q01")
    second = hall.page(f"/console/{hall.centre}?mute", {"width": 1366, "height": 768})
    hall.sign_in(second, "q03")
    expect(second.get_by_text(re.compile(r"^Cán bộ .+ \(mẫu\) đang ngồi$"))).to_be_visible()
    second.get_by_role("button", name="1 ").first.click()
    expect(second.get_by_role("heading", name="Tiếp nhận quầy 1?")).to_be_visible()

    second.get_by_role("button", name="Tiếp nhận quầy").click()

    expect(second.locator(".now")).to_be_visible()
    expect(first.get_by_text("đã tiếp nhận quầy 1")).to_be_visible()


@pytest.mark.parametrize("reloaded", [False, True])
def test_a_lost_answer_is_asked_for_again_with_the_same_key(hall, reloaded):
    """The press arrives, its answer does not: repeated, over a reload too, it calls the same one visitor."""
    hall.issue()
    hall.issue()
    console = hall.console("q01")
    keys: list[str | None] = []
    trouble = {"is_there": True}

    def lose(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if not trouble["is_there"]:
            return route.continue_()
        route.fetch()
        return route.abort()

    console.route("**/call-next", lose)
    console.keyboard.press("Enter")
    expect(console.get_by_text("được giữ và sẽ tự gửi lại")).to_be_visible()
    if reloaded:
        console.reload()
    trouble["is_there"] = False

    expect(console.locator(".hero")).to_have_text("A001")
    expect(console.get_by_text("được giữ và sẽ tự gửi lại")).to_have_count(0)
    console.wait_for_timeout(1_000)
    assert len(keys) >= 2
    assert 1 == len(set(keys))
    assert ["A001 → q01"] == hall.calls()


def test_a_press_can_be_withdrawn_while_nobody_answers(hall):
    """What never arrived and is withdrawn never happens."""
    hall.issue()
    console = hall.console("q01")
    console.route("**/call-next", lambda route: route.abort())
    console.keyboard.press("Enter")
    console.get_by_role("button", name="Rút lại").click()
    console.unroute("**/call-next")

    console.reload()

    expect(console.get_by_role("heading", name="1 người đang chờ")).to_be_visible()
    assert [] == hall.calls()
