"""
The fan-out beside the kernel's own price: one event to N screens by the hub, and by a loop of `send()` in C.

The hub runs here with connections of the bare protocol; whoever receives is a process of its own, the same for both.
The C program is a few lines, compiled at the start; without a compiler the anchor is the same loop in Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, cast

from displays.frames import Close, Cursor, Wire
from displays.hall import PUBLIC, Hall, ScreenState, Start
from displays.hub import Hub, Sink, Word
from displays.screen import Identity, Screen
from loadtest.access import Refused
from loadtest.bench_meter import Figure, Measure, Target, compare, own_cpu_us, rounds
from loadtest.bench_peers import BURST, Found, Peer, peer
from queue_service.clock import SystemClock
from queue_service.codec import pack
from queue_service.embedded import die_with_parent

EPOCH: Final = "bench"
BEHIND: Final = 20
"""Events that a returning screen has missed."""
RETURNING: Final = 10_000
"""Screens that come back at once."""
CONNECT_WITHIN_S: Final = 30.0

RECEIVER: Final = """
import asyncio, sys, uvloop
class Screen(asyncio.Protocol):
    def data_received(self, data): pass
async def main():
    loop = asyncio.get_running_loop()
    for _ in range(int(sys.argv[2])):
        await loop.create_connection(Screen, "127.0.0.1", int(sys.argv[1]))
    await asyncio.Event().wait()
uvloop.run(main())
"""
C_SENDER: Final = r"""
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
static double cpu(void) {
  struct rusage u; getrusage(RUSAGE_SELF, &u);
  return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}
