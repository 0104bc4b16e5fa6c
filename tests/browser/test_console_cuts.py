"""
The line between console and service is cut at every step of every press: before it arrives, before its answer leaves,
in the middle of the answer.  Whatever was lost, the page repeats the press under its key and the day has it once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
from playwright.sync_api import Page, expect

from browser_world import CONSOLE_PX, SAME_STRIKE_MS, Hall, strike
from console_world import KEPT, Cut, History, Wire


def hero(console: Page, number: str) -> None:
    """Who is in hand; "" is nobody."""
    if number:
        expect(console.locator(".hero")).to_have_text(number)
    else:
        expect(console.locator(".hero")).to_have_count(0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", get_args(Cut))
def test_every_press_survives_a_cut_line(little_hall: Hall, wire: Wire, where: Cut):
    """One visit after another, each step's line cut: one effect each, as the reference model has it."""
    hall = little_hall
    history = History(hall)
    for _ in range(4):
        hall.issue()
    console = history.console("q01")

    def cut(press: str, pressed: Callable[[], None], seen: Callable[[], None]) -> None:
        console.wait_for_timeout(SAME_STRIKE_MS)
        wire.break_at(press, where)
        pressed()
        expect(console.get_by_text(KEPT)).to_be_visible()
        wire.mend()
        seen()
        expect(console.get_by_text(KEPT)).to_have_count(0)
        tried = wire.keys(press)
        assert len(tried) >= 2, press
        assert 1 == len(set(tried)), press

    def keys(*codes: str) -> Callable[[], None]:
        return lambda: [console.keyboard.press(code) for code in codes] and None

    def chosen(key: str, *codes: str) -> Callable[[], None]:
        def asked() -> None:
            console.keyboard.press(key)
            expect(console.get_by_role("dialog")).to_be_visible()
            console.wait_for_timeout(200)
            for code in codes:
                console.keyboard.press(code)

        return asked

    cut("call-next", keys("F2"), lambda: hero(console, "A001"))
    cut("recall", keys("F4"), lambda: expect(console.get_by_text("Đã gọi 2 lần")).to_be_visible())
    cut("start", keys("Enter"), lambda: expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible())
    cut("complete", keys("Enter"), lambda: hero(console, ""))
    cut("undo", keys("Delete"), lambda: hero(console, "A001"))
    cut("park", chosen("Slash", "1"), lambda: expect(console.locator(".beside")).to_contain_text("Bổ sung giấy tờ"))
    strike(console, "F2")
    hero(console, "A002")
    cut("transfer", chosen("F10", *"cong an", "Enter"), lambda: hero(console, ""))
    strike(console, "F2")
    hero(console, "A003")
    strike(console, "F4", "F4")
    expect(console.get_by_text("Đã gọi 3 lần")).to_be_visible()
    cut("no-show", keys("F8"), lambda: hero(console, ""))

    history.hears(console, "no-show")
    history.agrees()
    assert ["A001 → q01", "A002 → q01", "A003 → q01"] == hall.calls()


def test_a_page_opens_although_its_first_reading_breaks_off(little_hall: Hall, wire: Wire):
    """Half an answer is no answer: the page asks again, without a word of error."""
    wire.break_at(little_hall.centre, "middle")
    page = little_hall.page(f"/console/{little_hall.centre}?mute", CONSOLE_PX)
    expect(page.get_by_text("Đang kết nối")).to_be_visible()

    wire.mend()

    expect(page.get_by_label("Tên đăng nhập")).to_be_visible()
