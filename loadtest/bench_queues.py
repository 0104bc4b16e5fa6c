"""
The core beside a generic job queue: tickets per CPU-second, on one store of ours alone.

A visitor's ticket is a job: issued is enqueued; called and completed at a counter is consumed.  CPU is that of the
store and of the process that asks it, together, because a user pays both.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from loadtest.bench_channel import clients
from loadtest.bench_core import COUNTERS, DEPARTMENTS, START_MS, Halls
from loadtest.bench_meter import Figure, Measure, Target, compare, cpu_us, own_cpu_us, private_store, rounds
from loadtest.bench_peers import FOLDER, program
from queue_service.centre import Centre
from queue_service.commands import CallNext, Command, Complete, IssueTicket, Press
from queue_service.store import TicketStore

CENTRES: Final = 3
AT_ONCE: Final = CENTRES * COUNTERS
WAITING: Final = 100
READY_WITHIN_S: Final = 30.0
DONE_WITHIN_S: Final = 120.0
MISSING: Final = "BullMQ: no node, or no folder that has it was given (--peers-node); left out"


async def bench(
    server: Path, node_folder: Path | None, *, quick: bool, within_s: float
) -> tuple[list[Figure], list[str]]:
    """G14; without BullMQ, ours alone beside a bare INCR through the same channel."""
    times = 2 if quick else 20
    node = shutil.which("node")
    words = None
    if node is not None and node_folder is not None and (node_folder / "node_modules" / "bullmq").is_dir():
        words = [node, str(FOLDER / "bullmq.mjs"), str(node_folder.resolve())]
    async with AsyncExitStack() as stack:
        store = stack.enter_context(private_store(server, "everysec"))
        channel, redis = await stack.enter_async_context(clients(store))
        halls = Halls(store, CENTRES, 20 if quick else WAITING)
        stack.callback(halls.close)
        presses = _Presses(TicketStore(channel, redis), halls.centres)

        async def ours() -> dict[str, float]:
            return await presses.cost(store.pid, times)

        async def floor() -> dict[str, float]:
            before = own_cpu_us() + cpu_us(store.pid)
            for _ in range(times):
                await asyncio.gather(*(channel.call("INCR", "n") for _ in range(AT_ONCE)))
            return {"INCR": (own_cpu_us() + cpu_us(store.pid) - before) / (times * AT_ONCE)}

        measures: list[Measure] = [ours, floor]
        if words is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="queue-bench-")))
            measures.append(await _bullmq(stack, [*words, str(store.port), str(AT_ONCE)], folder, store.pid, times))
        found = await rounds(measures, 2 if quick else 7, within_s)
    notes = [f"µs of CPU per ticket, store and client together, {AT_ONCE} at once; the ratio is tickets per CPU-second"]
    figures = [compare(f"{press} (core)", found, press, "INCR", inverse=True) for press in ("issue", "call-next")]
    if words is None:
        return figures, [*notes, MISSING]
    for what, theirs, target in (
        ("issue", "BullMQ enqueue", Target("G14", 4, is_ceiling=False)),
        ("call-next", "BullMQ consume", None),
        ("call-next and complete", "BullMQ consume", Target("G14", 7, is_ceiling=False)),
    ):
        figures.append(compare(f"{what} (core)", found, what, theirs, target, inverse=True))
        figures.append(compare(f"{what}, the store's part", found, f"{what} store", f"{theirs} store", inverse=True))
    return figures, notes


class _Presses:
    """The same press at every kiosk, or at every counter, at once."""

    def __init__(self, store: TicketStore, centres: Sequence[Centre]) -> None:
        self._store, self._centres = store, centres
        self._numbers = itertools.count(10**6)  # behind those that prepared the halls

    async def cost(self, pid: int, times: int) -> dict[str, float]:
        """µs per press of each kind; as many wait afterwards as before."""
        spent: dict[str, float] = {}
        for _ in range(times):
            for name, command in (("issue", None), ("call-next", CallNext), ("complete", Complete)):
                client, store = own_cpu_us(), cpu_us(pid)
                await asyncio.gather(
                    *(
                        self._press(centre, IssueTicket(service=f"d{n % DEPARTMENTS}", cls="standard"))
                        if command is None
                        else self._press(centre, command(counter=counter.id))
                        for centre in self._centres
                        for n, counter in enumerate(centre.counters)
                    )
                )
                store = cpu_us(pid) - store
                spent[f"{name} store"] = spent.get(f"{name} store", 0) + store
                spent[name] = spent.get(name, 0) + own_cpu_us() - client + store
        for part in ("", " store"):
            spent[f"call-next and complete{part}"] = spent[f"call-next{part}"] + spent[f"complete{part}"]
        return {name: cost / (times * AT_ONCE) for name, cost in spent.items()}

    async def _press(self, centre: Centre, command: Command) -> None:
        n = next(self._numbers)
        issues = isinstance(command, IssueTicket)
        actor = "device:k1" if issues else "staff:lan"
        ticket = f"{n:022}" if issues else ""
        envelope = Press(press_id=f"{actor}|{n:022}", actor=actor, now_ms=START_MS + n, new_ticket=ticket)
        await self._store.carry_out(centre.id, command, envelope, centre.version)


async def _bullmq(stack: AsyncExitStack, words: Sequence[str], folder: Path, store_pid: int, times: int) -> Measure:
    """Jobs added, then carried out by one worker; with the library's own defaults."""
    queue = await stack.enter_async_context(program("BullMQ", words, folder))
    await queue.answer(READY_WITHIN_S)
    jobs = times * AT_ONCE

    async def measure() -> dict[str, float]:
        spent = {}
        for name, order in (("BullMQ enqueue", "add"), ("BullMQ consume", "take")):
            client, store = cpu_us(queue.pid), cpu_us(store_pid)
            queue.tell(f"{order} {jobs}")
            await queue.answer(DONE_WITHIN_S)
            store = cpu_us(store_pid) - store
            spent[f"{name} store"] = store / jobs
            spent[name] = (cpu_us(queue.pid) - client + store) / jobs
        return spent

    return measure
