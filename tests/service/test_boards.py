"""Boards: changed while they run on every worker's screens, confirmed across workers, and their pictures."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from displays import hub
from queue_service.app import Service
from queue_service.centre import Board
from service_world import DEADLINE_S, Caller, House, a_hall, a_house, a_service, until

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(40)
STRANGE = [
    b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>" + bytes(20),
    b"<!doctype html><script>alert(1)</script>" + bytes(20),
    b"GIF89a" + bytes(40),
    b"\x89PNG",
    b"",
]
"""What is no picture and no film of ours."""


def two_boards() -> Any:
    """A hall with one counter zone and two boards of it."""
    boards = (Board(id="hall", name="Bảng chính", zones=("z",)), Board(id="side", name="Bảng phụ", zones=("z",)))
    return msgspec.structs.replace(a_hall(), boards=boards)


@pytest.fixture
async def house(redis_url: str, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[House]:
    """A service whose centre has two boards."""
    async with a_house(redis_url, tmp_path, two_boards()) as opened:
        yield opened


@pytest.fixture
async def other(house: House, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A second worker on the same store."""
    folder = tmp_path / "other"
    folder.mkdir()
    async with a_service(redis_url, folder, house.centre) as worker:
        yield worker


def at(caller: Caller, worker: Service) -> Caller:
    """The same person at another worker."""
    return Caller(caller.session, worker.base, caller.centre, caller.token, caller.name)


async def settings_of(house: House, board: str = "hall") -> dict[str, Any]:
    """What a PUT takes."""
    body = (await house.chief.get(f"boards/{board}/settings")).value["board"]
    return {name: value for name, value in body.items() if name not in ("id", "name")}


async def change(house: House, board: str = "hall", **changed: Any) -> Any:
    """The supervisor lets a board show something else."""
    body = {**await settings_of(house, board), **changed}
    return await house.chief.ask("PUT", f"boards/{board}/settings", json=body)


async def test_a_changed_board_reaches_its_screens_at_every_worker(house: House, other: Service):
    """As a frame, at once; the other board hears nothing; and whoever comes later finds it."""
    screen = await at(house.board, other).socket("boards/hall/stream")
    side = await house.board.socket("boards/side/stream")
    await screen.begins()
    await side.begins()

    notice = {"text": "Chiều nay nghỉ.", "until": "2099-01-01 00:00"}
    answer = await change(house, layout="counters", theme="night", notices=[notice])

    assert answer.status == 200, answer.raw
    await until(lambda: told_of(screen), "the frame")
    told = told_of(screen)[0]
    assert (told["layout"], told["theme"], told["notices"][0]["text"]) == ("counters", "night", "Chiều nay nghỉ.")
    assert not told_of(side)
    late = (await at(house.board, other).get("boards/hall")).value["board"]
    assert late == told
    listed = (await at(house.chief, other).get("boards")).value["boards"]
    assert [(one["board"]["layout"], one["by"]) for one in listed] == [
        ("counters", f"staff:{house.chief.name}"),
        ("calls", None),
    ]
    assert [one["is_connected"] for one in listed] == [True, True]


async def test_both_boards_of_a_hall_hear_of_their_changes_at_once(house: House, other: Service):
    """Two boards at two workers: each is told its own change while it is connected, and nothing is asked for."""
    hall = await house.board.socket("boards/hall/stream")
    side = await at(house.board, other).socket("boards/side/stream")
    await hall.begins()
    await side.begins()

    await change(house, "hall", layout="departments")
    await change(house, "side", theme="night")

    await until(lambda: told_of(hall) and told_of(side), "both frames")
    assert [one["layout"] for one in told_of(hall)] == ["departments"]
    assert [one["theme"] for one in told_of(side)] == ["night"]


async def test_a_screen_that_comes_between_reading_and_following_is_told(house: House):
    """Its settings were changed after it had read them and before it was connected."""
    witness = await house.board.socket("boards/side/stream")
    await witness.begins()
    await change(house, theme="night")

    screen = await house.board.socket("boards/hall/stream")
    await screen.begins()

    await until(lambda: told_of(screen), "the frame")
    assert told_of(screen)[0]["theme"] == "night"


