"""
The world of the browser tests: the real service in a process that can be killed, and a hall of its own in it.

``hall`` opens pages as people find them: ``hall.kiosk()``, ``hall.board("ba")``, ``hall.console("q01")``,
``hall.phone(ticket)``.  An error in any page's script fails the test.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from queue_service.centre import CallPhrases, Centre, Serves, Service

SERVICES = ("tpht", "kt", "cax")
TAY = "tyz"
"""The code of a language that we have no words for."""
LONG_WORDS = "và những việc rất dài thuộc thẩm quyền giải quyết của Ủy ban nhân dân xã Nghĩa Lộ Thượng Ữ Ằ Ỗ Ế Ộ"
HOSTILE_NAMES = {
    "tpht": "</p></li><img src=x onerror=window.ran=1><script>window.ran=1</script><b onmouseover=window.ran=1>&lt;",
    "kt": "مكتب الأراضي <a href=javascript:window.ran=1>\u200d{{1+1}} ${1} %s",
    "cax": "ỮẰỖẾ" * 30,
}
"""What a centre's file lets pass: markup, letters from right to left with glue between, 120 letters in one word."""
CONSOLE_PX = {"width": 1366, "height": 768}
BOARD_PX = {"width": 1920, "height": 1080}
KIOSK_PX = {"width": 1080, "height": 1920}
PHONE_PX = {"width": 390, "height": 844}
SERIOUS = {"serious", "critical"}
SAME_STRIKE_MS = 700
"""A second strike within 600 ms is the same strike; tests that mean two strikes wait this long."""
CUT_OFF = """() => {
  const wrong = [];
  for (const one of document.querySelectorAll("body *")) {
    if (one.closest("svg, .hidden-words, .measure, .slip, [aria-hidden], [data-may-drop]")) continue;
    const style = getComputedStyle(one);
    const box = one.getBoundingClientRect();
    if (style.visibility === "hidden" || style.display === "inline" || !box.width || !box.height) continue;
    const blame = (how) => wrong.push(`${how}: ${one.tagName} ${one.className} ${one.textContent.trim().slice(0, 60)}`);
    const scrolls = (overflow) => ["auto", "scroll"].includes(overflow);
    const isAbridged = style.webkitLineClamp !== "none";
    const isWide = one.clientWidth && one.scrollWidth > one.clientWidth + 1;
    if (isWide && !scrolls(style.overflowX)) blame("wide");
    const hides = ["hidden", "clip"].includes(style.overflowY) && !isAbridged;
    if (one.clientHeight && one.scrollHeight > one.clientHeight + 2 && hides) blame("high");
    const isScrolled = one.closest("[role=region]");
    if (!isScrolled && (box.right > innerWidth + 1 || box.left < -1)) blame("outside");
    if (!isScrolled && document.scrollingElement.scrollHeight <= innerHeight + 1 && box.bottom > innerHeight + 1)
      blame("below");
  }
  return wrong;
}"""


CHEAP = """
from queue_service import cli, passwords
passwords._MEMORY_KIB, passwords._TIME_COST = 64, 1
cli.main()
"""
"""The service with passwords that cost nothing: hundreds of people get an account."""


class Refused(Exception):
    """The service said no to somebody who is not in the browser."""


AT_REST = """() => Promise.all(
  document.getAnimations()
    .filter((one) => one.effect.getComputedTiming().endTime <= 2_000)  // longer ones count down
    .map((one) => one.finished.catch(() => null))
).then(() => null)"""


def violations(page: Page) -> list[str]:
    """What shuts somebody out of the page at rest, by the rules of axe, seriously."""
    page.evaluate(AT_REST)
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]}" for one in found if one["impact"] in SERIOUS]


def cut_off(page: Page) -> list[str]:
    """
    Every element, on the page at rest, whose content is wider or higher than its place, or that leaves the screen.

    A long name may end in an ellipsis (a clamped line says that there is more); what is marked ``data-may-drop``
    leaves out a second line where it has no room.
    """
    page.evaluate(AT_REST)
    wrong: list[str] = page.evaluate(CUT_OFF)
    return wrong


