"""
Every key of one centre in Redis, by name, type and content.

All keys of a centre share the hash tag ``{centre}``, so that one Function call may touch all of them on a Cluster.
Centre ids are slugs (centre.py), so no text from outside can move a key to another slot.  Knows no Redis client.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

HEARD_S: Final = 4 * 86_400
"""How long it is remembered when devices were last at work: a long weekend."""


@dataclass(frozen=True, slots=True)
class CentreKeys:
    """The keys of one centre.  The order of the fields is the order of KEYS in every Function (lua/20_hall.lua)."""

    day: str
    """
    HASH: epoch, seq, clock, day, version, orders, issuing, issuing_text, ``waiting:<service>``, ``mean:<service>``;
    assigned: what counters serve only today (assignments.py), while there is any.
    """
    centre: str
    """HASH: the configuration in packed pieces: policy, ``service:<id>``, ``counter:<id>``."""
    counters: str
    """HASH: counter id -> live record (msgpack map)."""
    steps: str
    """HASH: counter id -> what taking back its last step needs (msgpack map)."""
    groups: str
    """
    HASH: announcement group (a counter, or ``service.n`` for a cluster) -> work announced to it and open counters.
    """
    tickets: str
    """HASH: ticket id -> record (msgpack map)."""
    waiting: str
    """ZSET, all scores 0: ``service/class/virtual arrival/order/id``, so that lexicographic order is calling order."""
    announced: str
    """
    ZSET, all scores 0: ``service/group/class/virtual arrival/order/id``: waiting tickets by what their slip names.
    """
    sequences: str
    """HASH: department id -> last number issued today."""
    numbers: str
    """HASH: printed number -> id of the newest ticket that carries it."""
    events: str
    """STREAM: id ``<seq>-0``, one field ``e`` = the event as a msgpack map."""
    answers: str
    """HASH: scoped press id -> fingerprint and reply, of this business day."""
    answers_before: str
    """HASH: the same, of the business day before."""
    messages: str
    """
    HASH: inbox (``counter:<id>``, ``supervisors``) -> its unread messages; ``help`` -> counter id -> its call for help.
    """

    @property
    def bell(self) -> str:
        """Sharded pub/sub channel: each event's bytes, rung inside the Function call that recorded it."""
        return self._beside("bell")

    @property
    def aside(self) -> str:
        """Sharded pub/sub channel: what processes tell each other besides events; losing a word costs a moment."""
        return self._beside("aside")

    @property
    def screens(self) -> str:
        """HASH: board -> when a process last had a screen of it, Unix ms.  Kept by the displays, for HEARD_S."""
        return self._beside("screens")

    @property
    def kiosks(self) -> str:
        """HASH: kiosk -> when its page last said that it is at work, Unix ms.  Kept for HEARD_S."""
        return self._beside("kiosks")

    @property
    def screen_states(self) -> str:
        """HASH: process -> how the screens of each board are doing there, and when it said so (msgpack).  For a day."""
        return self._beside("screen_states")

    @property
    def board_settings(self) -> str:
        """HASH: board -> its settings as they were changed while it runs (JSON); without: as the file has them."""
        return self._beside("board_settings")

    def missing(self, seq: int) -> str:
        """Who counts the boards that did not confirm the call numbered *seq*: a key of ten minutes."""
        return self._beside(f"missing:{seq}")

    def _beside(self, noun: str) -> str:
        return self.day.removesuffix("day") + noun

    def as_list(self) -> list[str]:
        """All keys, in the order the Functions expect them."""
        return [getattr(self, field.name) for field in fields(self)]


@lru_cache(maxsize=8192)
def centre_keys(centre: str) -> CentreKeys:
    """The keys of *centre*."""
    return CentreKeys(*(f"qs:{{{centre}}}:{field.name}" for field in fields(CentreKeys)))
