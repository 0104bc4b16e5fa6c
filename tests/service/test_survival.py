"""
What may happen to a hall on a bad day: processes killed among presses, replies lost, stores away, stops and starts.

A press that was answered is there; a repeated key gets its first answer; nobody is called twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector

import queue_service.app
import queue_service.cli
from queue_service.app import Service
from queue_service.guard import Guard, Limits
from queue_service.http_api.dossiers import SECRET
from queue_service.settings import Settings
from service_world import Answer, Caller, a_hall, a_house, a_key, a_proxy, a_script, is_greeting, until

CENTRE = "demo-xa"
PATIENCE_S = 90.0
"""Longer than a start takes on a machine that has other things to do."""
EXAMPLE = Path(queue_service.app.EXAMPLES) / f"{CENTRE}.toml"


def a_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Program:
    """``queue-service run`` as a process of its own, on a folder and a port that outlive it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = a_port()
        self.base = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
        self.environ = kept | {
            "QUEUE_PORT": str(self.port),
            "QUEUE_DATA_DIR": str(folder / "data"),
            "QUEUE_CENTRES": str(EXAMPLE),
            **settings,
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, session: ClientSession) -> float:
        """Start, and return after how many seconds it was ready."""
        began = time.monotonic()
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "queue_service", "run", env=self.environ, stdout=log, stderr=log
            )
        while True:
            assert self.process.returncode is None, self.log()
            assert time.monotonic() - began < PATIENCE_S, self.log()
            try:
                async with session.get(self.base + "/health/ready") as answer:
                    if answer.status == 200:
                        return time.monotonic() - began
            except ClientError:
                pass
            await asyncio.sleep(0.02)

    async def end(self, how: signal.Signals) -> float:
        """Send a signal, and return after how many seconds it was gone."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(how)
        await asyncio.wait_for(self.process.wait(), 30)
        return time.monotonic() - began

    def log(self) -> str:
        return (self.folder / "log").read_text()

    @property
    def demo(self) -> dict[str, Any]:
        return json.loads((self.folder / "data" / "demo.json").read_bytes())

    @property
    def server_pid(self) -> int:
        """The embedded server's; 0 while another is being started."""
        said = (self.folder / "data" / "server.lock").read_bytes()
        return int(json.loads(said)["server"]) if said else 0


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=20)) as session:
        yield session


@pytest.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    program = Program(tmp_path)
    yield program
    if program.process is not None and program.process.returncode is None:
        await program.end(signal.SIGKILL)


async def signed_in(session: ClientSession, program: Program, *names: str) -> list[Caller]:
    """Staff of the demo, by the part of the name after the centre."""
    people = {person["name"]: person["password"] for person in program.demo["centres"][CENTRE]["staff"]}
    callers = []
    for name in names:
        full_name = f"{CENTRE}.{name}"
        body = {"name": full_name, "password": people[full_name], "bearer": True}
        async with session.post(program.base + "/api/v1/session", json=body) as answer:
            callers.append(Caller(session, program.base, CENTRE, (await answer.json())["token"], full_name))
    return callers


class Pressed:
    """A press that was repeated with its key until it was answered."""

    def __init__(self, who: Caller, path: str, body: dict[str, Any], key: str, answer: Answer) -> None:
        self.who, self.path, self.body, self.key, self.answer = who, path, body, key, answer


