"""An officer's day at a terminal of 80 by 24, by keyboard only, and what may happen to it."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from browser_world import House as Program
from builders import DAY
from counters.memory import Keep
from devices_world import Relay
from queue_service.commands import (
    CallChosen,
    CallNext,
    Close,
    Command,
    Complete,
    IssueTicket,
    MarkNoShow,
    Open,
    Park,
    Pause,
    Press,
    Recall,
    Resume,
    Start,
    Transfer,
    Undo,
)
from queue_service.second_factor import STEP_MS, code_at, new_secret
from reference_model import ReferenceModel
from service_world import House, until
from terminal_world import Terminal, a_home

RIGHT = "right password"
FINGER_S = 0.65
"""A finger is not faster: what comes sooner counts as the same strike."""


class Officer:
    """Somebody at a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    async def press(self, *keys: str) -> None:
        """One key after the other, at the pace of a hand."""
        for key in keys:
            await asyncio.sleep(FINGER_S)
            self.terminal.press(key)

    async def sees(self, *texts: str) -> None:
        await self.terminal.shows(*texts)

    async def picks(self, text: str) -> None:
        """The choice that says *text*, by its digit."""

        def digit() -> str | None:
            found = (re.match(rf"\W*(\d+) .*{re.escape(text)}", line) for line in self.terminal.glass.lines)
            return next((choice[1] for choice in found if choice), None)

        await until(digit, f"a choice {text}\n" + "\n".join(self.terminal.glass.lines), 60)
        await self.press(str(digit()))

    async def opens(self, number: int) -> None:
        """Choose a counter of the plan."""
        await self.sees("ngồi quầy nào?")
        await self.press(str(number), "enter")


pytestmark = pytest.mark.timeout(400)  # a day is long, and every program is a process of its own


