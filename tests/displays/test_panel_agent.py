"""The agent for panels, at a real service and at pseudo-terminals: a panel shows what is true, or a mark."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from devices_world import APanel, Relay, Wires
from displays.panel_agent import Confirming, PanelAgent
from displays.panel_file import PanelFile, load
from displays.panels import Face, Ring
from queue_service.clock import SystemClock
from service_world import Caller, House, Watcher, a_hall, a_house
from service_world import until as until_in_time

until = partial(until_in_time, deadline_s=30)  # answers of half a second, tried again after growing pauses
A_DAY = "[brightness]\nday = 7\nnight = 7\n"


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[House]:
    async with a_house(redis_url, tmp_path, a_hall(calls_before_no_show=1)) as house:
        yield house


@pytest.fixture
async def wires(tmp_path: Path) -> AsyncIterator[Wires]:
    wires = Wires(tmp_path / "ttyPANEL")
    wires.plug()
    yield wires
    wires.unplug()


def a_file(
    house: House,
    folder: Path,
    ports: dict[str, str],
    panels: list[dict[str, Any]],
    more: str = A_DAY,
    service: str = "",
) -> Path:
    """A settings file; a port is its address, a panel what its entry says."""
    token = folder / "token"
    token.write_text(f"{house.board.token}\n")
    token.chmod(0o600)
    lines = [f'service = "{service or house.service.base}"', f'centre = "{house.centre.id}"', 'board = "hall"']
    lines += [f"token_file = {json.dumps(str(token))}", more]
    for id, address in ports.items():
        lines += ["[[ports]]", f'id = "{id}"', f"address = {json.dumps(address)}"]
    for panel in panels:
        lines += ["[[panels]]", *(f"{name} = {json.dumps(value)}" for name, value in panel.items())]
    file = folder / "panels.toml"
    file.write_text("\n".join(lines))
    return file


@asynccontextmanager
async def at_work(house: House, file: Path) -> AsyncIterator[PanelAgent]:
    """The agent, impatient."""
    settings: PanelFile = load(file)
    agent = PanelAgent(
        settings, str(house.board.token), house.session, SystemClock(),
        first_return_s=0.05, answer_s=0.5, first_pause_s=0.05,
    )  # fmt: skip
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def over(counter: str, address: int, port: str = "a", **more: Any) -> dict[str, Any]:
    return {"id": f"over-{counter}", "port": port, "address": address, "counter": counter, "rows": 2} | more


async def call(house: House, officer: Caller, counter: str = "q02") -> str:
    """Somebody comes and is called."""
    await house.kiosk.issue("b" if counter == "q03" else "a")
    return (await officer.at(counter, "call-next")).ticket["number"]


class Confirmations:
    """What officers are told of a call: on how many screens it can be seen."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def screens(self, number: str) -> int:
        called = {event["number"]: event["seq"] for event in self.watcher.events if event["type"] == "TicketCalled"}
        told = [call for frame in self.watcher.frames if frame["type"] == "shown" for call in frame["calls"]]
        return max((call["shown"] for call in told if call["call"] == called.get(number)), default=0)


@pytest.fixture
async def confirmations(house: House) -> AsyncIterator[Confirmations]:
    watcher = await house.chief.socket("events/stream")
    await watcher.begins()
    yield Confirmations(watcher)
    await watcher.leave()


async def test_a_panel_shows_what_happens_at_its_counter(house: House, wires: Wires, tmp_path: Path):
    """Called, served, free, paused, closed; a recall blinks again; the clock's brightness."""
    panel = APanel(5)
    wires.devices.append(panel)
    file = a_file(house, tmp_path, {"a": str(wires.path)}, [over("q02", 5)])
    async with at_work(house, file):
        await house.lan.at("q02", "open")
        await until(lambda: panel.rows == ["--", "Quay 2"] and panel.level == 7, "free")

        number = await call(house, house.lan)
        await until(lambda: panel.rows == [number, "Quay 2"] and panel.blink_s == 10, "called")
        asked = panel.asked
        await house.lan.at("q02", "recall")
        await until(lambda: panel.asked > asked, "rung again")
        assert ([number, "Quay 2"], 10) == (panel.rows, panel.blink_s)

        await house.lan.at("q02", "start")
        await until(lambda: panel.blink_s == 0, "the visitor has come")
        assert [number, "Quay 2"] == panel.rows
        await house.lan.at("q02", "complete")
        await until(lambda: panel.rows == ["--", "Quay 2"], "free again")
        await house.lan.at("q02", "pause")
        await until(lambda: panel.rows == ["Tam nghi", "Quay 2"], "paused")
        await house.lan.at("q02", "close")
        await until(lambda: panel.rows == [], "dark")


