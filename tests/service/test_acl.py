"""The rights that deploy/users.acl gives the service: enough for everything it does, and nothing else."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError

from queue_service.backup import Installation
from queue_service.clock import SystemClock, business_day
from queue_service.embedded import die_with_parent, find_binary
from queue_service.slip_key import SlipKey
from queue_service.store import lease_key
from service_world import House, a_hall, a_house

ROOT = Path(__file__).parents[2]
USERS = (ROOT / "deploy/users.acl").read_text("utf-8")
OPERATORS, SERVICES = "password-of-the-operator", "password-of-the-service"

REFUSED = [
    ("EVAL", "return 1", "0"),
    ("EVALSHA", "0" * 40, "0"),
    ("SCRIPT", "LOAD", "return 1"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "appendfsync", "no"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("FUNCTION", "DELETE", "queue_core"),
    ("FUNCTION", "FLUSH"),
    ("RESTORE", "qs:{a}:x", "0", "x"),
    ("DUMP", "qs:{a}:x"),
    ("MIGRATE", "127.0.0.1", "1", "qs:{a}:x", "0", "1"),
    ("MONITOR",),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "127.0.0.1", "1"),
    ("BGREWRITEAOF",),
    ("ACL", "LIST"),
    ("ACL", "WHOAMI"),
    ("MODULE", "LIST"),
    ("PUBLISH", "qs:{a}:bell", "x"),
    ("GET", "somebody-elses-key"),
    ("SPUBLISH", "somebody-elses-channel", "x"),
]


class Guarded(NamedTuple):
    """A server with our users."""

    socket: Path

    def url(self, user: str, password: str) -> str:
        return f"unix://{user}:{password}@{self.socket}"

    def client(self, user: str, password: str) -> Redis:
        return Redis(unix_socket_path=str(self.socket), username=user, password=password)

    def asynchronous(self, user: str, password: str) -> AsyncRedis:
        return AsyncRedis(unix_socket_path=str(self.socket), username=user, password=password)


def _hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A real server that was started with the file, its two places filled in as deploy/README.md says."""
    folder = tmp_path_factory.mktemp("acl")
    users = folder / "users.acl"
    users.write_text(USERS.replace("OPERATOR_SHA256", _hash(OPERATORS)).replace("QUEUE_SHA256", _hash(SERVICES)))
    socket = folder / "s"
    options = {"port": "0", "unixsocket": socket, "save": "", "appendonly": "no", "dir": folder, "aclfile": users}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [find_binary(), *(str(word) for name, value in options.items() for word in (f"--{name}", value))],
            stdout=log,
            preexec_fn=die_with_parent(),
        )
    server = Guarded(socket)
    try:
        deadline = time.monotonic() + 10
        with server.client("operator", OPERATORS) as operator:
            while True:
                try:
                    operator.ping()
                    break
                except ConnectionError:
                    alive = process.poll() is None and time.monotonic() < deadline
                    assert alive, (folder / "log").read_text()
                    time.sleep(0.01)
        yield server
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def house(guarded: Guarded, tmp_path: Path, cheap_passwords: None) -> AsyncIterator[House]:
    """The service as its own user; the house's people are made by the operator."""
    operator, service = guarded.url("operator", OPERATORS), guarded.url("queue", SERVICES)
    async with a_house(operator, tmp_path, a_hall(calls_before_no_show=1), through=service) as house:
        yield house


async def test_the_service_does_everything_it_does(house: House, guarded: Guarded):
    """Presses, looks, streams, sign-ins, a new day, a new order of events: nothing meets a missing right."""
    board = await house.board.socket("boards/hall/stream")
    await board.begins()
    tomorrow = business_day(SystemClock().now_ms() + 86_400_000, house.centre.timezone)
    first, second, third = [(await house.kiosk.issue())["id"] for _ in range(3)]
    answers = [
        await house.kiosk.press(f"tickets/{first}/printed"),
        await house.lan.at("q02", "open"),
        await house.lan.at("q02", "call-next"),
        await house.lan.at("q02", "recall"),
        await house.lan.at("q02", "start"),
        await house.lan.at("q02", "undo"),
        await house.lan.at("q02", "undo"),
        await house.lan.at("q02", "call-next"),
        await house.lan.at("q02", "park", reason="a copy"),
        await house.lan.at("q02", "resume", ticket=first),
        await house.lan.at("q02", "transfer", service="b"),
        await house.lan.at("q02", "call", ticket=second),
        await house.lan.at("q02", "no-show"),
        await house.lan.at("q02", "call-next"),
        await house.lan.at("q02", "complete"),
        await house.nobody.press(f"tickets/{first}/late"),
        await house.nobody.press(f"tickets/{first}/cancel"),
        await house.desk.press(f"tickets/{first}/revive"),
        await house.lan.at("q02", "pause"),
        await house.lan.get("counters/q02"),
        await house.lan.get("counters"),
        await house.lan.at("q02", "close"),
        await house.chief.get("state"),
        await house.integrator.get("events"),
        await house.nobody.get(f"tickets/{third}"),
        await house.board.get("boards/hall"),
        await house.chief.press("issuing", {"open": False, "text": "Nghỉ"}),
        await house.chief.press("day", {"day": tomorrow}),
        await house.nobody.get("/health/ready"),
    ]
    assert [] == [answer for answer in answers if answer.status >= 400]
    await board.sees("DayAdvanced")
    await board.leave()

    dispatch = house.service._dispatch
    await dispatch.renew_epoch(house.centre)
    assert [] == await _denied(guarded)


