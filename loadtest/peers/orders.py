"""What the benchmark asks of a program of this folder: whole numbers, one a line of standard input."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator


async def orders() -> AsyncIterator[int]:
    """Each number as it comes, until the benchmark ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield int(line)
