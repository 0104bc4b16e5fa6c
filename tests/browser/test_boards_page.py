"""The page about boards and loudspeakers: how they are doing, and another way for a board that is seen before it is."""

from __future__ import annotations

import re
import struct
import zlib

import pytest
from playwright.sync_api import Page, expect

from browser_world import CONSOLE_PX, PHONE_PX, Hall, cut_off, violations

TOLD_MS = 12_000
"""How boards are doing is noted every six seconds and read every three."""


def a_picture() -> bytes:
    """One dark red pixel as PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\x00\x8a\x0f\x14")) + chunk(b"IEND", b"")


def bring(room: Page) -> None:
    """Bring a picture, which is then chosen."""
    room.get_by_label("Tải ảnh hoặc phim lên").set_input_files(
        {"name": "ảnh.png", "mimeType": "image/png", "buffer": a_picture()}
    )
    expect(room.get_by_text("Đã tải lên và chọn cho bảng này")).to_be_visible()


@pytest.fixture
def room(hall: Hall) -> Page:
    """The page with a supervisor signed in."""
    page = hall.page(f"/boards/{hall.centre}?board=ba", CONSOLE_PX)
    person = next(one for one in hall._sign_ins["staff"] if "supervisor" in one["roles"])
    page.get_by_label("Tên đăng nhập").fill(person["name"])
    page.get_by_label("Mật khẩu").fill(person["password"])
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Danh sách bảng")).to_be_visible()
    return page


def preview(page: Page) -> str:
    """The layout that the preview draws."""
    layout = page.locator("[data-preview]").get_attribute("data-preview")
    assert layout is not None
    return layout


def test_a_change_is_seen_before_it_is_saved_and_then_on_every_screen(hall: Hall, room: Page):
    """By keyboard: another layout and theme in the preview, nothing on the wall; saved, and two screens have it."""
    hall.press("q01", "open")
    hall.issue("tpht")
    hall.press("q01", "call-next")
    walls = [
        hall.page(f"/board/{hall.centre}/ba?mute#token={hall._device('boards', 'ba')}", CONSOLE_PX) for _ in range(2)
    ]
    for wall in walls:
        expect(wall.locator(".stage .called")).to_have_text("A001")
    expect(room.locator("[data-preview] .called")).to_have_text("A001")

    room.get_by_label("Bố cục").focus()
    room.keyboard.type("Lưới")
    room.get_by_label("Màu nền").select_option("night")
    expect(room.locator("[data-preview=counters] .ticket").first).to_have_text("A001")
    expect(room.locator("[data-preview] [data-theme=night]")).to_be_visible()
    expect(room.get_by_text("Xem trước: sau khi lưu")).to_be_visible()
    room.get_by_role("button", name="Như đang chiếu").focus()
    room.keyboard.press("Enter")
    assert preview(room) == "calls"
    for wall in walls:
        expect(wall.locator(".counters")).to_have_count(0)

    room.get_by_role("button", name="Lưu và chiếu ngay").focus()
    room.keyboard.press("Enter")
    expect(room.get_by_text("Mọi màn hình của bảng đã đổi")).to_be_visible()
    for wall in walls:
        expect(wall.locator(".counters .ticket").first).to_have_text("A001")
        expect(wall.locator("html")).to_have_attribute("data-theme", "night")
    assert preview(room) == "counters"
    expect(room.get_by_text("Xem trước: đang chiếu")).to_be_visible()

    room.get_by_role("button", name="Về như tệp cấu hình").focus()
    room.keyboard.press("Enter")
    for wall in walls:
        expect(wall.locator(".stage .called")).to_have_text("A001")


def test_how_boards_are_doing_is_told(hall: Hall, room: Page):
    """A screen that is there and has confirmed a call; a board that nobody has connected."""
    hall.press("q01", "open")
    hall.board("ba")
    hall.issue("tpht")
    hall.press("q01", "call-next")

    row = room.get_by_role("row", name=re.compile("Bảng"))
    connected = row.filter(has_text="Đang nối")
    expect(connected).to_contain_text("1 màn hình", timeout=TOLD_MS)
    expect(connected).to_contain_text(re.compile(r"\d\d:\d\d:\d\d\s*sau [\d,]+ giây"), timeout=TOLD_MS)
    expect(connected).to_contain_text("mới nhất")
    expect(row.filter(has_text="Hôm nay chưa nối").first).to_be_visible()


def test_a_notice_and_a_picture_are_brought_and_stand_in_the_audit(hall: Hall, room: Page):
    """The notice on the preview's foot, the picture chosen; the audit says both in words."""
    room.get_by_role("button", name="Thêm thông báo").click()
    room.get_by_label("Thông báo 1, tiếng Việt").fill("Chiều nay nghỉ.")
    bring(room)
    expect(room.get_by_role("checkbox", name="Ảnh 1")).to_be_checked()
    room.get_by_role("button", name="Lưu và chiếu ngay").click()
    expect(room.get_by_text("Mọi màn hình của bảng đã đổi")).to_be_visible()
    expect(room.get_by_role("row", name="Bảng khu A")).to_contain_text("1 thông báo · 1 ảnh, phim")

    room.goto(f"{hall.base}/admin/{hall.centre}?tab=audit&action=change-board")
    expect(room.get_by_role("row", name="Đổi bảng")).to_contain_text("thông báo: 1")
    room.goto(f"{hall.base}/admin/{hall.centre}?tab=audit&action=bring-media")
    expect(room.get_by_role("row", name="Tải ảnh, phim")).to_be_visible()