@pytest.fixture
async def terminals() -> AsyncIterator[list[Terminal]]:
    """Closed at the end, as windows are."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        await terminal.stop()


async def at_a_terminal(
    terminals: list[Terminal], base: str, centre: str, folder: Path, name: str, password: str = RIGHT,
    **environ: str,
) -> Officer:  # fmt: skip
    """A console in a window of its own, signed in without typing."""
    terminal = Terminal()
    terminals.append(terminal)
    who = {"COUNTERS_NAME": name, "COUNTERS_PASSWORD": password}
    await terminal.start("-m", "counters", "--url", base, "--centre", centre, environ=a_home(folder) | who | environ)
    return Officer(terminal)


async def history(house: House) -> list[tuple[Any, ...]]:
    """What happened, without what only time decides."""
    events = (await house.integrator.get("events?after=0")).value["events"]
    return [_essence(event) for event in events]


def _essence(event: dict[str, Any]) -> tuple[Any, ...]:
    names = ("type", "number", "counter", "department", "service", "reason", "note", "was", "now", "draining", "rings")
    return tuple(event.get(name) for name in names)


async def test_an_officers_day(house: House, relay: Relay, terminals: list[Terminal], tmp_path: Path):
    """Every press of a day by keys alone; the log says the same as the reference model."""
    lan = await at_a_terminal(terminals, relay.base, house.centre.id, tmp_path, house.lan.name)
    glass = lan.terminal.glass
    await lan.opens(2)
    await lan.sees("Quầy 2 · Đang mở", "Chưa có ai chờ")
    for _ in range(5):
        await house.kiosk.issue("a")
    await lan.sees("5 người đang chờ quầy này", "A001")

    await lan.press("enter")
    await lan.sees("Đang mời", "Đã gọi 1 lần", "đến lượt đầu hàng")
    await lan.press("f8")
    await lan.sees("Cần gọi thêm 1 lần nữa")
    await lan.press("f4")
    await lan.sees("Đã gọi 2 lần")
    await lan.press("enter")
    await lan.sees("Đang phục vụ")
    await lan.press("enter")
    await lan.sees("4 người đang chờ", "A001 hoàn thành", "Del Hoàn tác hoàn thành")

    await lan.press("f2")
    await lan.sees("Đang mời", "A002")
    await lan.press("+", "-")
    await lan.sees("4 người đang chờ quầy này", "A003 từ")

    await lan.press("enter")
    await lan.sees("Đang mời", "A003")
    await lan.press("/")
    await lan.picks("Nộp phí, lệ phí")
    await lan.sees("Tạm gác 1", "A003 Nộp phí, lệ phí", "3 người đang chờ")
    await lan.press("tab")
    await lan.picks("Gọi vào người đã tạm gác")
    await lan.picks("A003")
    await lan.sees("Đang mời", "A003", "trở lại sau khi tạm")
    await lan.press("enter")
    await lan.sees("Đang phục vụ")

    await lan.press("*")
    await lan.sees("Chuyển A003 đến đâu?")
    await lan.press("b", "enter")
    await lan.sees("Chuyển A003 sang b")
    await lan.press("cần", "enter")
    await lan.sees("3 người đang chờ", "Del Hoàn tác chuyển")
    await lan.press("delete")
    await lan.sees("Đang phục vụ", "A003")
    await lan.press("enter")
    await lan.sees("A003 hoàn thành")

    await lan.press("5")
    await lan.sees("Enter Gọi A005")
    await lan.press("enter")
    await lan.sees("Đang mời", "A005", "cán bộ gọi theo số")

    await lan.press("enter")
    await lan.sees("Đang phục vụ")
    relay.loses_answers = True
    await lan.press("enter")
    await lan.sees("Chưa có trả lời. “Hoàn thành” được giữ", "Mất kết nối từ")
    relay.mend()
    await lan.sees("2 người đang chờ", "A005 hoàn thành")
    await until(lambda: "Mất kết nối" not in glass.text, "the link is back", 40)

    await lan.press("tab")
    await lan.picks("Tạm nghỉ")
    await lan.picks("Họp")
    await lan.sees("Tạm nghỉ · Họp", "Quầy đang tạm nghỉ")
    await lan.press("enter")
    await lan.sees("Quầy 2 · Đang mở")
    await lan.press("tab")
    await lan.picks("Đóng quầy")
    await lan.sees("Đóng quầy 2?")
    await lan.picks("Đóng quầy")
    await lan.sees("Quầy 2 · Đã đóng")
    await lan.press("ctrl-c")
    assert 0 == await lan.terminal.ends()

    park, pause = "Nộp phí, lệ phí", "Họp"
    day: list[Command] = [
        Open(counter="q02"),
        *[IssueTicket(service="a", cls="standard")] * 5,
        CallNext(counter="q02"), Recall(counter="q02"), Start(counter="q02"), Complete(counter="q02"),
        CallNext(counter="q02"), Recall(counter="q02"), MarkNoShow(counter="q02"),
        CallNext(counter="q02"), Park(counter="q02", reason=park),
        Resume(counter="q02", ticket="A003"), Start(counter="q02"),
        Transfer(counter="q02", service="b", note="cần"), Undo(counter="q02"), Complete(counter="q02"),
        CallChosen(counter="q02", ticket="A005", reason="Cán bộ gọi theo số"),
        Start(counter="q02"), Complete(counter="q02"),
        Pause(counter="q02", reason=pause), Open(counter="q02"), Close(counter="q02"),
    ]  # fmt: skip
    assert of_the_model(house, day) == await history(house)
    assert 1 >= glass.wiped, "nothing flickers"


def of_the_model(house: House, day: list[Command]) -> list[tuple[Any, ...]]:
    """What the reference model records of the same presses."""
    model = ReferenceModel(house.centre, DAY, "epoch", 0)
    for n, command in enumerate(day, 1):
        actor = house.kiosk.name if isinstance(command, IssueTicket) else f"staff:{house.lan.name}"
        if isinstance(command, Resume):
            command = Resume(counter=command.counter, ticket=model.numbers[command.ticket])
        model.carry_out(
            command,
            Press(press_id=f"press-{n:04}", now_ms=n * 1000, actor=actor, new_ticket=f"ticket-{n:04}"),
            house.centre.version,
        )
    return [_essence(event) for event in model.events]


async def test_a_seat_changes_hands(house: House, terminals: list[Terminal], tmp_path: Path):
    """Taking over is asked; who sat there is told, and the visitor at the counter stays with it."""
    await house.kiosk.issue("a")
    base, centre = house.service.base, house.centre.id
    lan = await at_a_terminal(terminals, base, centre, tmp_path / "lan", house.lan.name)
    await lan.opens(2)
    await lan.sees("1 người đang chờ")
    await lan.press("enter")
    await lan.sees("Đang mời", "A001")

    binh = await at_a_terminal(terminals, base, centre, tmp_path / "binh", house.binh.name)
    await binh.sees(f"{house.lan.name} đang ngồi")
    await binh.opens(2)
    await binh.sees("Tiếp nhận quầy 2?", f"{house.lan.name} đang ngồi quầy này")
    await binh.picks("Tiếp nhận quầy")
    await binh.sees("Quầy 2 · Đang mở", "Đang mời", "A001")
    await lan.sees(f"{house.binh.name} đã tiếp nhận quầy 2")
    await lan.press("enter")
    await lan.sees("ngồi quầy nào?", f"{house.binh.name} đang ngồi")

    calls = [fact for fact in await history(house) if fact[0] == "TicketCalled"]
    assert 1 == len(calls)


async def test_a_closed_window_loses_nothing(house: House, relay: Relay, terminals: list[Terminal], tmp_path: Path):
    """Killed with a press in hand: the next window is at the same counter and repeats the press under its key."""
    await house.kiosk.issue("a")
    lan = await at_a_terminal(terminals, relay.base, house.centre.id, tmp_path, house.lan.name)
    await lan.opens(2)
    await lan.sees("1 người đang chờ")
    relay.loses_answers = True
    await lan.press("enter")
    await lan.sees("“Gọi số tiếp theo” được giữ")
    await lan.terminal.stop(signal.SIGKILL)
    terminals.remove(lan.terminal)
    held = Keep(tmp_path / "queue-counters", relay.base, house.centre.id).read().held
    assert held is not None
    assert "call-next" == held.button
    relay.mend()

    again = await at_a_terminal(terminals, relay.base, house.centre.id, tmp_path, house.lan.name)
    await again.sees("Quầy 2 · Đang mở", "Đang mời", "A001")
    calls = [fact for fact in await history(house) if fact[0] == "TicketCalled"]
    assert ["A001"] == [fact[1] for fact in calls]
    await until(lambda: Keep(tmp_path / "queue-counters", relay.base, house.centre.id).read().held is None, "answered")


async def test_a_press_can_be_withdrawn(house: House, relay: Relay, terminals: list[Terminal], tmp_path: Path):
    """While nobody answers, Esc lets go of the press; nothing was done that the officer did not want."""
    await house.kiosk.issue("a")
    lan = await at_a_terminal(terminals, relay.base, house.centre.id, tmp_path, house.lan.name)
    await lan.opens(2)
    await lan.sees("1 người đang chờ")
    relay.cut()
    await lan.press("enter")
    await lan.sees("“Gọi số tiếp theo” được giữ", "Esc Rút lại")
    await lan.press("escape")
    await until(lambda: "được giữ" not in lan.terminal.glass.text, "withdrawn", 30)
    relay.mend()
    await until(lambda: "Mất kết nối" not in lan.terminal.glass.text, "the link is back", 60)

    await lan.sees("1 người đang chờ")
    assert [] == [fact for fact in await history(house) if fact[0] == "TicketCalled"]


async def test_the_service_is_killed_among_presses(terminals: list[Terminal], tmp_path: Path):
    """kill -9 of service and store's owner: the console says so, keeps the press, and goes on when they are back."""
    example = Path(__file__).parents[2] / "queue_service/examples/demo-xa.toml"
    program = Program(tmp_path, [example])
    await asyncio.to_thread(program.start)
    try:
        hall = program.sign_ins["demo-xa"]
        person = next(person for person in hall["staff"] if person["name"].endswith(".q01"))
        token = hall["kiosks"][0]["token"]
        async with ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            tickets = f"{program.base}/api/v1/centres/demo-xa/tickets"
            headers = {"Idempotency-Key": "kiosk-press-1"}
            async with session.post(tickets, json={"service": "tpht"}, headers=headers) as answer:
                assert 201 == answer.status, await answer.text()
        lan = await at_a_terminal(terminals, program.base, "demo-xa", tmp_path, person["name"], person["password"])
        await lan.opens(1)
        await lan.sees("1 người đang chờ")
        program.kill()
        await lan.press("enter")
        await lan.sees("được giữ", "Mất kết nối từ")
        await asyncio.to_thread(program.start)
        await lan.sees("Đang mời", "Đã gọi 1 lần")
        await lan.press("enter")
        await lan.sees("Đang phục vụ")
    finally:
        program.stop()


