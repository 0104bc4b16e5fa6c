"""A third language is files: a catalogue of texts when the pages are built, and its code in the centre's file."""

from __future__ import annotations

import json
import mimetypes
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from browser_world import BOARD_PX, KIOSK_PX, TAY, Hall

ROOT = Path(__file__).parents[2]
SOURCES = ("queue_service", "counters", "displays")
BUILD = ("package.json", "vite.config.ts", "svelte.config.js", "tsconfig.json", "hatch_build.py")
SCREENS = {"/kiosk/": "kiosk", "/board/": "board", "/t/": "phone"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages, built with one more catalogue: the Vietnamese words, each marked, in no language anybody speaks."""
    if not (ROOT / "node_modules").exists():
        pytest.skip("the pages cannot be built here: no node_modules")
    root = tmp_path_factory.mktemp("pages")
    for folder in SOURCES:
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("static", "__pycache__", "*.py"))
    for file in BUILD:
        shutil.copy(ROOT / file, root / file)
    (root / "node_modules").symlink_to(ROOT / "node_modules")
    texts = root / "queue_service" / "texts"
    words = json.loads((texts / "vi.json").read_text("utf-8"))
    marked = {key: f"«{text}»" for key, text in words.items()} | {"shared.language-name": "Tày"}
    (texts / f"{TAY}.json").write_text(json.dumps(marked, ensure_ascii=False), "utf-8")
    command = [sys.executable, str(root / "hatch_build.py"), "run", "--silent", "build", "--", "--logLevel", "warn"]
    subprocess.run(command, check=True, timeout=100)
    return root / "queue_service" / "static"


def served(page: Page, pages: Path) -> Page:
    """The page as that build has it."""

    def serve(route: Route) -> None:
        path = route.request.url.partition("://")[2].partition("/")[2].partition("?")[0]
        name = next((name for start, name in SCREENS.items() if f"/{path}".startswith(start)), None)
        file = pages / f"{name}.html" if name else pages / path
        route.fulfill(path=file, content_type=mimetypes.guess_type(file.name)[0])

    for address in ("**/assets/**", *(f"**{start}**" for start in SCREENS)):
        page.context.route(address, serve)
    page.reload()
    return page


def test_a_third_language_is_shown_by_kiosk_phone_and_boards(tay_hall: Hall, pages: Path):
    """It is chosen at the kiosk, and goes with the ticket; no code knows it."""
    hall = tay_hall
    kiosk = served(hall.page(f"/kiosk/{hall.centre}/k1#token={hall._device('kiosks', 'k1')}", KIOSK_PX), pages)
    kiosk.get_by_role("button", name="Tày").click()
    expect(kiosk.locator("html")).to_have_attribute("lang", TAY)
    kiosk.get_by_role("button", name="Tư pháp, hộ tịch").click()
    kiosk.wait_for_timeout(500)  # a tap so soon after a page changed is meant for the page before
    kiosk.get_by_role("button", name="«Lấy số ngay»").click()
    expect(kiosk.get_by_text("A001").first).to_be_visible()
    expect(kiosk.locator("main")).to_contain_text("«")

    (ticket,) = (event["ticket"] for event in hall.events() if event["type"] == "TicketIssued")
    phone = served(hall.phone({"id": ticket}), pages)
    expect(phone.get_by_text("«Bạn là người kế tiếp»")).to_be_visible()
    expect(phone.locator("html")).to_have_attribute("lang", TAY)

    board, desk = (served(hall.board(board, BOARD_PX), pages) for board in ("ba", "q01"))
    hall.press("q01", "open")
    hall.press("q01", "call-next")
    expect(board.locator(".stage")).to_contain_text("«Mời số» Mời số")
    expect(desk.locator(".state")).to_contain_text("«Mời vào quầy» Mời vào quầy")
    expect(phone.get_by_text("«Đến lượt bạn»")).to_be_visible()

    hall.issue("tpht")
    hall.press("q01", "complete")
    hall.press("q01", "call-next")
    expect(desk.locator(".state")).to_contain_text("Mời vào quầy Please come to the counter")