class Crowd:
    """Visitors and officers who press until they are answered."""

    def __init__(self) -> None:
        self.pressed: list[Pressed] = []
        self.unknown = 0
        """Attempts that were not answered, or with 503."""
        self.codes: set[str] = set()

    async def press(self, who: Caller, path: str, body: dict[str, Any] | None = None) -> Answer:
        key = a_key()
        end = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < end, f"{path} was not answered in {PATIENCE_S} s"
            try:
                answer = await who.press(path, body, key)
            except (ClientError, TimeoutError, OSError):
                self.unknown += 1
                await asyncio.sleep(0.02)
                continue
            if answer.status in (429, 503):
                self.codes.add(answer.code)
                self.unknown += answer.status == 503
                await asyncio.sleep(0.02)
                continue
            self.pressed.append(Pressed(who, path, body or {}, key, answer))
            return answer

    async def reaches(self, goal: int) -> None:
        await until(lambda: len(self.pressed) >= goal, f"{goal} presses are answered", PATIENCE_S)

    async def visitor(self, who: Caller, services: tuple[str, ...], is_over: Callable[[], bool]) -> None:
        count = 0
        while not is_over():
            answer = await self.press(who, "tickets", {"service": services[count % len(services)]})
            assert 201 == answer.status, answer
            count += 1

    async def officer(self, who: Caller, counter: str, is_over: Callable[[], bool]) -> None:
        await self.press(who, f"counters/{counter}/open")
        while not is_over():
            called = await self.press(who, f"counters/{counter}/call-next")
            if called.status == 409:  # ready, and called for meanwhile
                assert "COUNTER_BUSY" == called.code
            elif called.value["ticket"] is None:
                await asyncio.sleep(0.01)
                continue
            done = await self.press(who, f"counters/{counter}/complete")
            assert 200 == done.status, done

    async def check(self, chief: Caller) -> None:
        """Everything answered is there, once; every key still gets its first answer."""
        issued = [press.answer.ticket for press in self.pressed if press.path == "tickets"]
        assert len({ticket["id"] for ticket in issued}) == len(issued)
        letters: dict[str, list[int]] = {}
        for ticket in issued:
            letters.setdefault(ticket["number"][0], []).append(int(ticket["number"][1:]))
        for letter, numbers in letters.items():
            assert sorted(numbers) == list(range(1, len(numbers) + 1)), letter

        events: list[dict[str, Any]] = []
        after = 0
        while page := (await chief.get("events", params={"after": str(after), "limit": "1000"})).value["events"]:
            events += page
            after = page[-1]["seq"]
        assert [event["seq"] for event in events] == list(range(1, after + 1))
        told = {ticket["id"] for ticket in issued}
        assert told == {event["ticket"] for event in events if event["type"] == "TicketIssued"}, (
            "no ticket that nobody holds"
        )
        called = [event["ticket"] for event in events if event["type"] == "TicketCalled"]
        assert len(set(called)) == len(called), "called twice"
        served = [event["ticket"] for event in events if event["type"] == "TicketServed"]
        completed = [press.answer.ticket["id"] for press in self.pressed if press.path.endswith("complete")]
        assert sorted(served) == sorted(completed), "each service was told to its officer, once"

        for press in self.pressed:
            if press.answer.status in (200, 201):
                again = await press.who.press(press.path, press.body, press.key)
                while again.status == 429:
                    await asyncio.sleep(0.05)
                    again = await press.who.press(press.path, press.body, press.key)
                assert (press.answer.status, press.answer.raw) == (again.status, again.raw), press.path
        assert (await chief.get("state")).value["seq"] == after, "a repeat changes nothing"


async def test_the_service_is_killed_in_the_middle_of_presses(program: Program, session: ClientSession) -> None:
    """Eight people press; the process is killed twice and started again; they repeat what was not answered."""
    await program.start(session)
    tokens = [device["token"] for device in program.demo["centres"][CENTRE]["kiosks"]]
    kiosks = [Caller(session, program.base, CENTRE, token) for token in tokens]
    desk, chief, director, *officers = await signed_in(
        session, program, "huongdan", "truongca", "giamdoc", "q01", "q02", "q03", "q05"
    )
    visitors = [*kiosks, desk, chief, director][:4]
    crowd = Crowd()

    def is_over() -> bool:
        return len(crowd.pressed) >= 180

    services = ("tpht", "kt")
    async with asyncio.TaskGroup() as group:
        for visitor in visitors:
            group.create_task(crowd.visitor(visitor, services, is_over))
        for who, counter in zip(officers, ("q01", "q02", "q03", "q05"), strict=True):
            group.create_task(crowd.officer(who, counter, is_over))
        for goal in (60, 120):
            await crowd.reaches(goal)
            await program.end(signal.SIGKILL)
            await program.start(session)
    assert crowd.unknown > 0
    await crowd.check(chief)


