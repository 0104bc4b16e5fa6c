"""The voice's time budget: seconds of an announcement, and what the busiest hour asks of a loudspeaker."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from builders import a_centre
from displays.budget import announcements, loads, voice_table
from displays.speech import PACKS, load_packs
from queue_service.centre import Board, Centre, Voice

LANGUAGES = load_packs(PACKS)


def centre(counters: int = 4, mean_s: int = 600, **voice: Any) -> Centre:
    """Counters in one zone that one board speaks."""
    plain = a_centre(counters, means={"a": mean_s})
    boards = (Board(id="ba", name="A", zones=("z",)),)
    return msgspec.structs.replace(plain, boards=boards, voice=Voice(**voice))


def test_an_announcement_takes_what_the_trade_says():
    """A chime and the phrase twice: 10 to 13 seconds; Vietnamese and then English longer."""
    vietnamese, english = announcements(centre(), LANGUAGES)

    assert 10 < vietnamese.repeated_s < 13
    assert vietnamese.short_s < vietnamese.once_s < vietnamese.repeated_s < english.repeated_s
    assert 1.0 == pytest.approx(vietnamese.once_s - announcements(centre(chime=False), LANGUAGES)[0].once_s)


def test_a_loudspeaker_is_as_busy_as_its_counters():
    """Four counters of ten minutes call 24 times an hour."""
    (load,) = loads(centre(4, 600), LANGUAGES)
    once_s = announcements(centre(4, 600), LANGUAGES)[0].once_s

    assert (("z",), 24) == (load.zones, load.calls_an_hour)
    assert load.once == pytest.approx(24 * once_s / 3600)


@pytest.mark.parametrize(
    ("counters", "mean_s", "verdict"),
    [
        (4, 600, None),
        (20, 180, "no repetition at the busiest"),
        (20, 100, "number and counter only"),
        (60, 60, "TOO MANY"),
    ],
)
def test_what_gives_way_is_said(counters: int, mean_s: int, verdict: str | None):
    """First the repetition, then the politeness, then the voice itself."""
    table = "\n".join(voice_table(centre(counters, mean_s), LANGUAGES))

    assert "vi" in table
    assert "calls/h" in table
    if verdict is None:
        assert not any(word in table for word in ("busiest;", "at the busiest", "TOO MANY"))
    else:
        assert verdict in table


def test_a_centre_without_a_voice_has_no_budget():
    """One line says so."""
    assert ["voice: none; boards ring"] == list(voice_table(centre(enabled=False), LANGUAGES))
