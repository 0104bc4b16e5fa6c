"""A service with its people for whoever presses from afar."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devices_world import Relay
from service_world import House, a_hall, a_house


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[House]:
    """The whole service."""
    async with a_house(redis_url, tmp_path, a_hall(calls_before_no_show=2)) as house:
        yield house


@pytest.fixture
async def relay(house: House) -> AsyncIterator[Relay]:
    """What stands between the service and whoever presses."""
    relay = Relay(house.service.base)
    await relay.start()
    yield relay
    await relay.stop()
