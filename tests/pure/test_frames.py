"""The bytes that screens get and send, against decoders that are not ours."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from displays import frames
from displays.frames import BadFrame, Close, Cursor, Hello, Once, Shown, Spoken, Wire

EVENT = {"epoch": "e1", "seq": 7, "at_ms": 70, "type": "TicketCalled", "number": "A012", "text": "Mời số\nĐất đai"}


def opened(wire: Wire, frame: bytes) -> dict[str, Any]:
    """The message inside one frame, which must be nothing but that frame."""
    if wire is Wire.SSE:
        size, _, rest = frame.partition(b"\r\n")
        body = rest[: int(size, 16)]
        assert b"\r\n" == rest[len(body) :]
        fields = dict(line.split(": ", 1) for line in body.decode().removesuffix("\n\n").split("\n"))
        message = json.loads(fields["data"])
        assert message["type"] == fields["event"]
        return {**message, "id": fields.get("id")}
    opcode, size = frame[0], frame[1]
    assert (0x82 if wire is Wire.MSGPACK else 0x81) == opcode, "final, not masked"
    start = {126: 4, 127: 10}.get(size, 2)
    length = size if start == 2 else int.from_bytes(frame[2:start])
    assert length == len(frame) - start
    assert start == (2 if length < 126 else 4 if length < 65536 else 10), "the shortest header"
    return {**(msgpack.unpackb if wire is Wire.MSGPACK else json.loads)(frame[start:]), "id": None}


@pytest.mark.parametrize("wire", Wire)
@pytest.mark.parametrize("length", [0, 60, 125, 126, 65535, 70000])
def test_an_event_is_the_same_in_every_format(wire: Wire, length: int) -> None:
    """Short, long and very long payloads keep header and content."""
    body = {**EVENT, "text": "x" * length}
    message = opened(wire, frames.event(wire, "e1", body))
    assert "e1:7" == message.pop("id") or wire is not Wire.SSE
    message.pop("id", None)
    assert {"type": "event", "seq": 7, "at_ms": 70, "event": body} == message


@pytest.mark.parametrize("wire", Wire)
def test_starts_and_ticks(wire: Wire) -> None:
    """Snapshot, resumed and tick say what the protocol lists; only what moves the cursor has an id."""
    at, view = Cursor("e:1", 7), {"waiting": {"a": 1}}
    start = opened(wire, frames.snapshot(wire, at, Once(view), 99))
    again = opened(wire, frames.resumed(wire, at, 99))
    tick = opened(wire, frames.tick(wire, 7, 99, None))
    stale = opened(wire, frames.tick(wire, 7, 99, 42))
    id_ = "e:1:7" if wire is Wire.SSE else None
    place = {"epoch": "e:1", "seq": 7, "now_ms": 99, "id": id_}
    assert {"type": "snapshot", "recovered": False, "view": view, **place} == start
    assert {"type": "resumed", "recovered": True, **place} == again
    assert {"type": "tick", "seq": 7, "now_ms": 99, "id": None} == tick
    assert {**tick, "stale_since_ms": 42} == stale


def test_a_view_is_encoded_once_for_a_format() -> None:
    """Everybody who joins before the next event shares the bytes."""
    once = Once({"waiting": {}})
    assert once.on(Wire.JSON) is once.on(Wire.SSE)
    assert once.on(Wire.MSGPACK) is once.on(Wire.MSGPACK)


@given(st.text(min_size=1, max_size=64), st.integers(0, 10**15))
def test_a_cursor_survives_the_header(epoch: str, seq: int) -> None:
    """What goes out as `id` comes back from `Last-Event-ID`."""
    assert Cursor(epoch, seq) == frames.read_cursor(str(Cursor(epoch, seq)))


@pytest.mark.parametrize("text", ["", "7", "e1:", ":7", "e1:-7", "e1:٣", "e1:" + "9" * 17, "x" * 65 + ":1"])
def test_a_strange_cursor_is_none(text: str) -> None:
    """A header that is no cursor asks for a snapshot."""
    assert frames.read_cursor(text) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"type": "hello"}, Hello()),
        ({"type": "hello", "epoch": None, "seq": None, "screen": "lobby"}, Hello(screen="lobby")),
        ({"type": "hello", "epoch": "e1", "seq": 7, "new": [1]}, Hello(epoch="e1", seq=7)),
        ({"type": "shown", "seq": 3}, Shown(3)),
        ({"type": "spoken", "seq": 3}, Spoken(3)),
    ],
)
def test_what_screens_say_is_understood(said: dict[str, Any], meant: object) -> None:
    """In both formats; fields of the future are passed over."""
    assert meant == frames.read(Wire.JSON, json.dumps(said))
    assert meant == frames.read(Wire.MSGPACK, msgpack.packb(said))


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_noise_is_refused_and_nothing_else_happens(noise: bytes | str) -> None:
    """Whatever bytes come, the answer is a message or BadFrame."""
    for wire in (Wire.JSON, Wire.MSGPACK):
        try:
            frames.read(wire, noise)
        except BadFrame:
            continue


@pytest.mark.parametrize(("wire", "said"), [(Wire.JSON, "[" * 100_000), (Wire.MSGPACK, b"\x91" * 100_000)])
def test_deep_nesting_is_refused(wire: Wire, said: Any) -> None:
    """No recursion error leaves the decoder."""
    with pytest.raises(BadFrame):
        frames.read(wire, said)


def test_half_a_cursor_is_none() -> None:
    """Epoch without seq, or the other way round, asks for a snapshot."""
    assert Hello(epoch="e1").cursor() is None
    assert Hello(seq=1).cursor() is None
    assert Cursor("e1", 1) == Hello(epoch="e1", seq=1).cursor()


def test_close_codes_are_those_of_the_protocol() -> None:
    """Pages depend on them."""
    assert [1012, 1013, 4001, 4002, 4003, 4004, 4401, 4429] == [int(code) for code in Close]
