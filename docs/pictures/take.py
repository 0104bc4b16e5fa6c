"""
Takes the pictures of the documents: ``make pictures``; with ``boards`` as its only word those of the boards alone.

A private service plays a day at 30 times its speed; a Chromium on this machine looks at its pages.  What it sees is
written as PNG with a palette, so that a picture stays small.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import urllib.request
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

HERE = Path(__file__).parent
CENTRE = "demo-tinh"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
LIVES_S = 60.0
"""How long the hall fills before the first picture."""
COLOURS = 255
LAYOUTS = (
    ("board", "ba"),
    ("board-counters", "quay"),
    ("board-departments", "linh-vuc"),
    ("board-counter-top", "q01"),
)
"""A name for the pictures, and the board of the example that has the layout."""
SHAPES = (("", "day", 1920, 1080), ("-night", "night", 1080, 1920))
OTHERS = (("board-portrait", "ba", "day", 1080, 1920), ("board-4k", "ba", "night", 3840, 2160))


@asynccontextmanager
async def a_living_hall() -> AsyncIterator[dict[str, Any]]:
    """The demo in a folder of its own; what its ``demo.json`` says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="queue-pictures-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
        environment |= {"QUEUE_PORT": str(port), "QUEUE_DATA_DIR": folder}
        words = ("-m", "queue_service", "run", "--demo", "--speed", "30")
        with (Path(folder) / "log").open("wb") as log:
            service = await asyncio.create_subprocess_exec(
                sys.executable, *words, env=environment, stdout=log, stderr=log
            )
        try:
            access = Path(folder) / "demo.json"
            while not access.exists():
                if service.returncode is not None:
                    raise SystemExit((Path(folder) / "log").read_text())
                await asyncio.sleep(0.2)
            yield json.loads(access.read_text())
        finally:
            if service.returncode is None:
                service.terminate()
            await service.wait()


@asynccontextmanager
async def a_page(browser: Browser, address: str, width: int, height: int) -> AsyncIterator[Page]:
    """A page of its own, as people in the hall see it."""
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        locale="vi-VN",
        timezone_id="Asia/Ho_Chi_Minh",
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await page.goto(address)
    yield page
    await context.close()