async def test_the_embedded_server_is_killed_in_the_middle_of_presses(program: Program, session: ClientSession) -> None:
    """The service stays up, says 503 with a time to come back, and presses are answered again within two seconds."""
    await program.start(session)
    desk, chief, director, officer = await signed_in(session, program, "huongdan", "truongca", "giamdoc", "q01")
    crowd = Crowd()
    kills = 0

    def is_over() -> bool:
        return kills >= 3 and len(crowd.pressed) >= 120

    async with asyncio.TaskGroup() as group:
        for visitor in (desk, chief, director):
            group.create_task(crowd.visitor(visitor, ("tpht",), is_over))
        group.create_task(crowd.officer(officer, "q01", is_over))
        for goal in (25, 50, 75):
            await crowd.reaches(goal)
            killed = program.server_pid
            os.kill(killed, signal.SIGKILL)
            began = time.monotonic()
            await until(lambda killed=killed: program.server_pid not in (0, killed), "another server is started")
            await crowd.reaches(len(crowd.pressed) + 5)
            assert time.monotonic() - began < 2.0
            kills += 1
    assert program.process is not None
    assert program.process.returncode is None
    assert crowd.unknown > 0
    assert "STORE_AWAY" in crowd.codes
    await crowd.check(chief)


async def test_two_hundred_lost_replies(
    redis_url: str, tmp_path: Path, cheap_passwords: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between service and store, each with its connection: none doubled, none untold."""
    wide = Limits(public_per_s=1e6, public_burst=1_000_000, issue_per_min=1e6, issue_burst=1_000_000)
    monkeypatch.setattr(queue_service.app, "Guard", partial(Guard, limits=wide))
    async with (
        a_proxy(redis_url) as (proxy, through),
        a_house(redis_url, tmp_path, a_hall(), through=through) as house,
    ):
        crowd = Crowd()

        asyncio.get_running_loop().set_debug(False)  # it triples the time
        losing = True

        def is_over() -> bool:
            return not losing

        async def lose() -> None:
            for _ in range(200):
                proxy.drops = 1
                await until(lambda: proxy.drops == 0, "a reply is lost", 30)
                await crowd.reaches(len(crowd.pressed) + 1)
            nonlocal losing
            losing = False

        async with asyncio.TaskGroup() as group:
            for who in (house.kiosk, house.desk, house.chief, house.admin):
                group.create_task(crowd.visitor(who, ("a", "b"), is_over))
            for who, counter in ((house.lan, "q01"), (house.binh, "q03")):
                group.create_task(crowd.officer(who, counter, is_over))
            group.create_task(lose())
        assert 200 == proxy.dropped
        assert crowd.unknown >= 100
        await crowd.check(house.chief)


# A backup


async def told(program: Program, *words: str) -> str:
    """What `queue-service` says to *words*, with the settings of *program*."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "queue_service", *words, env=program.environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert 0 == process.returncode, out.decode()
    return out.decode()


@pytest.mark.timeout(300)  # two services and two commands are started
async def test_a_backup_under_load_becomes_another_installation(
    program: Program, session: ClientSession, tmp_path: Path
) -> None:
    """
    Taken while people press, then everything is killed: elsewhere every press answered before is there, a screen takes
    a fresh snapshot, numbers are new, and the secret of a printed slip opens its dossier.
    """
    await program.start(session)
    devices = program.demo["centres"][CENTRE]
    kiosk = Caller(session, program.base, CENTRE, devices["kiosks"][0]["token"])
    desk, chief, officer = await signed_in(session, program, "huongdan", "truongca", "q01")
    board, path = devices["boards"][0], f"boards/{devices['boards'][0]['id']}"
    crowd, is_enough = Crowd(), False
    handed = {"procedure": "1.004873", "limit": {"unit": "working_day", "value": 3}}
    slip = (await officer.press("dossiers", handed)).value["slip"]

    async with asyncio.TaskGroup() as group:
        for who in (kiosk, desk, chief):
            group.create_task(crowd.visitor(who, ("tpht",), lambda: is_enough))
        group.create_task(crowd.officer(officer, "q01", lambda: is_enough))
        await crowd.reaches(30)
        before = list(crowd.pressed)
        said = await told(program, "backup", str(tmp_path / "backup"))
        assert "1 centres" in said, said
        await crowd.reaches(len(crowd.pressed) + 10)
        seen = (await Caller(session, program.base, CENTRE, board["token"]).get(path)).value
        is_enough = True
    await program.end(signal.SIGKILL)

    (tmp_path / "elsewhere/data").mkdir(parents=True)
    other = Program(tmp_path / "elsewhere")
    (other.folder / "data/demo.json").write_bytes((program.folder / "data/demo.json").read_bytes())
    assert "Restored" in await told(other, "restore", str(tmp_path / "backup"))
    try:
        await other.start(session)
        issued = [press.answer.ticket for press in before if press.path == "tickets"]
        kiosk.base = desk.base = chief.base = officer.base = other.base
        for ticket in issued:
            assert ticket["number"] == (await desk.look(ticket["id"]))["number"]
        for press in before:
            if press.who is desk and press.answer.status in (200, 201):
                assert press.answer.raw == (await press.who.press(press.path, press.body, press.key)).raw

        tracked = await kiosk.get(f"/api/v1/track/{slip['code']}", headers={SECRET: slip["secret"]})
        assert handed["procedure"] == tracked.value["details"]["procedure"], tracked.raw

        screen = await Caller(session, other.base, CENTRE, board["token"]).socket(
            f"{path}/stream", epoch=seen["epoch"], seq=seen["seq"]
        )
        start = await screen.begins()
        assert ("snapshot", False) == (start["type"], start["recovered"])
        assert seen["epoch"] != start["epoch"]
        await screen.leave()

        given_out = {press.answer.ticket["number"] for press in crowd.pressed if press.path == "tickets"}
        assert (await kiosk.issue("tpht"))["number"] not in given_out
    finally:
        await other.end(signal.SIGKILL)


# Stops and starts


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
async def test_a_stop_with_open_streams_is_quick_and_says_goodbye(
    program: Program, session: ClientSession, how: signal.Signals
) -> None:
    await program.start(session)
    devices = program.demo["centres"][CENTRE]
    kiosk = Caller(session, program.base, CENTRE, devices["kiosks"][0]["token"])
    board = Caller(session, program.base, CENTRE, devices["boards"][0]["token"])
    ticket = await kiosk.issue("tpht")
    path = f"boards/{devices['boards'][0]['id']}/stream"
    screens = [await board.socket(path) for _ in range(5)]
    for screen in screens:
        await screen.begins()
    events = {"Accept": "text/event-stream"}
    async with (
        session.get(board.url(path), headers=board.headers(**events)) as hall,
        session.get(kiosk.url(f"tickets/{ticket['id']}/stream"), headers=events) as phone,
    ):
        assert (200, 200) == (hall.status, phone.status)
        server = program.server_pid
        assert await program.end(how) < 5
        assert program.process is not None
        assert 0 == program.process.returncode, program.log()
        assert [1012] * 5 == [await screen.ends() for screen in screens]
        for stream in (hall, phone):
            async with asyncio.timeout(5):
                await stream.content.read()
    for screen in screens:
        await screen.leave()
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)
    assert "Traceback" not in program.log()