async def test_where_a_word_may_have_been_missed_screens_read_their_settings(house: House):
    """The link over which processes tell each other was cut: every board of the worker is told to read."""
    screen = await house.board.socket("boards/hall/stream")
    await screen.begins()

    await house.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    await until(lambda: {"type": "board"} in screen.frames, "the word to read")


async def test_how_the_screens_of_a_board_are_doing_is_told(
    house: House, other: Service, monkeypatch: pytest.MonkeyPatch
):
    """Screens and loudspeakers of all workers, their pages, the last confirmation with its lag, why nobody heard."""
    monkeypatch.setattr(hub, "TICK_S", 0.1)
    near = await house.board.socket("boards/hall/stream", speaks=True, build="old")
    far = await at(house.board, other).socket("boards/hall/stream")
    for screen in (near, far):
        await screen.begins()
    await house.lan.at("q01", "open")
    await house.kiosk.issue()
    await house.lan.at("q01", "call-next")
    called = (await near.sees("TicketCalled"))["call"]
    await near.say(type="shown", seq=called)
    await near.say(type="unspoken", seq=called, reason="locked")

    async def doing() -> dict[str, Any]:
        boards = (await house.chief.get("boards")).value["boards"]
        found: dict[str, Any] = next(one for one in boards if one["board"]["id"] == "hall")
        return found

    async def is_told() -> bool:
        now = await doing()
        return bool(now["screens"] == 2 and now["shown_at_ms"] and now["unspoken"])

    await eventually(is_told)
    now = await doing()
    assert (now["loudspeakers"], now["unspoken"], now["spoken_at_ms"]) == (1, "locked", None)
    assert "old" in now["builds"]
    assert 0 <= now["lag_ms"] < 60_000

    await near.leave()
    await far.leave()

    async def is_gone() -> bool:
        return bool((await doing())["screens"] == 0)

    await eventually(is_gone)
    assert (await doing())["shown_at_ms"] == now["shown_at_ms"]


async def test_changes_stand_in_the_audit_field_by_field(house: House):
    """Who, which board, and what it is now; the same settings again are no change."""
    await change(house, layout="counters", notices=[{"text": "Chiều nay nghỉ."}])
    await change(house, layout="counters")
    await house.chief.ask("DELETE", "boards/hall/settings")
    await house.chief.ask("POST", "media", data=PNG)

    entries: list[dict[str, Any]] = []

    async def is_written() -> bool:
        entries[:] = (await house.admin.get("audit?limit=50")).value["entries"]
        return any(entry["action"] == "bring-media" for entry in entries)

    await eventually(is_written)
    own = [entry for entry in reversed(entries) if entry["action"] in ("change-board", "reset-board")]
    assert [entry["action"] for entry in own] == ["change-board", "reset-board"]
    assert own[0]["object"] == "board:hall"
    assert own[0]["detail"] == {"layout": "counters", "notices": 1}
    assert own[1]["detail"] == {"layout": "calls", "notices": 0}


async def test_a_board_goes_back_to_what_the_file_says(house: House):
    """DELETE takes the change back."""
    await change(house, layout="departments")

    answer = await house.chief.ask("DELETE", "boards/hall/settings")

    assert answer.value["board"]["layout"] == "calls"
    assert (await settings_of(house))["layout"] == "calls"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"zones": ["nowhere"]}, "no zone"),
        ({"zones": []}, "length"),
        ({"layout": "carousel"}, "layout"),
        ({"layout": "counter-top"}, "counter: is missing"),
        ({"counter": "q99"}, "no counter"),
        ({"motto": "a\u202eb"}, "nobody can see"),
        ({"motto": "x" * 201}, "length"),
        ({"notices": [{"text": "\x07"}]}, "nobody can see"),
        ({"notices": [{"text": "a", "from": "2026-11-22 08:00", "until": "2026-11-22 07:00"}]}, "is not later"),
        ({"notices": [{"text": "a", "from": "tomorrow"}]}, "regex"),
        ({"media": ["../../etc/passwd"]}, "regex"),
        ({"inches": 1e9}, "200"),
        ({"surprise": 1}, "unknown field"),
    ],
)
async def test_settings_that_a_file_could_not_have_are_refused(house: House, changed: dict[str, Any], said: str):
    """With the reason; nothing changes."""
    before = await settings_of(house)

    answer = await change(house, **changed)

    assert answer.code == "MALFORMED"
    assert said in answer.value["detail"]
    assert before == await settings_of(house)


