"""Making guesses slow."""

from __future__ import annotations

import pytest

from queue_service.passwords import Brake, one_time_password


class Watch:
    """A monotonic clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_a_brake_doubles_up_to_its_most_and_forgets(watch):
    brake = Brake(free=1, first_s=1.0, most_s=5.0, monotonic=watch)
    waits = []
    for _ in range(6):
        brake.wrong("a")
        waits.append(brake.wait_s("a"))
    watch.now_s += Brake.FORGET_S + 6
    brake.wrong("a")

    assert [0.0, 1.0, 2.0, 4.0, 5.0, 5.0] == waits
    assert 0.0 == brake.wait_s("a")


def test_a_brake_remembers_a_bounded_number(watch, monkeypatch):
    monkeypatch.setattr(Brake, "MOST_KEYS", 3)
    brake = Brake(free=0, first_s=1.0, most_s=5.0, monotonic=watch)
    for key in "abcad":
        brake.wrong(key)

    assert [0.0, 1.0, 2.0, 1.0] == [brake.wait_s(key) for key in "bcad"]


def test_a_try_without_a_verdict_is_uncounted(watch):
    """Half a sign-in neither counts nor wipes out the wrong ones before it."""
    brake = Brake(free=1, first_s=1.0, most_s=5.0, monotonic=watch)
    brake.wrong("a")
    brake.wrong("a")
    watch.now_s += 1.0
    brake.wrong("a")
    brake.take_back("a")
    brake.wrong("b")
    brake.take_back("b")

    assert [0.0, 0.0] == [brake.wait_s("a"), brake.wait_s("b")]
    brake.wrong("a")
    assert 2.0 == brake.wait_s("a")


def test_a_password_for_once_is_easy_to_read_out():
    made = {one_time_password() for _ in range(100)}

    assert 100 == len(made)
    assert not {letter for word in made for letter in word} & set("0O1lI")
    assert {14} == {len(word) for word in made}
