"""
What goes over a screen's connection, as bytes: each message encoded once per wire format, WebSocket header or SSE
chunk included.

It knows no socket and no hub: messages in, finished frames out, and the few messages that screens send back.  The hub
writes the same bytes to every screen, because an encoding per screen would cost more than the write itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

MESSAGE_LIMIT_BYTES: Final = 4096
"""The longest message a screen may send."""


class Wire(StrEnum):
    """How the bytes look: a WebSocket with MessagePack or JSON inside, or server-sent events."""

    MSGPACK = "msgpack"
    JSON = "json"
    SSE = "sse"


class Close(IntEnum):
    """Why a connection was closed (docs/protocol.md, "close codes")."""

    RESTART = 1012
    """The server stops or restarts: come back by cursor."""
    LATER = 1013
    """The events cannot be read now: come back by cursor."""
    TOO_SLOW = 4001
    """The screen's outbox was full: come back by cursor."""
    RESYNC = 4002
    """The event order began anew, or an event is missing: come back for a snapshot."""
    BAD_FRAME = 4003
    """The screen sent something that is not in the protocol."""
    NO_HELLO = 4004
    """The screen did not say hello in time."""
    NOT_ALLOWED = 4401
    """The token is unknown, has been revoked, or does not cover this board."""
    TOO_MANY = 4429
    """Too many connections from one address."""


class Cursor(NamedTuple):
    """A place in the event order: *seq* counts only within *epoch*."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seq}"


def read_cursor(text: str) -> Cursor | None:
    """The cursor in a `Last-Event-ID`, or None when it holds none: the screen then gets a snapshot."""
    epoch, colon, seq = text.rpartition(":")
    if colon and 0 < len(epoch) <= 64 and seq.isascii() and seq.isdigit() and len(seq) <= 16:
        return Cursor(epoch, int(seq))
    return None


# ── messages to screens ──────────────────────────────────────────────────────────────────────────────────────────────


class Once:
    """A value that is encoded at most once per format, and only in formats somebody reads."""

    __slots__ = ("_json", "_msgpack", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self._json: msgspec.Raw | None = None
        self._msgpack: msgspec.Raw | None = None

    def on(self, wire: Wire) -> msgspec.Raw:
        """The encoded value, to be placed inside a message for *wire*."""
        if wire is Wire.MSGPACK:
            if self._msgpack is None:
                self._msgpack = msgspec.Raw(msgspec.msgpack.encode(self.value))
            return self._msgpack
        if self._json is None:
            self._json = msgspec.Raw(msgspec.json.encode(self.value))
        return self._json


def snapshot(wire: Wire, at: Cursor, view: Once, now_ms: int, build: str = "") -> bytes:
    """
    Everything a screen needs to start from nothing; calls before it may have been missed, so it says `recovered:
    false`.

    Args:
        build: names the pages that are handed out here; a page of another build loads itself again.
    """
    message = {"type": "snapshot", "epoch": at.epoch, "seq": at.seq, "recovered": False, "view": view.on(wire)}
    return frame(wire, message | {"now_ms": now_ms} | ({"build": build} if build else {}), at)


def resumed(wire: Wire, at: Cursor, now_ms: int, build: str = "") -> bytes:
    """The screen's cursor is good: everything after it follows; *build* as in a snapshot."""
    message = {"type": "resumed", "epoch": at.epoch, "seq": at.seq, "recovered": True, "now_ms": now_ms}
    return frame(wire, message | ({"build": build} if build else {}), at)


def event(wire: Wire, epoch: str, body: Mapping[str, Any]) -> bytes:
    """One change, in the form its readers may see."""
    message = {"type": "event", "seq": body["seq"], "at_ms": body["at_ms"], "event": body}
    return frame(wire, message, Cursor(epoch, body["seq"]))


def tick(wire: Wire, seq: int, now_ms: int, stale_since_ms: int | None) -> bytes:
    """
    The link is alive and this is the newest event.

    Args:
        stale_since_ms: since when the hub itself cannot read the store; screens then say that what they show may
            be old.
    """
    message: dict[str, Any] = {"type": "tick", "seq": seq, "now_ms": now_ms}
    if stale_since_ms is not None:
        message["stale_since_ms"] = stale_since_ms
    return frame(wire, message, None)


