"""The service is killed in the middle of the day and comes back: pages say so, mend themselves, and nothing is lost."""

from __future__ import annotations

from playwright.sync_api import Request, expect


def test_everybody_comes_back_after_a_kill(hall):
    """Board and console say since when; the console keeps its press and repeats it with the same key; all catch up."""
    board, console, phone = hall.board("ba"), hall.console("q01"), hall.phone(hall.issue())
    expect(phone.get_by_text("Bạn là người kế tiếp")).to_be_visible()
    hall.issue()
    console.keyboard.press("Enter")
    expect(board.locator(".stage .called")).to_have_text("A001")
    expect(phone.get_by_text("Đến lượt bạn")).to_be_visible()
    keys: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/start"):
            keys.append(request.headers["idempotency-key"])

    console.on("request", note)

    hall.house.kill()
    console.wait_for_timeout(700)
    console.keyboard.press("Enter")
    expect(console.get_by_text("“Bắt đầu phục vụ” được giữ")).to_be_visible()
    expect(console.get_by_text("Mất kết nối từ")).to_be_visible()
    expect(board.get_by_text("Mất kết nối từ")).to_be_visible()
    expect(board.locator(".stage .called")).to_have_text("A001")
    lost, stage = board.locator(".lost").bounding_box(), board.locator(".stage").bounding_box()
    assert lost is not None
    assert stage is not None
    assert lost["y"] + lost["height"] <= stage["y"]  # it covers nothing that is called, and nobody who waits
    hall.house.start()
    phone.evaluate("dispatchEvent(new Event('online'))")  # as a network that is back tells it; a board needs no word

    expect(board.get_by_text("Mất kết nối từ")).to_have_count(0, timeout=7_000)  # five, and the way
    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible(timeout=15_000)
    expect(console.get_by_text("Mất kết nối từ")).to_have_count(0, timeout=20_000)
    expect(phone.get_by_text("Đang phục vụ tại quầy 1")).to_be_visible(timeout=20_000)
    assert len(keys) >= 2
    assert 1 == len(set(keys))
    hall.press("q03", "open")
    hall.issue("kt")
    hall.press("q03", "call-next")
    expect(board.locator(".stage .called")).to_have_text("B001", timeout=15_000)
