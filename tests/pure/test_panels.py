"""What small panels show of a hall, the bytes that tell them, and the file that says which ones there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from displays.panel_file import MOST_LETTERS, Brightness, PanelEntry, load
from displays.panels import ADAPTERS, Face, Ring, Verdict, brightness, face, idle
from queue_service.device_file import FaultyFile, read_secret
from queue_service.device_frames import (
    LONGEST_BYTES,
    Frame,
    answer,
    plain,
    question,
    read_answer,
    read_question,
)

FRAMES, LINES = ADAPTERS["frames"], ADAPTERS["lines"]
NUMBERS = {"q01": 1, "q05": 5, "q12": 12}


def a_panel(**fields: Any) -> PanelEntry:
    return PanelEntry(**({"id": "p", "port": "a", "counter": "q05", "rows": 2} | fields))


def a_seat(state: str = "open", number: str | None = None, ticket: str = "called", **more: Any) -> dict[str, Any]:
    call = {"number": number, "called_at_ms": 1000, "call": 7, "rings": 1, "ticket_state": ticket}
    return {"state": state} | (call if number else dict.fromkeys(call)) | more


def a_view(**seats: dict[str, Any]) -> dict[str, Any]:
    return {"counters": seats}


@pytest.mark.parametrize(
    ("seat", "shown"),
    [
        (a_seat(number="A012"), Face(("A012", "Quay 5"), Ring(7, 1))),
        (a_seat(number="A012", rings=2), Face(("A012", "Quay 5"), Ring(7, 2))),
        (a_seat(number="A012", ticket="serving"), Face(("A012", "Quay 5"))),
        (a_seat(number="A012", ticket="served"), Face(("--", "Quay 5"))),
        (a_seat(), Face(("--", "Quay 5"))),
        (a_seat("paused"), Face(("Tam nghi", "Quay 5"))),
        (a_seat("paused", "A012", "serving"), Face(("A012", "Quay 5"))),
        (a_seat("draining", "A012"), Face(("A012", "Quay 5"), Ring(7, 1))),
        (a_seat("closed", "A012", "serving"), Face(("A012", "Quay 5"))),
        (a_seat("closed"), Face()),
        (None, Face()),
    ],
)
def test_a_panel_over_a_counter_shows_who_is_there(seat, shown):
    """The number in hand, the counter below it; a closed counter without anybody is dark."""
    assert shown == face(a_panel(), a_view(**({"q05": seat} if seat else {})), NUMBERS)


def test_a_short_panel_shows_a_mark_where_words_do_not_fit():
    """Four lamps have no room for "Tạm nghỉ", and half a word says nothing."""
    assert ("--",) == face(a_panel(rows=1, columns=4), a_view(q05=a_seat("paused")), NUMBERS).rows


def test_a_panel_speaks_the_language_of_its_entry():
    """English where the file says so."""
    assert ("Paused", "Counter") == face(a_panel(language="en", columns=7), a_view(q05=a_seat("paused")), NUMBERS).rows


def test_a_strip_shows_the_newest_calls():
    """Newest first, number on the left, counter on the right; what has ended or was called elsewhere is gone."""
    view = a_view(
        q01=a_seat(number="A001", called_at_ms=1, call=1, ticket="serving"),
        q05=a_seat(number="B002", called_at_ms=3, call=9),
        q12=a_seat(number="C003", called_at_ms=2, call=5),
        q99=a_seat(number="D004", called_at_ms=4, call=10),
    )
    strip = a_panel(shows="calls", counter="", rows=2, columns=9)

    assert Face(("B002    5", "C003   12"), Ring(9, 1)) == face(strip, view, NUMBERS)
    assert Face() == face(strip, a_view(q05=a_seat(number="B002", ticket="served")), NUMBERS)


def test_idle_is_a_mark_and_not_a_number():
    """Who does not know says so."""
    assert Face(("----", "")) == idle(a_panel())


@pytest.mark.parametrize(
    ("plan", "minute", "level"),
    [
        (Brightness(), 6 * 60 + 29, 3),
        (Brightness(), 6 * 60 + 30, 9),
        (Brightness(), 17 * 60 + 59, 9),
        (Brightness(), 18 * 60, 3),
        (Brightness(day_from="20:00", night_from="04:00"), 23 * 60, 9),
        (Brightness(day_from="20:00", night_from="04:00"), 4 * 60, 3),
    ],
)
def test_brightness_follows_the_clock(plan, minute, level):
    """Bright by day, dim by night; a hall that works at night turns it round."""
    assert level == brightness(plan, minute)


def test_bytes_are_those_of_the_page():
    """docs/hardware.md shows these very bytes, for whoever builds a panel."""
    page = (Path(__file__).parents[2] / "docs/hardware.md").read_text("utf-8")
    shown = [
        FRAMES.show(5, 3, Face(("A012", "Quay 5"), Ring(1, 1)), 10),
        FRAMES.show(5, 4, Face(), 0),
        FRAMES.dim(5, 5, 3),
        answer(Frame(5, 3, "A")),
        answer(Frame(5, 4, "N", "2")),
        question(Frame(9, 1, "P", "07")),
        answer(Frame(9, 1, "K", "081")),
        question(Frame(9, 2, "G", "2")),
    ]

    assert [
        line for line in shown if line is None or f"`{line.decode().rstrip()}`".replace("|", "\\|") not in page
    ] == []


def test_an_answer_is_judged_by_address_and_turn():
    """Yes, no, and whatever belongs to another question."""
    yes, no = answer(Frame(5, 3, "A")), answer(Frame(5, 3, "N", "1"))

    assert [Verdict.DONE, Verdict.REFUSED] == [FRAMES.verdict(5, 3, line) for line in (yes, no)]
    late, stranger, echo, noise = (
        answer(Frame(5, 2, "A")),
        answer(Frame(6, 3, "A")),
        question(Frame(5, 3, "A")),
        yes.replace(b"3A", b"3B"),
    )
    assert {Verdict.OTHER} == {FRAMES.verdict(5, 3, line) for line in (late, stranger, echo, noise, b"", b"\xff\n")}
    assert Verdict.OTHER == LINES.verdict(5, 3, yes)


def test_a_strip_that_never_answers_gets_plain_lines():
    """One line of text; it can be neither cleared nor dimmed but by another line."""
    assert b"A012 Quay 5\r\n" == LINES.show(1, 0, Face(("A012", "Quay 5"), Ring(1, 1)), 10)
    assert b"\r\n" == LINES.show(1, 0, Face(), 0)
    assert LINES.dim(1, 0, 3) is None


@given(st.text(max_size=60))
def test_nothing_that_steers_reaches_a_panel(hostile: str):
    """Whatever a text holds, a frame is one line of printable ASCII, and comes back as it went."""
    columns = 8
    shown = face(a_panel(columns=columns), a_view(q05=a_seat(number=hostile or "A")), NUMBERS)
    line = FRAMES.show(5, 0, shown, 99)

    assert line.endswith(b"\r\n")
    assert len(line) <= LONGEST_BYTES
    assert all(0x20 <= byte <= 0x7E for byte in line[:-2])
    said = read_question(line)
    assert said is not None
    if shown.rows:
        assert [row.replace("|", "/") for row in shown.rows] == said.text[2:].split("|")
        assert all(len(row) <= columns for row in shown.rows)


@given(st.binary(max_size=140))
def test_noise_is_no_frame(noise: bytes):
    """Bytes that nobody framed are nobody's question and nobody's answer."""
    assert read_question(noise) is None or noise.startswith(b":")
    assert read_answer(noise) is None or noise.startswith(b"!")


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_flipped_bit_is_seen(place: int, flip: int):
    """One wrong byte anywhere before the end of the line: not a frame, or not this one."""
    line = bytearray(question(Frame(5, 3, "D", "10A012|Quay 5")))
    line[place % (len(line) - 2)] ^= flip

    assert read_question(bytes(line)) is None


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("Tạm nghỉ", "Tam nghi"),
        ("ĐẤT ĐAI đường", "DAT DAI duong"),
        ("a\u0300\u202eb\x1b[2J", "ab[2J"),
        ("① — …", "1 - ."),
        ("日本", "??"),
        ("A\u00a0B", "A B"),
    ],
)
def test_plain_letters(text, letters):
    """Marks go, letters stay; what cannot be seen is left out."""
    assert letters == plain(text)


GOOD = """
service = "http://127.0.0.1:8080"
centre = "demo-tinh"
board = "tong"
token_file = "/etc/queue-service/panels.token"
[brightness]
night = 2
[[ports]]
id = "east"
address = "/dev/ttyUSB0"
[[ports]]
id = "hall"
address = "tcp://10.0.0.5:4001"
[[panels]]
id = "over-5"
port = "east"
address = 5
counter = "q05"
[[panels]]
id = "strip"
port = "hall"
shows = "calls"
adapter = "lines"
"""


def a_file(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "panels.toml"
    file.write_text(text, "utf-8")
    return file


def test_a_good_file(tmp_path: Path):
    """What is left out has its usual value."""
    file = load(a_file(tmp_path, GOOD))

    assert ["over-5", "strip"] == [panel.id for panel in file.panels]
    assert (20, 10, 9600, 9, 2) == (
        file.idle_after_s, file.blink_s, file.ports[0].baud, file.brightness.day, file.brightness.night,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("was", "now", "place"),
    [
        ('id = "east"', 'id = "East side"', "ports[0].id"),
        ('id = "hall"', 'id = "east"', "ports.id"),
        ('address = "/dev/ttyUSB0"', 'address = "COM3"', "ports[0].address"),
        ('address = "tcp://10.0.0.5:4001"', 'address = "tcp://10.0.0.5"', "ports[1].address"),
        ("address = 5", "address = 248", "panels[0].address"),
        ("address = 5", 'address = "5"', "panels[0].address"),
        ('port = "east"', 'port = "west"', "panels[0].port"),
        ('counter = "q05"', "", "panels[0].counter"),
        ('shows = "calls"', 'shows = "calls"\ncounter = "q05"', "panels[1].counter"),
        ('shows = "calls"', 'shows = "everything"', "panels[1].shows"),
        ("address = 5", "address = 5\nrows = 8\ncolumns = 40", "panels[0].rows"),
        ("address = 5", "address = 5\nbaud = 9600", "panels[0].baud"),
        ('service = "http://127.0.0.1:8080"', "", "service"),
        ('"http://127.0.0.1:8080"', '"ftp://x"', "service"),
        ("night = 2", "night = 12", "brightness.night"),
        ("night = 2", 'day_from = "7h"', "brightness.day_from"),
        ("night = 2", "night = ", "line 7, column 9"),
        ('id = "strip"\nport = "hall"', 'id = "strip"\nport = "east"\naddress = 5', "panels.port, panels.address"),
    ],
)
def test_a_faulty_file_says_where(tmp_path: Path, was: str, now: str, place: str):
    """Every mistake has its place."""
    assert was in GOOD
    with pytest.raises(FaultyFile) as faulty:
        load(a_file(tmp_path, GOOD.replace(was, now, 1)))

    assert place in [problem.place for problem in faulty.value.problems]


def test_the_largest_panel_fits_in_a_frame():
    """What the file lets through, a frame can carry."""
    panel = a_panel(rows=5, columns=MOST_LETTERS // 5 - 1, shows="calls", counter="")
    view = a_view(**{f"q{n}": a_seat(number="A" * 4, called_at_ms=n, call=n) for n in range(9)})
    shown = face(panel, view, {f"q{n}": n for n in range(9)})

    assert len(FRAMES.show(247, 9, shown, 99)) <= LONGEST_BYTES


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path):
    """A token is for its owner only, and its file says so."""
    file = tmp_path / "token"
    file.write_text("qsd.secret\n")
    file.chmod(0o600)
    assert "qsd.secret" == read_secret(file)
    file.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        read_secret(file)
    file.chmod(0o600)
    file.write_text("\n")
    with pytest.raises(ValueError, match="empty"):
        read_secret(file)
