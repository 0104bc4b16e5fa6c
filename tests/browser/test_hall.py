"""One call through the whole hall: kiosk, counter, boards, phone."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from browser_world import HOSTILE_NAMES, Hall, cut_off, violations


def test_a_number_goes_from_the_kiosk_over_the_counter_to_the_board(hall):
    """Two touches take a number, one key calls it, and the board says where to go."""
    board = hall.board("ba")
    kiosk = hall.kiosk()
    kiosk.get_by_role("button", name="Tư pháp, hộ tịch").click()
    kiosk.wait_for_timeout(500)  # a tap so soon after a page changed is meant for the page before
    kiosk.get_by_role("button", name="Lấy số ngay").click()
    expect(kiosk.get_by_text("A001").first).to_be_visible()

    console = hall.console("q01")
    console.keyboard.press("Enter")

    expect(console.locator(".hero")).to_have_text("A001")
    expect(board.locator(".stage .called")).to_have_text("A001")
    expect(board.locator(".stage .big").last).to_have_text("1")
    expect(console.get_by_text("đã hiện trên 1/1 bảng")).to_be_visible()


def test_names_are_text_whatever_stands_in_them(hostile_hall: Hall):
    """Markup, right-to-left letters, a word of 120 letters: as written on board, kiosk and console, all in place."""
    hall = hostile_hall
    for service in HOSTILE_NAMES:
        hall.issue(service)
    hall.press("q01", "open")
    hall.press("q01", "call-next")
    board, kiosk, console = hall.board("ba"), hall.kiosk(), hall.console("q01")

    for page, names in ((board, [*HOSTILE_NAMES]), (kiosk, [*HOSTILE_NAMES]), (console, ["tpht"])):
        for name in names:
            expect(page.get_by_text(HOSTILE_NAMES[name], exact=True).first).to_be_visible()
        expect(page.locator("img[src=x], script:not([src]), [onmouseover], [href^=javascript]")).to_have_count(0)
        assert page.evaluate("window.ran") is None
        assert cut_off(page) == []


def test_two_boards_are_alike(hall):
    """A board that was there all along and one that came late show the same calls and the same numbers of waiting."""

    def calls(board: Page) -> list[str]:
        rows = [row.inner_text().split() for row in board.locator(".last li").all()]
        return sorted([" ".join(board.locator(".stage .big").all_inner_texts()), *(" ".join(row) for row in rows)])

    early = hall.board("ba")
    for counter, service in (("q01", "tpht"), ("q03", "kt"), ("q06", "cax")):
        hall.issue(service)
        hall.issue(service)
        hall.press(counter, "open")
        hall.press(counter, "call-next")
    late = hall.board("tong")

    for board in (early, late):
        expect(board.locator(".last li")).to_have_count(2)
        assert ["A001 1", "B001 3", "D001 6"] == calls(board)
    assert early.locator(".waiting").inner_text() == late.locator(".waiting").inner_text()


def test_the_phone_turns_when_its_number_is_called(hall):
    """The place in line first; then the whole screen is the counter."""
    hall.press("q06", "open")
    before, mine = hall.issue("cax"), hall.issue("cax")
    phone = hall.phone(mine)
    expect(phone.get_by_role("heading", name=mine["number"])).to_be_visible()
    expect(phone.get_by_text("Còn 1 người trước bạn")).to_be_visible()

    hall.press("q06", "call", ticket=before["number"])
    hall.press("q06", "complete")
    expect(phone.get_by_text("Bạn là người kế tiếp")).to_be_visible(timeout=12_000)
    hall.press("q06", "call-next")

    expect(phone.get_by_text("Đến lượt bạn")).to_be_visible()
    expect(phone.get_by_role("heading")).to_have_text("Quầy 6")
    expect(phone).to_have_title("Đến lượt bạn — quầy 6")
    hall.press("q06", "start")
    expect(phone.get_by_text("Đang phục vụ tại quầy 6")).to_be_visible()
    hall.press("q06", "complete")
    expect(phone.get_by_text("Đã xong")).to_be_visible()


def test_the_phone_gives_the_place_up_after_asking_once(hall):
    """One question, then the number is free for others."""
    phone = hall.phone(hall.issue())
    phone.get_by_role("button", name="Bỏ số").click()
    expect(phone.get_by_text("Bỏ số này?")).to_be_visible()
    phone.get_by_role("button", name="Bỏ số").click()

    expect(phone.get_by_text("Số này đã hủy")).to_be_visible()


def test_the_phone_keeps_its_last_state_without_a_network(hall):
    """Offline it says since when, and what it knew stays."""
    phone = hall.phone(hall.issue())
    expect(phone.get_by_text("Bạn là người kế tiếp")).to_be_visible()

    phone.context.set_offline(True)

    expect(phone.get_by_text("Mất mạng — tình trạng lúc")).to_be_visible()
    expect(phone.get_by_text("Bạn là người kế tiếp")).to_be_visible()


def test_the_phone_page_is_light(hall):
    """Scripts, styles and fonts of the phone page are 60 kB on the wire at most."""
    phone = hall.page("/", {"width": 390, "height": 844})
    meter = phone.context.new_cdp_session(phone)
    meter.send("Network.enable")
    received = []
    meter.on("Network.loadingFinished", lambda told: received.append(told["encodedDataLength"]))
    assets = []
    phone.on("response", lambda answer: assets.append(answer.url) if "/assets/" in answer.url else None)
    phone.goto("about:blank")
    received.clear()
    assets.clear()
    phone.goto(f"{hall.house.base}/t/{hall.centre}/{hall.issue()['id']}")
    expect(phone.get_by_text("Bạn là người kế tiếp")).to_be_visible()
    phone.evaluate("document.fonts.ready.then(() => true)")

    assert assets
    assert sum(received) < 60 * 1024


def test_the_phone_says_that_the_call_was_missed_and_what_to_do(hall):
    """Absent once: the ticket waits again. Absent again: a sentence that sends to the desk, until somebody calls it."""
    ticket = hall.issue("cax")
    phone = hall.phone(ticket)
    hall.press("q06", "open")
    for says in ("Bạn là người kế tiếp", "Bạn đã lỡ lượt gọi"):
        hall.press("q06", "call", ticket=ticket["number"])
        expect(phone.get_by_text("Đến lượt bạn")).to_be_visible()
        for _ in range(2):
            hall.press("q06", "recall")
        expect(phone.get_by_text("Đã mời 3 lần")).to_be_visible()
        hall.press("q06", "no-show")
        expect(phone.get_by_text(says)).to_be_visible()

    expect(phone.get_by_text("Xin đến bàn hướng dẫn. Không cần lấy số mới.")).to_be_visible()
    expect(phone.locator("button")).to_have_count(0)
    assert cut_off(phone) == []
    assert violations(phone) == []
    hall.press("q06", "call", ticket=ticket["number"])
    expect(phone.get_by_text("Đến lượt bạn")).to_be_visible()


def test_the_phone_says_why_a_number_is_kept(hall):
    """Set aside: the officer's reason, and that the same counter goes on."""
    ticket = hall.issue("cax")
    phone = hall.phone(ticket)
    hall.press("q06", "open")
    hall.press("q06", "call-next")
    hall.press("q06", "park", reason="Bổ sung bản sao giấy khai sinh.")

    expect(phone.get_by_text("Số của bạn đang được giữ")).to_be_visible()
    expect(phone.get_by_text("Bổ sung bản sao giấy khai sinh. Khi xong, mời bạn trở lại quầy đã gọi.")).to_be_visible()
    assert cut_off(phone) == []