async def test_a_second_start_is_quick_and_goes_on_with_the_day(program: Program, session: ClientSession) -> None:
    first = await program.start(session)
    before = program.demo
    kiosk = Caller(session, program.base, CENTRE, before["centres"][CENTRE]["kiosks"][0]["token"])
    key = a_key()
    issued = await kiosk.press("tickets", {"service": "tpht"}, key)
    await program.end(signal.SIGTERM)
    second = await program.start(session)
    assert second < first + 1
    assert second < 10
    assert before == program.demo, "sign-ins last"
    assert 0o600 == (program.folder / "data" / "demo.json").stat().st_mode & 0o777
    assert issued.raw == (await kiosk.press("tickets", {"service": "tpht"}, key)).raw
    assert "A002" == (await kiosk.issue("tpht"))["number"]
    assert "waiting" == (await kiosk.look(issued.ticket["id"]))["state"]


async def test_ready_means_that_the_demo_can_be_signed_in_to(program: Program, session: ClientSession) -> None:
    """Scripts wait for readiness and read demo.json then."""
    await program.start(session)
    (chief,) = await signed_in(session, program, "truongca")
    assert 200 == (await chief.get("state")).status


# Starts that fail: one sentence, a code of its own, no trace


async def run(folder: Path, **settings: str) -> tuple[int, str]:
    """Start the program, which is expected to end by itself: its exit code and what it says."""
    program = Program(folder, **settings)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "queue_service",
        "run",
        env=program.environ,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 30)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert out == b""
    assert b"Traceback" not in err, err
    assert process.returncode is not None
    return process.returncode, err.decode().strip()


