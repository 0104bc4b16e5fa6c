"""
aiohttp as its manual shows it: each screen awaited in turn.

aiohttp_send.py PORT LENGTH
"""

from __future__ import annotations

import sys

import uvloop
from aiohttp import web
from orders import orders

EVENT = b"x" * (int(sys.argv[2]) - 1) + b"^"
screens: list[web.WebSocketResponse] = []


async def screen(request: web.Request) -> web.WebSocketResponse:
    """One screen, until it leaves."""
    connection = web.WebSocketResponse(compress=False)
    await connection.prepare(request)
    screens.append(connection)
    async for _ in connection:
        pass
    return connection


async def main() -> None:
    """Serve, and publish as often as asked."""
    app = web.Application()
    app.router.add_get("/", screen)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    async for times in orders():
        for _ in range(times):
            for connection in screens:
                await connection.send_bytes(EVENT)


uvloop.run(main())