async def shoot(page: Page, name: str) -> None:
    """Write what *page* shows."""
    png = await page.screenshot(animations="disabled")
    (HERE / f"{name}.png").write_bytes(with_palette(png))
    print(f"{name}.png", (HERE / f"{name}.png").stat().st_size // 1024, "kB")


async def boards(browser: Browser, demo: dict[str, Any]) -> None:
    """Every layout of a board, across by day and upright by night; calls also upright by day, and large by night."""
    hall = demo["centres"][CENTRE]
    tokens = {device["id"]: device["token"] for device in hall["boards"]}
    leave = seat_somebody(demo["base"], hall)
    shapes = [(f"{name}{shape}", id, *size) for name, id in LAYOUTS for shape, *size in SHAPES]
    for name, id, theme, width, height in [*shapes, *OTHERS]:
        address = f"{demo['base']}/board/{CENTRE}/{id}?mute&theme={theme}#token={tokens[id]}"
        async with a_page(browser, address, width, height) as page:
            await page.locator("[data-call]").first.wait_for(timeout=60_000)
            await page.wait_for_timeout(3000)
            await shoot(page, name)
    leave()


def seat_somebody(base: str, hall: dict[str, Any]) -> Callable[[], None]:
    """Call a visitor to the counter that the demo leaves free; gives what serves them and closes it again."""
    person = next(person for person in hall["staff"] if person.get("counter") == "q01")
    proof = {"name": person["name"], "password": person["password"], "bearer": True}
    token = ask(f"{base}/api/v1/session", proof, "", "picture-session")["token"]
    issue(base, hall["kiosks"][0]["token"], f"picture-{os.getpid()}-top")

    def press(*steps: str) -> None:
        for step in steps:
            address = f"{base}/api/v1/centres/{CENTRE}/counters/q01/{step}"
            ask(address, {}, token, f"picture-{os.getpid()}-{step}")

    press("open", "call-next")
    return lambda: press("start", "complete", "close")


async def take(browser: Browser, demo: dict[str, Any]) -> None:
    """All pictures but those of the boards."""
    base, hall = demo["base"], demo["centres"][CENTRE]
    kiosk = hall["kiosks"][0]
    async with a_page(browser, f"{base}/kiosk/{CENTRE}/{kiosk['id']}#token={kiosk['token']}", 1080, 1920) as page:
        await page.wait_for_timeout(3000)
        await shoot(page, "kiosk")

    await administrate(browser, base, hall)
    officer, ticket = await sit_down(browser, base, hall)
    async with a_page(browser, f"{base}/t/{CENTRE}/{ticket}", 390, 844) as page:
        await page.wait_for_timeout(2500)
        await shoot(page, "phone")
    await control_room(browser, base, hall)
    await board_room(browser, base, hall)
    await officer.close()


async def administrate(browser: Browser, base: str, hall: dict[str, Any]) -> None:
    """The people of the centre, and the audit, as its administrator sees them."""
    person = next(person for person in hall["staff"] if "admin" in person["roles"])
    async with a_page(browser, f"{base}/admin/{CENTRE}", 1366, 768) as page:
        await page.locator("input[autocomplete=username]").fill(person["name"])
        await page.locator("input[type=password]").fill(person["password"])
        await page.locator("form button").click()
        for tab in ("users", "audit"):
            await page.locator(f'nav a[href="?tab={tab}"]').click()
            await page.locator(".table table").wait_for()
            await page.wait_for_timeout(500)
            await shoot(page, f"admin-{tab}")


async def sit_down(browser: Browser, base: str, hall: dict[str, Any]) -> tuple[Any, str]:
    """Take the seat that the demo leaves free, and show each step of it; gives a ticket that waits, too."""
    person = next(person for person in hall["staff"] if person.get("counter") == "q01")
    kiosk = hall["kiosks"][0]["token"]
    for n in range(3):
        ticket = issue(base, kiosk, f"picture-{os.getpid()}-{n}")
    context = await browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="vi-VN", timezone_id="Asia/Ho_Chi_Minh", reduced_motion="reduce"
    )
    page = await context.new_page()
    await page.goto(f"{base}/console/{CENTRE}")
    await page.locator("input[autocomplete=username]").fill(person["name"])
    await shoot(page, "console-sign-in")
    await page.locator("input[type=password]").fill(person["password"])
    await page.locator("form button").click()
    await page.locator("button.seat").first.wait_for()
    await page.wait_for_timeout(1500)
    await shoot(page, "console-seats")
    await page.locator("button.seat").first.click()
    await page.wait_for_timeout(2500)
    await page.keyboard.press("F2")
    await page.locator(".hero").wait_for()
    await page.wait_for_timeout(2500)
    await shoot(page, "console")
    await page.keyboard.press("F9")
    await page.locator("dialog .add").first.wait_for()
    await page.keyboard.press("1")
    await shoot(page, "console-record")
    await page.keyboard.press("Escape")
    async with a_page(browser, f"{base}/console/{CENTRE}?practice", 1366, 768) as practice:
        await practice.wait_for_timeout(1500)
        await practice.keyboard.press("Enter")
        await practice.wait_for_timeout(1500)
        await shoot(practice, "console-practice")
    return context, ticket


async def control_room(browser: Browser, base: str, hall: dict[str, Any]) -> None:
    """The supervisors' page: counters, and lines on a phone."""
    person = next(person for person in hall["staff"] if "supervisor" in person["roles"])
    for name, width, height, words in (
        ("supervisor", 1366, 768, ""),
        ("supervisor-lines", 1920, 1080, "?view=lines"),
        ("supervisor-phone", 390, 844, "?view=lines"),
    ):
        async with a_page(browser, f"{base}/supervisor/{CENTRE}{words}", width, height) as page:
            await page.locator("input[autocomplete=username]").fill(person["name"])
            await page.locator("input[type=password]").fill(person["password"])
            await page.locator("form button").click()
            await page.locator(".glance").wait_for()
            await page.wait_for_timeout(4000)
            await shoot(page, name)


