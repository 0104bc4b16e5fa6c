"""The administrators' page, by keyboard: people, devices, the audit, one's own account."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser_world import CONSOLE_PX, Hall, Refused, cut_off, violations
from queue_service.second_factor import STEP_MS, code_at


def person(hall: Hall, *roles: str) -> dict[str, Any]:
    """Somebody of the hall with exactly these roles."""
    found: dict[str, Any] = next(one for one in hall._sign_ins["staff"] if one["roles"] == list(roles))
    return found


def opened(hall: Hall, who: dict[str, Any], query: str = "") -> Page:
    """The page, with *who* signed in by keyboard."""
    page = hall.page(f"/admin/{hall.centre}{query}", CONSOLE_PX)
    expect(page.get_by_label("Tên đăng nhập")).to_be_focused()
    sign_in(page, who["name"], who["password"])
    return page


def sign_in(page: Page, name: str, password: str) -> None:
    """Name, password, Enter."""
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")


def press_button(page: Page, name: str | re.Pattern[str]) -> None:
    """By keyboard."""
    page.get_by_role("button", name=name).first.focus()
    page.keyboard.press("Enter")


@pytest.fixture
def admin(hall: Hall) -> Page:
    page = opened(hall, person(hall, "admin", "supervisor"))
    expect(page.get_by_role("region", name="Người dùng")).to_be_visible()
    return page


def test_somebody_new_gets_a_password_for_once_and_signs_in_with_one_of_their_own(hall: Hall, admin: Page):
    """From the button to the new person's own page; nobody but that person knows the password at the end."""
    name = f"{hall.centre}.mai"
    press_button(admin, "Thêm người")
    expect(admin.get_by_role("dialog").get_by_label("Tên đăng nhập")).to_be_focused()
    admin.keyboard.press("End")
    admin.keyboard.type("mai")
    admin.keyboard.press("Tab")
    admin.keyboard.type("Trần Thị Mai")
    admin.get_by_role("dialog").get_by_label("Trưởng ca").focus()
    admin.keyboard.press("Space")
    admin.get_by_role("dialog").get_by_label("Cơ quan cử đến").select_option("cax")
    press_button(admin, "Tạo tài khoản")
    once = admin.locator(".secret").inner_text()
    assert re.fullmatch(r"[a-z2-9]{4}(-[a-z2-9]{4}){2}", once)
    admin.keyboard.press("Enter")
    row = admin.get_by_role("row", name=name)
    expect(row).to_contain_text("Trần Thị Mai")
    expect(row).to_contain_text("chưa đặt mật khẩu riêng")

    own = hall.page(f"/admin/{hall.centre}", CONSOLE_PX)
    expect(own.get_by_label("Tên đăng nhập")).to_be_focused()
    sign_in(own, name, once)
    expect(own.get_by_label("Mật khẩu mới", exact=True)).to_be_focused()
    own.keyboard.type("một câu của tôi")
    own.keyboard.press("Tab")
    own.keyboard.type("một câu khác hẳn")
    own.keyboard.press("Enter")
    expect(own.get_by_role("alert")).to_have_text("Hai mật khẩu mới không giống nhau.")
    own.get_by_label("Nhập lại mật khẩu mới").fill("một câu của tôi")
    own.keyboard.press("Enter")
    expect(own.get_by_role("region", name="Nhật ký")).to_be_visible()  # a supervisor reads the audit, and no more
    expect(own.get_by_role("link", name="Người dùng")).to_have_count(0)
    expect(own.get_by_role("link", name="Thiết bị")).to_have_count(0)


def test_whoever_is_disabled_is_out_at_once(hall: Hall, admin: Page):
    """The officer's next page asks to sign in, and the old password opens nothing."""
    officer = hall.person("q03")
    token = hall.house.call("POST", "/session", {**_proof(officer), "bearer": True})["token"]
    press_button(admin, f"Sửa tài khoản {officer['name']}")
    press_button(admin, "Khóa tài khoản")
    expect(admin.get_by_role("dialog").get_by_role("status")).to_contain_text("Đã khóa tài khoản")
    admin.keyboard.press("Escape")
    expect(admin.get_by_role("row", name=officer["name"])).to_have_count(0)
    deadline = time.monotonic() + 5
    while _answers(hall, token):
        assert time.monotonic() < deadline
        admin.wait_for_timeout(100)
    with pytest.raises(Refused, match="WRONG_PASSWORD"):
        hall.house.call("POST", "/session", _proof(officer))

    admin.get_by_label("Cả tài khoản đã khóa").focus()
    admin.keyboard.press("Space")
    expect(admin).to_have_url(re.compile("disabled=1"))
    expect(admin.get_by_role("row", name=officer["name"])).to_contain_text("đã khóa")


