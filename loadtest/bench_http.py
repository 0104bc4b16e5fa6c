"""
One press over HTTP, with everything on, beside a handler that does nothing.

The service, the bare handlers and the store are processes of their own, so that the CPU of each is its own; 64
connections ask as soon as they are answered.  Ours checks token, origin, body and Idempotency-Key, carries the press
out in a real store, announces a wait, and counts; the anchors answer a constant of the same length.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, cast

import msgspec
from redis.asyncio import Redis

from loadtest.access import Refused
from loadtest.bench_core import COUNTERS, DEPARTMENTS, a_centre
from loadtest.bench_meter import Figure, Measure, Target, compare, cpu_us, free_port, private_store, rounds
from queue_service.authority import Identity
from queue_service.centre import to_json
from queue_service.embedded import die_with_parent
from queue_service.identity import Identities

CONNECTIONS: Final = 64
CENTRES: Final = 4
CAP: Final = 999
START_WITHIN_S: Final = 30.0

AIOHTTP: Final = """
import asyncio, sys, uvloop
from aiohttp import web
body = b"x" * int(sys.argv[2])
async def constant(request):
    return web.Response(body=body, content_type="application/json")
async def main():
    app = web.Application()
    app.router.add_post("/constant", constant)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()
uvloop.run(main())
"""
FASTAPI: Final = """
import sys, fastapi, uvicorn
app = fastapi.FastAPI()
answer = {"value": "x" * (int(sys.argv[2]) - 12)}
@app.post("/constant")
async def constant():
    return answer
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False, timeout_keep_alive=600)
"""


async def bench(
    program: Path, *, quick: bool, within_s: float, fastapi_python: str | None = None
) -> tuple[list[Figure], list[str]]:
    """
    G6; as many are called as come, so that a constant number waits.

    Args:
        fastapi_python: an interpreter that has fastapi and uvicorn; without one that anchor is left out.
    """
    issues, calls = (64, 1) if quick else (512, 8)
    notes: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queue-bench-")))
        store = stack.enter_context(private_store(program, "everysec"))
        service = stack.enter_context(_service(folder, store.url))
        presses = _Presses(service, await _token(store.url))
        answer = await presses.prepare()
        bare = stack.enter_context(_anchor(sys.executable, AIOHTTP, len(answer), folder))
        at_counters = {press: partial(presses.at_counters, press) for press in ("call-next", "complete")}
        measures: list[Measure] = [
            _measured(service, {"issue": partial(presses.issues, issues)}, 1, store.pid),
            _measured(bare, {"aiohttp constant": lambda: itertools.repeat(_constant(bare.port), issues)}),
            _measured(service, at_counters, calls, store.pid),
        ]
        if fastapi_python is not None:
            fast = stack.enter_context(_anchor(fastapi_python, FASTAPI, len(answer), folder))
            measures.append(
                _measured(fast, {"FastAPI constant": lambda: itertools.repeat(_constant(fast.port), issues)})
            )
        else:
            notes.append("FastAPI: no interpreter that has it was given (--fastapi-python); left out")
        found = await rounds(measures, 2 if quick else 7, within_s)
    figures = []
    for press in ("issue", "call-next"):
        figures.append(compare(f"{press} over HTTP", found, press, "aiohttp constant", Target("G6", 1.6)))
        if fastapi_python is not None:
            figures.append(compare(f"{press} over HTTP", found, press, "FastAPI constant", Target("G6", 1.0)))
    figures.append(compare("complete over HTTP", found, "complete", "aiohttp constant"))
    figures.append(compare("the store's part of an issue", found, "issue store", "aiohttp constant"))
    figures.append(compare("the store's part of a call-next", found, "call-next store", "aiohttp constant"))
    notes.append(f"CPU of the server process per request, {CONNECTIONS} connections kept alive; {len(answer)} B a body")
    return figures, notes


class _Server(msgspec.Struct, frozen=True):
    port: int
    pid: int
    callers: _Callers


@contextmanager
def _process(words: Sequence[str | Path], port: int, folder: Path, **environment: str) -> Iterator[_Server]:
    """A server of ours, ready; gone afterwards."""
    said, callers = folder / f"{port}.log", _Callers(port)
    with said.open("wb") as log:
        process = subprocess.Popen(
            words,
            env={name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")} | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent(),
        )
    try:
        end = time.monotonic() + START_WITHIN_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise Refused(f"a server of the benchmark did not start:\n{said.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield _Server(port, process.pid, callers)
    finally:
        callers.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def _service(folder: Path, url: str) -> Iterator[_Server]:
    """One worker of ours with the centres of the benchmark."""
    files = []
    for n in range(CENTRES):
        centre = a_centre(f"c{n}")
        capped = tuple(msgspec.structs.replace(one, daily_cap=CAP) for one in centre.departments)
        files.append(folder / f"{centre.id}.json")
        files[-1].write_bytes(to_json(msgspec.structs.replace(centre, departments=capped)))
    port = free_port()
    words = (sys.executable, "-m", "queue_service", "serve")
    names = {"QUEUE_REDIS_URL": url, "QUEUE_PORT": str(port), "QUEUE_DATA_DIR": str(folder)}
    with _process(words, port, folder, **names, QUEUE_CENTRES=os.pathsep.join(map(str, files))) as service:
        yield service


@contextmanager
def _anchor(python: str, source: str, length: int, folder: Path) -> Iterator[_Server]:
    """A bare handler that answers a constant."""
    port = free_port()
    with _process((python, "-c", source, str(port), str(length)), port, folder) as server:
        yield server


async def _token(url: str) -> str:
    """A sign-in that may press everywhere, and is not limited like a kiosk, because it is an integrator too."""
    async with Redis.from_url(url, protocol=2) as client:
        identities = Identities(client)
        now_ms = time.time_ns() // 1_000_000
        centres = frozenset(f"c{n}" for n in range(CENTRES))
        roles = frozenset({"supervisor", "integrator"})
        return await identities.sessions.create(
            Identity(name="bench", roles=roles, centres=centres, kind="staff"), 0, now_ms
        )


class _Presses:
    """Requests as they travel, each with a key of its own."""

    def __init__(self, service: _Server, token: str) -> None:
        self._ask = service.callers.ask
        self._head = (
            f"Host: 127.0.0.1:{service.port}\r\nAuthorization: Bearer {token}\r\nAccept: */*\r\n"
            "Content-Type: application/json\r\nIdempotency-Key: bench-"
        )
        self._keys = itertools.count()
        seats = [f"c{n % CENTRES}/counters/q{n // CENTRES + 1:02}" for n in range(CENTRES * COUNTERS)]
        self._seats = seats[:CONNECTIONS]
        self._lines = itertools.cycle(
            [(f"c{n}", f"d{department}") for department in range(DEPARTMENTS) for n in range(CENTRES)]
        )

    async def prepare(self) -> bytes:
        """Open the counters and take a number; what is answered."""
        await self._ask([self._request(f"{seat}/open", "{}") for seat in self._seats])
        return (await self._ask(list(self.issues(20 * len(self._seats)))))[-1]

    def _request(self, path: str, body: str) -> bytes:
        key = f"{next(self._keys):010}"
        return (
            f"POST /api/v1/centres/{path} HTTP/1.1\r\n{self._head}{key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    def issues(self, count: int) -> Iterator[bytes]:
        """*count* visitors."""
        for _, (centre, service) in zip(range(count), self._lines, strict=False):
            yield self._request(f"{centre}/tickets", f'{{"service":"{service}"}}')

    def at_counters(self, press: str) -> Iterator[bytes]:
        """The same press at every counter."""
        for seat in self._seats:
            yield self._request(f"{seat}/{press}", "{}")


def _constant(port: int) -> bytes:
    body = '{"service":"d0"}'
    return (
        f"POST /constant HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {'x' * 43}\r\nAccept: */*\r\n"
        f"Content-Type: application/json\r\nIdempotency-Key: bench-0000000001\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _measured(
    server: _Server,
    kinds: Mapping[str, Callable[[], Iterable[bytes]]],
    times: int = 1,
    store_pid: int | None = None,
) -> Measure:
    """µs of CPU per request of each kind, one kind after the other, *times* times."""

    async def measure() -> dict[str, float]:
        spent: defaultdict[str, float] = defaultdict(float)
        asked: defaultdict[str, int] = defaultdict(int)
        for name, make in [*kinds.items()] * times:
            requests = list(make())
            before, store_before = cpu_us(server.pid), cpu_us(store_pid or server.pid)
            await server.callers.ask(requests)
            spent[name] += cpu_us(server.pid) - before
            spent[f"{name} store"] += cpu_us(store_pid or server.pid) - store_before
            asked[name] += len(requests)
        return {name: cost / asked[name.removesuffix(" store")] for name, cost in spent.items()}

    return measure


class _Callers:
    """Connections to one server, kept alive from round to round."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._kept: list[_Caller] = []

    async def ask(self, requests: Sequence[bytes]) -> list[bytes]:
        """All *requests*, each connection asking again when it was answered; the bodies."""
        loop, waiting, bodies = asyncio.get_running_loop(), deque(requests), list[bytes]()
        self._kept = [caller for caller in self._kept if not caller.transport.is_closing()]  # idle ones end
        while len(self._kept) < CONNECTIONS:
            self._kept.append((await loop.create_connection(_Caller, "127.0.0.1", self._port))[1])
        await asyncio.gather(*[caller.begin(waiting, bodies) for caller in self._kept])
        return bodies

    def close(self) -> None:
        """End the connections."""
        for caller in self._kept:
            caller.transport.close()


class _Caller(asyncio.Protocol):
    """One connection that is kept alive."""

    transport: asyncio.Transport
    _waiting: deque[bytes]
    _bodies: list[bytes]
    _done: asyncio.Future[None]
    _data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def begin(self, waiting: deque[bytes], bodies: list[bytes]) -> asyncio.Future[None]:
        """Ask until nothing is *waiting*."""
        self._waiting, self._bodies = waiting, bodies
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    def _next(self) -> None:
        if self._waiting:
            self.transport.write(self._waiting.popleft())
        elif not self._done.done():
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        if head[9:10] != b"2":
            self._done.set_exception(Refused(f"a request of the benchmark was refused: {body.decode()}"))
            return
        self._bodies.append(body)
        self._data = b""
        self._next()

    def connection_lost(self, why: Exception | None) -> None:
        if hasattr(self, "_done") and not self._done.done():
            self._done.set_exception(why or EOFError("the server closed a connection"))