def strike(console: Page, *keys: str) -> None:
    """Keys as a person strikes them, one after another."""
    for key in keys:
        console.wait_for_timeout(SAME_STRIKE_MS)
        console.keyboard.press(key)


def call_first(console: Page, number: str = "A001") -> None:
    """The first key of the day, and whom it brings."""
    console.keyboard.press("Enter")
    expect(console.locator(".hero")).to_have_text(number)


class House:
    """The service as a process: started, killed without warning, started again on the same port and data."""

    def __init__(self, folder: Path, centres: list[Path]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._centres = centres
        self._process: subprocess.Popen[bytes] | None = None
        self.sign_ins: dict[str, Any] = {}

    def start(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
        environ |= {
            "QUEUE_PORT": str(self.port),
            "QUEUE_DATA_DIR": str(self.folder / "data"),
            "QUEUE_CENTRES": os.pathsep.join(str(file) for file in self._centres),
        }
        with (self.folder / "log").open("ab") as log:
            command = [sys.executable, "-c", CHEAP, "run"]
            self._process = subprocess.Popen(command, env=environ, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                # The demo sign-ins are there when the doors are open and everybody has an account.
                self.sign_ins = self.call("GET", "/demo")["centres"]
            except (OSError, Refused):
                time.sleep(0.05)
            else:
                return
        self.kill()
        raise RuntimeError(f"the service does not start: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """As a power cut would: no signal handler runs."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def call(self, method: str, path: str, body: object = None, token: str | None = None) -> Any:
        headers = {"Content-Type": "application/json", "Idempotency-Key": uuid.uuid4().hex}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(link):
            link.request(method, f"/api/v1{path}", data, headers)
            answer = link.getresponse()
            text = answer.read().decode()
            if answer.status >= 400:
                raise Refused(f"{method} {path}: {answer.status} {text}")
            return json.loads(text or "null")


class Hall:
    """One centre of the house, through its pages and as other people's presses."""

    def __init__(self, house: House, browser: Browser, centre: str) -> None:
        self.house = house
        self.base = house.base
        """Where its pages are opened: the service itself, unless a test puts something between."""
        self.centre = centre
        self.troubles: list[str] = []
        self._browser = browser
        self._closers: list[Any] = []
        self._tokens: dict[str, str] = {}
        self._sign_ins = house.sign_ins[centre]

    # ── pages ──

    def page(self, address: str, size: dict[str, int], script: str = "") -> Page:
        context = self._browser.new_context(viewport=size, locale="vi-VN")  # type: ignore[arg-type]
        self._closers.append(context)
        page = context.new_page()
        page.add_init_script(script)
        page.on("pageerror", lambda error: self.troubles.append(f"{address}: {error}"))
        page.goto(self.base + address)
        return page

    def kiosk(self, size: dict[str, int] = KIOSK_PX) -> Page:
        return self.page(f"/kiosk/{self.centre}/k1#token={self._device('kiosks', 'k1')}", size)

    def board(
        self, board: str, size: dict[str, int] = BOARD_PX, theme: str = "day", words: str = "", script: str = ""
    ) -> Page:
        """A screen; *words* are further ones for its address, *script* runs in it first."""
        token = self._device("boards", board)
        page = self.page(f"/board/{self.centre}/{board}?mute&theme={theme}&{words}#token={token}", size, script)
        expect(page.get_by_text("kết nối lúc")).to_be_visible()
        return page

    def loud_board(self, board: str, script: str, size: dict[str, int] = BOARD_PX) -> Page:
        """A screen that somebody has touched, so that its browser lets it ring and speak; *script* runs in it first."""
        token = self._device("boards", board)
        page = self.page(f"/board/{self.centre}/{board}#token={token}", size, script)
        expect(page.get_by_text("kết nối lúc")).to_be_visible()
        page.mouse.click(5, 5)
        expect(page.get_by_text("Chạm màn hình một lần")).to_have_count(0)
        return page

    def phone(self, ticket: dict[str, Any]) -> Page:
        return self.page(f"/t/{self.centre}/{ticket['id']}", PHONE_PX)

    def console(self, counter: str, officer: str | None = None) -> Page:
        """Somebody signed in (the officer of the counter) and seated."""
        page = self.page(f"/console/{self.centre}?mute", CONSOLE_PX)
        self.sign_in(page, officer or counter)
        self.sit_down(page, counter)
        return page

    def sit_down(self, page: Page, counter: str) -> None:
        page.get_by_role("button", name=f"{int(counter[1:])} ").first.click()
        expect(page.locator(".now")).to_be_visible()
        page.wait_for_timeout(SAME_STRIKE_MS)  # the large key has become "call next" with the opened counter

    def supervisor(self, size: dict[str, int] = CONSOLE_PX, words: str = "") -> Page:
        """The control room with somebody in it."""
        page = self.page(f"/supervisor/{self.centre}{words}", size)
        person = next(who for who in self._sign_ins["staff"] if "supervisor" in who["roles"])
        page.get_by_label("Tên đăng nhập").fill(person["name"])
        page.get_by_label("Mật khẩu").fill(person["password"])
        page.keyboard.press("Enter")
        expect(page.locator(".glance")).to_be_visible()
        return page

    def sign_in(self, page: Page, officer: str) -> None:
        person = self.person(officer)
        page.get_by_label("Tên đăng nhập").fill(person["name"])
        page.get_by_label("Mật khẩu").fill(person["password"])
        page.keyboard.press("Enter")

    def close(self) -> None:
        for context in self._closers:
            context.close()

    # ── other people ──

    def person(self, counter: str) -> dict[str, str]:
        found: dict[str, str] = next(who for who in self._sign_ins["staff"] if who.get("counter") == counter)
        return found

    def issue(self, service: str = "tpht", at: str | None = None, **wish: str) -> dict[str, Any]:
        """A number from the kiosk, or from one more kiosk that has the token *at*."""
        body = {"service": service, **wish}
        token = at or self._device("kiosks", "k1")
        reply = self.house.call("POST", f"/centres/{self.centre}/tickets", body, token)
        ticket: dict[str, Any] = reply["ticket"]
        return ticket

    def press(self, counter: str, press: str, by: str | None = None, **body: object) -> Any:
        """A press of the counter's officer, or of another's (*by*), who sits somewhere else than in our browser."""
        path = f"/centres/{self.centre}/counters/{counter}/{press}"
        return self.house.call("POST", path, body, self._officer(by or counter))

    def dossier(self, path: str, body: object) -> Any:
        """A press on a dossier; an empty *path* takes one in."""
        return self.house.call("POST", f"/centres/{self.centre}/dossiers{path}", body, self._manager())

    def calls(self) -> list[str]:
        """Every call of the day, in order: ``A001 → q01``."""
        return [f"{event['number']} → {event['counter']}" for event in self.events() if event["type"] == "TicketCalled"]

    def events(self) -> list[dict[str, Any]]:
        """The whole record of the day, as staff read it."""
        events: list[dict[str, Any]] = []
        while True:
            path = f"/centres/{self.centre}/events?limit=1000&after={events[-1]['seq'] if events else 0}"
            more = self.house.call("GET", path, token=self._manager())["events"]
            if not more:
                return events
            events += more

    def issuing(self, *, is_open: bool, text: str = "") -> None:
        """The supervisor hands out numbers, or not."""
        self.house.call("POST", f"/centres/{self.centre}/issuing", {"open": is_open, "text": text}, self._manager())

    def revoke(self, board: str) -> None:
        """Take away the tokens of a board."""
        path = f"/centres/{self.centre}/devices"
        for device in self.house.call("GET", path, token=self._manager())["devices"]:
            if device["device"] == board:
                self.house.call("POST", f"{path}/{device['id']}/revoke", {}, self._manager())

    def one_more_kiosk(self) -> str:
        """Its token: a kiosk hands out no more than sixty numbers a minute."""
        wish = {"role": "kiosk", "device": "k1"}
        token: str = self.house.call("POST", f"/centres/{self.centre}/devices", wish, self._manager())["token"]
        return token

    def _officer(self, counter: str) -> str:
        if counter not in self._tokens:
            person = self.person(counter)
            answer = self.house.call("POST", "/session", {**_credentials(person), "bearer": True})
            self._tokens[counter] = answer["token"]
        return self._tokens[counter]

    def _manager(self) -> str:
        if "" not in self._tokens:
            person = next(who for who in self._sign_ins["staff"] if "admin" in who["roles"])
            self._tokens[""] = self.house.call("POST", "/session", {**_credentials(person), "bearer": True})["token"]
        return self._tokens[""]

    def _device(self, kind: str, id: str) -> str:
        token: str = next(device["token"] for device in self._sign_ins[kind] if device["id"] == id)
        return token


def _credentials(person: dict[str, str]) -> dict[str, str]:
    return {"name": person["name"], "password": person["password"]}


def ungrouped(services: tuple[Service, ...]) -> tuple[Service, ...]:
    """The services without the groups of counters that the file names: most of those counters are left out here."""
    plain = msgspec.to_builtins(services)
    for service in plain:
        service.pop("clusters", None)
    return msgspec.convert(plain, tuple[Service, ...])


def small(commune: Centre, id: str) -> Centre:
    """The example commune with three counters and three services: what a test needs, and quick to set up."""
    counters = tuple(
        msgspec.structs.replace(counter, serves=tuple(line for line in counter.serves if line.service in SERVICES))
        for counter in commune.counters
        if counter.id in ("q01", "q03", "q06")
    )
    return msgspec.structs.replace(
        commune,
        id=id,
        counters=counters,
        departments=tuple(department for department in commune.departments if department.id in SERVICES),
        services=ungrouped(tuple(service for service in commune.services if service.id in SERVICES)),
    )


def quick_spoken(centre: Centre) -> Centre:
    """A hurried voice that says everything once, however late, and boards for which a call is soon late."""
    phrases = (CallPhrases(language="vi", call="Số {number}, quầy {counter}."),)
    voice = msgspec.structs.replace(centre.voice, rate=2, repeats=1, phrases=phrases, max_lag_s=300, late_s=300)
    boards = tuple(msgspec.structs.replace(board, late_s=5) for board in centre.boards)
    return msgspec.structs.replace(centre, voice=voice, boards=boards)


def with_tay(centre: Centre) -> Centre:
    """The centre, speaking one language more."""
    return msgspec.structs.replace(centre, languages=(*centre.languages, TAY))


def recording(centre: Centre) -> Centre:
    """The centre, asking what was done with everybody."""
    return msgspec.structs.replace(centre, policy=msgspec.structs.replace(centre.policy, record="required"))


def broad(province: Centre, id: str) -> Centre:
    """The example province with its twenty departments and two counters: a long waiting strip, and quick to set up."""
    lines = tuple(Serves(service=service.id, level=1) for service in province.services)
    counters = tuple(msgspec.structs.replace(counter, serves=lines) for counter in province.counters[:2])
    return msgspec.structs.replace(province, id=id, counters=counters, services=ungrouped(province.services))


def with_long_names(centre: Centre) -> Centre:
    """Names as long as the centre's file allows."""

    def long(name: str) -> str:
        return f"{name} {LONG_WORDS}"[:120].strip()

    def longer(things: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(msgspec.structs.replace(thing, name=long(thing.name)) for thing in things)

    return msgspec.structs.replace(
        centre,
        name=long(centre.name),
        departments=longer(centre.departments),
        services=longer(centre.services),
        zones=longer(centre.zones),
        grounds=longer(centre.grounds),
    )


def with_hostile_names(centre: Centre) -> Centre:
    """The centre with names that are no names; a service is called as its department is."""

    def hostile(things: tuple[Any, ...]) -> tuple[Any, ...]:
        names = itertools.cycle(HOSTILE_NAMES.values())
        return tuple(msgspec.structs.replace(thing, name=name) for thing, name in zip(things, names, strict=False))

    departments = tuple(
        msgspec.structs.replace(one, name=HOSTILE_NAMES[one.id], name_en=HOSTILE_NAMES[one.id])
        for one in centre.departments
    )
    services = tuple(msgspec.structs.replace(one, name=HOSTILE_NAMES[one.id]) for one in centre.services)
    return msgspec.structs.replace(
        centre,
        name=HOSTILE_NAMES["cax"],
        slogan=HOSTILE_NAMES["tpht"],
        departments=departments,
        services=services,
        zones=hostile(centre.zones),
        counters=hostile(centre.counters),
        grounds=hostile(centre.grounds),
    )
