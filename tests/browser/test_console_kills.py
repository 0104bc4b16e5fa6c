"""
Service and store are killed without warning while an officer works: the ticket in hand is still there, the press that
was under the finger is repeated, and the day has it once.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import get_args

import pytest
from playwright.sync_api import expect

from browser_world import Hall, call_first, strike
from console_world import KEPT, Cut, History, Wire


def kill_the_store(hall: Hall) -> None:
    """As the kernel does to whoever takes too much memory."""
    lock = Path(hall.house.folder) / "data" / "server.lock"
    os.kill(json.loads(lock.read_text())["server"], signal.SIGKILL)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", get_args(Cut))
def test_the_service_is_killed_in_the_middle_of_a_press(little_hall: Hall, wire: Wire, where: Cut):
    """Whether the press had arrived or not: after the start it is done, once, with the visitor who was in hand."""
    hall = little_hall
    history = History(hall)
    for _ in range(2):
        hall.issue()
    console = history.console("q01")
    call_first(console)
    console.wait_for_timeout(700)

    wire.break_at("start", where)
    console.keyboard.press("Enter")
    expect(console.get_by_text(KEPT)).to_be_visible()
    hall.house.kill()
    expect(console.locator(".hero")).to_have_text("A001")
    hall.house.start()
    wire.mend()

    expect(console.get_by_role("heading", name="Đang phục vụ")).to_be_visible(timeout=15_000)
    expect(console.get_by_text(KEPT)).to_have_count(0)
    expect(console.locator(".hero")).to_have_text("A001")
    tried = wire.keys("start")
    assert len(tried) >= 2
    assert 1 == len(set(tried))
    history.hears(console, "start")
    history.agrees()


@pytest.mark.timeout(300)
def test_the_store_is_killed_between_presses(little_hall: Hall):
    """The service starts it again; the officer's next press is held for a moment and then done, with nobody lost."""
    hall = little_hall
    history = History(hall)
    for _ in range(2):
        hall.issue()
    console = history.console("q01")
    call_first(console)

    for key, heading in (("F4", "Đã gọi 2 lần"), ("Enter", "Đang phục vụ")):
        console.wait_for_timeout(700)
        kill_the_store(hall)
        console.keyboard.press(key)
        expect(console.get_by_text(heading)).to_be_visible(timeout=15_000)
        expect(console.locator(".hero")).to_have_text("A001")
    kill_the_store(hall)
    strike(console, "Enter")
    expect(console.locator(".today")).to_contain_text("A001", timeout=15_000)

    history.hears(console, "complete")
    history.agrees()
