"""What the boards of a hall play: written down where the browser is told to play it."""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Route, expect

from boards_world import RECORDER, TONES_OF_A_CHIME, await_played, rings_of, until
from browser_world import Hall

pytestmark = pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="no extra `voice`")


def call_two(hall: Hall) -> None:
    """Two officers press in the same instant."""
    for counter, service in (("q01", "tpht"), ("q03", "kt")):
        hall.press(counter, "open")
        hall.issue(service)
    with ThreadPoolExecutor(2) as hands:
        list(hands.map(lambda counter: hall.press(counter, "call-next"), ("q01", "q03")))


def test_two_calls_of_one_instant_are_both_spoken_on_both_boards(hall: Hall):
    """In the order of the calls, chime first, never one over the other, and on both boards together."""
    boards = [hall.loud_board("ba", RECORDER) for _ in range(2)]
    call_two(hall)

    heard = [await_played(board, 2) for board in boards]
    calls = rings_of(hall, "TicketCalled")
    for of_board in heard:
        first, second = of_board
        assert calls == [first.seq, second.seq]
        assert first.until < second.at
    for one, other in zip(*heard, strict=True):
        assert abs(one.at - other.at) < 1_000
    for board, of_board in zip(boards, heard, strict=True):
        rung: list[float] = board.evaluate("rung")
        assert 2 * TONES_OF_A_CHIME == len(rung)
        assert rung[0] < of_board[0].at - 900
        assert of_board[0].until < rung[TONES_OF_A_CHIME] < of_board[1].at - 900


def test_a_recall_rings_and_is_spoken_again(hall: Hall):
    """Another chime, another sentence, and the board shows it at once."""
    board = hall.loud_board("ba", RECORDER)
    hall.press("q01", "open")
    hall.issue("tpht")
    hall.press("q01", "call-next")
    await_played(board, 1)
    hall.press("q01", "recall")
    expect(board.get_by_text("lần 2").first).to_be_visible()

    until(board, f"rung.length >= {2 * TONES_OF_A_CHIME}")
    until(board, f"asked.includes({rings_of(hall, 'TicketRecalled')[0]})")


def test_nothing_is_spoken_twice_whatever_restarts(hall: Hall):
    """The page is loaded anew, the service is killed: a board says what it has not said, once."""
    board = hall.loud_board("ba", RECORDER)
    hall.press("q01", "open")
    hall.issue("tpht")
    hall.press("q01", "call-next")
    (first,) = await_played(board, 1)
    hall.press("q01", "start")
    board.reload()
    expect(board.get_by_text("kết nối lúc")).to_be_visible()
    board.mouse.click(5, 5)

    hall.house.kill()
    hall.house.start()
    board.evaluate("dispatchEvent(new Event('online'))")
    expect(board.get_by_text("Mất kết nối từ")).to_have_count(0, timeout=20_000)
    hall.press("q03", "open")
    hall.issue("kt")
    hall.press("q03", "call-next")

    (after,) = await_played(board, 1)
    assert first.seq == rings_of(hall, "TicketCalled")[0]
    assert after.seq == rings_of(hall, "TicketCalled")[1]


def test_a_sound_that_does_not_come_costs_the_hall_one_sentence(hall: Hall):
    """The chime has rung, the call is shown, and the next one is spoken."""
    board = hall.loud_board("ba", RECORDER)
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.request.url)
            route.abort()

    board.route("**/sounds/**", lose)
    call_two(hall)

    (only,) = await_played(board, 1)
    calls = rings_of(hall, "TicketCalled")
    assert f"/sounds/{calls[0]}-" in lost[0]
    assert board.evaluate("asked")[:2] == calls
    assert only.at
    assert board.evaluate("rung.length") >= 2 * TONES_OF_A_CHIME


def test_a_board_nobody_has_touched_says_so_and_one_that_is_muted_is_silent(hall: Hall):
    """The hint stands in the foot; the mute board neither asks for a sound nor for a touch."""
    muted = hall.board("ba")
    overview = hall.page(
        f"/board/{hall.centre}/tong#token={hall._device('boards', 'tong')}", {"width": 1920, "height": 1080}
    )
    locked = hall.page(f"/board/{hall.centre}/ba#token={hall._device('boards', 'ba')}", {"width": 1920, "height": 1080})

    expect(locked.get_by_text("Chạm màn hình một lần")).to_be_visible()
    for silent in (muted, overview):
        expect(silent.get_by_text("kết nối lúc")).to_be_visible()
        expect(silent.get_by_text("Chạm màn hình một lần")).to_have_count(0)
    assert locked.title()
