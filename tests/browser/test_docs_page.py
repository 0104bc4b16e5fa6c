"""The reader of the API: everything the document says, found, and nothing from elsewhere."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from browser_world import PHONE_PX, Hall, cut_off, violations

WIDE_PX = {"width": 1366, "height": 768}


def opened(hall: Hall, size: dict[str, int]) -> Page:
    """The page, with everything on it."""
    page = hall.page("/docs", size)
    expect(page.locator("#issue_ticket")).to_be_attached()
    return page


def test_every_operation_stands_there_with_a_line_to_try(hall: Hall):
    """One article each, with its roles, refusals and an address of this installation."""
    page = opened(hall, WIDE_PX)
    document = page.evaluate("fetch('/openapi.json').then((answer) => answer.json())")
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]

    expect(page.locator("article:not(.type)")).to_have_count(len(operations))
    assert {page.locator(f"#{one['operationId']} h3").inner_text() for one in operations} == {
        one["summary"] for one in operations
    }
    issue = page.locator("#issue_ticket")
    expect(issue).to_contain_text("kiosk")
    first = hall.house.call("GET", "/centres")["centres"][0]["id"]
    expect(issue.locator("pre")).to_contain_text(f"'{hall.house.base}/api/v1/centres/{first}/tickets'")
    expect(issue.locator("pre")).to_contain_text('"Idempotency-Key: $(uuidgen)"')
    issue.locator("summary").click()
    expect(issue.get_by_text("ISSUING_CLOSED")).to_be_visible()


def test_operations_are_found_by_a_code_of_refusal(hall: Hall):
    """What may answer NUMBERS_EXHAUSTED? Only what hands out numbers."""
    page = opened(hall, WIDE_PX)
    page.get_by_role("searchbox").fill("numbers_exhausted")

    expect(page.locator("#issue_ticket")).to_be_visible()
    expect(page.locator("#read_centre")).to_have_count(0)
    page.get_by_role("searchbox").fill("gibt es nicht")
    expect(page.get_by_text("Không có thao tác nào khớp")).to_be_visible()


def test_it_is_for_everybody_and_fits_a_phone(hall: Hall):
    """No serious violation, nothing beside the screen, both languages."""
    page = opened(hall, WIDE_PX)
    assert violations(page) == []
    for size in (WIDE_PX, PHONE_PX):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        assert cut_off(page) == []
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Programming interface")
    assert cut_off(page) == []


def test_nothing_is_fetched_from_elsewhere(hall: Hall):
    """Under the strict content policy the page asks this service alone, and the browser has nothing to complain of."""
    page = hall.page("/", WIDE_PX)
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(f"{hall.house.base}/docs")
    expect(page.locator("#issue_ticket")).to_be_attached()

    assert asked
    assert [url for url in asked if not url.startswith(hall.house.base)] == []
    assert complaints == []