async def board_room(browser: Browser, base: str, hall: dict[str, Any]) -> None:
    """The page about boards, with a change that is not saved yet."""
    person = next(person for person in hall["staff"] if "supervisor" in person["roles"])
    async with a_page(browser, f"{base}/boards/{CENTRE}?board=ba", 1366, 1024) as page:
        await page.locator("input[autocomplete=username]").fill(person["name"])
        await page.locator("input[type=password]").fill(person["password"])
        await page.locator("form button").click()
        await page.locator("[data-preview] [data-call]").first.wait_for()
        await page.locator("form select").first.select_option("counters")
        await page.wait_for_timeout(2500)
        await shoot(page, "boards")


def issue(base: str, token: str, key: str) -> str:
    """Take a number at the kiosk's door; the id of the ticket."""
    id: str = ask(f"{base}/api/v1/centres/{CENTRE}/tickets", {"service": "vpdkdd"}, token, key)["ticket"]["id"]
    return id


def ask(address: str, body: dict[str, Any], token: str, key: str) -> dict[str, Any]:
    """A press of somebody who is not in the browser."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Idempotency-Key": key, "Content-Type": "application/json"}
    request = urllib.request.Request(address, json.dumps(body).encode(), headers)  # noqa: S310 - our own service
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own service
        told: dict[str, Any] = json.load(answer)
        return told


def with_palette(png: bytes) -> bytes:
    """The same picture with at most COLOURS colours: the frequent ones stay, the others become their nearest."""
    width, height, pixels = _decode(png)
    counts = Counter(pixels[i : i + 3] for i in range(0, len(pixels), 3))
    palette = [colour for colour, _ in counts.most_common(COLOURS)]
    place = {colour: n for n, colour in enumerate(palette)}
    for colour in counts:
        if colour not in place:
            place[colour] = min(
                range(len(palette)), key=lambda n: sum((a - b) ** 2 for a, b in zip(colour, palette[n], strict=True))
            )
    rows = bytearray()
    for y in range(height):
        row = pixels[y * width * 3 : (y + 1) * width * 3]
        rows.append(0)
        rows += bytes(place[row[i : i + 3]] for i in range(0, len(row), 3))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", head),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(bytes(rows), 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _decode(png: bytes) -> tuple[int, int, bytes]:
    """Width, height and RGB of a PNG as a browser writes it (8 bits, RGB or RGBA, not interlaced)."""
    at, packed, width, height, channels = 8, b"", 0, 0, 3
    while at < len(png):
        (length,), kind = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, _, colour = struct.unpack(">IIBB", data[:10])
            channels = 4 if colour == 6 else 3
        elif kind == b"IDAT":
            packed += data
        at += 12 + length
    raw, stride = zlib.decompress(packed), width * channels
    before, out = bytearray(stride), bytearray()
    for y in range(height):
        start = y * (stride + 1)
        row = bytearray(raw[start + 1 : start + 1 + stride])
        _unfilter(raw[start], row, before, channels)
        out += row if channels == 3 else bytes(value for n, value in enumerate(row) if n % 4 != 3)
        before = row
    return width, height, bytes(out)


def _unfilter(kind: int, row: bytearray, before: bytearray, channels: int) -> None:
    for n in range(len(row)) if kind else ():
        left = row[n - channels] if n >= channels else 0
        up, corner = before[n], before[n - channels] if n >= channels else 0
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = up
        elif kind == 3:
            guess = (left + up) // 2
        else:
            guess = min((left, up, corner), key=lambda value: abs(left + up - corner - value))
        row[n] = (row[n] + guess) & 255


async def main() -> None:
    """Everything, one page after the other."""
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit("No Chromium on PATH.")
    async with a_living_hall() as demo, async_playwright() as playwright:
        await asyncio.sleep(LIVES_S)
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        await boards(browser, demo)
        if sys.argv[1:] == ["boards"]:
            await board_room(browser, demo["base"], demo["centres"][CENTRE])
        else:
            await take(browser, demo)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
