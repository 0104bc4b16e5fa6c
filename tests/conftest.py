"""What every test may ask for: a private server on a socket, without persistence; and how hard hypothesis looks."""

from __future__ import annotations

import asyncio.constants
import gc
import gc
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from postgres_world import Postgres, a_postgres
from queue_service.embedded import die_with_parent, find_binary

# Asyncio's debug mode keeps where every future comes from: its last frames say it, and sixty cost more than the test.
asyncio.constants.DEBUG_STACK_DEPTH = 1
sys.tracebacklimit = 4
structlog.configure([structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])

# No deadline per example: two cores are shared by the test processes, a server and sometimes a browser.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=50)  # the same examples every time
settings.register_profile(
    "thorough", deadline=None, max_examples=1000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("quick")  # --hypothesis-profile=thorough for the other


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """The socket of a private server that keeps nothing; tests share it and take a fresh centre name each."""
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        path = Path(folder) / "server.sock"
        options = {"port": "0", "unixsocket": str(path), "save": "", "appendonly": "no", "dir": folder}
        process = subprocess.Popen(
            [find_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))],
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        try:
            _await_answer(path, process)
            yield path
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def redis_url(server: Path) -> str:
    """The address of `server`."""
    return f"unix://{server}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A private PostgreSQL server; every test takes a database of its own from it."""
    with a_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database: every test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """What argon2 costs is tested elsewhere."""
    monkeypatch.setattr("queue_service.passwords._MEMORY_KIB", 64)
    monkeypatch.setattr("queue_service.passwords._TIME_COST", 1)


def _await_answer(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as link:
            try:
                link.connect(str(path))
            except OSError:
                time.sleep(0.005)
                continue
            link.sendall(b"PING\r\n")
            if link.recv(7) == b"+PONG\r\n":
                return
    raise RuntimeError(f"the test server does not answer (exit code {process.poll()})")


def pytest_collection_finish() -> None:
    """What was imported stays: the collector need not walk through all of it again and again."""
    gc.collect()
    gc.freeze()