async def test_only_those_who_answer_for_the_hall_change_its_boards(house: House):
    """Officers, devices and passers-by are refused; nobody learns what there is."""
    body = await settings_of(house)
    for caller in (house.lan, house.board, house.kiosk):
        assert (await caller.ask("PUT", "boards/hall/settings", json=body)).code == "NOT_ALLOWED"
        assert (await caller.get("boards")).code == "NOT_ALLOWED"
        assert (await caller.ask("POST", "media", data=PNG)).code == "NOT_ALLOWED"
        assert (await caller.ask("DELETE", f"media/{'0' * 32}.png")).code == "NOT_ALLOWED"
    assert (await house.nobody.ask("PUT", "boards/hall/settings", json=body)).code == "SIGN_IN_REQUIRED"
    assert (await house.chief.ask("PUT", "boards/none/settings", json=body)).code == "UNKNOWN_BOARD"


async def test_a_call_is_shown_on_all_boards_wherever_they_are_connected(house: House, other: Service):
    """Two boards at two workers, a console at each: both are told 2 of 2, spoken on one; and one who comes later."""
    near = await house.board.socket("boards/hall/stream")
    far = await at(house.board, other).socket("boards/side/stream")
    consoles = [await house.lan.socket("events/stream"), await at(house.binh, other).socket("events/stream")]
    for stream in (near, far, *consoles):
        await stream.begins()
    await house.lan.at("q01", "open")
    await house.kiosk.issue()
    await house.lan.at("q01", "call-next")
    called = (await far.sees("TicketCalled"))["call"]
    await near.sees("TicketCalled")

    for screen in (near, far):
        await screen.say(type="shown", seq=called)
    await far.say(type="spoken", seq=called)

    wanted = {"call": called, "shown": 2, "spoken": 1, "of": 2, "missing": []}
    for console in consoles:
        await until(lambda told=console: wanted in _told(told), "2 of 2, spoken")
    late = await house.chief.socket("events/stream")
    await until(lambda: wanted in _told(late), "retold")


async def test_a_board_that_does_not_confirm_is_named_and_counted_once(
    house: House, other: Service, monkeypatch: pytest.MonkeyPatch
):
    """After the set time, at every console; when it confirms after all, it is not missing any more."""
    monkeypatch.setattr(hub, "MISSING_S", 2.0)
    near = await house.board.socket("boards/hall/stream")
    dumb = await at(house.board, other).socket("boards/side/stream")
    consoles = [await house.lan.socket("events/stream"), await at(house.binh, other).socket("events/stream")]
    for stream in (near, dumb, *consoles):
        await stream.begins()
    before = _unconfirmed("side")
    await house.lan.at("q01", "open")
    await house.kiosk.issue()
    await house.lan.at("q01", "call-next")
    called = (await near.sees("TicketCalled"))["call"]
    await near.say(type="shown", seq=called)

    wanted = {"call": called, "shown": 1, "spoken": 0, "of": 2, "missing": ["Bảng phụ"]}
    for console in consoles:
        await until(lambda told=console: wanted in _told(told), "the board is named")
    await until(lambda: _unconfirmed("side") == before + 1, "it is counted")
    await dumb.say(type="shown", seq=called)
    for console in consoles:
        await until(lambda told=console: {**wanted, "shown": 2, "missing": []} in _told(told), "not missing any more")
    assert _unconfirmed("side") == before + 1


async def test_pictures_and_films_are_known_by_their_content(house: House):
    """Named by their digest, served so that nothing in them can run."""
    png = (await house.chief.ask("POST", "media", data=PNG)).value["file"]
    again = (await house.chief.ask("POST", "media", data=PNG)).value["file"]
    film = (await house.chief.ask("POST", "media", data=MP4)).value["file"]

    assert png == again
    assert (png.endswith(".png"), film.endswith(".mp4")) == (True, True)
    assert set((await house.chief.get("boards")).value["media"]) == {png, film}
    fetched = await house.nobody.get(f"/media/{house.centre.id}/{png}")
    assert (fetched.status, fetched.raw) == (200, PNG)
    assert fetched.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in fetched.headers["Content-Security-Policy"]
    assert (await change(house, media=[film], logo=png)).status == 200


