"""
Plans: what tomorrow's waits would be with other counters.

A plan is played in a process of its own (``loadtest.whatif``), one at a time, so that a press never waits for it; its
result is kept for an hour where every worker finds it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from queue_service.centre import Centre
from queue_service.contract import Answer, operation
from queue_service.dispatch import Dispatch
from queue_service.errors import NotFound, TooMany
from queue_service.http_api.words import BASE, SUPERVISORS, Body, Slug

Play = Callable[[Centre, Mapping[str, Any]], Awaitable[bytes]]
"""Plays a plan for a centre; answers the lines as JSON."""

MOST_WAITING: Final = 4


class PlanBody(Body, frozen=True):
    """Which days to play, and what to change."""

    level: Literal["low", "typical", "high", "peak", "stress"] = "high"
    days: Annotated[int, Meta(ge=2, le=20)] = 5
    seed: Annotated[int, Meta(ge=0, le=1_000_000)] = 1
    close: Annotated[tuple[Slug, ...], Meta(max_length=100)] = ()
    """Counters that stay closed after the change."""
    open: Annotated[tuple[Slug, ...], Meta(max_length=100)] = ()
    """Counters that were closed before the change."""
    serve: Annotated[dict[Slug, dict[Slug, Annotated[int, Meta(ge=1, le=9)]]], Meta(max_length=100)] = msgspec.field(
        default_factory=dict
    )
    """Counter -> service -> level: what it serves, too, after the change."""


class PlanReply(Struct, frozen=True, kw_only=True):
    """A plan, and its result when it is there.  Times are seconds."""

    id: str
    state: Literal["playing", "done", "failed"]
    result: dict[str, Any] | None = None


class Plans:
    """For whoever plans the next day."""

    def __init__(self, dispatch: Dispatch, play: Play) -> None:
        self._dispatch = dispatch
        self._play = play
        self._one_at_a_time = asyncio.Lock()
        self._playing: set[asyncio.Task[None]] = set()

    @operation(
        "POST",
        BASE + "/plans",
        summary="Ask what would be with other counters",
        roles=SUPERVISORS,
        body=PlanBody,
        answers={202: PlanReply},
        refusals=(TooMany,),
        tags=("plans",),
    )
    async def make_plan(self, centre: str, body: PlanBody) -> PlanReply:
        """Plays invented days before and after the change through the real core; ask for the result by its id."""
        configured = await self._dispatch.centre(centre)
        for counter in (*body.close, *body.open, *body.serve):
            configured.counter(counter)
        for services in body.serve.values():
            for service in services:
                configured.service(service)
        if len(self._playing) >= MOST_WAITING:
            raise TooMany("Several plans are being played already. Ask again in a minute.", 60)
        id = secrets.token_hex(8)
        await self._keep(centre, PlanReply(id=id, state="playing"))
        task = asyncio.create_task(self._carry_out(configured, id, msgspec.structs.asdict(body)))
        self._playing.add(task)
        task.add_done_callback(self._playing.discard)
        return PlanReply(id=id, state="playing")

    @operation(
        "GET",
        BASE + "/plans/{plan}",
        summary="The result of a plan",
        roles=SUPERVISORS,
        answers={200: PlanReply},
        refusals=(NotFound,),
        tags=("plans",),
    )
    async def read_plan(self, centre: str, plan: str) -> Answer:
        """
        A line per department: people, mean, 90 % and 95 % waits before and after, with the interval of the change.
        """
        kept = await self._dispatch.store.recall_result(centre, plan)
        if kept is None:
            raise NotFound("There is no such plan, or it was made more than an hour ago.")
        return Answer(msgspec.json.decode(kept, type=PlanReply))

    async def _carry_out(self, centre: Centre, id: str, plan: Mapping[str, Any]) -> None:
        async with self._one_at_a_time:
            try:
                result = msgspec.json.decode(await self._play(centre, plan))
                reply = PlanReply(id=id, state="done", result=result)
            except (OSError, TimeoutError, ValueError):
                reply = PlanReply(id=id, state="failed")
        await self._keep(centre.id, reply)

    async def _keep(self, centre: str, reply: PlanReply) -> None:
        await self._dispatch.store.keep_result(centre, reply.id, msgspec.json.encode(reply))
