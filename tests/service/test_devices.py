"""Kiosks and boards that fall silent are missed, by those who look and by those who measure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from queue_service.clock import ManualClock
from queue_service.sweeper import Sweeper
from service_world import House, a_hall, a_house, until

MONDAY_NINE = 1_795_366_800_000 + 9 * 3_600_000
MINUTE = 60_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY_NINE)


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, clock: ManualClock, cheap_passwords: None) -> AsyncIterator[House]:
    async with a_house(redis_url, tmp_path, a_hall(), clock) as house:
        yield house


async def test_a_kiosk_that_falls_silent_is_missed_until_it_is_back(house: House, clock: ManualClock) -> None:
    """By name, since when, and what to do; its first word ends it, and the gauge says the same."""
    assert 204 == (await house.kiosk.press("heartbeat")).status
    clock.advance(4 * MINUTE)
    (alarm,) = (await house.chief.get("alarms")).value["alarms"]
    assert ("kiosk-silent", "k1", MONDAY_NINE) == tuple(alarm[name] for name in ("kind", "device", "since_ms"))
    assert "Máy lấy số “Kiosk” im lặng đã 4 phút" == alarm["says"]["vi"]
    assert "Kiosk “Kiosk” has not been heard for 4 min" == alarm["says"]["en"]
    await Sweeper(house.service._dispatch).sweep()
    labels = {"centre": house.centre.id, "kind": "kiosk", "device": "k1"}
    assert 240 == REGISTRY.get_sample_value("queue_device_silent_seconds", labels)
    assert 1 == REGISTRY.get_sample_value("queue_alarms", {"centre": house.centre.id, "kind": "kiosk-silent"})

    await house.kiosk.press("heartbeat")
    assert [] == (await house.chief.get("alarms")).value["alarms"]


async def test_a_board_without_a_screen_is_missed(house: House, clock: ManualClock) -> None:
    """A kiosk that looks on at the board's view is no screen of it."""
    screen = await house.board.socket("boards/hall/stream")
    store, id = house.service._dispatch.store, house.centre.id
    async with asyncio.timeout(5):
        while "hall" not in (await store.read_heard(id))[1]:
            await asyncio.sleep(0.005)
    hub = house.service._boards.hub
    audience = hub._audiences[id]
    await house.kiosk.socket("boards/hall/stream")
    await until(lambda: len(audience.live) == 2, "the kiosk looks on")
    assert 1 == audience.states(hub.build)["hall"].screens
    await screen.websocket.close()
    await until(lambda: len(audience.live) == 1, "the board is dark")
    assert 0 == audience.states(hub.build)["hall"].screens

    clock.advance(5 * MINUTE)
    (alarm,) = (await house.chief.get("alarms")).value["alarms"]
    assert ("board-dark", "hall") == (alarm["kind"], alarm["device"])
    assert "Bảng “Bảng” không sáng đã 5 phút" == alarm["says"]["vi"]