async def test_signing_in_by_hand(house: House, terminals: list[Terminal], tmp_path: Path):
    """A password is never on the glass, a wrong one is said; English, a pad's own key, no colours where not wanted."""
    terminal = Terminal()
    terminals.append(terminal)
    lan = Officer(terminal)
    environ = a_home(tmp_path) | {"NO_COLOR": "1"}
    words = ["--url", house.service.base, "--centre", house.centre.id, "--language", "en", "--keys", "f13=primary"]
    await terminal.start("-m", "counters", *words, environ=environ)
    await lan.sees("User name")
    await lan.press(*house.lan.name, "enter")
    await lan.sees("The password is not shown")
    await lan.press("w", "rong", "enter")
    await lan.sees("not right")
    await lan.press("enter", "right password")
    assert "password:" in terminal.glass.text.lower()
    assert "right password" not in terminal.glass.text
    await lan.press("enter")
    await lan.sees("Which counter")
    await lan.press("2", "enter")
    await lan.sees("Counter 2", "Open")
    await house.kiosk.issue("a")
    await lan.sees("A001")
    await lan.press("f13")
    await lan.sees("Called")
    assert set() == terminal.glass.colours
    assert 0 == len(list((tmp_path / "queue-counters").glob("*.new")))
    assert b"right password" not in b"".join(file.read_bytes() for file in (tmp_path / "queue-counters").iterdir())


