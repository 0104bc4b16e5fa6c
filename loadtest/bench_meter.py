"""
What the benchmarks share: CPU of a process to the nanosecond, variants measured in turn, a private store, verdicts.

A figure is a ratio to an anchor that ran in the same rounds: on a machine with neighbours the ratio stays while the
microseconds move.  CPU is the kernel's own account of the process (`/proc/<pid>/task/*/schedstat`), not wall clock.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import click
import hiredis
import msgspec

from loadtest import machine
from loadtest.access import Refused
from queue_service.embedded import LISTPACKS, EmbeddedServerError, die_with_parent, find_binary

START_WITHIN_S: Final = 10.0
_PROC: Final = Path("/proc")

Measure = Callable[[], Awaitable[Mapping[str, float]]]
"""One round of what is measured together: figures by name, mostly µs of CPU per operation."""


class Target(msgspec.Struct, frozen=True):
    """What a ratio is held to."""

    goal: str
    """The row of the table in docs/performance.md."""
    limit: float
    is_ceiling: bool = True

    def is_reached(self, ratio: float) -> bool:
        """Whether *ratio* is on the right side."""
        return ratio <= self.limit if self.is_ceiling else ratio >= self.limit

    def __str__(self) -> str:
        return f"{self.goal} {'≤' if self.is_ceiling else '≥'} {self.limit:g}"


class Figure(msgspec.Struct, frozen=True):
    """One line of a benchmark: ours beside its anchor."""

    what: str
    ours: float
    anchor: float
    against: str
    ratio: float
    target: Target | None = None

    @property
    def verdict(self) -> str:
        """In a word; a line without a target is only told."""
        if self.target is None:
            return "–"
        return "reached" if self.target.is_reached(self.ratio) else "BELOW TARGET"


def cpu_us(pid: int) -> float:
    """Microseconds of CPU that process *pid* has used, all its threads; 0 where the kernel does not say."""
    spent = 0
    for task in (_PROC / str(pid) / "task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            spent += int(task.read_text().split()[0])
    return spent / 1000


def own_cpu_us() -> float:
    """The same of this process."""
    return time.process_time_ns() / 1000


async def rounds(measures: Sequence[Measure], times: int, within_s: float) -> dict[str, list[float]]:
    """
    Carry out all *measures* *times* times, one after the other in each round; a round before only warms up.

    Args:
        within_s: no round begins later than this; at least two are kept.
    """
    found: dict[str, list[float]] = {}
    end = time.monotonic() + within_s
    for round_number in range(times + 1):
        if round_number > 2 and time.monotonic() > end:
            break
        for measure in measures if round_number % 2 else reversed(measures):
            for name, value in (await measure()).items():
                found.setdefault(name, [])
                if round_number:
                    found[name].append(value)
    return found


def compare(
    what: str,
    found: Mapping[str, Sequence[float]],
    ours: str,
    anchor: str,
    target: Target | None = None,
    *,
    inverse: bool = False,
) -> Figure:
    """
    The median of the ratios of each round, which neighbours move less than the ratio of medians.

    Args:
        inverse: the ratio of capacities (anchor by ours) instead of the ratio of costs.
    """
    pairs = zip(found[ours], found[anchor], strict=True)
    ratios = [(theirs / our if inverse else our / theirs) for our, theirs in pairs if our and theirs]
    return Figure(
        what,
        statistics.median(found[ours]),
        statistics.median(found[anchor]),
        anchor,
        statistics.median(ratios) if ratios else 0.0,
        target,
    )


def tell(title: str, figures: Sequence[Figure], notes: Sequence[str] = ()) -> None:
    """Print the table, the verdict and the machine."""
    click.echo(title)
    click.echo(f"  {'what':<44} {'ours':>9} {'anchor':>9}  {'against':<27} {'ratio':>6}  {'target':<12} verdict")
    for row in figures:
        click.echo(
            f"  {row.what:<44} {row.ours:>9.4g} {row.anchor:>9.4g}  {row.against:<27} {row.ratio:>6.3g}  "
            f"{row.target or '–'!s:<12} {row.verdict}"
        )
    for note in notes:
        click.echo(f"  {note}")
    judged = [row for row in figures if row.target is not None]
    reached = sum(row.verdict == "reached" for row in judged)
    click.echo(f"verdict: {reached} of {len(judged)} targets reached")
    click.echo("machine: " + ", ".join(f"{name} {value}" for name, value in machine.describe(None).items()) + "\n")


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def store_programs(more: Sequence[str] = ()) -> list[Path]:
    """The servers to measure: the embedded one, a `redis-server` on PATH, and *more*."""
    try:
        found = [find_binary()]
    except EmbeddedServerError as missing:
        raise Refused(str(missing)) from missing
    for name in ("redis-server", *more):
        if (path := shutil.which(name)) and Path(path) not in found:
            found.append(Path(path))
    return found


class PrivateStore(msgspec.Struct, frozen=True):
    """A server of ours alone."""

    port: int
    pid: int
    program: str

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"


@contextmanager
def private_store(program: Path, fsync: str) -> Iterator[PrivateStore]:
    """
    Start *program* on a free port in a folder of its own; gone afterwards.

    Args:
        fsync: Redis's `appendfsync`, or `off` for no append-only file at all.
    """
    with tempfile.TemporaryDirectory(prefix="queue-bench-") as folder:
        port = free_port()
        words = ["--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--maxclients", "4000"]
        words += ["--tcp-backlog", "4096"]
        words += ["--appendonly", "no"] if fsync == "off" else ["--appendonly", "yes", "--appendfsync", fsync]
        words += ["--auto-aof-rewrite-percentage", "0"]
        words += [word for name, entries in LISTPACKS.items() for word in (f"--{name}", str(entries))]
        with Path(folder, "server.log").open("wb") as log:
            process = subprocess.Popen(
                [program, *words], stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent()
            )
        try:
            _await_answer(process, port)
            with Pipe(port) as pipe:
                lines = (line.partition(b":") for line in pipe.one("INFO", "server").splitlines())
                facts: dict[bytes, bytes] = {key: value for key, _, value in lines}
            name = "valkey" if b"valkey_version" in facts else "redis"
            version = facts[f"{name}_version".encode()].decode()
            yield PrivateStore(port, process.pid, f"{name} {version}")
        finally:
            process.kill()
            process.wait()


def _await_answer(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + START_WITHIN_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError, EOFError), Pipe(port) as pipe:
            pipe.one("PING")
            return
        time.sleep(0.02)
    raise Refused("the private store did not start")


class Pipe:
    """One plain connection to a store: many packed commands in one write, then all their replies."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, packed: bytes) -> None:
        """Write."""
        self._socket.sendall(packed)

    def reply(self) -> Any:
        """
        The next reply.

        Raises:
            hiredis.ReplyError: the server refused.
        """
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 18)
            if not data:
                raise EOFError("the store closed the connection")
            self._reader.feed(data)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """All *commands* at once."""
        self.send(b"".join(commands))
        return [self.reply() for _ in commands]

    def one(self, *command: Any) -> Any:
        """One command."""
        return self.ask([packed(*command)])[0]


def packed(*command: Any) -> bytes:
    """*command* as it travels."""
    made: bytes = hiredis.pack_command(command)
    return made