def test_a_picture_is_removed_after_a_question(hall: Hall, room: Page):
    """By keyboard: kept when the answer is no, and while a board shows it; then gone, and in the audit."""
    bring(room)
    expect(room.get_by_role("checkbox", name="Ảnh 1")).to_be_checked()
    remove = room.get_by_role("button", name="Xóa ảnh 1")
    remove.focus()
    room.keyboard.press("Enter")
    question = room.get_by_role("dialog", name="Xóa ảnh 1?")
    expect(question.get_by_role("button", name="Giữ lại")).to_be_focused()
    assert cut_off(room) == []
    assert violations(room) == []
    room.keyboard.press("Enter")
    expect(question).to_have_count(0)
    expect(remove).to_be_focused()

    room.get_by_role("button", name="Lưu và chiếu ngay").click()
    expect(room.get_by_text("Đang dùng ở Bảng khu A")).to_be_visible()
    expect(remove).to_have_count(0)
    room.get_by_role("checkbox", name="Ảnh 1").uncheck()
    room.get_by_role("button", name="Lưu và chiếu ngay").click()
    remove.click()
    question.get_by_role("button", name="Xóa").click()

    expect(room.get_by_text("Đã xóa.")).to_be_visible()
    expect(room.get_by_role("checkbox", name="Ảnh 1")).to_have_count(0)
    room.goto(f"{hall.base}/admin/{hall.centre}?tab=audit&action=remove-media")
    expect(room.get_by_role("row", name="Xóa ảnh, phim")).to_be_visible()


def test_the_page_is_for_everybody_who_may_use_it(hall: Hall, room: Page):
    """Nothing cut off and nobody shut out, on a desk and on a phone, in both languages; found from the other pages."""
    assert violations(room) == []
    assert cut_off(room) == []
    room.get_by_role("button", name="English").click()
    expect(room.get_by_role("button", name="Save and show now")).to_be_visible()
    room.set_viewport_size(PHONE_PX)  # type: ignore[arg-type]
    expect(room.locator("[data-preview]")).to_be_visible()
    assert cut_off(room) == []
    assert violations(room) == []

    room.goto(f"{hall.base}/supervisor/{hall.centre}")
    room.get_by_role("link", name="Bảng và loa").click()
    expect(room.get_by_role("heading", name="Bảng và loa")).to_be_visible()
