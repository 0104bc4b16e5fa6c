"""
A port with small devices behind it: a serial line (RS-232, RS-485, USB) or a TCP address of a converter.

One task owns a port: it asks, and waits for the line that answers.  Whatever breaks becomes PortLost; who owns the port
opens it again.  It knows no protocol beyond "a line ends with LF".
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

OPEN_S: Final = 5.0
WRITE_S: Final = 1.0
ANSWER_S: Final = 0.4
"""How long a device may take to answer: 128 bytes at 9,600 baud are 0.13 s."""
FIRST_PAUSE_S: Final = 1.0
LAST_PAUSE_S: Final = 30.0
LONGEST_LINE_BYTES: Final = 1024


class PortLost(ConnectionError):
    """The port is not there, or not any more; the text says why in a few words."""


class Port(Protocol):
    """An open port."""

    async def tell(self, line: bytes) -> None:
        """
        Send *line*.  What had come in before is forgotten: it answers nothing that is asked from here on.

        Raises:
            PortLost: it could not be sent.
        """
        ...

    async def hear(self, timeout_s: float) -> bytes | None:
        """
        The next line, or None when there is none in time.

        Raises:
            PortLost: nothing can be heard any more.
        """
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


async def open_port(address: str, baud: int) -> Port:
    """
    Open *address*; a TCP address has no *baud*.

    Raises:
        PortLost: nobody is there, or we may not.
    """
    try:
        async with asyncio.timeout(OPEN_S):
            if address.startswith("/"):
                return SerialPort(await asyncio.to_thread(_open_serial, address, baud))
            parts = urlsplit(address)
            host, number = parts.hostname or "", parts.port or 0
            _, port = await asyncio.get_running_loop().create_connection(TcpPort, host, number)
            return port
    except (OSError, TimeoutError) as error:  # pyserial's own errors are OSErrors
        raise PortLost(_why(error)) from error


def _open_serial(path: str, baud: int) -> Any:
    try:
        import serial  # type: ignore[import-untyped] # here: whoever has only TCP does not need it
    except ModuleNotFoundError:
        raise PortLost("serial lines need the package pyserial: install queue-service[hardware]") from None
    try:
        return serial.Serial(path, baud, timeout=0, write_timeout=WRITE_S, exclusive=True)
    except ValueError as error:
        raise PortLost(str(error)) from error


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or "no answer in time"


class Inbox:
    """What came in and was not read yet: whole lines, no more than LONGEST_LINE_BYTES of them."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._signal = asyncio.Event()
        self._lost: str | None = None

    def feed(self, data: bytes) -> None:
        """Something came in; of a device gone mad only the end is kept."""
        self._held += data
        del self._held[:-LONGEST_LINE_BYTES]
        self._signal.set()

    def lose(self, why: str) -> None:
        """Nothing will come in any more."""
        self._lost = self._lost or why
        self._signal.set()

    def forget(self) -> None:
        """Throw away what came in unasked."""
        self._held.clear()

    async def line(self, timeout_s: float) -> bytes | None:
        """As `Port.hear`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while (end := self._held.find(b"\n")) < 0:
                    if self._lost is not None:
                        raise PortLost(self._lost)
                    self._signal.clear()
                    await self._signal.wait()
                line = bytes(self._held[: end + 1])
                del self._held[: end + 1]
                return line
        return None


class TcpPort(asyncio.Protocol):
    """A converter or a device with an address of its own."""

    def __init__(self) -> None:
        self._inbox = Inbox()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other end answers."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Something came in."""
        self._inbox.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end is gone, or we are."""
        self._inbox.lose(_why(exc) if exc else "the other end hung up")

    async def tell(self, line: bytes) -> None:
        """As in Port."""
        self._inbox.forget()
        if self._transport.is_closing() or self._transport.get_write_buffer_size() > LONGEST_LINE_BYTES:
            raise PortLost("the other end takes nothing")
        self._transport.write(line)

    async def hear(self, timeout_s: float) -> bytes | None:
        """As in Port."""
        return await self._inbox.line(timeout_s)

    async def close(self) -> None:
        """As in Port."""
        self._transport.abort()


class SerialPort:
    """
    A serial line, read by the event loop.

    Args:
        device: an open ``serial.Serial`` that does not wait.
    """

    def __init__(self, device: Any) -> None:
        self._device = device
        self._inbox = Inbox()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(device.fileno(), self._read)

    def _read(self) -> None:
        try:
            self._inbox.feed(self._device.read(LONGEST_LINE_BYTES))
        except OSError:
            self._loop.remove_reader(self._device.fileno())
            self._inbox.lose("unplugged")

    async def tell(self, line: bytes) -> None:
        """As in Port."""
        self._inbox.forget()
        try:
            await asyncio.to_thread(self._device.write, line)
        except OSError as error:
            raise PortLost(_why(error)) from error

    async def hear(self, timeout_s: float) -> bytes | None:
        """As in Port."""
        return await self._inbox.line(timeout_s)

    async def close(self) -> None:
        """As in Port."""
        self._loop.remove_reader(self._device.fileno())
        await asyncio.to_thread(self._device.close)


class Pause:
    """A random pause that doubles: what is gone is not asked all the time."""

    def __init__(self, first_s: float, last_s: float = LAST_PAUSE_S) -> None:
        self._first_s, self._last_s = first_s, last_s
        self._next_s = first_s

    def next_s(self) -> float:
        """How long to wait this time."""
        pause_s = self._next_s * random.uniform(0.5, 1)
        self._next_s = min(self._next_s * 2, self._last_s)
        return pause_s

    def reset(self) -> None:
        """It is back."""
        self._next_s = self._first_s


class Owner(Protocol):
    """Whoever owns a port."""

    def opened(self) -> None:
        """The port is there."""
        ...

    def lost(self, why: str, *, is_news: bool) -> None:
        """The port is gone, or still gone."""
        ...

    async def serve(self, port: Port) -> None:
        """Speak to its devices until PortLost."""
        ...


async def keep_open(address: str, baud: int, owner: Owner, pause: Pause) -> None:
    """Keep a port open for ever; *owner* resets *pause* when a device has answered."""
    was_lost = False
    while True:
        try:
            port = await open_port(address, baud)
            try:
                was_lost = False
                owner.opened()
                await owner.serve(port)
            finally:
                await port.close()
        except PortLost as lost:
            owner.lost(str(lost), is_news=not was_lost)
            was_lost = True
            await asyncio.sleep(pause.next_s())
