"""
The servers that one could take instead of the hub, measured as it is: one event to N screens.

Nothing of theirs is in this house: each is what the machine has installed, started by a few lines of ours in `peers/`,
and left out with a sentence where it is not there.  CPU is that of the server's process from the publication until
every screen has the event; the screens are a process of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from string import Template
from typing import Final

import msgspec

from loadtest.access import Refused
from loadtest.bench_meter import Target, cpu_us, free_port
from queue_service.embedded import die_with_parent

FOLDER: Final = Path(__file__).parent / "peers"
GO_SOURCES: Final = Path("/usr/share/gocode")
"""Where Debian puts the sources of Go's libraries."""
START_WITHIN_S: Final = 20.0
DELIVER_WITHIN_S: Final = 60.0
MARK: Final = b"^"
BURST: Final = 4


class Found(msgspec.Struct, frozen=True):
    """A server that can be started here."""

    name: str
    words: Callable[[Path, int, int], Sequence[str | Path]]
    """Its command, from a folder of its own, the screens' port and the length of an event."""
    target: Target | None = None
    path: str = "/"
    hello: bytes = b""
    live: str = ""
    publication: Callable[[bytes], bytes] | None = None
    """How it is told over a socket what to publish; without it, by its standard input how often."""
    publish_port: int | None = None
    """Where, if not at the screens' port."""


def at_least(ratio: float) -> Target:
    """What the hub is held to at a thousand screens."""
    return Target("G9", ratio, is_ceiling=False)


def installed(node_folder: Path | None, python: str | None) -> tuple[list[Found], list[str]]:
    """
    The peers of this machine, and a line for each that is missing.

    Args:
        node_folder: where npm has installed `ws` and `socket.io`.
        python: an interpreter that has starlette, uvicorn, websockets and python-socketio.
    """
    found = [Found("aiohttp send_bytes", _script(sys.executable, "aiohttp_send.py"), at_least(1.3))]
    missing = []
    for name, peer in (
        ("nginx with nchan", _nchan()),
        ("nats-server", _nats()),
        ("Centrifuge", _centrifuge()),
    ):
        if peer is None:
            missing.append(f"{name}: not on this machine; left out")
        else:
            found.append(peer)
    node = shutil.which("node")
    for name, package, script, target in (
        ("Node ws", "ws", "ws.mjs", None),
        ("Socket.IO", "socket.io", "socketio.mjs", at_least(1.9)),
    ):
        if node is None or node_folder is None or not (node_folder / "node_modules" / package).is_dir():
            missing.append(f"{name}: no node, or no folder that has it was given (--peers-node); left out")
        else:
            found.append(Found(name, _script(node, script, node_folder.resolve()), target, *_socketio(package)))
    for name, module, script, target in (
        ("Starlette on uvicorn", "starlette", "starlette_ws.py", at_least(3.5)),
        ("python-socketio", "socketio", "socketio_asgi.py", at_least(12)),
    ):
        if python is None or not _has(python, module, "uvicorn", "websockets"):
            missing.append(f"{name}: no interpreter that has it was given (--peers-python); left out")
        else:
            found.append(Found(name, _script(python, script), target, *_socketio(module)))
    return found, missing


def _socketio(package: str) -> tuple[str, bytes, str]:
    """Path, hello and what makes live: Engine.IO 4 opens, then Socket.IO 5 joins the name space."""
    if package in ("socket.io", "socketio"):
        return "/socket.io/?EIO=4&transport=websocket", _frame(b"40", 1), '40{"sid"'
    return "/", b"", ""


def _has(python: str, *modules: str) -> bool:
    return not subprocess.run(
        [python, "-c", f"import {', '.join(modules)}"], capture_output=True, check=False
    ).returncode


def _script(program: str, script: str, *more: Path) -> Callable[[Path, int, int], Sequence[str | Path]]:
    return lambda _, port, length: (program, FOLDER / script, *more, str(port), str(length))


def _nchan() -> Found | None:
    program = shutil.which("nginx", path=_paths())
    if program is None:
        return None
    module = Path(program).resolve().parents[1] / "lib" / "nginx" / "modules" / "ngx_nchan_module.so"
    if not module.is_file():
        return None

    def words(folder: Path, port: int, _: int) -> Sequence[str | Path]:
        return (
            program,
            "-p",
            f"{folder}/",
            "-e",
            "stderr",
            "-c",
            _filled("nchan.conf", folder, module=module, port=port),
        )

    def publication(event: bytes) -> bytes:
        return b"POST /publish HTTP/1.1\r\nHost: hall\r\nContent-Length: %d\r\n\r\n%b" % (len(event), event)

    return Found("nginx with nchan", words, at_least(1.0), publication=publication)


def _nats() -> Found | None:
    program = shutil.which("nats-server", path=_paths())
    if program is None:
        return None
    publish_port = free_port()

    def words(folder: Path, port: int, _: int) -> Sequence[str | Path]:
        return program, "-c", _filled("nats.conf", folder, publish_port=publish_port, port=port)

    hello = _frame(b'CONNECT {"verbose":false}\r\nSUB hall 1\r\nPING\r\n', 2)
    return Found(
        "nats-server",
        words,
        hello=hello,
        live="PONG",
        publication=lambda event: b"PUB hall %d\r\n%b\r\n" % (len(event), event),
        publish_port=publish_port,
    )