def shown(wire: Wire, calls: list[dict[str, Any]]) -> bytes:
    """For staff: which calls have now been displayed and spoken, and on how many screens."""
    return frame(wire, {"type": "shown", "calls": calls}, None)


def speak(wire: Wire, turn: Mapping[str, Any]) -> bytes:
    """For boards with a loudspeaker: ring and say this now."""
    return frame(wire, {"type": "speak", **turn}, None)


def board(wire: Wire, settings: Mapping[str, Any] | None) -> bytes:
    """For the screens of a board: it has these settings from now on; None: a change may have been missed, read them."""
    return frame(wire, {"type": "board"} if settings is None else {"type": "board", "board": settings}, None)


def frame(wire: Wire, message: Mapping[str, Any], at: Cursor | None) -> bytes:
    """*message* as it goes to the socket; *at* becomes the `id` of a server-sent event."""
    if wire is Wire.MSGPACK:
        return _websocket(0x2, msgspec.msgpack.encode(message))
    body = msgspec.json.encode(message)
    if wire is Wire.JSON:
        return _websocket(0x1, body)
    number = b"" if at is None else b"id: %s\n" % str(at).encode()
    return chunk(b"%sevent: %s\ndata: %s\n\n" % (number, message["type"].encode(), body))


def _websocket(opcode: int, payload: bytes) -> bytes:
    """One final, unmasked frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2) + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8) + payload


def chunk(body: bytes) -> bytes:
    """*body* as one chunk of an HTTP/1.1 answer of unknown length (RFC 9112, section 7.1)."""
    return b"%x\r\n%s\r\n" % (len(body), body)


# ── messages from screens ────────────────────────────────────────────────────────────────────────────────────────────

_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Name = Annotated[str, msgspec.Meta(max_length=64)]


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first message: who looks, and what it has already."""

    epoch: _Name | None = None
    seq: _Seq | None = None
    screen: _Name = ""
    speaks: bool = False
    """It takes the turns of the voice: it has a loudspeaker, and nobody has muted it."""
    build: _Name = ""
    """The pages that it began with, as this or another process named them."""

    def cursor(self) -> Cursor | None:
        """What the screen has already; None asks for a snapshot."""
        return None if self.epoch is None or self.seq is None else Cursor(self.epoch, self.seq)


class Shown(msgspec.Struct, frozen=True, tag="shown"):
    """The call with this seq is on the screen."""

    seq: _Seq


class Spoken(msgspec.Struct, frozen=True, tag="spoken"):
    """The call with this seq has been spoken to its end."""

    seq: _Seq


class Unspoken(msgspec.Struct, frozen=True, tag="unspoken"):
    """
    The call with this seq was not heard: the screen waits to be touched, the sound did not come, or it is broken.
    """

    seq: _Seq
    reason: Literal["locked", "away", "broken"]


FromScreen = Hello | Shown | Spoken | Unspoken

_from_json: msgspec.json.Decoder[FromScreen] = msgspec.json.Decoder(FromScreen)
_from_msgpack: msgspec.msgpack.Decoder[FromScreen] = msgspec.msgpack.Decoder(FromScreen)


class BadFrame(ValueError):
    """A screen sent something that is not in the protocol."""


def read(wire: Wire, data: bytes | str) -> FromScreen:
    """
    The message a screen sent; fields we do not know are ignored, messages we do not know are refused.

    Raises:
        BadFrame: not in the protocol, in whatever way.
    """
    try:
        if wire is Wire.MSGPACK and isinstance(data, bytes):
            return _from_msgpack.decode(data)
        if wire is Wire.JSON and isinstance(data, str):
            return _from_json.decode(data)
    except (
        msgspec.MsgspecError,
        UnicodeError,
        RecursionError,
    ) as error:  # RecursionError: arrays nested thousands deep
        raise BadFrame(str(error)) from error
    raise BadFrame(f"{type(data).__name__} on a connection that speaks {wire}")
