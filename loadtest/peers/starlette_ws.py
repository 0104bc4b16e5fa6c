"""
Starlette on uvicorn: each screen awaited in turn.

starlette_ws.py PORT LENGTH
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from orders import orders
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

EVENT = b"x" * (int(sys.argv[2]) - 1) + b"^"
screens: list[WebSocket] = []


async def screen(connection: WebSocket) -> None:
    """One screen, until it leaves."""
    await connection.accept()
    screens.append(connection)
    try:
        while True:
            await connection.receive_bytes()
    except WebSocketDisconnect:
        screens.remove(connection)


async def publish() -> None:
    """As often as asked."""
    async for times in orders():
        for _ in range(times):
            for connection in screens:
                await connection.send_bytes(EVENT)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - Starlette hands it in
    """While it serves, it publishes."""
    task = asyncio.create_task(publish())
    yield
    task.cancel()


uvicorn.run(
    Starlette(routes=[WebSocketRoute("/", screen)], lifespan=lifespan),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    ws_ping_interval=None,
    ws_per_message_deflate=False,
)