def _centrifuge() -> Found | None:
    """The library that Centrifugo is made of, compiled from Debian's sources when it is first started."""
    go = shutil.which("go")
    if go is None or not (GO_SOURCES / "src/github.com/centrifugal/centrifuge").is_dir():
        return None
    environ = os.environ | {"GO111MODULE": "off", "GOPATH": str(GO_SOURCES)}

    def words(folder: Path, port: int, length: int) -> Sequence[str | Path]:
        built = folder / "centrifuge"
        made = subprocess.run([go, "build", "-o", built, FOLDER / "centrifuge.go"], env=environ, check=False)
        if made.returncode:
            raise Refused("Centrifuge does not compile: its Debian packages do not belong together.")
        return built, str(port), str(length)

    return Found("Centrifuge", words, at_least(1.5), "/", _frame(b'{"id":1}', 1), '"client"')


def _paths() -> str:
    """Debian puts servers where only root looks."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def _filled(name: str, folder: Path, **values: object) -> Path:
    """The configuration *name* with its values."""
    path = folder / name
    path.write_text(Template((FOLDER / name).read_text("utf-8")).substitute(values), "utf-8")
    return path


def _frame(text: bytes, opcode: int) -> bytes:
    """A client's WebSocket frame of up to 125 bytes, masked with zeros."""
    return struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(text)) + text


class Program:
    """A process of ours that is asked line by line."""

    def __init__(self, name: str, process: Process, log: Path) -> None:
        self.name, self.pid = name, process.pid
        self._process, self._log = process, log

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def tell(self, order: str) -> None:
        """One line, nothing awaited."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())

    async def answer(self, within_s: float) -> str:
        """
        Its next line.

        Raises:
            Refused: it ended, or said nothing within *within_s*.
        """
        assert self._process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            line = await asyncio.wait_for(self._process.stdout.readline(), within_s)
        if not line:
            raise self.refused()
        return line.decode().strip()

    def refused(self) -> Refused:
        """Why nothing can be measured: what it complained about last."""
        complaint = self._log.read_text("utf-8", errors="replace")[-1000:]
        return Refused(f"{self.name} of the benchmark did not answer, or ended:\n{complaint}")


@asynccontextmanager
async def program(name: str, words: Sequence[str | Path], folder: Path) -> AsyncIterator[Program]:
    """*words* running, with its complaints in *folder*; ended afterwards."""
    log = folder / f"{name}.log"
    with log.open("wb") as complaints:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=PIPE, stdout=PIPE, stderr=complaints, preexec_fn=die_with_parent()
        )
    try:
        yield Program(name, process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Peer:
    """One server and its screens, live."""

    def __init__(self, found: Found, server: Program, receiver: Program, screens: int, length: int) -> None:
        self.found = found
        self._server, self._receiver, self._screens = server, receiver, screens
        self._event = b"x" * (length - 1) + MARK
        self._publisher: asyncio.WriteTransport | None = None
        self._expected = 0

    async def begin(self, port: int) -> None:
        """Reach whoever takes publications, and see the first event arrive everywhere."""
        if self.found.publication is not None:
            loop = asyncio.get_running_loop()
            self._publisher, _ = await loop.create_connection(
                asyncio.Protocol, "127.0.0.1", self.found.publish_port or port
            )
        await self.cost(1, 1)

    async def cost(self, times: int, at_once: int) -> float:
        """µs of the server's CPU per delivery of *at_once* events, *times* times, each time delivered everywhere."""
        before = cpu_us(self._server.pid)
        for _ in range(times):
            self._publish(at_once)
            self._expected += at_once * self._screens
            self._receiver.tell(str(self._expected))
            await self._receiver.answer(DELIVER_WITHIN_S)
        return (cpu_us(self._server.pid) - before) / (times * at_once * self._screens)

    def _publish(self, events: int) -> None:
        if self._publisher is not None and self.found.publication is not None:
            self._publisher.write(self.found.publication(self._event) * events)
        else:
            self._server.tell(str(events))

    def end(self) -> None:
        """Close the publisher's connection."""
        if self._publisher is not None:
            self._publisher.close()


@asynccontextmanager
async def peer(found: Found, screens: int, length: int) -> AsyncIterator[Peer]:
    """
    The server with *screens* live screens that get events of *length* bytes; all gone afterwards.

    Raises:
        Refused: it did not start, or its screens did not become live.
    """
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queue-bench-")))
        port = free_port()
        server = await stack.enter_async_context(program(found.name, found.words(folder, port, length), folder))
        await _listening(server, port)
        words = (sys.executable, FOLDER / "receiver.py", str(port), str(screens), found.path)
        receiver = await stack.enter_async_context(
            program(f"screens of {found.name}", (*words, found.hello.hex(), found.live), folder)
        )
        await receiver.answer(START_WITHIN_S + screens / 50)
        running = Peer(found, server, receiver, screens, length)
        stack.callback(running.end)
        await running.begin(port)
        yield running


async def _listening(server: Program, port: int) -> None:
    """Wait until *server* takes connections."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_WITHIN_S):
            while server.runs:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    return
                await asyncio.sleep(0.05)
    raise server.refused()
