"""A service with its people for whoever presses from afar."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import queue_service
from devices_world import Relay
from service_world import House, a_hall, a_house

EXAMPLES = Path(queue_service.__file__).parent / "examples"


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[House]:
    """The whole service."""
    centre = a_hall(calls_before_no_show=2)
    shutil.copy(EXAMPLES / "demo-xa-procedures.json", tmp_path / f"{centre.id}-procedures.json")
    async with a_house(redis_url, tmp_path, centre) as house:
        yield house


@pytest.fixture
async def relay(house: House) -> AsyncIterator[Relay]:
    """What stands between the service and whoever presses."""
    relay = Relay(house.service.base)
    await relay.start()
    yield relay
    await relay.stop()