async def test_a_picture_is_removed_once_no_board_shows_it(house: House):
    """Refused while one does; then the file is gone for everybody, the others stay, and the audit says who."""
    png = (await house.chief.ask("POST", "media", data=PNG)).value["file"]
    film = (await house.chief.ask("POST", "media", data=MP4)).value["file"]
    for shown in ({"logo": png}, {"media": [film, png]}):
        await change(house, "side", **{"logo": "", "media": [], **shown})
        answer = await house.chief.ask("DELETE", f"media/{png}")
        assert (answer.status, answer.code) == (409, "MEDIA_IN_USE")
        assert "Bảng phụ" in answer.value["detail"]
    await change(house, "side", media=[film])

    assert (await house.chief.ask("DELETE", f"media/{png}")).status == 204

    assert (await house.chief.get("boards")).value["media"] == [film]
    assert (await house.nobody.get(f"/media/{house.centre.id}/{png}")).status == 404
    assert (await house.chief.ask("DELETE", f"media/{png}")).code == "UNKNOWN_MEDIA"
    entries: list[dict[str, Any]] = []

    async def is_written() -> bool:
        entries[:] = (await house.admin.get("audit?action=remove-media")).value["entries"]
        return bool(entries)

    await eventually(is_written)
    assert [(entry["actor"], entry["object"]) for entry in entries] == [(f"staff:{house.chief.name}", f"media:{png}")]


async def test_what_a_board_would_show_as_the_file_says_stays(redis_url: str, tmp_path: Path, cheap_passwords: None):
    """The board was changed to something else, and may go back at any moment."""
    name = f"{hashlib.sha256(PNG).hexdigest()[:32]}.png"
    centre = two_boards()
    boards = (msgspec.structs.replace(centre.boards[0], media=(name,)), centre.boards[1])
    async with a_house(redis_url, tmp_path, msgspec.structs.replace(centre, boards=boards)) as house:
        await house.chief.ask("POST", "media", data=PNG)
        await change(house, media=[])

        assert (await house.chief.ask("DELETE", f"media/{name}")).code == "MEDIA_IN_USE"

        assert (await house.nobody.get(f"/media/{house.centre.id}/{name}")).status == 200


@pytest.mark.parametrize("content", STRANGE, ids=["svg", "html", "gif", "cut", "empty"])
async def test_what_is_no_picture_is_refused(house: House, content: bytes):
    """Whatever it is called; nothing is left behind."""
    answer = await house.chief.ask("POST", "media", data=content, headers={"Content-Type": "image/png"})

    assert answer.code == "UNSUPPORTED_TYPE"
    assert (await house.chief.get("boards")).value["media"] == []


async def test_a_picture_that_is_too_large_is_refused(house: House):
    """Nine megabytes; nothing is left behind."""
    answer = await house.chief.ask("POST", "media", data=io.BytesIO(PNG + bytes(9 * 1024 * 1024)))

    assert answer.code == "TOO_LARGE"
    assert (await house.chief.get("boards")).value["media"] == []
    folder = house.service.settings.data_dir / "media" / house.centre.id
    assert await asyncio.to_thread(lambda: list(folder.iterdir())) == []


@pytest.mark.parametrize("name", ["..%2f..%2fsecret", "a.png", "0" * 32 + ".svg", "%00"])
async def test_only_files_of_boards_are_handed_out(house: House, name: str):
    """No way out of the folder."""
    assert (await house.nobody.get(f"/media/{house.centre.id}/{name}")).status == 404


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Await what only a request tells."""
    async with asyncio.timeout(DEADLINE_S):
        while not await is_so():
            await asyncio.sleep(0.05)


def told_of(screen: Any) -> list[dict[str, Any]]:
    """The settings that a screen was sent while it was connected."""
    return [one["board"] for one in screen.frames if one["type"] == "board" and "board" in one]


def _told(console: Any) -> list[dict[str, Any]]:
    return [call for frame in console.frames if frame["type"] == "shown" for call in frame["calls"]]


def _unconfirmed(board: str) -> float:
    return REGISTRY.get_sample_value("displays_unconfirmed_total", {"board": board}) or 0.0
