"""
N screens at any WebSocket server: they join, take in what comes, and say when enough has come.

    receiver.py PORT SCREENS PATH HELLO LIVE

HELLO (hexadecimal) is written after the upgrade; a screen is live once LIVE (text, may be empty) has come.  Every event
holds one `^` and nothing else does, so that deliveries can be counted whatever the protocol.  Says `ready`; then for
each line of standard input, a number of deliveries since the start, repeats it as soon as they have come.
"""

from __future__ import annotations

import asyncio
import sys

import uvloop
from orders import orders

MARK = b"^"
AT_ONCE = 50

PORT, SCREENS = int(sys.argv[1]), int(sys.argv[2])
HELLO, LIVE = bytes.fromhex(sys.argv[4]), sys.argv[5].encode()
REQUEST = (
    f"GET {sys.argv[3]} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()


class Deliveries:
    """How many have come, and who waits for how many."""

    def __init__(self) -> None:
        self.come = self.wanted = 0
        self.signal = asyncio.Event()

    def add(self, count: int) -> None:
        """*count* more."""
        self.come += count
        if self.come >= self.wanted:
            self.signal.set()


class Screen(asyncio.Protocol):
    """One connection."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._begun = b""
        self._said_hello = False
        self.live = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        """Count; before that, join."""
        if self.live.done():
            self._deliveries.add(data.count(MARK))
            return
        self._begun += data
        head, end, after = self._begun.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 101 " not in head:
            sys.exit(f"no upgrade: {head.decode()}")
        if not self._said_hello:
            self._said_hello = True
            self._transport.write(HELLO)
        if LIVE in after:
            self.live.set_result(None)

    def connection_lost(self, why: Exception | None) -> None:
        """No server of the benchmark closes a screen."""
        sys.exit(f"a screen was closed: {why}")


async def main() -> None:
    """Join, then answer."""
    loop, deliveries = asyncio.get_running_loop(), Deliveries()
    for start in range(0, SCREENS, AT_ONCE):
        joined = [
            loop.create_connection(lambda: Screen(deliveries), "127.0.0.1", PORT)
            for _ in range(min(AT_ONCE, SCREENS - start))
        ]
        await asyncio.gather(*[screen.live for _, screen in await asyncio.gather(*joined)])
    print("ready", flush=True)
    async for wanted in orders():
        deliveries.wanted = wanted
        deliveries.signal.clear()
        deliveries.add(0)
        await deliveries.signal.wait()
        print(wanted, flush=True)


uvloop.run(main())