int main(int argc, char **argv) {
  int n = atoi(argv[1]), length = atoi(argv[2]), one = 1, server = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at; socklen_t size = sizeof at; memset(&at, 0, sizeof at);
  at.sin_family = AF_INET; at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(server, (struct sockaddr *)&at, sizeof at) || listen(server, 4096)) return 1;
  getsockname(server, (struct sockaddr *)&at, &size);
  printf("%d\n", ntohs(at.sin_port)); fflush(stdout);
  int *screens = malloc(n * sizeof(int)); char *frame = calloc(1, length);
  for (int i = 0; i < n; i++) {
    screens[i] = accept(server, 0, 0);
    setsockopt(screens[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  printf("ready\n"); fflush(stdout);
  int events, pause_us;
  while (scanf("%d %d", &events, &pause_us) == 2) {
    double before = cpu();
    for (int e = 0; e < events; e++) {
      for (int i = 0; i < n; i++) if (send(screens[i], frame, length, MSG_NOSIGNAL) < 0) return 2;
      usleep(pause_us);
    }
    printf("%f\n", (cpu() - before) / events / n); fflush(stdout);
  }
}
"""


async def bench(*, quick: bool, within_s: float, peers: Sequence[Found] = ()) -> tuple[list[Figure], list[str]]:
    """
    G7 and G8, an event at one of many centres, and everybody back at once; beside *peers* G9 instead of these two.

    Args:
        peers: servers of this machine that deliver the same events in the same rounds, at the sizes where they all can.
    """
    sizes = (20, 50) if quick else (100, 1000) if peers else (100, 1000, 5000)
    centres, returning = ((1, 5), 50) if quick else ((1, 100, 3355), RETURNING)
    _allow_files(2 * max(sizes) + 200 if peers else returning + max(sizes) + 4_000)
    figures: list[Figure] = []
    notes = ["CPU of the sending process per delivery; events one at a time, then four at once"]
    with tempfile.TemporaryDirectory(prefix="queue-bench-") as folder:
        sender = _compiled(Path(folder))
        if sender is None:
            notes.append("no C compiler: the anchor is a loop of send() in Python")
        for screens in sizes:
            figures += await _one_size(sender, peers, screens, quick=quick, within_s=within_s / len(sizes))
        if not peers:
            figures += await _many_centres(centres, quick=quick, within_s=within_s)
            figures += await _returning(sender, returning, notes)
    return figures, notes


async def _one_size(
    sender: Path | None, peers: Sequence[Found], screens: int, *, quick: bool, within_s: float
) -> list[Figure]:
    events = 8 if quick else max(8, 40_000 // screens)
    async with _halls(1, screens) as (fan_out,), AsyncExitStack() as stack:
        length = len(fan_out.frame())
        anchor = stack.enter_context(_anchor(sender, screens, length))

        async def one() -> dict[str, float]:
            return {"one": await fan_out.cost(events, 1)}

        async def burst() -> dict[str, float]:
            return {"burst": await fan_out.cost(events // BURST, BURST)}

        async def floor() -> dict[str, float]:
            return {"send()": await anchor.cost(events)}

        measures: list[Measure] = [one, floor, burst]
        beside = [await stack.enter_async_context(peer(one_peer, screens, length)) for one_peer in peers]
        measures += [_measured(running, max(BURST, events // 4)) for running in beside]
        found = await rounds(measures, 2 if quick else 5, within_s)
    limits = {1000: 1.3, 5000: 1.6}
    words = "C send()" if sender is not None else "Python send()"
    found[words] = found["send()"]
    single, fourfold = f"{screens} screens, one event", f"{screens} screens, four at once"
    figures = [
        compare(single, found, "one", words, Target("G7", limits[screens]) if screens in limits else None),
        compare(fourfold, found, "burst", words, Target("G8", 0.5) if screens == 1000 else None),
    ]
    for one_peer in peers:
        target = one_peer.target if screens == 1000 else None
        figures.append(compare(single, found, "one", one_peer.name, target, inverse=True))
        figures.append(compare(fourfold, found, "burst", f"{one_peer.name} ×{BURST}", inverse=True))
    return figures


async def _many_centres(sizes: Sequence[int], *, quick: bool, within_s: float) -> list[Figure]:
    """An event at each centre in turn, three screens at each: the hub costs the same however many there are."""
    async with AsyncExitStack() as stack:
        measures: list[Measure] = []
        for centres in sizes:
            halls = await stack.enter_async_context(_halls(centres, 3))

            async def measure(centres: int = centres, halls: Sequence[_FanOut] = halls) -> dict[str, float]:
                some = list(itertools.islice(itertools.cycle(halls), 10 if quick else 400))
                return {f"{centres}": 3 * sum([await hall.cost(1, 1) for hall in some]) / len(some)}

            measures.append(measure)
        found = await rounds(measures, 2 if quick else 5, within_s)
    first, *others = (f"{centres}" for centres in sizes)
    found["one centre"] = found[first]
    return [
        compare(f"an event at one of {centres} centres", found, centres, "one centre", Target("flat", 1.8))
        for centres in others
    ]


async def _returning(sender: Path | None, screens: int, notes: list[str]) -> list[Figure]:
    """Every screen comes back at once and has missed events: all that the hub does for each, beside one `send()`."""
    async with _halls(1, screens, begun=False) as (hall,), AsyncExitStack() as stack:
        length = len(hall.frame())
        for _ in range(BEHIND):
            hall.publish()
        before, began = own_cpu_us(), time.monotonic()
        for n, screen in enumerate(hall.screens):
            await hall.hub.begin(screen, Cursor(EPOCH, 1))
            if n % 64 == 0:
                await asyncio.sleep(0)  # as the connections of real screens take turns
        while any(screen.sent < hall.hall.seq for screen in hall.screens):  # noqa: ASYNC110 - turns count
            await asyncio.sleep(0)
        found = {"back": [(own_cpu_us() - before) / screens]}
        notes.append(
            f"{screens} screens back at once, {BEHIND} events behind: all current in {time.monotonic() - began:.2f} s"
        )
        anchor = stack.enter_context(_anchor(sender, screens, length * BEHIND))
        found["one send()"] = [await anchor.cost(1)]
    return [compare(f"{screens} screens return, {BEHIND} events each", found, "back", "one send()")]


def _measured(running: Peer, events: int) -> Measure:
    """A peer's CPU per delivery: one event in flight, then four."""
    name = running.found.name

    async def measure() -> dict[str, float]:
        return {name: await running.cost(events, 1), f"{name} ×{BURST}": await running.cost(events // BURST, BURST)}

    return measure


class _Source:
    """A feed that says what the benchmark says."""

    stale_since_ms: int | None = None
    sink: Sink

    async def start(self, sink: Sink) -> None:
        self.sink = sink

    async def stop(self) -> None:
        """Nothing to end."""

    async def watch(self, centre: str) -> None:
        view = {"day": "2026-11-22", "issuing": {"open": True, "text": ""}, "waiting": {}, "counters": {}}
        self.sink.reset(centre, Start(EPOCH, 0, cast(Any, view)))

    def unwatch(self, centre: str) -> None:
        """Nobody else listens."""

    async def read(self, centre: str, after: int, limit: int) -> list[bytes]:  # noqa: ARG002
        return []

    async def tell(self, centre: str, word: Word) -> None:
        """Nobody else listens."""

    async def note_screens(self, centre: str, process: str, boards: Mapping[str, ScreenState]) -> None:
        """Nobody asks."""

    async def claim(self, centre: str, seq: int) -> bool:  # noqa: ARG002
        return False


class _FanOut:
    """The hub and its screens."""

    def __init__(self, hub: Hub, hall: Hall, source: _Source) -> None:
        self.hub, self.hall, self._source = hub, hall, source
        self._seq = 0
        self.screens: list[Screen] = []

    def frame(self) -> bytes:
        """One event as a screen gets it."""
        self.publish()
        return self.hall.after(self.hall.seq - 1, self.screens[0].form)[0]

    def publish(self) -> None:
        """The next event of the hall."""
        self._seq += 1
        event = {
            "epoch": EPOCH,
            "seq": self._seq,
            "at_ms": 1_795_000_000_000,
            "type": "TicketRecalled",
            "number": "A001",
            "counter": "q01",
            "department": "d0",
            "rings": 1,
            "language": "vi",
        }
        self._source.sink.publish(self.hall.centre, pack(event), event)

    async def cost(self, times: int, at_once: int) -> float:
        """µs of CPU per delivery of *at_once* events, *times* times, everything written each time."""
        before, spent = own_cpu_us(), 0.0
        for _ in range(times):
            for _ in range(at_once):
                self.publish()
            while self.screens[-1].sent < self._seq or self.screens[0].sent < self._seq:  # noqa: ASYNC110 - turns count
                await asyncio.sleep(0)
            await asyncio.sleep(0)  # the last slice leaves at the end of its turn
            spent += own_cpu_us() - before
            await asyncio.sleep(0.002)  # whoever receives takes it in, as behind the pauses of the anchor
            before = own_cpu_us()
        return spent / (times * at_once * len(self.screens))


class _Connection(asyncio.Protocol):
    """One screen's connection: what a Link needs, and no more."""

    def __init__(self, fan_out: _FanOut) -> None:
        self._fan_out = fan_out

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)
        screen = Screen(self, self._fan_out.hall, PUBLIC, Wire.MSGPACK, Identity("bench", "bench"), "board")
        self._fan_out.hub.enter(screen)
        self._fan_out.screens.append(screen)

    async def drain(self) -> None:
        """The receivers are quick."""

    def end(self, code: Close) -> None:  # noqa: ARG002
        """Close."""
        self.transport.close()

    def lost(self) -> None:
        """The other side is gone."""


@asynccontextmanager
async def _halls(centres: int, screens: int, *, begun: bool = True) -> AsyncIterator[Sequence[_FanOut]]:
    """
    A hub with *centres* halls of *screens* screens each, received by another process.

    Args:
        begun: whether the screens are live; else they have only connected.
    """
    source = _Source()
    hub = Hub(source, SystemClock())
    await hub.start()
    halls = [_FanOut(hub, await hub.hall(f"c{n}"), source) for n in range(centres)]
    turn = itertools.cycle(halls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(next(turn)), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    receiver = _receiver(port, centres * screens)
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            while any(len(hall.screens) < screens for hall in halls):  # noqa: ASYNC110 - a quarter of a second once
                await asyncio.sleep(0.02)
        for screen in (screen for hall in halls for screen in hall.screens if begun):
            await hub.begin(screen, None)
        yield halls
    finally:
        receiver.kill()
        receiver.wait()
        server.close()
        for screen in (screen for hall in halls for screen in hall.screens):
            screen.close(Close.RESTART)
            hub.leave(screen)
        await hub.stop()


class _Anchor:
    """The bare loop."""

    def __init__(self, process: subprocess.Popen[str] | None, sockets: list[socket.socket], frame: bytes) -> None:
        self._process, self._sockets, self._frame = process, sockets, frame

    async def cost(self, events: int) -> float:
        """µs of CPU per delivery."""
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{events} 2000\n")
            self._process.stdin.flush()
            return float(await asyncio.to_thread(self._process.stdout.readline))
        before = own_cpu_us()
        for _ in range(events):
            for one in self._sockets:
                one.send(self._frame)
        return (own_cpu_us() - before) / events / len(self._sockets)


@contextmanager
def _anchor(sender: Path | None, screens: int, length: int) -> Iterator[_Anchor]:
    with ExitStack() as stack:
        if sender is None:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
            stack.callback(_ended, _receiver(server.getsockname()[1], screens))
            sockets = [stack.enter_context(server.accept()[0]) for _ in range(screens)]
            yield _Anchor(None, sockets, b"x" * length)
            return
        process = subprocess.Popen(
            [sender, str(screens), str(length)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(),
        )
        stack.callback(_ended, process)
        assert process.stdout is not None
        stack.callback(_ended, _receiver(int(process.stdout.readline()), screens))
        if process.stdout.readline().strip() != "ready":
            raise Refused("the anchor in C did not start")
        yield _Anchor(process, [], b"")


def _ended(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _receiver(port: int, screens: int) -> subprocess.Popen[bytes]:
    """A process that connects *screens* times and takes in whatever comes."""
    words = [sys.executable, "-c", RECEIVER, str(port), str(screens)]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent())


def _compiled(folder: Path) -> Path | None:
    """The C program, or None without a compiler."""
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    if compiler is None:
        return None
    source, program = folder / "sender.c", folder / "sender"
    source.write_text(C_SENDER)
    subprocess.run([compiler, "-O2", "-o", program, source], check=True, env={"PATH": os.environ.get("PATH", "")})
    return program


def _allow_files(wanted: int) -> None:
    """As many open files as there will be connections, for us and our children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Refused(f"{wanted} open files are needed; this machine allows {hard} (ulimit -n)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
