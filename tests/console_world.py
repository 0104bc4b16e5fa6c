"""
What the tests of the console share: the history of a day as pages and others asked for it, which the reference model
can repeat, and a line to the service that breaks where a test wants it.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Literal

from playwright.sync_api import Error, Page, Response

from browser_world import CONSOLE_PX, Hall
from pictures import tidy
from queue_service import commands
from queue_service.centre import Centre, load_centre
from queue_service.commands import Command, Done, Press
from reference_model import ReferenceModel

KEPT = "được giữ và sẽ tự gửi lại"
"""What the page says of a press that nobody has answered."""
Cut = Literal["request", "reply", "middle"]
"""Where a line breaks: before the press arrives, before its answer leaves, or in the middle of the answer."""

PRESSES: dict[str, type[Command]] = {
    "call": commands.CallChosen,
    "no-show": commands.MarkNoShow,
    **{
        kind.press_name(): kind
        for kind in (
            commands.Open, commands.Pause, commands.Close, commands.CallNext, commands.Recall, commands.Start,
            commands.Complete, commands.Park, commands.Resume, commands.Transfer, commands.Note, commands.Undo,
            commands.AskHelp, commands.AnswerHelp,
        )
    },
}  # fmt: skip
RENAMED = {"counter": "to_counter", "class": "cls"}


class History:
    """Every change that was asked for and done, by pages and by others, as the service answered it."""

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self.done: list[tuple[str, dict[str, Any], dict[str, Any]]] = []
        call = hall.house.call

        def listened(method: str, path: str, body: Any = None, token: str | None = None) -> Any:
            answer = call(method, path, body, token)
            if method == "POST":
                self.keep(path, body or {}, answer)
            return answer

        hall.house.call = listened  # type: ignore[method-assign]
        self._stop = lambda: setattr(hall.house, "call", call)

    def watch(self, page: Page) -> Page:
        """Listen to a page, too."""

        def heard(response: Response) -> None:
            request = response.request
            if request.method == "POST" and response.ok and "/centres/" in request.url:
                path = request.url.partition("/api/v1")[2]
                with suppress(Error):  # the line broke before the whole answer was there: the page asks again
                    self.keep(path, json.loads(request.post_data or "{}"), response.json())

        page.on("response", heard)
        return page

    def console(self, counter: str) -> Page:
        """The officer of the counter signs in and sits down, heard from the first press on."""
        page = self.watch(self.hall.page(f"/console/{self.hall.centre}?mute", CONSOLE_PX))
        self.hall.sign_in(page, counter)
        self.hall.sit_down(page, counter)
        return page

    def keep(self, path: str, body: dict[str, Any], answer: dict[str, Any]) -> None:
        if f"/centres/{self.hall.centre}/" in path:
            self.done.append((path, body, answer))

    def hears(self, page: Page, press: str) -> None:
        """Await that the answer to *press* has been heard: bodies arrive after the page has shown what they say."""
        deadline = time.monotonic() + 10
        while not any(path.endswith(f"/{press}") for path, *_ in self.done):
            assert time.monotonic() < deadline, press
            page.wait_for_timeout(50)

    def events(self) -> list[dict[str, Any]]:
        """What the service has recorded."""
        self._stop()
        token = self.hall._manager()
        answer = self.hall.house.call("GET", f"/centres/{self.hall.centre}/events?limit=1000", token=token)
        events: list[dict[str, Any]] = answer["events"]
        return events

    def agrees(self) -> None:
        """The record is what the reference model makes of the presses that were answered."""
        events = self.events()
        centre = load_centre(self.hall.house.folder / f"{self.hall.centre}.json")
        assert replayed(centre, events, self) == tidy(events)


def wish(path: str, body: dict[str, Any]) -> Command:
    """The command that a request stands for."""
    if path.endswith("/tickets"):
        return commands.IssueTicket(
            service=body["service"], cls="priority" if body.get("ground") else "standard", ground=body.get("ground")
        )
    if path.endswith("/messages"):
        return commands.SendMessage(
            text=body["text"], to=tuple(body["to"]) if "to" in body else None, counter=body.get("counter")
        )
    if path.endswith("/messages/read"):
        return commands.MarkRead(message=body["message"], counter=body.get("counter"))
    found = re.search(r"/counters/([^/]+)/([^/]+)$", path)
    assert found, path
    fields = {RENAMED.get(name, name): value for name, value in body.items()}
    if "officer" in fields:
        fields["to_officer"] = f"staff:{fields.pop('officer')}"
    if "done" in fields:
        fields["done"] = tuple(Done(**item) for item in fields["done"]) or None
    return PRESSES[found[2]](**fields, counter=found[1])


def replayed(centre: Centre, events: list[dict[str, Any]], history: History) -> list[dict[str, Any]]:
    """The facts that the reference model records when the same presses are made in the same order."""
    first = events[0]
    day = history.done[0][2]["day"]
    model = ReferenceModel(centre, day, first["epoch"], first["at_ms"])
    by_seq = {event["seq"]: event for event in events}
    last = 1
    for path, body, answer in sorted(history.done, key=lambda row: (row[2]["seq"], row[2]["now_ms"])):
        event = by_seq.get(last + 1, {"type": "", "actor": "staff:nobody"})
        if path.endswith("/open") and (event["type"], event.get("counter")) != ("CounterOpened", path.split("/")[-2]):
            continue  # the seat was kept: nothing says who pressed, and the next event's actor did not
        actor = event["actor"]
        ticket = answer["ticket"]["id"] if path.endswith("/tickets") else ""
        wait = by_seq[last + 1].get("wait") if ticket else None
        press = Press(
            press_id=f"{last}-{path}", actor=actor, now_ms=answer["now_ms"], over=True, new_ticket=ticket, wait=wait
        )
        model.carry_out(wish(path, body), press, centre.version)
        last = len(model.events)
    facts: list[dict[str, Any]] = tidy(model.events)
    return facts


class Wire:
    """
    The line between the pages and their service: bytes pass until it is told where to break.

    From the break on nothing passes, as with a cable that was pulled, until `mend`.
    """

    def __init__(self, port: int) -> None:
        self.tries: list[tuple[str, str]] = []
        """Every press that was seen on the line, with its key; repetitions, too."""
        self._port = port
        self._plan: tuple[str, Cut] | None = None
        self._is_whole = threading.Event()
        self._is_whole.set()
        self._ends: set[socket.socket] = set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def break_at(self, press: str, where: Cut) -> None:
        """The next *press*, or reading of that name, breaks the line."""
        self.tries.clear()
        self._plan = (press, where)

    def pull(self) -> None:
        """Break it now."""
        self._is_whole.clear()
        for end in list(self._ends):
            _hang_up(end)

    def mend(self) -> None:
        self._plan = None
        self._is_whole.set()

    def close(self) -> None:
        self.pull()
        _hang_up(self._door)

    def keys(self, press: str) -> list[str]:
        return [key for name, key in self.tries if name == press]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if not self._is_whole.is_set():
                    _hang_up(near)
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self._port))
                except OSError:  # nobody is at home
                    _hang_up(near)
                    continue
                self._ends |= {near, far}
                broken: list[Cut] = []
                for pump in (self._requests, self._replies):
                    threading.Thread(target=pump, args=(near, far, broken), daemon=True).start()

    def _requests(self, near: socket.socket, far: socket.socket, broken: list[Cut]) -> None:
        with suppress(OSError):
            while data := near.recv(1 << 16):
                asked = re.match(rb"(?:GET|POST) \S*?/([\w-]+) HTTP/1.1\r\n", data)
                key = re.search(rb"\r\nIdempotency-Key: (\w+)\r\n", data, re.IGNORECASE)
                if asked and key:
                    self.tries.append((asked[1].decode(), key[1].decode()))
                if asked and self._plan and self._plan[0] == asked[1].decode():
                    broken.append(self._plan[1])
                if "request" in broken:
                    self.pull()
                    break
                far.sendall(data)
        self._end(near, far)

    def _replies(self, near: socket.socket, far: socket.socket, broken: list[Cut]) -> None:
        kept = b""
        with suppress(OSError):
            while data := far.recv(1 << 16):
                if not broken:
                    near.sendall(data)
                    continue
                kept += data
                head, _, body = kept.partition(b"\r\n\r\n")
                length = re.search(rb"\r\nContent-Length: (\d+)", head, re.I)
                if length is None or len(body) < int(length[1]):
                    continue  # the press is done when its whole answer is there
                if "middle" in broken:
                    near.sendall(kept[:-20])
                self.pull()
                break
        self._end(near, far)

    def _end(self, *ends: socket.socket) -> None:
        for end in ends:
            self._ends.discard(end)
            _hang_up(end)


def _hang_up(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
