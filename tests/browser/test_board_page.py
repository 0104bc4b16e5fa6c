"""The board: what it says in each of its states, with nothing cut off in either orientation."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

import queue_service
from browser_world import BOARD_PX, Hall, cut_off, violations

UPRIGHT_PX = {"width": 1080, "height": 1920}
LARGE_PX = {"width": 3840, "height": 2160}
TEXTS = [json.loads(file.read_text("utf-8")) for file in (Path(queue_service.__file__).parent / "texts").glob("*.json")]
NOTICES = ("board.notice-listen", "board.notice-missed", "board.notice-phone")
WHY_CLOSED = ("Hệ thống cấp điện của tòa nhà đang được sửa chữa đến 14 giờ 30 chiều nay. " * 3)[:200].strip()
SHAPES = [(BOARD_PX, "day"), (UPRIGHT_PX, "day"), (LARGE_PX, "night")]
SIZES = pytest.mark.parametrize(("size", "theme"), SHAPES, ids=["wide", "upright", "4k"])


def waiting(page: Page) -> dict[str, int]:
    """Letter of each line that the strip shows -> people."""
    lines = [line.inner_text().split("\n") for line in page.locator(".waiting li:has(.count)").all()]
    return {line[0].strip(): int(line[-1]) for line in lines}


def test_the_waiting_strip_has_whole_names_and_counts_the_rest(broad_hall: Hall, subtests):
    """Twenty departments do not fit: the longest lines stand there, whole, and a word says how many others wait."""
    centre = broad_hall.house.call("GET", f"/centres/{broad_hall.centre}")
    letters = {one["id"]: one["letter"] for one in centre["departments"]}
    longest = centre["services"][8]
    for service in (*centre["services"], longest, longest):
        broad_hall.issue(service["id"])

    for size, theme in SHAPES:
        with subtests.test(f"{size['width']} × {size['height']}"):
            page = broad_hall.board("tong", size, theme)
            expect(page.locator(".waiting li").nth(2)).to_be_visible()
            shown = waiting(page)
            assert letters[longest["department"]] in shown
            assert list(shown) == [letter for letter in letters.values() if letter in shown]
            expect(page.locator(".waiting .head")).to_contain_text(f"và {len(letters) - len(shown)} nơi khác")
            assert cut_off(page) == []


def test_where_all_lines_have_room_they_stand_there_for_good(hall: Hall):
    """Three departments: nobody waiting is told as well."""
    page = hall.board("ba")
    expect(page.locator(".waiting li")).to_have_count(3)
    assert waiting(page) == {"A": 0, "B": 0, "D": 0}


@SIZES
def test_every_notice_has_room(broad_hall: Hall, size: dict[str, int], theme: str, subtests):
    """The running notice, in every language, beside the hint about the sound."""
    page = broad_hall.board("tong", size, theme)
    for texts in TEXTS:
        for key in NOTICES:
            with subtests.test(texts[key]):
                page.locator(".notice").evaluate("(notice, text) => { notice.textContent = text }", texts[key])
                assert cut_off(page) == []
                assert page.locator("footer").bounding_box()["height"] < size["height"] / 11


@SIZES
def test_closed_says_why(hall: Hall, size: dict[str, int], theme: str):
    """The supervisor's whole sentence stands on the board."""
    hall.issuing(is_open=False, text=WHY_CLOSED)
    page = hall.board("ba", size, theme)

    expect(page.locator(".stage")).to_contain_text("Đã ngừng phát số")
    expect(page.locator(".notice")).to_have_text(WHY_CLOSED)
    assert cut_off(page) == []
    assert violations(page) == []


def test_a_server_that_cannot_read_its_store_is_told_as_a_lost_link(hall: Hall):
    """Ticks with ``stale_since_ms``: since when, dimmed by a third; without it all is well again."""
    page = hall.board("ba")
    hall.press("q01", "open")
    hall.issue()
    hall.press("q01", "call-next")
    stale_since_s = int(time.time()) - 600
    trouble = {"is_there": True}

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def pass_on(message: str | bytes) -> None:
            frame: dict[str, Any] = msgpack.unpackb(message)
            if frame["type"] == "tick" and trouble["is_there"]:
                frame["stale_since_ms"] = stale_since_s * 1000
            socket.send(msgpack.packb(frame))

        server.on_message(pass_on)

    page.route_web_socket("**/stream", relay)
    page.reload()

    expect(page.get_by_text("Mất kết nối từ")).to_be_visible()
    since = datetime.fromtimestamp(stale_since_s, ZoneInfo("Asia/Ho_Chi_Minh"))
    expect(page.locator(".lost")).to_contain_text(f"Mất kết nối từ {since:%H:%M}")
    expect(page.locator(".stage .called")).to_have_text("A001")
    assert page.locator(".calls").evaluate("calls => getComputedStyle(calls).opacity") == "0.67"
    assert cut_off(page) == []
    trouble["is_there"] = False
    expect(page.get_by_text("Mất kết nối từ")).to_have_count(0)
    expect(page.get_by_text("kết nối lúc")).to_be_visible()


@SIZES
def test_names_as_long_as_may_be_have_their_place(long_hall: Hall, size: dict[str, int], theme: str):
    """Departments of 120 letters stand in the strip, whole."""
    long_hall.issue("kt")
    page = long_hall.board("tong", size, theme)
    expect(page.locator(".waiting li").first).to_be_visible()
    assert cut_off(page) == []


def test_a_screen_that_is_not_paired_says_so(hall: Hall):
    """No token, no view: a sentence with the code, never a blank page."""
    page = hall.page(f"/board/{hall.centre}/ba", BOARD_PX)
    expect(page.get_by_text("Màn hình này chưa được kết nối với trung tâm").first).to_be_visible()
    expect(page.get_by_text("Cần đăng nhập, hoặc ghép lại thiết bị. (SIGN_IN_REQUIRED)")).to_be_visible()
    assert cut_off(page) == []