async def test_what_was_done_and_what_the_next_officer_should_know(
    house: House, terminals: list[Terminal], tmp_path: Path
):
    """A note, a time of return, procedures by digit and by search with their dossiers, the outcome, and an officer."""
    await house.binh.at("q03", "open")
    for _ in range(2):
        await house.kiosk.issue("a")
    lan = await at_a_terminal(terminals, house.service.base, house.centre.id, tmp_path, house.lan.name)
    await lan.opens(2)
    await lan.sees("2 người đang chờ")
    await lan.press("enter")
    await lan.sees("Đang mời", "A001")
    await lan.press("insert")
    await lan.sees("Ghi chú cho A001")
    await lan.press("bản gốc", "enter")
    await lan.sees("Lời nhắn: bản gốc")
    await lan.press("/")
    await lan.sees("Tạm gác A001: vì sao?", "[không hẹn]")
    await lan.press("/")
    await lan.sees("[15 phút]")
    await lan.picks("Bổ sung giấy tờ")
    await lan.sees("Tạm gác 1", "A001 hẹn")
    (parked,) = (await house.lan.get("counters/q02")).value["parked"]
    assert 14 * 60_000 < parked["park_until_ms"] - parked["ended_at_ms"] <= 16 * 60_000

    await lan.press("pagedown")
    await lan.picks("A001")
    await lan.sees("Đang mời", "A001", "Lời nhắn: bản gốc")
    await lan.press("f9")
    await lan.sees("Hoàn thành A001: đã giải quyết gì?", "[Đã giải quyết]")
    (death, *_) = (await house.lan.get("procedures?q=khai+tử&limit=9")).value["procedures"]
    await lan.press("khai tử")
    await lan.sees(f" 1 {death['name'][:20]}")
    await lan.press("1", "1", "*")
    await lan.sees("2 hồ sơ", "[Hồ sơ chưa đủ]")
    await lan.press("f9")
    await lan.sees("A001 hoàn thành")
    event = (await house.chief.get("events")).value["events"][-1]
    assert ([{"procedure": death["code"], "dossiers": 2}], "incomplete") == (event["done"], event["outcome"])

    await lan.press("enter")
    await lan.sees("Đang mời", "A002")
    await lan.press("f10")
    await lan.sees("Chuyển A002 đến đâu?", "đang ngồi quầy 3")
    await lan.press("can bo", "enter", "enter")
    await lan.sees("Del Hoàn tác chuyển")
    assert "A002" == (await house.binh.get("counters/q03")).value["next"]["number"]


