"""
python-socketio on uvicorn.

socketio_asgi.py PORT LENGTH
"""

from __future__ import annotations

import asyncio
import sys

import socketio
import uvicorn
from orders import orders

EVENT = "x" * (int(sys.argv[2]) - 1) + "^"
server = socketio.AsyncServer(async_mode="asgi", ping_interval=600, transports=["websocket"])
tasks: list[asyncio.Task[None]] = []


async def publish() -> None:
    """As often as asked."""
    async for times in orders():
        for _ in range(times):
            await server.emit("event", EVENT)


async def begin() -> None:
    """While it serves, it publishes."""
    tasks.append(asyncio.create_task(publish()))


uvicorn.run(
    socketio.ASGIApp(server, on_startup=begin),
    host="127.0.0.1",
    port=int(sys.argv[1]),
    log_level="error",
    ws_ping_interval=None,
    ws_per_message_deflate=False,
)
