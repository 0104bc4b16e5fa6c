"""
The text protocol between an agent of ours and small devices on a line: counter panels, LED strips, call pads.

The agent asks and one device answers, so several devices may share one pair of wires (RS-485).  A frame is a line of
printable ASCII that a technician can read and type:

    agent   :05 3 D08A012|QUAY 5 *7C1E CR LF        without the spaces: mark, address, turn, command, text, checksum
    device  !05 3 A*1F2B CR LF

It knows neither ports nor what is shown.  docs/hardware.md has every command with its bytes.
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from typing import Final, NamedTuple

END: Final = b"\r\n"
LONGEST_BYTES: Final = 128
"""The longest frame, mark and end included: what the smallest device has room for."""
HIGHEST_ADDRESS: Final = 0xF7
_FRAME = re.compile(rb"([:!])([0-9A-F]{2})([0-9])([A-Z])([\x20-\x7e]*)\*([0-9A-F]{4})")


class Frame(NamedTuple):
    """
    What one line says.

    Args:
        address: of the device, 1 to HIGHEST_ADDRESS, whoever speaks.
        turn: 0 to 9; an answer repeats the question's, so that a late one is known as late.
        command: one capital letter.
        text: printable ASCII.
    """

    address: int
    turn: int
    command: str
    text: str = ""


def question(frame: Frame) -> bytes:
    """The line that the agent sends."""
    return _line(b":", frame)


def answer(frame: Frame) -> bytes:
    """The line that a device sends."""
    return _line(b"!", frame)


def read_question(line: bytes) -> Frame | None:
    """What the agent asked, or None for noise, a wrong checksum, or an answer of another device."""
    return _read(b":", line)


def read_answer(line: bytes) -> Frame | None:
    """What a device answered, or None for noise, a wrong checksum, or our own echo."""
    return _read(b"!", line)


def plain(text: str) -> str:
    """
    *text* in the letters that such devices have: printable ASCII without Vietnamese marks, nothing that steers.

    "Tạm nghỉ" becomes "Tam nghi"; what has no such letter becomes "?", what cannot be seen is left out.
    """
    letters = unicodedata.normalize("NFKD", text.translate(_DD))
    return "".join(
        letter if " " <= letter <= "~" else " " if letter.isspace() else "?"
        for letter in letters
        if unicodedata.category(letter)[0] not in ("M", "C")
    )


_DD = str.maketrans("đĐ–—…·", "dD--..")


def _line(mark: bytes, frame: Frame) -> bytes:
    said = b"%s%02X%d%s%s" % (mark, frame.address, frame.turn, frame.command.encode(), frame.text.encode("ascii"))
    line = b"%s*%04X%s" % (said, binascii.crc_hqx(said, 0), END)
    if len(line) > LONGEST_BYTES:
        raise ValueError(f"a frame of {len(line)} bytes is longer than {LONGEST_BYTES}")
    return line


def _read(mark: bytes, line: bytes) -> Frame | None:
    found = _FRAME.fullmatch(line.rstrip(END))
    if found is None or found[1] != mark or int(found[6], 16) != binascii.crc_hqx(line[: found.start(6) - 1], 0):
        return None
    return Frame(int(found[2], 16), int(found[3]), found[4].decode(), found[5].decode())
