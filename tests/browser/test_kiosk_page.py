"""The kiosk: every page whole at every size and in both languages, and no press lost or done twice."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route, expect

from browser_world import KIOSK_PX, Hall, cut_off, violations

WIDE_PX = {"width": 1920, "height": 1080}
SMALL_PX = {"width": 640, "height": 1136}
LEAST_TARGET_PX = 64
SETTLED_MS = 450
"""A tap so soon after a page changed is meant for the page before."""
WHY_CLOSED = "Hệ thống cấp điện của tòa nhà đang được sửa chữa. Xin gặp cán bộ tại bàn hướng dẫn ở sảnh chính."


def tap(kiosk: Page, where: str, nth: int = 0) -> None:
    """Touch a button once the page has settled."""
    kiosk.wait_for_timeout(SETTLED_MS)
    kiosk.locator(where).nth(nth).click()


def faults(kiosk: Page) -> list[str]:
    """What is cut off, and what is too small for a finger."""
    heights: dict[str, float] = kiosk.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("button")]
            .filter((one) => one.getBoundingClientRect().height && getComputedStyle(one).visibility !== "hidden")
            .map((one) => [one.textContent.trim(), one.getBoundingClientRect().height]))"""
    )
    small = [f"{name} is {height} px high" for name, height in heights.items() if height < LEAST_TARGET_PX - 0.5]
    return cut_off(kiosk) + small


@pytest.mark.parametrize("language", ["vi", "en"])
@pytest.mark.parametrize("size", [KIOSK_PX, WIDE_PX, SMALL_PX], ids=["upright", "wide", "small"])
def test_the_way_from_department_to_papers_to_number(broad_hall: Hall, size: dict[str, int], language: str, subtests):
    """Home, department, field, procedure, papers, number; low reach on the fullest pages; search. All of it whole."""
    kiosk = broad_hall.kiosk(size)
    expect(kiosk.locator(".departments button").first).to_be_visible()

    def look(page: str) -> None:
        with subtests.test(page):
            expect(kiosk.locator("html")).to_have_attribute("lang", language)
            expect(kiosk.locator("footer button[lang]")).to_be_visible()
            assert faults(kiosk) == []
            if size is KIOSK_PX:
                assert violations(kiosk) == []

    if language == "en":
        tap(kiosk, "footer button[lang]")
    look("home")
    tap(kiosk, "footer [aria-pressed]")
    look("home, low")
    tap(kiosk, "footer [aria-pressed]")
    tap(kiosk, ".departments button", 2)
    expect(kiosk.locator(".commonest button").first).to_be_visible()
    look("department")
    tap(kiosk, ".ways button", 1)
    expect(kiosk.locator(".choices li button").first).to_be_visible()
    look("fields")
    tap(kiosk, ".choices li button")
    expect(kiosk.locator(".total")).to_be_visible()
    look("field")
    tap(kiosk, ".choices li button")
    expect(kiosk.locator(".papers dl")).to_be_visible()
    look("procedure")
    tap(kiosk, "footer [aria-pressed]")
    look("procedure, low")
    tap(kiosk, ".take .primary")
    expect(kiosk.locator(".ticket .big")).to_be_visible()
    look("ticket")


@pytest.mark.parametrize("size", [KIOSK_PX, WIDE_PX, SMALL_PX], ids=["upright", "wide", "small"])
def test_search_finds_without_accents(broad_hall: Hall, size: dict[str, int]):
    """A few letters on the kiosk's own keys, also at low reach."""
    kiosk = broad_hall.kiosk(size)
    tap(kiosk, ".home .ways button", 1)
    kiosk.wait_for_timeout(SETTLED_MS)
    for key in ("d", "a", "t", "Dấu cách", "d", "a", "i"):
        kiosk.get_by_role("button", name=key, exact=True).click()

    expect(kiosk.locator(".found .procedure").first).to_contain_text("đất đai", ignore_case=True)
    assert faults(kiosk) == []
    tap(kiosk, "footer [aria-pressed]")
    assert faults(kiosk) == []


