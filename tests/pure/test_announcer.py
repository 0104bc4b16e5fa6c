"""One loudspeaker: calls in order, never two at once, never late, each ring at most once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from builders import a_centre
from displays.announcer import CHIME_MS, LONGEST_MS, MOST_WAITING, Announcer, Skipped, Turn, loudspeakers
from displays.speech import Call, Form
from queue_service.centre import Board, Voice

LENGTHS: dict[Form, int] = {"full": 4_300, "short": 2_300}


def ring(seq: int, at_ms: int = 0, *, number: str | None = None, counter: str = "q01", rings: int = 1) -> Call:
    return Call(seq, seq, number or f"A{seq:03}", counter, at_ms, rings, "vi")


@dataclass
class Loudspeaker:
    """Plays an announcer's turns on a clock that jumps from one moment to the next."""

    announcer: Announcer
    now_ms: int = 0
    is_heard: bool = True
    lengths: dict[Form, int] = field(default_factory=lambda: dict(LENGTHS))
    said: list[tuple[int, int, Turn]] = field(default_factory=list)
    """From, to, what."""
    skipped: list[Skipped] = field(default_factory=list)

    def offer(self, *calls: Call) -> None:
        for call in calls:
            if (skipped := self.announcer.offer(call, self.now_ms)) is not None:
                self.skipped.append(skipped)
        self.step()

    def step(self) -> None:
        turn, skipped = self.announcer.next(self.now_ms, lambda _, form: self.lengths[form], is_heard=self.is_heard)
        self.skipped += skipped
        if turn is not None:
            ms = self.announcer.begin(turn, self.now_ms, self.lengths[turn.form])
            self.said.append((self.now_ms, self.now_ms + ms, turn))

    def run(self, until_ms: int) -> None:
        """To *until_ms*, stopping wherever the announcer wants to be asked."""
        while (wake_ms := self.announcer.wake_ms(self.now_ms)) is not None and wake_ms <= until_ms:
            assert wake_ms > self.now_ms, "time goes on"
            self.now_ms = wake_ms
            self.step()
        self.now_ms = until_ms
        self.step()

    def turns(self) -> list[str]:
        return [f"{turn.call.number} {turn.form} {turn.turn}" for _, _, turn in self.said]


def loudspeaker(**voice: Any) -> Loudspeaker:
    return Loudspeaker(Announcer(Voice(**voice)))


def test_a_call_is_said_twice_where_nobody_waits():
    """The chime sounds once."""
    hall = loudspeaker()
    hall.offer(ring(1))
    hall.run(60_000)

    assert ["A001 full 1", "A001 full 2"] == hall.turns()
    assert [True, False] == [turn.chime for *_, turn in hall.said]
    assert [(0, CHIME_MS + 4_300)] == [(start, end) for start, end, _ in hall.said[:1]]


def test_two_calls_of_one_instant_are_both_said_in_order():
    """The repetition of the first gives way to the second."""
    hall = loudspeaker()
    hall.offer(ring(1), ring(2))
    hall.run(60_000)

    assert ["A001 full 1", "A002 full 1", "A002 full 2"] == hall.turns()


def test_a_call_during_the_first_one_takes_the_place_of_its_repetition():
    """Decided when the first is over, not before."""
    hall = loudspeaker()
    hall.offer(ring(1))
    hall.now_ms = 3_000
    hall.offer(ring(2, 3_000))
    hall.run(60_000)

    assert ["A001 full 1", "A002 full 1", "A002 full 2"] == hall.turns()


def test_politeness_goes_when_somebody_would_be_late():
    """Ten at once: short until the rest can be said politely in time."""
    hall = loudspeaker(max_lag_s=45)
    hall.offer(*(ring(seq) for seq in range(1, 11)))
    hall.run(120_000)

    forms = [turn.form for *_, turn in hall.said if turn.turn == 1]
    assert 10 == len(forms)
    assert [] == hall.skipped
    assert {"short", "full"} == set(forms)
    assert sorted(forms, reverse=True) == forms, "short ones first, then polite again"
    assert max(start for start, _, turn in hall.said if turn.turn == 1) <= 45_000


def test_who_cannot_be_said_in_time_is_only_shown():
    """Forty at once on one loudspeaker: counted, and the voice stays with the board."""
    hall = loudspeaker(max_lag_s=20)
    hall.offer(*(ring(seq) for seq in range(1, 41)))
    hall.run(120_000)

    assert {"backlog"} == {skipped.reason for skipped in hall.skipped}
    assert 40 == len(hall.said) + len(hall.skipped)
    assert {"short"} == {turn.form for *_, turn in hall.said}


def test_a_call_that_comes_late_is_not_said():
    """It is older than the centre's setting when it gets here."""
    hall = loudspeaker(late_s=20)
    hall.now_ms = 21_000
    hall.offer(ring(1, 0), ring(2, 1_000))

    assert [Skipped(ring(1, 0), "late")] == hall.skipped
    assert ["A002 full 1"] == hall.turns()


def test_a_recall_rings_and_is_said_again():
    """Another ring of the same call."""
    hall = loudspeaker(repeats=1)
    hall.offer(ring(1))
    hall.run(30_000)
    hall.offer(ring(2, 30_000, number="A001", rings=2))
    hall.run(60_000)

    assert [(1, True), (2, True)] == [(turn.call.rings, turn.chime) for *_, turn in hall.said]


