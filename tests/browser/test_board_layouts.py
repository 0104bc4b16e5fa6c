"""The layouts of a board: what each says, large enough for its farthest reader, with nothing cut off."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from browser_world import BOARD_PX, Hall, cut_off, violations
from queue_service.legible import needed_mm

UPRIGHT_PX = {"width": 1080, "height": 1920}
LARGE_PX = {"width": 3840, "height": 2160}
SHAPES = [(BOARD_PX, "day"), (UPRIGHT_PX, "night"), (LARGE_PX, "night")]
TURNS_MS = 25_000
"""Two calls of the same instant have eight seconds each."""
SEATS = [("ba", 12), ("quay", 12), ("linh-vuc", 12), ("q01", 6)]
"""A board, and how far away its farthest reader sits."""


def a_busy_hall(hall: Hall) -> None:
    """Counter 1 calls A001, counter 3 serves B001, counter 6 is paused; another visitor waits."""
    for counter in ("q01", "q03", "q06"):
        hall.press(counter, "open")
    hall.issue("kt")
    hall.press("q03", "call-next")
    hall.press("q03", "start")
    hall.issue("tpht")
    hall.issue("tpht")
    hall.press("q06", "pause")
    hall.press("q01", "call-next")


def heights_mm(page: Page) -> list[float]:
    """What the set-up view says of the texts that must be read from afar."""
    rows = page.locator("aside tbody tr", has=page.locator("b")).all()
    return [float(re.sub(r"[^\d,]", "", row.locator("td").nth(1).inner_text()).replace(",", ".")) for row in rows]


def test_counters_stand_in_a_grid(hall: Hall, subtests):
    """Number, ticket and state of every counter of the zones, and a frame for whoever is being called."""
    a_busy_hall(hall)
    pages = [hall.board("quay", size, theme) for size, theme in SHAPES]
    hall.press("q01", "recall")
    for page, (size, _) in zip(pages, SHAPES, strict=True):
        with subtests.test(f"{size['width']} × {size['height']}"):
            expect(page.locator(".counters li.now .ticket")).to_have_text("A001", timeout=TURNS_MS)
            texts = [" ".join(cell.inner_text().split()) for cell in page.locator(".counters li").all()]
            assert texts == ["1 A001 Mời vào quầy", "3 B001 Đang phục vụ", "6 – Tạm dừng"]
            assert cut_off(page) == []
            assert violations(page) == []


def test_departments_stand_in_columns(hall: Hall, subtests):
    """Who waits, and whom the counters of each department call."""
    a_busy_hall(hall)
    pages = [hall.board("linh-vuc", size, theme) for size, theme in SHAPES]
    hall.press("q01", "recall")
    for page, (size, _) in zip(pages, SHAPES, strict=True):
        with subtests.test(f"{size['width']} × {size['height']}"):
            expect(page.locator("li.now .ticket")).to_have_text("A001", timeout=TURNS_MS)
            texts = [" ".join(column.inner_text().split()) for column in page.locator("article").all()]
            assert texts[0].startswith("A 1 đang chờ")
            assert "A001 1" in texts[0]
            assert "B001 3" in texts[1]
            assert texts[2].endswith("Chưa gọi số nào")
            assert cut_off(page) == []
            assert violations(page) == []


def test_a_desk_has_a_screen_of_its_own(hall: Hall):
    """Its number, whose turn it is, in the language of the ticket; when nobody is there, what is done here."""
    pages = [hall.board("q01", size, theme) for size, theme in SHAPES]
    for page in pages:
        expect(page.locator(".state")).to_contain_text("Đóng quầy")
        expect(page.locator(".services")).to_contain_text("Tư pháp, hộ tịch")
        assert cut_off(page) == []

    hall.press("q01", "open")
    hall.issue("tpht", language="en")
    hall.press("q01", "call-next")
    for page in pages:
        expect(page.locator(".ticket")).to_have_text("A001")
        expect(page.locator(".desk")).to_contain_text("Counter")
        expect(page.locator(".state")).to_have_text(re.compile(r"^\s*Please come to the counter\s*Mời vào quầy\s*$"))
        assert cut_off(page) == []
        assert violations(page) == []

    hall.press("q01", "start")
    for page in pages:
        expect(page.locator(".state")).to_contain_text("Now serving")
        assert cut_off(page) == []
    hall.press("q01", "complete")
    expect(pages[0].locator(".services")).to_be_visible()


def test_another_counter_is_no_matter_of_a_desk(hall: Hall):
    """The screen above counter 1 stays as it is when counter 3 calls."""
    page = hall.board("q01")
    hall.press("q03", "open")
    hall.issue("kt")
    hall.press("q03", "call-next")
    hall.press("q01", "open")

    expect(page.locator(".state")).to_contain_text("Đang mở")
    expect(page.locator("[data-call]")).to_have_count(0)


def test_every_layout_is_read_from_its_farthest_seat(hall: Hall, subtests):
    """The page measures itself: a two-hundredth of the distance for whatever must be read from afar."""
    a_busy_hall(hall)
    for board, metres in SEATS:
        for size, theme in SHAPES:
            with subtests.test(f"{board} at {size['width']} × {size['height']}"):
                page = hall.board(board, size, theme, words="setup")
                expect(page.get_by_text("Kiểm tra lắp đặt")).to_be_visible()
                measured = heights_mm(page)
                assert measured
                assert min(measured) >= needed_mm(metres) - 0.2


def test_names_as_long_as_may_be_have_their_column(long_hall: Hall):
    """A department of 120 letters ends in an ellipsis; nothing runs into its neighbour."""
    page = long_hall.board("linh-vuc")
    expect(page.locator("article").first).to_be_visible()
    assert cut_off(page) == []


def test_what_has_no_room_comes_on_pages_and_a_call_turns_to_its_own(broad_hall: Hall):
    """Twenty departments: page after page; whoever is being called is seen at once."""
    page = broad_hall.board("linh-vuc")
    pages = page.locator("p.page")
    expect(pages).to_have_text(re.compile(r"^\d / \d$"))
    centre = broad_hall.house.call("GET", f"/centres/{broad_hall.centre}")
    last = centre["departments"][-1]
    broad_hall.press("q01", "open", take_over=True)

    ticket = broad_hall.issue(last["id"])
    broad_hall.press("q01", "call", ticket=ticket["number"])

    expect(page.locator("li.now .ticket")).to_have_text(ticket["number"])
    expect(page.locator("article", has=page.locator("li.now")).locator(".letter")).to_have_text(last["letter"])
    assert cut_off(page) == []


def test_a_call_alone_has_the_whole_stage(hall: Hall, subtests):
    """The first call of the day is larger than one among others, and so is who waits; the second call gives way."""
    pages = [hall.board("ba", size, theme) for size, theme in SHAPES]
    for page in pages:
        expect(page.locator(".stage")).to_contain_text("Xin chờ gọi số")
        assert cut_off(page) == []
    hall.press("q01", "open")
    for _ in range(2):
        hall.issue("tpht")
    hall.press("q01", "call-next")
    alone = []
    for page, (size, _) in zip(pages, SHAPES, strict=True):
        with subtests.test(f"{size['width']} × {size['height']}"):
            expect(page.locator(".stage .called")).to_have_text("A001")
            assert cut_off(page) == []
            assert violations(page) == []
            alone.append(number_px(page))

    hall.press("q03", "open")
    hall.issue("kt")
    hall.press("q03", "call-next")
    for page, largest in zip(pages, alone, strict=True):
        expect(page.locator(".last li")).to_have_count(1, timeout=TURNS_MS)
        assert number_px(page) * 1.2 < largest
        assert cut_off(page) == []


def number_px(page: Page) -> float:
    """Font size of the number on the stage."""
    return float(page.locator(".stage .called").evaluate("(number) => parseFloat(getComputedStyle(number).fontSize)"))