def test_a_search_stands_in_the_address_and_forgives_accents(hall: Hall, admin: Page):
    admin.get_by_label("Tìm kiếm").focus()
    admin.keyboard.type("huong dan")
    expect(admin.get_by_role("table").get_by_role("row")).to_have_count(2)
    expect(admin).to_have_url(re.compile(r"q=huong\+dan"))
    admin.reload()
    expect(admin.get_by_role("table").get_by_role("row")).to_have_count(2)
    admin.get_by_label("Tìm kiếm").fill("không có ai như vậy")
    expect(admin.get_by_text("Không tìm thấy ai")).to_be_visible()


def test_a_device_is_paired_by_its_link_and_revoked(hall: Hall, admin: Page):
    """The link that is shown opens the kiosk; revoked, it opens nothing."""
    admin.get_by_role("link", name="Thiết bị").focus()
    admin.keyboard.press("Enter")
    expect(admin).to_have_url(re.compile("tab=devices"))
    press_button(admin, "Ghép thiết bị")
    dialog = admin.get_by_role("dialog")
    dialog.get_by_label("Thiết bị").select_option("kiosk/k1")
    dialog.get_by_label("Ghi chú nhận biết").fill("máy dự phòng")
    admin.keyboard.press("Enter")
    link = admin.locator(".secret").inner_text()
    expect(admin.get_by_role("img", name="Mã để mở trang trên thiết bị")).to_be_visible()
    kiosk = hall.page(link.removeprefix(hall.house.base), {"width": 1080, "height": 1920})
    expect(kiosk.get_by_role("heading", name="Quý vị đến làm việc gì?")).to_be_visible()

    press_button(admin, "Tôi đã ghi lại")
    row = admin.get_by_role("row", name="máy dự phòng")
    expect(row).to_contain_text("chưa dùng")
    row.get_by_role("button").focus()
    admin.keyboard.press("Enter")
    admin.get_by_role("dialog").get_by_role("button", name="Thu hồi", exact=True).focus()
    admin.keyboard.press("Enter")
    expect(row).to_have_count(0)
    token = link.rpartition("#token=")[2]
    deadline = time.monotonic() + 5
    while _answers(hall, token, f"/centres/{hall.centre}/boards/ba"):
        assert time.monotonic() < deadline
        admin.wait_for_timeout(100)


def test_the_audit_is_found_by_what_stands_in_a_cell(hall: Hall, admin: Page):
    """The switch of issuing, by who pressed it; the address keeps the question; no code stands for a word."""
    with pytest.raises(Refused, match="WRONG_PASSWORD"):
        hall.house.call("POST", "/session", {**_proof(hall.person("q01")), "password": "không phải"})
    hall.issuing(is_open=False, text="Nghỉ")
    hall.issuing(is_open=True)
    admin.get_by_role("link", name="Nhật ký").focus()
    admin.keyboard.press("Enter")
    table = admin.get_by_role("table")
    expect(table).to_contain_text("Đăng nhập")
    expect(table).to_contain_text("Tên, mật khẩu hoặc mã chưa đúng.")
    expect(table).not_to_contain_text("nobody")
    admin.get_by_label("Việc làm").select_option("switch-issuing")
    admin.get_by_label("Đối tượng").focus()
    admin.keyboard.press("Enter")
    expect(admin).to_have_url(re.compile("action=switch-issuing"))
    expect(table.get_by_role("row")).to_have_count(3)
    expect(table).to_contain_text("Cả trung tâm")
    expect(table).not_to_contain_text("Nghỉ")  # what somebody typed is not in it
    admin.reload()
    expect(table.get_by_role("row")).to_have_count(3)
    admin.get_by_label("Tìm kiếm").fill("không có dòng nào")
    admin.keyboard.press("Enter")
    expect(admin.get_by_text("Không có dòng nào khớp")).to_be_visible()


