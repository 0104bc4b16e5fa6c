"""
Looking up a dossier: what it costs beside the bare row, and whether its time tells an unknown code from a wrong secret.

A private archive in SQLite is filled with copies of one dossier, then the registry is asked below its door, whose
limits would have it wait.  The two kinds of question are asked in random order, so that neighbours disturb both.
"""

from __future__ import annotations

import random
import sqlite3
import statistics
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from loadtest.bench_core import START_MS, a_centre
from loadtest.bench_meter import Figure, Target, compare, rounds
from queue_service.archive.archive import Archive
from queue_service.archive.dossiers import DossierStore, Envelope, Reception
from queue_service.dossiers import Person, Receive, receive
from queue_service.errors import UnknownDossier
from queue_service.registry import Registry
from queue_service.slips import Slips
from queue_service.working_days import Limit, WorkingDays

ROWS: Final = 1_000_000
ROWS_AT_ONCE: Final = 10_000
FIRST: Final = "B-261118-0000000"


async def bench(*, rows: int = ROWS, quick: bool, within_s: float) -> tuple[list[Figure], list[str]]:
    """Measure on *rows* dossiers."""
    rows, asked = (2_000, 60) if quick else (rows, 400)
    with tempfile.TemporaryDirectory(prefix="queue-bench-") as folder:
        file = Path(folder, "archive.db")
        archive = await Archive.open(f"sqlite:///{file}")
        try:
            slips = Slips(bytes(range(32)))
            store = DossierStore(archive)
            await _fill(store, file, rows, slips)
            registry = Registry(store, cast(Any, None), {}, slips)  # a look-up with a secret asks nobody else
            pick = random.Random(1)

            def code() -> str:
                return f"B-261118-{pick.randrange(rows):07}"

            async def bare() -> None:
                async with archive.read() as connection:
                    await connection.exec_driver_sql("SELECT * FROM dossiers WHERE code = ?", (code(),))

            async def look_up() -> None:
                assert await store.find(code(), bool) is not None

            async def tried(found: str) -> None:
                try:
                    await registry.track(found, "34679ACD")
                except UnknownDossier:
                    return
                raise AssertionError("a guess was right")

            times: dict[str, list[float]] = {"wrong": [], "unknown": [], "look-up": []}

            async def costs(name: str, once: Any) -> dict[str, float]:
                spent = [await _ms(once) for _ in range(asked)]
                times.setdefault(name, []).extend(spent)
                return {name: statistics.median(spent)}

            measures = [partial(costs, "bare", bare), partial(costs, "look-up", look_up)]
            found = await rounds(measures, 3 if quick else 9, within_s / 2)
            end = time.monotonic() + within_s / 2
            while len(times["wrong"]) < 20 * asked and time.monotonic() < end:
                kind = pick.choice(("wrong", "unknown"))
                target = code() if kind == "wrong" else f"{code()}-X"
                times[kind].append(await _ms(partial(tried, target)))
        finally:
            await archive.close()
    figure = compare(f"look-up, {rows:,} dossiers, ms", found, "look-up", "bare", Target("G18", 2.0))
    gap_ms = statistics.median(times["unknown"]) - statistics.median(times["wrong"])
    p99_ms = statistics.quantiles(times["look-up"], n=100)[98]
    often = later(times["unknown"], times["wrong"])
    return [figure], [
        f"look-up p99 {p99_ms:.2f} ms (G18: 10)",
        f"unknown code {len(times['unknown'])} times, wrong secret {len(times['wrong'])} times, in random order:",
        f"  medians {gap_ms:+.3f} ms apart (2 at most); the unknown one takes longer in {often:.1%} (50 % is no hint)",
    ]


def later(some: Sequence[float], others: Sequence[float]) -> float:
    """How often one of *some* is above one of *others*: a half when nothing can be learnt (Mann and Whitney)."""
    ranked = sorted(others)
    above = sum(bisect_left(ranked, value) + bisect_right(ranked, value) for value in some)
    return above / (2 * len(some) * len(others))


async def _ms(once: Any) -> float:
    started = time.perf_counter()
    await once()
    return (time.perf_counter() - started) * 1000


async def _fill(store: DossierStore, file: Path, rows: int, slips: Slips) -> None:
    """One dossier by the front door, the others as copies of its rows."""
    centre = a_centre("bench")
    wish = Receive(
        department="d0",
        procedure="1.000001",
        procedure_name="Thủ tục",
        procedure_version="v1",
        limit=Limit("working_day", 5),
    )
    calendar = WorkingDays(centre)
    reception = Reception(
        code=FIRST,
        prefix="",
        digits=7,
        make=lambda code: receive(wish, code, centre.id, "staff:bench", START_MS, calendar),
        secret=lambda code: slips.digest(code, "AAAAAAAA"),
        papers=(),
        person=Person(name="Nguyễn Văn Thử"),
        record={},
    )
    await store.receive(Envelope(key="first", fingerprint=b"f", day="2026-11-18"), reception)
    with sqlite3.connect(file, isolation_level=None) as database:
        database.execute("PRAGMA synchronous=OFF")
        for table in ("dossiers", "dossier_steps", "dossier_people"):
            cursor = database.execute(f"SELECT * FROM {table}")  # noqa: S608 - three names of our own
            names = [column[0] for column in cursor.description]
            row = list(cursor.fetchone())
            at = names.index("code")
            put = f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})"  # noqa: S608 - the same
            for start in range(1, rows, ROWS_AT_ONCE):
                database.execute("BEGIN")
                database.executemany(
                    put,
                    (
                        [*row[:at], f"B-261118-{n:07}", *row[at + 1 :]]
                        for n in range(start, min(start + ROWS_AT_ONCE, rows))
                    ),
                )
                database.execute("COMMIT")
    database.close()
