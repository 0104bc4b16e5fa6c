"""
Every key of one centre in Redis, by name, type and content.

All keys of a centre share the hash tag ``{centre}``, so that one Function call may touch all of them on a Cluster.
Centre ids are slugs (centre.py), so no text from outside can move a key to another slot.  Knows no Redis client.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache


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
        return self.day.removesuffix("day") + "bell"

    def as_list(self) -> list[str]:
        """All keys, in the order the Functions expect them."""
        return [getattr(self, field.name) for field in fields(self)]


@lru_cache(maxsize=8192)
def centre_keys(centre: str) -> CentreKeys:
    """The keys of *centre*."""
    return CentreKeys(*(f"qs:{{{centre}}}:{field.name}" for field in fields(CentreKeys)))