def test_the_longest_name_of_the_law_can_be_read_to_its_end(broad_hall: Hall):
    """A thousand letters: what does not fit is turned to with two large buttons."""
    kiosk = broad_hall.kiosk(SMALL_PX)
    tap(kiosk, ".home .ways button", 1)
    kiosk.locator("input").fill("1.013980")
    expect(kiosk.locator(".found .choices li button")).to_have_count(1)
    tap(kiosk, ".found .choices li button")
    expect(kiosk.locator("h2.long")).to_be_visible()

    assert faults(kiosk) == []
    down = kiosk.get_by_role("button", name="Đọc tiếp")
    while down.is_enabled():
        down.click()
        kiosk.wait_for_timeout(SETTLED_MS)
    expect(kiosk.locator(".papers > :last-child")).to_be_in_viewport()


def test_low_reach_moves_what_is_touched_down(hall: Hall):
    """Nothing to touch in the upper third."""
    kiosk = hall.kiosk()
    expect(kiosk.locator(".departments button").first).to_be_visible()
    tap(kiosk, "footer [aria-pressed]")

    tops = [button.bounding_box()["y"] for button in kiosk.locator("main button").all()]
    assert min(tops) > KIOSK_PX["height"] / 3


@pytest.mark.parametrize("size", [KIOSK_PX, WIDE_PX, SMALL_PX], ids=["upright", "wide", "small"])
def test_closed_says_why_and_papers_can_still_be_read(broad_hall: Hall, size: dict[str, int]):
    """Switched off by a supervisor while somebody stands there; switched on again the page opens by itself."""
    kiosk = broad_hall.kiosk(size)
    expect(kiosk.locator(".departments button").first).to_be_visible()
    broad_hall.issuing(is_open=False, text=WHY_CLOSED)
    try:
        expect(kiosk.get_by_role("heading", name="Hiện chưa phát số")).to_be_visible()
        expect(kiosk.get_by_text(WHY_CLOSED)).to_be_visible()
        assert faults(kiosk) == []
        assert violations(kiosk) == []
        tap(kiosk, ".closed .ways button", 1)
        expect(kiosk.locator(".choices li button").first).to_be_visible()
        tap(kiosk, ".choices li button")
        tap(kiosk, ".choices li button")
        expect(kiosk.locator(".papers dl")).to_be_visible()
        expect(kiosk.locator(".take")).to_have_count(0)
    finally:
        broad_hall.issuing(is_open=True)
    tap(kiosk, "footer button", 1)
    expect(kiosk.locator(".departments button").first).to_be_visible()


def test_out_of_hours_it_says_when_numbers_are_given_again(hall: Hall):
    """A centre that keeps its hours, at an hour without any."""

    def with_hours(route: Route) -> None:
        answer = route.fetch()
        centre = answer.json()
        centre["policy"] = {"enforce_hours": True}
        centre["hours"]["days"] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        centre["hours"]["ticket_sessions"] = [{"from": "00:00", "to": "00:00"}]
        route.fulfill(response=answer, body=json.dumps(centre))

    kiosk = hall.kiosk()
    kiosk.route(f"**/centres/{hall.centre}", with_hours)
    kiosk.reload()

    expect(kiosk.get_by_role("heading", name="Hiện chưa phát số")).to_be_visible()
    expect(kiosk.get_by_text("Phát số lại lúc 00:00")).to_be_visible()
    assert faults(kiosk) == []


def test_a_lost_answer_is_asked_for_again_and_gives_one_number(hall: Hall):
    """The press arrives, its answer does not: the same key again, the same number."""
    kiosk = hall.kiosk()
    keys: list[str | None] = []

    def lose(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) > 2:
            return route.continue_()
        route.fetch()
        return route.abort()

    kiosk.route("**/tickets", lose)
    tap(kiosk, ".departments button")
    tap(kiosk, ".take .primary")

    expect(kiosk.get_by_text("Đường truyền chậm")).to_be_visible()
    assert faults(kiosk) == []
    expect(kiosk.locator(".ticket .big")).to_have_text("A001")
    assert len(keys) > 2
    assert len(set(keys)) == 1
    assert hall.issue()["number"] == "A002"


