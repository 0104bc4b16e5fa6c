"""
What one loudspeaker says next: calls in their order, one after another, never later than the centre allows.

Pure sequencing; time is handed in, and how long a phrase takes is asked.  It knows no sound, no screen and no clock.
`voice.py` feeds it the calls of the zones that share a loudspeaker and carries out its turns.

The law of the backlog, in this order: a call is repeated only while nobody else waits to be spoken; the polite phrase
gives way to the short one when it would make anybody who waits late; a call whose time is over is not spoken at all
(the board shows it all the same).  So speech never begins more than `max_lag_s` after the call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, Literal, NamedTuple

from displays.speech import Call, Form
from queue_service.centre import Centre, Voice

Reason = Literal["late", "backlog", "settled", "unheard", "unreadable"]
"""
Why a ring was not spoken: old when it came; too many at once; its visitor had come or was called off; no screen that
speaks was there; nothing of its number can be read.
"""

CHIME_MS: Final = 1_000
"""From the first note to the first word."""
GAP_MS: Final = 600
"""Silence between two turns, longer than what a network and a browser add."""
DELAY_MS: Final = 100
"""What it may take to carry out a turn, for those who wait behind it."""
LONGEST_MS: Final = 60_000
"""No turn lasts longer: a clock that was set back holds nobody up for more than this."""
MOST_WAITING: Final = 200

Length = Callable[[Call, Form], int]
"""How many milliseconds the words of a call take in a form."""


class Turn(NamedTuple):
    """One thing to say: *turn* 1 is the call, 2 and 3 are its repetitions, without a chime."""

    call: Call
    form: Form
    turn: int
    chime: bool


class Skipped(NamedTuple):
    """A ring that will not be spoken."""

    call: Call
    reason: Reason


class Announcer:
    """
    The queue of one loudspeaker.

    Args:
        free_ms: until when something else still sounds.
    """

    def __init__(self, voice: Voice, free_ms: int = 0) -> None:
        self._voice = voice
        self._waiting: deque[Call] = deque()
        self._last: Turn | None = None
        """What was said last, while it may be repeated."""
        self.free_ms = free_ms
        """When the loudspeaker is free."""

    def offer(self, call: Call, now_ms: int) -> Skipped | None:
        """A ring has happened; it gets its turn, or is too old, or one too many."""
        if now_ms - call.at_ms > self._voice.late_s * 1000:
            return Skipped(call, "late")
        if len(self._waiting) >= MOST_WAITING:
            return Skipped(call, "backlog")
        self._waiting.append(call)
        return None

    def settle(self, counter: str, number: str) -> list[Skipped]:
        """The call of *number* to *counter* needs no voice any more: the visitor is there, or it was taken back."""
        gone = [call for call in self._waiting if (call.counter, call.number) == (counter, number)]
        for call in gone:
            self._waiting.remove(call)
        if self._last is not None and (self._last.call.counter, self._last.call.number) == (counter, number):
            self._last = None
        return [Skipped(call, "settled") for call in gone]

    def clear(self) -> list[Skipped]:
        """Nothing that waits is true any more."""
        gone = [Skipped(call, "settled") for call in self._waiting]
        self._waiting.clear()
        self._last = None
        return gone

    def next(self, now_ms: int, length: Length, *, is_heard: bool) -> tuple[Turn | None, list[Skipped]]:
        """
        What to say now, if anything, and what will not be said.

        Args:
            is_heard: a screen that speaks is there; without one, calls wait as long as they may.
        """
        skipped: list[Skipped] = []
        if self.free_ms - now_ms > LONGEST_MS:
            self.free_ms = now_ms
        if now_ms < self.free_ms:
            return None, skipped
        while self._waiting and now_ms > self._deadline_ms(self._waiting[0]):
            skipped.append(Skipped(self._waiting.popleft(), "backlog" if is_heard else "unheard"))
        if not is_heard:
            return None, skipped
        if not self._waiting:
            return self._repetition(now_ms), skipped
        form: Form = "full" if self._is_in_time("full", now_ms, length) else "short"
        return Turn(self._waiting.popleft(), form, 1, self._voice.chime), skipped

    def begin(self, turn: Turn, now_ms: int, words_ms: int) -> int:
        """
        *turn* begins now and its words take so long.

        Returns:
            Milliseconds from now to its end.
        """
        ms = self._turn_ms(words_ms, chime=turn.chime)
        self.free_ms = now_ms + ms + GAP_MS
        is_last = turn.form == "short" or turn.turn >= self._voice.repeats
        self._last = None if is_last else turn
        return ms

    def wake_ms(self, now_ms: int) -> int | None:
        """When `next` may have something to say without anything happening; None: never."""
        if not self._waiting and self._last is None:
            return None
        if now_ms < self.free_ms:
            return min(self.free_ms, now_ms + LONGEST_MS)
        return self._deadline_ms(self._waiting[0]) + 1 if self._waiting else None

    @property
    def waiting(self) -> int:
        """How many rings wait for their turn."""
        return len(self._waiting)

    def _repetition(self, now_ms: int) -> Turn | None:
        last, self._last = self._last, None
        if last is None or now_ms - self.free_ms > GAP_MS * 3:  # a repetition long after is another call
            return None
        return last._replace(turn=last.turn + 1, chime=False)

    def _is_in_time(self, form: Form, now_ms: int, length: Length) -> bool:
        """Would everybody who waits begin in time, if all before them were spoken in *form*?"""
        at_ms = now_ms
        for call, after in zip(self._waiting, islice(self._waiting, 1, None), strict=False):
            at_ms += self._turn_ms(length(call, form), chime=self._voice.chime) + GAP_MS + DELAY_MS
            if at_ms > self._deadline_ms(after):
                return False
        return True

    def _turn_ms(self, words_ms: int, *, chime: bool) -> int:
        return min(LONGEST_MS - GAP_MS, words_ms + (CHIME_MS if chime else 0))

    def _deadline_ms(self, call: Call) -> int:
        return call.at_ms + self._voice.max_lag_s * 1000


def loudspeakers(centre: Centre) -> list[tuple[frozenset[str], frozenset[str]]]:
    """
    The zones that share a loudspeaker, and the boards that speak them.

    A zone has its own; zones that one board speaks share one, because a board has one mouth. A small screen above one
    counter has none.
    """
    groups: list[tuple[set[str], set[str]]] = []
    for board in centre.boards if centre.voice.enabled else ():
        if board.speaks and not board.counter:
            zones, boards = set(board.zones), {board.id}
            for group in [group for group in groups if group[0] & zones]:
                zones |= group[0]
                boards |= group[1]
                groups.remove(group)
            groups.append((zones, boards))
    return [(frozenset(zones), frozenset(boards)) for zones, boards in groups]
