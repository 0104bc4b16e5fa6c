"""How high the letters of a board stand, against what its farthest reader needs."""

from __future__ import annotations

import pytest

from queue_service.legible import Letters, blocks, cells, letters, needed_mm, read_from_m

LAYOUTS = ("calls", "counters", "departments")


def test_a_capital_is_a_two_hundredth_of_the_distance():
    """Sixty millimetres at twelve metres."""
    assert needed_mm(12) == 60
    assert read_from_m(60) == 12


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("is_upright", [False, True], ids=["across", "upright"])
@pytest.mark.parametrize("n", [1, 3, 8, 20, 40])
def test_55_inches_are_read_from_twelve_metres(layout: str, n: int, *, is_upright: bool):
    """In every layout, however many counters or departments: what has no room comes on another page."""
    reached = letters(layout, 55, 12, n, is_upright=is_upright)

    assert reached.call_mm >= 59.9
    assert reached.number_mm >= 59.9
    assert reached.at_once >= 1


def test_a_commune_stands_on_one_page():
    """Eight counters on 55 inches, legible at twelve metres."""
    assert letters("counters", 55, 12, 8).pages == 1


def test_a_small_screen_above_a_desk_is_read_from_the_seats():
    """Fifteen inches: thirty millimetres for six metres, and more."""
    assert letters("counter-top", 15.6, 6, 1).call_mm >= 30


def test_a_screen_too_small_shows_fewer_calls_and_says_how_high_they_stand():
    """32 inches at twelve metres: the rows reach 35 mm, not 60."""
    assert letters("calls", 32, 12, 1) == Letters(pytest.approx(80.5, abs=0.1), pytest.approx(34.9, abs=0.1), 6, 1)


def test_few_cells_are_large_and_many_come_on_pages():
    """The room decides; numbers never fall below the least size while there is another page."""
    few, many = cells(4, 1824, 738, 130, 44, 170), cells(40, 1824, 738, 130, 44, 170)

    assert (few.pages, few.font) == (1, 170)
    assert many.pages == 5
    assert many.font >= 130


def test_a_call_stands_in_two_lines_where_its_department_is_narrow():
    """Two departments have a line for number and counter; four have them one below the other."""
    assert not blocks(2, 1824, 912, 130, 176, 170, 1).is_stacked
    assert blocks(4, 1824, 912, 130, 176, 170, 1).is_stacked
