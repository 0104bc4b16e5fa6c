"""Everybody can use the pages: no serious violation of the accessibility rules, and long names stay inside."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from browser_world import Hall, violations


def overflow(page: Page) -> list[str]:
    """What sticks out: of the page to the side, or of a box that hides the rest of a line without saying so."""
    found: list[str] = page.evaluate(
        """() => {
          const wide = document.scrollingElement.scrollWidth > innerWidth ? ["the page"] : [];
          const outside = [...document.querySelectorAll("body *")].filter((one) => {
            const box = one.getBoundingClientRect();
            const says = box.width > 0 && one.children.length === 0 && one.textContent.trim();
            const leaves = box.right > innerWidth + 1 || box.left < -1;
            return says && leaves && !one.closest(".hidden-words, [aria-hidden], [data-may-drop]");
          });
          return [...wide, ...outside.map((one) => one.outerHTML.slice(0, 120))];
        }"""
    )
    return found


def console_at_work(hall: Hall) -> Page:
    hall.press("q01", "open")
    hall.issue(ground="elderly")
    hall.press("q01", "call-next")
    hall.issue()
    page = hall.console("q01")
    expect(page.locator(".hero")).to_be_visible()
    return page


def console_with_a_question(hall: Hall) -> Page:
    page = hall.console("q01")
    expect(page.locator(".hero")).to_be_visible()
    page.keyboard.press("F10")
    expect(page.get_by_role("dialog")).to_be_visible()
    return page


def console_seats(hall: Hall) -> Page:
    page = hall.page(f"/console/{hall.centre}", {"width": 1366, "height": 768})
    hall.sign_in(page, "q01")
    expect(page.get_by_text("Còn trống").first).to_be_visible()
    return page


def console_sign_in(hall: Hall) -> Page:
    page = hall.page(f"/console/{hall.centre}", {"width": 1366, "height": 768})
    expect(page.get_by_label("Tên đăng nhập")).to_be_visible()
    return page


def board(hall: Hall) -> Page:
    hall.press("q03", "open")
    hall.issue("kt")
    hall.press("q03", "call-next")
    page = hall.board("ba")
    expect(page.locator(".stage .called")).to_be_visible()
    return page


def kiosk(hall: Hall) -> Page:
    page = hall.kiosk()
    expect(page.locator(".departments button").first).to_be_visible()
    return page


def phone(hall: Hall) -> Page:
    page = hall.phone(hall.issue())
    expect(page.get_by_role("button", name="Bỏ số")).to_be_visible()
    return page


def phone_called(hall: Hall) -> Page:
    hall.press("q06", "open")
    page = hall.phone(hall.issue("cax"))
    expect(page.get_by_role("button", name="Bỏ số")).to_be_visible()
    hall.press("q06", "call-next")
    expect(page.get_by_text("Đến lượt bạn")).to_be_visible()
    return page


def start(hall: Hall) -> Page:
    page = hall.page("/", {"width": 1366, "height": 768})
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    return page


PAGES = [
    console_sign_in,
    console_seats,
    console_at_work,
    console_with_a_question,
    board,
    kiosk,
    phone,
    phone_called,
    start,
]


def test_no_page_shuts_anybody_out(hall, subtests):
    """Contrast, names, roles and order of every page, by the rules of axe."""
    for open_page in PAGES:
        page = open_page(hall)
        with subtests.test(open_page.__name__):
            assert [] == violations(page)
        page.context.close()


def test_long_names_stay_inside(long_hall, subtests):
    """Names of 120 characters break into lines or end in an ellipsis; nothing leaves the page, on a phone either."""
    for open_page in (console_seats, console_at_work, console_with_a_question, board, kiosk, phone, phone_called):
        page = open_page(long_hall)
        with subtests.test(open_page.__name__):
            assert [] == overflow(page)
        if open_page not in (board, kiosk):
            page.set_viewport_size({"width": 390, "height": 844})
            with subtests.test(f"{open_page.__name__}, narrow"):
                assert [] == overflow(page)
        page.context.close()
