"""The benchmarks as commands of ``python -m loadtest``."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from typing import Any, Final

import click
import uvloop

from loadtest import bench_channel, bench_core, bench_dossiers, bench_http, bench_hub
from loadtest.bench_meter import Figure, store_programs, tell

Found = Coroutine[Any, Any, tuple[list[Figure], list[str]]]

_quick = click.option("--quick", is_flag=True, help="A few rounds of little, to see that it runs; no figures to trust.")
_seconds = click.option("--seconds", type=float, default=45.0, show_default=True, help="How long the rounds may take.")
_server = click.option(
    "--server", "servers", multiple=True, help="A further store program; the embedded one is measured."
)


def _run(title: str, found: Found) -> None:
    figures, notes = uvloop.run(found)
    tell(title, figures, notes)


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
def hub(quick: bool, seconds: float) -> None:
    """CPU of one event to N screens, beside send() in C (G7, G8)."""
    _run("bench-hub", bench_hub.bench(quick=quick, within_s=seconds))


@click.command("bench-dossiers")
@_quick
@_seconds
@click.option("--dossiers", "rows", type=click.IntRange(100), default=bench_dossiers.ROWS, show_default=True)
def dossiers(quick: bool, seconds: float, rows: int) -> None:
    """A look-up by code beside the bare row (G18), and whether its time tells an unknown code from a wrong secret."""
    _run("bench-dossiers", bench_dossiers.bench(rows=rows, quick=quick, within_s=seconds))


COMMANDS: Final = (core, channel, durable, http, hub, dossiers)
