"""The whole service, with cheap passwords: what argon2 costs is tested elsewhere."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service_world import House, a_hall, a_house


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[House]:
    """A service with a centre of its own."""
    async with a_house(redis_url, tmp_path, a_hall()) as house:
        yield house