async def test_several_panels_share_one_pair_of_wires(
    house: House, wires: Wires, tmp_path: Path, confirmations: Confirmations
):
    """Each address is asked by itself; a silent neighbour and noise on the wires delay nobody for long."""
    left, right, strip = APanel(1), APanel(2), APanel(247)
    wires.devices += [left, right, strip]
    strip.is_silent = True
    file = a_file(
        house,
        tmp_path,
        {"a": str(wires.path)},
        [over("q01", 1), over("q02", 2), {"id": "strip", "port": "a", "address": 247, "shows": "calls", "rows": 2}],
    )
    async with at_work(house, file):
        await house.lan.at("q01", "open")
        await house.binh.at("q02", "open")
        first = await call(house, house.lan, "q01")
        await until(lambda: left.rows[:1] == [first], "left")
        wires.say(b"\xff\x00:01*!!\r\n!011A*0000\r\n")
        second = await call(house, house.binh, "q02")
        await until(lambda: right.rows[:1] == [second], "right")
        assert [first] == left.rows[:1]
        assert 0 == confirmations.screens(second), "the strip has not acknowledged it"

        strip.is_silent = False
        await until(lambda: strip.rows == [f"{second}   2", f"{first}   1"], "the strip is back")
        third = await call(house, await officer_of_q03(house), "q03")
        await until(lambda: strip.rows[:1] == [f"{third}   3"], "newest first")


async def officer_of_q03(house: House) -> Caller:
    officer = await house.staff("hoa", "officer")
    await officer.at("q03", "open")
    return officer


def test_an_answer_to_what_was_asked_before_says_nothing_of_a_call():
    """The call comes while a panel still answers for the face before; its own answer follows and confirms it."""
    confirming = Confirming()
    before, first, recalled = Face(("A001",), Ring(7, 1)), Face(("A002",), Ring(9, 1)), Face(("A002",), Ring(9, 2))
    confirming.expect(9, Ring(9, 1), {"p"})
    assert [] == confirming.acknowledged("p", Face(("--",)))
    assert [] == confirming.acknowledged("p", before)
    assert [9] == confirming.acknowledged("p", first)
    confirming.expect(12, Ring(12, 1), {"p"})
    assert [] == confirming.acknowledged("p", recalled)
    assert [] == confirming.acknowledged("p", Face(("A004",), Ring(14, 1))), "overtaken by a later call"
    assert [] == confirming.acknowledged("p", Face(("A003",), Ring(12, 1)))


async def test_a_call_is_confirmed_when_its_panel_has_acknowledged(
    house: House, wires: Wires, tmp_path: Path, confirmations: Confirmations
):
    """Broken answers and refusals are asked again; only a good one is passed on to the officer."""
    panel = APanel(5)
    wires.devices.append(panel)
    file = a_file(house, tmp_path, {"a": str(wires.path)}, [over("q02", 5)])
    async with at_work(house, file):
        await house.lan.at("q02", "open")
        await until(lambda: panel.rows == ["--", "Quay 2"], "free")
        panel.corrupts, panel.refuses = 1, 1
        number = await call(house, house.lan)

        await until(lambda: confirmations.screens(number) == 1, "confirmed")
        assert [number] == panel.rows[:1]
        assert 0 == panel.corrupts + panel.refuses


async def test_what_was_overtaken_is_never_sent(house: House, wires: Wires, tmp_path: Path):
    """A panel that was silent through three calls learns the last one only."""
    panel = APanel(5)
    wires.devices.append(panel)
    file = a_file(house, tmp_path, {"a": str(wires.path)}, [over("q02", 5)])
    async with at_work(house, file):
        await house.lan.at("q02", "open")
        await until(lambda: panel.rows == ["--", "Quay 2"], "free")
        panel.is_silent = True
        for _ in range(3):
            number = await call(house, house.lan)
            await house.lan.at("q02", "complete")
        number = await call(house, house.lan)
        panel.is_silent = False
        await until(lambda: panel.rows[:1] == [number], "the last one")

        assert ["--", number] == panel.history[-2:]