async def test_accounts_and_devices_need_no_more(house: House, guarded: Guarded):
    """What `queue-service users` and `devices` do, and signing in."""
    identities = house.service._identities
    staff = house.service._staff
    await staff.create("thu", password="a long password", roles=["officer"], centres=["*"], by=house.operator)
    await staff.reset_password("thu", house.operator, password="another password")
    assert "thu" in [account.name for account in await staff.list_all(house.operator.identity)]
    signed_in = await house.nobody.ask("POST", "/api/v1/session", json={"name": "thu", "password": "another password"})
    assert 200 == signed_in.status
    made, _ = await identities.devices.create(role="kiosk", centre=house.centre.id, now_ms=0, device="k1")
    await identities.devices.list(house.centre.id)
    assert await identities.devices.revoke(made.id)
    await staff.remove("thu", house.operator)
    await identities.sessions.sweep(house.service.clock.now_ms())
    assert [] == await _denied(guarded)


async def test_a_backup_and_a_restore_need_no_more(house: House, guarded: Guarded, tmp_path: Path):
    """What `queue-service backup` and `restore` do, but for a worker that runs."""
    await house.kiosk.issue()
    async with guarded.asynchronous("queue", SERVICES) as client:
        installation = Installation(
            client, house.service._dispatch, house.service._archive, SlipKey.of(house.service.settings)
        )
        await installation.backup(tmp_path / "backup")
        await client.delete(lease_key("sweeper"), lease_key("archiver"))
        await installation.restore(tmp_path / "backup", replace=True)
    assert [] == await _denied(guarded)


@pytest.mark.parametrize("command", REFUSED, ids=lambda command: " ".join(command[:2]))
def test_the_service_may_do_nothing_else(guarded: Guarded, command: tuple[str, ...]):
    """A stolen password of the service reads and writes the service's own keys by named commands, no more."""
    with guarded.client("queue", SERVICES) as service, pytest.raises(NoPermissionError):
        service.execute_command(*command)


def test_nobody_gets_in_without_a_password(guarded: Guarded):
    """The user that every server has is switched off."""
    with Redis(unix_socket_path=str(guarded.socket), protocol=2) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()


def test_functions_run_no_command_that_is_not_named():
    """Rights hold inside Functions, too: whatever the Lua calls is in the list."""
    allowed = set(re.findall(r"\+([a-z|]+)", USERS.splitlines()[-1]))
    called = {
        command.lower()
        for file in (ROOT / "queue_service/lua").glob("*.lua")
        for command in re.findall(r"redis\.call\('([A-Z]+)'", file.read_text("utf-8"))
    }
    assert called
    assert called <= allowed


def test_a_file_with_empty_places_starts_no_server(tmp_path: Path):
    """Whoever forgets to put the passwords in gets no open store."""
    (tmp_path / "users.acl").write_text(USERS)
    options = [find_binary(), "--port", "0", "--dir", str(tmp_path), "--aclfile", str(tmp_path / "users.acl")]
    assert 0 != subprocess.run(options, capture_output=True, timeout=20, check=False).returncode


async def _denied(guarded: Guarded) -> list[str]:
    """What the server has refused to the service since the last look."""
    with guarded.client("operator", OPERATORS) as operator:
        entries = operator.execute_command("ACL", "LOG")
        operator.execute_command("ACL", "LOG", "RESET")
        return [str(entry) for entry in entries if "queue" in str(entry) and "config" not in str(entry)]
