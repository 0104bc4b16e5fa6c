"""Looking up a dossier: by the link of its slip, by a scanner that types it, and by hand with the code alone."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from browser_world import PHONE_PX, Hall, cut_off, violations

PROCEDURE = "1.011444"


def a_dossier(hall: Hall) -> dict[str, Any]:
    """The slip of a dossier that waits for a paper."""
    body = {"procedure": PROCEDURE, "applicant": {"name": "Nguyễn Văn Thử"}}
    slip: dict[str, Any] = hall.dossier("", body)["slip"]
    missing = {"paper": "Bản vẽ", "reason": "chưa ký", "how": "ký và nộp lại"}
    hall.dossier(f"/{slip['code']}/supplement", {"missing": [missing]})
    return slip


def test_the_link_of_a_slip_shows_everything_and_leaves_no_secret(broad_hall: Hall):
    """Whole progress at once; the address bar forgets the secret; fits a phone, both languages, nobody shut out."""
    slip = a_dossier(broad_hall)
    page = broad_hall.page("/track#" + slip["payload"].partition("#")[2], PHONE_PX)

    expect(page.locator(".state")).to_have_text("Chờ bổ sung giấy tờ")
    expect(page.locator("li")).to_have_count(2)
    expect(page.locator("section")).to_contain_text("Bản vẽ: chưa ký")
    expect(page.locator("section")).to_contain_text("N••• V••• T•••")
    assert page.url.endswith("/track")
    assert violations(page) == []
    assert cut_off(page) == []
    page.get_by_role("button", name="English").click()
    expect(page.locator(".state")).to_have_text("Waiting for missing papers")
    assert cut_off(page) == []


def test_a_scanner_types_the_link_and_presses_enter(broad_hall: Hall):
    """The field has the focus from the beginning, and again for the next visitor."""
    slip = a_dossier(broad_hall)
    page = broad_hall.page("/track", {"width": 1280, "height": 800})
    expect(page.locator("input[name=code]")).to_be_focused()
    page.keyboard.type(slip["payload"])
    page.keyboard.press("Enter")

    expect(page.locator("h2")).to_have_text(slip["code"])
    expect(page.locator("dl")).to_be_visible()
    page.get_by_role("button", name="Tra cứu hồ sơ khác").click()
    expect(page.locator("input[name=code]")).to_be_focused()
    expect(page.locator("section")).to_have_count(0)


def test_a_code_alone_shows_where_it_stands(broad_hall: Hall):
    """Neither whose it is nor what it is about; a wrong secret is said, and not more."""
    slip = a_dossier(broad_hall)
    page = broad_hall.page("/track", PHONE_PX)
    page.locator("input[name=code]").fill(slip["code"])
    page.get_by_role("button", name="Tra cứu", exact=True).click()
    expect(page.locator(".state")).to_be_visible()
    expect(page.locator("dl")).to_have_count(0)
    page.locator("input[name=secret]").fill("AAAAAAAA")
    page.get_by_role("button", name="Tra cứu", exact=True).click()
    expect(page.locator(".trouble")).to_contain_text("Không có hồ sơ này")