def test_an_authenticator_is_set_up_and_asked_for(hall: Hall, admin: Page):
    me = person(hall, "admin", "supervisor")
    admin.get_by_role("link", name="Tài khoản của tôi").first.focus()
    admin.keyboard.press("Enter")
    press_button(admin, "Thiết lập ứng dụng xác thực")
    secret = admin.locator(".secret").inner_text()
    step = int(time.time() * 1000) // STEP_MS
    admin.get_by_label("Mã 6 chữ số").focus()
    admin.keyboard.type(code_at(secret, step))
    admin.keyboard.press("Tab")
    admin.keyboard.type(me["password"])
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("status")).to_contain_text("Đã thiết lập")

    press_button(admin, "Đăng xuất")
    expect(admin.get_by_label("Tên đăng nhập")).to_be_focused()
    sign_in(admin, me["name"], me["password"])
    expect(admin.get_by_label("Mã 6 chữ số")).to_be_focused()
    admin.keyboard.type("000000")
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("alert")).to_contain_text("Mã chưa đúng")
    admin.keyboard.type(code_at(secret, step + 1))
    admin.keyboard.press("Enter")
    expect(admin.get_by_role("heading", level=1)).to_be_visible()
    expect(admin.get_by_role("link", name="Nhật ký")).to_be_visible()


def test_who_must_have_an_authenticator_sets_it_up_with_the_sign_in(hall: Hall):
    """The page shows what to scan and asks for the code; the first answer is that of a centre that wants it."""
    me = person(hall, "desk")
    page = hall.page(f"/admin/{hall.centre}", CONSOLE_PX)
    expect(page.get_by_label("Tên đăng nhập")).to_be_focused()
    refusal = {"code": "SECOND_FACTOR_MISSING", "title": "Second factor missing", "status": 401}
    page.route("**/api/v1/session", lambda route: route.fulfill(status=401, json=refusal), times=1)
    sign_in(page, me["name"], me["password"])
    expect(page.get_by_role("img", name="Mã để quét bằng ứng dụng xác thực")).to_be_visible()
    expect(page.get_by_label("Mã 6 chữ số")).to_be_focused()
    assert violations(page) == []
    assert cut_off(page) == []
    secret = page.locator(".secret").inner_text()
    page.keyboard.type(code_at(secret, int(time.time() * 1000) // STEP_MS))
    page.keyboard.press("Enter")
    expect(page.get_by_text("không quản lý trung tâm này")).to_be_visible()  # signed in; it is not for a desk
    with pytest.raises(Refused, match="SECOND_FACTOR_REQUIRED"):
        hall.house.call("POST", "/session", _proof(me))


def test_it_is_for_everybody_in_both_languages(hall: Hall, admin: Page):
    """No serious violation and nothing cut off, on every tab and in the questions."""
    for tab in ("users", "devices", "audit", "own"):
        admin.goto(f"{hall.house.base}/admin/{hall.centre}?tab={tab}")
        expect(admin.locator("main .table table, main .cards").first).to_be_visible()
        assert violations(admin) == [], tab
        assert cut_off(admin) == [], tab
    admin.goto(f"{hall.house.base}/admin/{hall.centre}")
    press_button(admin, "Thêm người")
    expect(admin.get_by_role("dialog")).to_be_visible()
    assert violations(admin) == []
    admin.keyboard.press("Escape")
    press_button(admin, "English")
    expect(admin.get_by_role("link", name="Audit")).to_be_visible()
    assert cut_off(admin) == []


def test_an_officer_is_told_that_this_is_not_the_place(hall: Hall):
    page = opened(hall, hall.person("q06"))

    expect(page.get_by_text("không quản lý trung tâm này")).to_be_visible()
    expect(page.get_by_role("table")).to_have_count(0)


def _proof(who: dict[str, Any]) -> dict[str, str]:
    return {"name": who["name"], "password": who["password"]}


def _answers(hall: Hall, token: str, path: str = "/session") -> bool:
    try:
        hall.house.call("GET", path, token=token)
    except Refused as refusal:
        if "401" not in str(refusal):
            raise
        return False
    return True
