"""A hall on the session's server, for one test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from builders import Hall, a_store
from queue_service.centre import Centre

Halls = Callable[[Centre], Awaitable[Hall]]


@pytest.fixture
async def hall_of(redis_url: str) -> AsyncIterator[Halls]:
    """Make a hall of a centre: its configuration is in force, its counters are closed."""
    async with a_store(redis_url) as (store, client):

        async def make(centre: Centre) -> Hall:
            hall = Hall(store, client, centre)
            await hall.configure()
            return hall

        yield make
