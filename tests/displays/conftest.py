"""A centre that writes as the core does, a hub that follows it, and screens that remember what they were shown."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from displays_world import Hall, Writer, running


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
async def centre(redis: Redis) -> Writer:
    """A centre of its own for each test."""
    writer = Writer(redis, f"hall-{secrets.token_hex(4)}")
    await writer.set_up()
    return writer


@pytest.fixture
async def hall(redis_url: str, centre: Writer) -> AsyncIterator[Hall]:
    """The displays' program on a port of its own, and a client."""
    async with running(redis_url, centre.id) as hall:
        yield hall
