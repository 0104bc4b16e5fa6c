"""The benchmarks as commands of ``python -m loadtest``."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import uvloop

from loadtest import bench_channel, bench_core, bench_dossiers, bench_http, bench_hub, bench_peers, bench_queues
from loadtest.bench_meter import Figure, store_programs, tell

Found = Coroutine[Any, Any, tuple[list[Figure], list[str]]]

_quick = click.option("--quick", is_flag=True, help="A few rounds of little, to see that it runs; no figures to trust.")
_seconds = click.option("--seconds", type=float, default=45.0, show_default=True, help="How long the rounds may take.")
_server = click.option(
    "--server", "servers", multiple=True, help="A further store program; the embedded one is measured."
)


_node = click.option(
    "--peers-node", type=click.Path(file_okay=False, path_type=Path), help="A folder whose node_modules has the peers."
)


def _run(title: str, found: Found, missing: Sequence[str] = ()) -> None:
    figures, notes = uvloop.run(found)
    tell(title, figures, [*notes, *missing])


@click.command("bench-core")
@_quick
@_seconds
@_server
def core(quick: bool, seconds: float, servers: tuple[str, ...]) -> None:
    """What a press costs the store, beside EVALSHA `return 1` and the same writes in MULTI (G1, G2, G3)."""
    programs = store_programs(servers)
    _run("bench-core", bench_core.bench(programs[:1] if quick else programs, quick=quick, within_s=seconds))


@click.command("bench-channel")
@_quick
@_seconds
def channel(quick: bool, seconds: float) -> None:
    """CPU of the client per command, beside redis.asyncio (G4)."""
    _run("bench-channel", bench_channel.bench(store_programs()[0], quick=quick, within_s=seconds))


@click.command("bench-durable")
@_quick
@_seconds
def durable(quick: bool, seconds: float) -> None:
    """Presses per second with every write on the disk before its answer (G5)."""
    _run("bench-durable", bench_channel.bench_durable(store_programs()[0], quick=quick, within_s=seconds))


@click.command("bench-http")
@_quick
@_seconds
@click.option("--fastapi-python", help="An interpreter that has fastapi and uvicorn; none is needed otherwise.")
def http(quick: bool, seconds: float, fastapi_python: str | None) -> None:
    """CPU of a press over HTTP with everything on, beside a bare handler (G6)."""
    found = partial(bench_http.bench, store_programs()[0], quick=quick, within_s=seconds)
    _run("bench-http", found(fastapi_python=fastapi_python))


@click.command("bench-hub")
@_quick
@_seconds
@click.option("--peers", is_flag=True, help="Beside every other server of this machine, found on PATH or named below.")
@_node
@click.option("--peers-python", help="An interpreter that has starlette, uvicorn, websockets and python-socketio.")
def hub(quick: bool, seconds: float, peers: bool, peers_node: Path | None, peers_python: str | None) -> None:
    """CPU of one event to N screens, beside send() in C (G7, G8) and other servers (G9)."""
    found, missing = bench_peers.installed(peers_node, peers_python) if peers else ([], [])
    _run("bench-hub", bench_hub.bench(quick=quick, within_s=seconds, peers=found), missing)


@click.command("bench-queues")
@_quick
@_seconds
@_node
def queues(quick: bool, seconds: float, peers_node: Path | None) -> None:
    """Tickets per CPU-second through the core, beside a generic job queue's jobs (G14)."""
    _run("bench-queues", bench_queues.bench(store_programs()[0], peers_node, quick=quick, within_s=seconds))


@click.command("bench-dossiers")
@_quick
@_seconds
@click.option("--dossiers", "rows", type=click.IntRange(100), default=bench_dossiers.ROWS, show_default=True)
def dossiers(quick: bool, seconds: float, rows: int) -> None:
    """A look-up by code beside the bare row (G18), and whether its time tells an unknown code from a wrong secret."""
    _run("bench-dossiers", bench_dossiers.bench(rows=rows, quick=quick, within_s=seconds))


COMMANDS: Final = (core, channel, durable, http, hub, queues, dossiers)