def test_a_number_that_came_too_late_is_taken_back(hall: Hall):
    """Nobody answers, the visitor gives up: the number that was given all the same does not wait for anybody."""
    kiosk = hall.kiosk()
    expect(kiosk.locator(".departments button").first).to_be_visible()

    def lose(route: Route) -> None:
        route.fetch()
        route.abort()

    kiosk.route("**/tickets", lose)
    tap(kiosk, ".departments button")
    tap(kiosk, ".take .primary")
    expect(kiosk.get_by_text("Chưa lấy được số")).to_be_visible(timeout=25_000)
    assert faults(kiosk) == []
    assert violations(kiosk) == []
    kiosk.unroute("**/tickets")
    kiosk.get_by_role("alertdialog").get_by_role("button", name="Làm lại từ đầu").click()

    board = hall.board("ba")
    expect(board.locator(".waiting li", has_text="Tư pháp")).to_have_text("A Tư pháp, hộ tịch 0")


def test_without_a_link_it_says_since_when(hall: Hall):
    """And counts of people waiting are not shown while nobody knows them."""
    kiosk = hall.kiosk()
    expect(kiosk.locator(".departments .waiting").first).to_be_visible()
    kiosk.route_web_socket("**/stream", lambda socket: socket.close())
    kiosk.reload()

    expect(kiosk.get_by_text("Mất kết nối từ")).to_be_visible()
    expect(kiosk.locator(".departments .waiting")).to_have_count(0)
    assert faults(kiosk) == []
    assert violations(kiosk) == []


def test_lists_come_when_the_service_has_time_again(broad_hall: Hall):
    """A list that is refused because of a crowd is asked for again."""
    kiosk = broad_hall.kiosk()
    asked: list[str] = []

    def busy_at_first(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            return route.continue_()
        return route.fulfill(status=429, headers={"Retry-After": "1"}, body="{}")

    kiosk.route("**/fields**", busy_at_first)
    tap(kiosk, ".departments button", 2)
    tap(kiosk, ".ways button", 1)

    expect(kiosk.get_by_text("Chưa đọc được danh mục")).to_be_visible()
    expect(kiosk.locator(".choices li button").first).to_be_visible()


def test_whoever_leaves_leaves_nothing_behind(hall: Hall):
    """After a while it asks, and then goes back to Vietnamese, to the first page, at normal reach."""
    kiosk = hall.kiosk()
    kiosk.clock.install()
    kiosk.reload()
    expect(kiosk.locator(".departments button").first).to_be_visible()
    for where in ("footer [aria-pressed]", "footer button[lang]", ".departments button"):
        kiosk.clock.run_for(500)
        kiosk.locator(where).first.click()
    expect(kiosk.get_by_text("Take a number now")).to_be_visible()

    kiosk.clock.run_for(46_000)
    expect(kiosk.get_by_text("Are you still there?")).to_be_visible()
    assert cut_off(kiosk) == []
    kiosk.clock.run_for(16_000)

    expect(kiosk.get_by_role("heading", name="Quý vị đến làm việc gì?")).to_be_visible()
    expect(kiosk.locator("html")).to_have_attribute("lang", "vi")
    expect(kiosk.locator("footer [aria-pressed]")).to_have_attribute("aria-pressed", "false")


def test_phones_are_sent_to_the_public_address(hall: Hall):
    """The code on screen and slip is another one when the service has another public address."""

    def code_of(kiosk: Page) -> str:
        tap(kiosk, ".departments button")
        tap(kiosk, ".take .primary")
        path = kiosk.locator(".follow svg path").get_attribute("d")
        assert kiosk.locator(".slip svg path").get_attribute("d") == path
        return path or ""

    def with_address(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(
            response=answer, body=json.dumps({**answer.json(), "public_url": f"https://{'s' * 80}.example.vn"})
        )

    near, far = hall.kiosk(), hall.kiosk()
    far.route(f"**/centres/{hall.centre}", with_address)
    far.reload()
    expect(far.locator(".departments button").first).to_be_visible()

    assert len(code_of(far)) > 1.3 * len(code_of(near))  # a longer address needs a larger code
