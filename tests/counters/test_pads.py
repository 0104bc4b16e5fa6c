"""Call pads at pseudo-terminals and a real service: five keys, one press each, and what the officer reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from counters import pads
from counters.pad_file import load
from devices_world import APad, Relay, Wires
from queue_service.device_file import FaultyFile
from service_world import Caller, House
from service_world import until as until_in_time

until = partial(until_in_time, deadline_s=30)
NEXT, RECALL, SERVE, NO_SHOW, PARK = range(1, 6)


@pytest.fixture
async def wires(tmp_path: Path) -> AsyncIterator[Wires]:
    wires = Wires(tmp_path / "ttyPAD")
    wires.plug()
    yield wires
    wires.unplug()


def a_token(folder: Path, officer: Caller) -> Path:
    """The session of *officer*, as sign-in writes it."""
    file = folder / f"{officer.name}.token"
    file.write_text(f"{officer.token}\n")
    file.chmod(0o600)
    return file


def a_file(house: House, folder: Path, wires: Wires, *at: dict[str, Any], service: str = "") -> Path:
    """A settings file with pads *at* their counters."""
    lines = [f'service = "{service or house.service.base}"', f'centre = "{house.centre.id}"']
    lines += [f"state_dir = {json.dumps(str(folder / 'state'))}", "[[ports]]", 'id = "a"']
    lines += [f"address = {json.dumps(str(wires.path))}"]
    for pad in at:
        lines += ["[[pads]]", *(f"{name} = {json.dumps(value)}" for name, value in ({"port": "a"} | pad).items())]
    file = folder / "pads.toml"
    file.write_text("\n".join(lines))
    return file


def at(counter: str, address: int, token: Path, **more: Any) -> dict[str, Any]:
    return {"id": f"pad-{counter}", "counter": counter, "address": address, "token_file": str(token)} | more


@asynccontextmanager
async def at_work(house: House, file: Path) -> AsyncIterator[None]:
    """The agent, impatient."""
    running = asyncio.create_task(
        pads.run(load(file), house.session, answer_s=0.5, first_pause_s=0.05, first_return_s=0.05, look_s=0.05)
    )
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def calls(house: House) -> list[str]:
    events = (await house.integrator.get("events?after=0")).value["events"]
    return [event["number"] for event in events if event["type"] == "TicketCalled"]


async def test_a_visitor_is_served_with_five_keys(house: House, wires: Wires, tmp_path: Path):
    """Open, call, recall, start, complete, absent, park: what is in hand is on the pad, and the lamp says so."""
    pad = APad(9)
    wires.devices.append(pad)
    for _ in range(3):
        await house.kiosk.issue("a")
    async with at_work(house, a_file(house, tmp_path, wires, at("q02", 9, a_token(tmp_path, house.lan)))):
        await until(lambda: pad.rows == ["Da dong", "3 nguoi cho"], "closed")
        pad.press(NEXT)
        await until(lambda: (pad.rows, pad.lamp) == (["Dang mo", "3 nguoi cho"], "2"), "somebody waits")
        pad.press(NEXT)
        await until(lambda: (pad.rows, pad.lamp) == (["A001 Dang moi", "2 nguoi cho"], "1"), "called")
        pad.press(NO_SHOW)
        await until(lambda: pad.lamp == "3" and "Can goi them 1" in pad.said, "called once is not enough")
        pad.press(RECALL)
        await until(lambda: pad.lamp == "1", "rung again")
        pad.press(SERVE)
        await until(lambda: pad.rows[0] == "A001 0:00", "serving")
        pad.press(SERVE)
        await until(lambda: pad.rows[0] == "Dang mo", "served")
        pad.press(NEXT)
        await until(lambda: pad.rows[0] == "A002 Dang moi", "the next")
        pad.press(PARK)
        await until(lambda: pad.rows == ["Dang mo", "1 nguoi cho"], "parked")
    assert ["A001", "A002"] == await calls(house)


async def test_a_double_press_is_one_press(house: House, wires: Wires, tmp_path: Path):
    """A finger that strikes twice, and a key that is told twice because an answer was lost."""
    pad = APad(9)
    wires.devices.append(pad)
    for _ in range(3):
        await house.kiosk.issue("a")
    await house.lan.at("q02", "open")
    async with at_work(house, a_file(house, tmp_path, wires, at("q02", 9, a_token(tmp_path, house.lan)))):
        await until(lambda: pad.rows == ["Dang mo", "3 nguoi cho"], "open")
        pad.loses_answers = 2
        pad.press(NEXT, NEXT, NEXT)
        await until(lambda: pad.is_heard and pad.rows[0] == "A001 Dang moi", "called once")
        await until(lambda: pad.rows == ["A001 Dang moi", "2 nguoi cho"], "and only once")
    assert ["A001"] == await calls(house)


async def test_a_press_is_kept_while_nobody_answers(house: House, wires: Wires, relay: Relay, tmp_path: Path):
    """The answer is lost, then the link, then the agent is started anew: the press takes effect once."""
    pad = APad(9)
    wires.devices.append(pad)
    for _ in range(2):
        await house.kiosk.issue("a")
    await house.lan.at("q02", "open")
    file = a_file(house, tmp_path, wires, at("q02", 9, a_token(tmp_path, house.lan)), service=relay.base)
    async with at_work(house, file):
        await until(lambda: pad.rows == ["Dang mo", "2 nguoi cho"], "open")
        relay.loses_answers = True
        pad.press(NEXT)
        await until(lambda: pad.lamp == "3" and "Giu: Goi so tiep" in pad.said, "kept")
    relay.mend()
    async with at_work(house, file):
        await until(lambda: pad.rows == ["A001 Dang moi", "1 nguoi cho"], "called")
    assert ["A001"] == await calls(house)


async def test_refusals_are_shown(house: House, wires: Wires, tmp_path: Path):
    """Nobody at the counter, somebody else in the seat, a session that has ended: said on the pad, nothing done."""
    pad = APad(9)
    wires.devices.append(pad)
    token = a_token(tmp_path, house.lan)
    await house.lan.at("q02", "open")
    async with at_work(house, a_file(house, tmp_path, wires, at("q02", 9, token, columns=40))):
        await until(lambda: pad.rows == ["Dang mo", "0 nguoi cho"], "open")
        pad.press(SERVE)
        await until(lambda: "Quay khong co so nao dang phuc vu." in pad.said and pad.lamp == "3", "idle")
        await house.binh.at("q02", "open", take_over=True)
        await until(lambda: pad.rows[1] == "Ban khong con ngoi quay nay.", "taken over")
        pad.press(NEXT)
        await until(lambda: pad.is_heard, "heard")
        assert [] == await calls(house)

        await house.lan.ask("DELETE", "/api/v1/session")
        await until(lambda: pad.rows == ["----", "Can dang nhap lai"], "signed out")
        a_token(tmp_path, house.binh).replace(token)
        await until(lambda: pad.rows == ["Dang mo", "0 nguoi cho"], "another officer")


async def test_two_pads_on_one_pair_of_wires(house: House, wires: Wires, tmp_path: Path):
    """Each at its counter with its officer; one that is silent, and wires that are unplugged, come back."""
    left, right = APad(1), APad(2)
    wires.devices += [left, right]
    for _ in range(3):
        await house.kiosk.issue("a")
    await house.lan.at("q01", "open")
    await house.binh.at("q02", "open")
    pads_at = (
        at("q01", 1, a_token(tmp_path, house.lan)),
        at("q02", 2, a_token(tmp_path, house.binh), keys=["park", "next", "serve", "no-show", "recall"]),
    )
    async with at_work(house, a_file(house, tmp_path, wires, *pads_at)):
        await until(lambda: left.rows[:1] == right.rows[:1] == ["Dang mo"], "both open")
        left.is_silent = True
        right.press(2)
        await until(lambda: right.rows[0] == "A001 Dang moi", "the right one calls")
        left.is_silent = False
        left.press(NEXT)
        await until(lambda: left.rows[0] == "A002 Dang moi", "the left one is back")
        wires.unplug()
        left.press(SERVE)
        wires.plug()
        await until(lambda: left.rows[0] == "A002 0:00", "plugged in again, and no key is lost")
    assert ["A001", "A002"] == await calls(house)


@pytest.mark.parametrize(
    ("was", "now", "place"),
    [
        ('counter = "q02"', 'counter = "q 2"', "pads[0].counter"),
        ("address = 9", "address = 0", "pads[0].address"),
        ("address = 9", 'address = 9\nkeys = ["next"]', "pads[0].keys"),
        ("address = 9", 'address = 9\nkeys = ["next", "next", "next", "next", "dance"]', "pads[0].keys[4]"),
        ('port = "a"', 'port = "b"', "pads[0].port"),
        ("state_dir", "state_folder", "state_dir"),
    ],
)
async def test_a_faulty_file_says_where(house: House, wires: Wires, tmp_path: Path, was: str, now: str, place: str):
    """Every mistake has its place."""
    file = a_file(house, tmp_path, wires, at("q02", 9, tmp_path / "token"))
    assert was in file.read_text()
    file.write_text(file.read_text().replace(was, now, 1))
    with pytest.raises(FaultyFile) as faulty:
        load(file)

    assert place in [problem.place for problem in faulty.value.problems]
