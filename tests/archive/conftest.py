"""An archive of this version on each kind of database."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from queue_service.archive.archive import Archive


@pytest.fixture
async def archive(database_url: str) -> AsyncIterator[Archive]:
    archive = await Archive.open(database_url)
    yield archive
    await archive.close()