def test_nobody_is_called_who_is_there_already():
    """The visitor saw the board: neither the call nor its repetition is said any more."""
    hall = loudspeaker()
    hall.offer(ring(1), ring(2, counter="q02"))
    assert [Skipped(ring(2, counter="q02"), "settled")] == hall.announcer.settle("q02", "A002")
    hall.announcer.settle("q01", "A001")
    hall.run(60_000)

    assert ["A001 full 1"] == hall.turns()


def test_without_a_screen_that_speaks_calls_wait_as_long_as_they_may():
    """A board that comes back says what it missed; later, it is too late."""
    hall = loudspeaker(max_lag_s=20)
    hall.is_heard = False
    hall.offer(ring(1), ring(2, 10_000))
    hall.run(25_000)
    assert [Skipped(ring(1), "unheard")] == hall.skipped
    hall.is_heard = True
    hall.step()

    assert ["A002 full 1"] == hall.turns()


def test_a_clock_set_back_holds_nobody_up():
    """An hour back: the next call is said at once."""
    hall = loudspeaker()
    hall.now_ms = 3_600_000
    hall.offer(ring(1, 3_600_000))
    hall.now_ms = 0
    hall.offer(ring(2, 0))

    assert ["A001 full 1", "A002 full 1"] == hall.turns()


def test_another_day_begins_with_silence():
    """What waited is gone."""
    hall = loudspeaker()
    hall.offer(ring(1), ring(2))
    assert ["A002"] == [skipped.call.number for skipped in hall.announcer.clear()]
    hall.run(60_000)

    assert ["A001 full 1"] == hall.turns()


def test_a_flood_is_bounded():
    """However many rings come."""
    hall = loudspeaker()
    hall.offer(*(ring(seq) for seq in range(MOST_WAITING + 50)))

    assert 0 < hall.announcer.waiting <= MOST_WAITING
    assert {"backlog"} == {skipped.reason for skipped in hall.skipped}


arrivals = st.lists(
    st.tuples(
        st.integers(0, 9_000),  # after the one before
        st.integers(0, 30_000),  # how long it took to get here
        st.sampled_from(["offer", "offer", "offer", "settle", "deaf", "hearing"]),
    ),
    max_size=60,
)


@given(
    arrivals,
    st.integers(1, 3),
    st.integers(5, 60),
    st.integers(5, 40),
    st.booleans(),
    st.integers(500, 20_000),
    st.integers(300, 5_000),
)
def test_whatever_comes(
    steps: Sequence[tuple[int, int, str]],
    repeats: int,
    max_lag_s: int,
    late_s: int,
    chime: bool,
    full_ms: int,
    short_ms: int,
):
    """Never two at once, in order, never late, each ring at most once, and every ring accounted for."""
    hall = loudspeaker(repeats=repeats, max_lag_s=max_lag_s, late_s=late_s, chime=chime)
    hall.lengths = {"full": full_ms, "short": short_ms}
    offered = []
    for seq, (pause_ms, delay_ms, what) in enumerate(steps, 1):
        hall.run(hall.now_ms + pause_ms)
        if what == "offer":
            offered.append(ring(seq, hall.now_ms - delay_ms, counter=f"q{seq % 3}"))
            hall.offer(offered[-1])
        elif what == "settle" and offered:
            hall.skipped += hall.announcer.settle(offered[-1].counter, offered[-1].number)
        else:
            hall.is_heard = what != "deaf"
            hall.step()
    hall.is_heard = True
    hall.run(hall.now_ms + 4_000_000)

    for (_, end, _), (start, _, _) in zip(hall.said, hall.said[1:], strict=False):
        assert end < start
    firsts = [turn.call for *_, turn in hall.said if turn.turn == 1]
    assert firsts == sorted(firsts, key=lambda call: call.seq)
    for start, end, turn in hall.said:
        assert end - start <= LONGEST_MS
        assert turn.turn > 1 or start - turn.call.at_ms <= max_lag_s * 1000
        assert turn.turn <= repeats
        assert turn.form == "full" or turn.turn == 1
    accounted = sorted([call.seq for call in firsts] + [skipped.call.seq for skipped in hall.skipped])
    assert [call.seq for call in offered] == accounted
    for skipped in hall.skipped:
        assert skipped.reason in {"late", "backlog", "settled", "unheard"}


def test_zones_that_one_board_speaks_share_a_loudspeaker():
    """A board has one mouth; a zone of its own has its own."""

    def boards(*places: tuple[str, tuple[str, ...], bool]) -> list[tuple[list[str], list[str]]]:
        built = tuple(Board(id=id, name=id, zones=zones, speaks=does) for id, zones, does in places)
        found = loudspeakers(msgspec.structs.replace(a_centre(), boards=built))
        return sorted((sorted(zones), sorted(ids)) for zones, ids in found)

    assert [(["a"], ["ba"]), (["b"], ["bb"])] == boards(("ba", ("a",), True), ("bb", ("b",), True))
    assert [(["a", "b"], ["ba", "bb"])] == boards(("ba", ("a", "b"), True), ("bb", ("b",), True))
    assert [(["a"], ["ba"])] == boards(("ba", ("a",), True), ("all", ("a", "b"), False))
    assert [(["a", "b", "c"], ["1", "2", "3"])] == boards(
        ("1", ("a",), True), ("2", ("c",), True), ("3", ("a", "b", "c"), True)
    )
    silent = msgspec.structs.replace(
        a_centre(), boards=(Board(id="ba", name="A", zones=("z",)),), voice=Voice(enabled=False)
    )
    assert [] == loudspeakers(silent)