async def test_a_second_factor_is_asked_for(house: House, terminals: list[Terminal], tmp_path: Path):
    """Name and password are known; the code is typed, and a wrong one is said."""
    staff, secret = house.service._staff, new_secret()
    now_ms = house.service.clock.now_ms()
    step = now_ms // STEP_MS
    identity = house.identity_of[house.lan.name]
    await staff.set_second_factor(identity, RIGHT, secret, code_at(secret, step - 1), "here", now_ms)

    lan = await at_a_terminal(terminals, house.service.base, house.centre.id, tmp_path, house.lan.name)
    await lan.sees("Mã 6 chữ số trên điện thoại")
    wrong = f"{(int(code_at(secret, step)) + 1) % 1_000_000:06}"
    await lan.press(wrong, "enter")
    await lan.sees("Mã chưa đúng")
    await lan.press(code_at(secret, house.service.clock.now_ms() // STEP_MS), "enter")
    await lan.sees("ngồi quầy nào?")


async def test_practice_asks_nobody(terminals: list[Terminal], tmp_path: Path):
    """Invented people, the same keys and words; no service is there at all, and nothing is remembered."""
    terminal = Terminal()
    terminals.append(terminal)
    lan = Officer(terminal)
    await terminal.start("-m", "counters", "--url", "http://127.0.0.1:1", "--practice", environ=a_home(tmp_path))
    await lan.sees("LUYỆN TẬP", "4 người đang chờ quầy này")
    await lan.press("enter")
    await lan.sees("Đang mời", "T002", "ưu tiên: mỗi phút chờ")
    await lan.press("enter")
    await lan.sees("Đang phục vụ", "Del Hoàn tác bắt đầu")
    await lan.press("delete")
    await lan.sees("Đang mời", "Del Hoàn tác lần gọi")
    await lan.press("delete")
    await lan.sees("4 người đang chờ quầy này")
    await lan.press("2", "enter")
    await lan.sees("Đang mời", "T002", "cán bộ gọi theo số")
    await lan.press("f9")
    await lan.sees("(luyện tập)")
    await lan.press("1", "enter")
    await lan.sees("T002 hoàn thành")
    await lan.press("tab")
    await lan.picks("Về làm việc thật")
    assert 0 == await terminal.ends()
    assert not (tmp_path / "queue-counters").exists()


async def test_a_small_window_says_so(house: House, terminals: list[Terminal], tmp_path: Path):
    """Below 80 by 24 a sentence stands there, and nothing else."""
    terminal = Terminal(79, 24)
    terminals.append(terminal)
    await terminal.start(
        "-m", "counters", "--url", house.service.base, "--centre", house.centre.id, environ=a_home(tmp_path)
    )
    await terminal.shows("Cửa sổ quá nhỏ: cần ít nhất 80 cột, 24 dòng.")