async def test_an_unplugged_port_comes_back_and_the_other_notices_nothing(house: House, tmp_path: Path):
    """Lost, counted, tried again; back at its path it is told what is true now."""
    east, west = Wires(tmp_path / "ttyEAST"), Wires(tmp_path / "ttyWEST")
    left, right = APanel(1), APanel(1)
    east.devices.append(left)
    west.devices.append(right)
    for wires in (east, west):
        wires.plug()
    ports = {"east": str(east.path), "west": str(west.path)}
    file = a_file(house, tmp_path, ports, [over("q01", 1, "east"), over("q02", 1, "west")])

    def counted(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"port": "east"}) or 0.0

    async with at_work(house, file):
        await house.lan.at("q01", "open")
        await house.binh.at("q02", "open")
        await until(lambda: left.rows[:1] == ["--"] and right.rows[:1] == ["--"], "both free")
        losses = counted("displays_panel_port_losses_total")
        east.unplug()
        await until(lambda: counted("displays_panel_port_losses_total") > losses, "the loss is counted")
        assert 0 == counted("displays_panel_port_up")

        here = await call(house, house.binh, "q02")
        await until(lambda: right.rows[:1] == [here], "the other goes on")
        number = await call(house, house.lan, "q01")
        assert ["--"] == left.rows[:1]
        east.plug()
        await until(lambda: left.rows[:1] == [number], "back, with what is true now")
        assert 1 == counted("displays_panel_port_up")
    east.unplug()
    west.unplug()


async def test_without_a_link_the_idle_mark_replaces_a_stale_call(house: House, wires: Wires, tmp_path: Path):
    """After the set time no number that may be wrong is left standing; when the link is back, the truth returns."""
    panel = APanel(5)
    wires.devices.append(panel)
    relay = Relay(house.service.base)
    more = "idle_after_s = 3\n" + A_DAY
    file = a_file(house, tmp_path, {"a": str(wires.path)}, [over("q02", 5)], more, await relay.start())
    async with at_work(house, file):
        await house.lan.at("q02", "open")
        number = await call(house, house.lan)
        await until(lambda: panel.rows[:1] == [number], "called")
        relay.cut()
        await house.lan.at("q02", "complete")
        after = await call(house, house.lan)
        await until(lambda: panel.rows[:1] == ["----"], "idle")
        assert after not in panel.history
        relay.mend()
        await until(lambda: panel.rows[:1] == [after], "the truth")
    await relay.stop()


async def test_a_panel_with_an_address_of_its_own(house: House, tmp_path: Path, confirmations: Confirmations):
    """Over TCP, of the kind that shows every line and never answers: told, and never confirmed."""
    heard: list[bytes] = []

    async def strip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            heard.append(line)
        writer.close()

    server = await asyncio.start_server(strip, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    entry = {"id": "strip", "port": "a", "shows": "calls", "adapter": "lines"}
    async with at_work(house, a_file(house, tmp_path, {"a": address}, [entry])):
        await house.lan.at("q02", "open")
        number = await call(house, house.lan)
        await until(lambda: heard[-1:] == [f"{number}   2\r\n".encode()], "told")
        assert 0 == confirmations.screens(number)
    server.close()


async def test_the_command_explains_itself(house: House, wires: Wires, tmp_path: Path):
    """--check says what is wrong and where, --dry-run what would be sent; a token others may read is refused."""
    file = a_file(house, tmp_path, {"a": str(wires.path)}, [over("q02", 5)])
    await house.lan.at("q02", "open")
    number = await call(house, house.lan)

    status, said = await command("panels", str(file), "--check")
    assert (0, True) == (status, "1 panels on 1 ports" in said)
    status, said = await command("panels", str(file), "--dry-run")
    assert (0, True) == (status, f":050D10{number}|Quay 2*" in said)
    (tmp_path / "token").chmod(0o644)
    status, said = await command("panels", str(file), "--dry-run")
    assert (3, True) == (status, "chmod 600" in said)
    file.write_text(file.read_text().replace("address = 5", "address = 500"))
    status, said = await command("panels", str(file), "--check")
    assert (3, True) == (status, "panels[0].address" in said)
    assert [] == wires.heard


async def command(*words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "displays", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()
