"""
One stream of the feed, followed from afar: consoles, panels and pads hear a centre as a browser's page does.

The cursor is presented at each return and the server answers with what is missing, or with a snapshot; an event out of
order is never handed on.  A link that has been silent for SILENCE_S counts as lost, whatever the socket says.  It knows
the protocol (docs/protocol.md, "feed") and no rule of the hall.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp

from queue_service.clock import SystemClock

Message = dict[str, Any]
"""``snapshot``, ``resumed``, ``event``, ``tick`` and ``shown`` as the protocol has them, and our own ``lost``."""

SILENCE_S: Final = 8.0
FIRST_RETURN_S: Final = 5.0
LAST_RETURN_S: Final = 30.0
LONGEST_MESSAGE_BYTES: Final = 4 << 20
_clock = SystemClock()
_NOT_ALLOWED: Final = 4401
_PRESSED: Final = frozenset({1013, 4001, _NOT_ALLOWED, 4429})
"""The service is there and cannot have us now: LATER, TOO_SLOW, not allowed, TOO_MANY."""
_RESYNC: Final = 4002
_AT_ONCE: Final = 3
"""How often in a row a gap is mended without a pause."""


class Gap(Exception):
    """An event is missing: come back by the cursor."""


class Follower:
    """
    One stream.

    Args:
        url: of the stream, with ``http://`` or ``https://``.
        token: asked at each return, because a session may have been renewed.
        screen: the name under which calls are confirmed.
        speaks: there is a loudspeaker: ``speak`` is among the messages.
        first_return_s: the random pause before a return is at most this long while nobody is there, because a restart
            takes seconds; it doubles when the service is there and has too much to do, or says nothing.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        *,
        token: Callable[[], str | None],
        screen: str,
        speaks: bool = False,
        first_return_s: float = FIRST_RETURN_S,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._session, self._url, self._token, self._screen = session, url, token, screen
        self._speaks = speaks
        self._first_return_s, self._silence_s = first_return_s, silence_s
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._epoch: str | None = None
        self._seq: int | None = None
        self._hurry_signal = asyncio.Event()

    def hurry(self) -> None:
        """The service answers elsewhere: do not wait for the next turn."""
        self._hurry_signal.set()

    async def shown(self, seq: int) -> None:
        """Confirm that the call numbered *seq* can be seen; without a link nobody hears it."""
        await self._say(type="shown", seq=seq)

    async def heard(self, seq: int, why: str | None = None) -> None:
        """Confirm that the call numbered *seq* was spoken, or say why not (``away``, ``broken``)."""
        if why is None:
            await self._say(type="spoken", seq=seq)
        else:
            await self._say(type="unspoken", seq=seq, reason=why)

    async def _say(self, **message: Any) -> None:
        if self._socket is not None:
            with suppress(ConnectionError, aiohttp.ClientError):
                await self._socket.send_str(json.dumps(message))

    async def messages(self) -> AsyncIterator[Message]:
        """
        What is said, for as long as somebody asks.

        ``lost`` has ``since_ms``, the Unix time of the last word heard, and ``refused``: our token does not cover this
        stream.
        """
        heard_ms = _clock.now_ms()
        refusals = gaps = 0
        while True:
            code, is_silent = None, False
            try:
                async with self._session.ws_connect(
                    self._url, protocols=self._protocols(), max_msg_size=LONGEST_MESSAGE_BYTES
                ) as socket:
                    self._socket = socket
                    hello = {"type": "hello", "epoch": self._epoch, "seq": self._seq, "screen": self._screen}
                    await socket.send_str(json.dumps(hello | {"speaks": self._speaks}))
                    while True:
                        heard = await socket.receive(timeout=self._silence_s)
                        if heard.type is not aiohttp.WSMsgType.TEXT:
                            break
                        message: Message = json.loads(heard.data)
                        heard_ms = _clock.now_ms()
                        if not self._is_next(message):
                            continue
                        if message["type"] == "tick":
                            refusals = gaps = 0
                        yield message
                    code = socket.close_code
            except Gap:
                gaps += 1
                if gaps <= _AT_ONCE:
                    continue
                code = _RESYNC
            except aiohttp.WSServerHandshakeError as refusal:
                code = _NOT_ALLOWED if refusal.status in (401, 403) else None
            except TimeoutError:
                is_silent = True
            except (aiohttp.ClientError, OSError, ValueError):  # ValueError: no message of ours
                pass
            finally:
                self._socket = None
            if code == _RESYNC:
                self._epoch = self._seq = None
            yield {"type": "lost", "since_ms": heard_ms, "refused": code == _NOT_ALLOWED}
            # Full jitter: a hall of screens that were cut off together does not come back together.
            await self._pause(random.uniform(0, min(LAST_RETURN_S, self._first_return_s * 2.0 ** min(refusals, 8))))
            refusals += is_silent or code in _PRESSED

    def _protocols(self) -> tuple[str, ...]:
        token = self._token()
        return ("queue.v1.json", *([f"queue.token.{token}"] if token else []))

    def _is_next(self, message: Message) -> bool:
        """Whether the message is to be handed on; the cursor moves with it."""
        match message["type"]:
            case "snapshot":
                self._epoch, self._seq = message["epoch"], message["seq"]
            case "resumed":
                if (message["epoch"], message["seq"]) != (self._epoch, self._seq):
                    raise Gap
            case "event":
                if self._seq is None or message["seq"] > self._seq + 1:
                    raise Gap
                if message["seq"] <= self._seq:
                    return False
                self._seq = message["seq"]
            case "tick":
                if self._seq is None or message["seq"] > self._seq:
                    raise Gap
        return True

    async def _pause(self, seconds: float) -> None:
        self._hurry_signal.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry_signal.wait(), seconds)