Refused = Callable[[Settings], Awaitable[tuple[int, str]]]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """The same within this process, in a thread: seconds are saved with each start."""

    async def start(settings: Settings) -> tuple[int, str]:
        async def work() -> None:
            async with Service(settings, with_demo=True).running():
                raise AssertionError("it started")

        with pytest.raises(SystemExit) as end:
            await asyncio.to_thread(queue_service.cli._go, work())
        out, err = capsys.readouterr()
        assert out == ""
        return int(end.value.code or 0), err.strip()

    return start


def a_store(**said: str) -> Callable[[int, list[bytes]], bytes | None]:
    """A server that says of itself what *said* says, and takes no Functions."""
    facts = {"redis_version": "7.2.0", "maxmemory_policy": "noeviction", "aof_enabled": "1", **said}

    def answer(_: int, command: list[bytes]) -> bytes | None:
        if is_greeting(command):
            return b"+OK\r\n"
        if command[0] == b"INFO":
            text = "".join(f"{name}:{value}\r\n" for name, value in facts.items()).encode()
            return b"$%d\r\n%s\r\n" % (len(text), text)
        if command[0] == b"CONFIG":
            return b"*2\r\n$11\r\nappendfsync\r\n$6\r\nalways\r\n"
        if command == [b"FUNCTION", b"LIST", b"LIBRARYNAME", b"queue_core", b"WITHCODE"] or command[1] == b"LIST":
            return b"*0\r\n"
        return b"-READONLY You can't write against a read only replica.\r\n"

    return answer


async def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    code, said = await run(tmp_path, QUEUE_REDIS_URL=f"redis://:secret@127.0.0.1:{a_port()}")
    assert 4 == code
    assert said.startswith("The store does not answer")
    assert "secret" not in said
    assert 1 == len(said.splitlines())


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"redis_version": "6.2.14"}, "The store is Redis 6.2.14; Functions need Redis 7.0"),
        ({"maxmemory_policy": "allkeys-lru"}, "The store forgets keys when memory is short"),
        ({}, "The store does not take our Functions"),
    ],
    ids=["too old", "forgetful", "a replica"],
)
async def test_a_store_that_cannot_be_trusted(refused: Refused, facts: dict[str, str], sentence: str) -> None:
    async with a_script(a_store(**facts)) as address:
        code, said = await refused(Settings(port=0, redis_url=address))
    assert 4 == code
    assert said.startswith(sentence)
    assert 1 == len(said.splitlines())


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["no store", "silence"])
async def test_what_is_no_store(refused: Refused, said: bytes) -> None:
    async with a_script(lambda _, __: said) as address:
        began = time.monotonic()
        code, sentence = await refused(Settings(port=0, redis_url=address))
    assert (4, 1) == (code, len(sentence.splitlines()))
    assert time.monotonic() - began < 10


async def test_faulty_settings_are_told_all_at_once(tmp_path: Path) -> None:
    code, said = await run(tmp_path, QUEUE_PROT="1", QUEUE_LOG="loud")
    assert (3, 2) == (code, len(said.splitlines()))


async def test_a_port_that_is_in_use(refused: Refused, redis_url: str, tmp_path: Path) -> None:
    """Also when it is another demo's: half of the requests would go to another hall."""
    for shares in (False, True):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            settings = Settings(port=taken.getsockname()[1], redis_url=redis_url, data_dir=tmp_path)
            code, said = await refused(settings)
        assert (5, 1) == (code, len(said.splitlines()))
        assert "address already in use" in said


async def test_a_centre_file_that_is_not_there_or_faulty(refused: Refused, redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "nowhere.toml"
    settings = Settings(port=0, redis_url=redis_url, centres=(file,), data_dir=tmp_path)
    code, said = await refused(settings)
    assert 5 == code
    assert f"{file}: No such file" in said
    file.write_text('id = "x"\n')
    code, said = await refused(settings)
    assert 1 == code
    assert said.startswith("A centre file is faulty")
