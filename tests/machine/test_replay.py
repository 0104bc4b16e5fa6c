"""Whole days through the real core: the published log, the mirror, and what the event log alone can explain."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import loadtest
from loadtest.days import make_day
from loadtest.plan import read_profile
from loadtest.replay import Replay, Row, centre_of, digest, load, private_core, replay
from queue_service.centre import Centre, load_centre
from queue_service.commands import Command
from queue_service.dispatch import Dispatch
from queue_service.mirror import Mirror

TRACES = Path(loadtest.__file__).parent / "traces"
EXAMPLES = Path(loadtest.__file__).parents[1] / "queue_service" / "examples"
PUBLISHED = json.loads((TRACES / "conformance.json").read_bytes())


async def replay_published(name: str) -> list[Row]:
    """The log of a published trace whose slips name one counter."""
    meta, events = load(TRACES / f"{name}.jsonl")
    return await replay(meta, events, centre_of(meta, "replay", "counter"))


async def test_the_tiny_day_is_the_published_one_line_by_line():
    """Tickets with the counter they name, and calls, in the published order."""
    expected = [json.loads(line) for line in (TRACES / "S0-a.expected.jsonl").read_text().splitlines()]

    log = [{name: value for name, value in row.items() if name != "eta"} for row in await replay_published("S0-a")]

    assert [row for row in expected if row["ev"] != "assign"] == log


@pytest.mark.parametrize("name", ["S4-a", "S7-b"])
async def test_a_published_day_is_reproduced_call_for_call(name):
    """S4: counters close in the middle of the day. S7: visits of several departments, in any and in fixed order."""
    calls = [row for row in await replay_published(name) if row["ev"] == "call"]

    assert PUBLISHED[name] == {"calls": len(calls), "sha256": digest(calls)}


class Watched:
    """A dispatch that looks at the store after every few presses."""

    def __init__(self, dispatch: Dispatch, mirror: Mirror) -> None:
        self._dispatch, self._mirror = dispatch, mirror
        self.looks = 0
        self._presses = 0

    async def configure(self, centre: Centre) -> Any:
        return await self._dispatch.configure(centre)

    async def press(self, centre_id: str, command: Command, **envelope: Any) -> Any:
        reply = await self._dispatch.press(centre_id, command, **envelope)
        self._presses += 1
        if self._presses % 7 == 0:
            self.looks += 1
            await self._compare(centre_id)
        return reply

    async def _compare(self, centre_id: str) -> None:
        store = self._dispatch.store
        while events := await store.read_events(centre_id, self._mirror.seq, 1000):
            for event in events:
                self._mirror.apply(event)
        day, counters, tickets, _ = await store.read_all(centre_id)
        fresh = Mirror()
        fresh.read(day, counters, tickets)
        assert fresh.seq == self._mirror.seq
        assert fresh.waiting == self._mirror.waiting
        assert fresh.parked == self._mirror.parked
        assert {id: seat for id, seat in fresh.seats.items() if seat.state != "closed"} == {
            id: seat for id, seat in self._mirror.seats.items() if seat.state != "closed"
        }
        assert fresh.means_ms == pytest.approx(self._mirror.means_ms)
        assert fresh.done == self._mirror.done


@pytest.mark.parametrize("mode", ["counter", "cluster"])
async def test_the_mirror_shows_what_the_store_holds(mode):
    """A fold of the events and a reading of the store are the same hall, all day long."""
    meta, events = load(TRACES / "S0-a.jsonl")
    mirror = Mirror()
    async with private_core(mirror) as (dispatch, clock):
        watched = Watched(dispatch, mirror)
        await Replay(meta, events, watched, clock, centre_of(meta, "mirrored", mode)).run()

    assert watched.looks > 20


def crowded(seed: int) -> tuple[Row, list[Row], Centre]:
    """A day on which priority citizens alone fill the counters of a commune."""
    centre = load_centre(EXAMPLES / "demo-xa.toml")
    profile = read_profile((EXAMPLES / "day-profiles.json").read_bytes(), "commune")
    profile = msgspec.structs.replace(profile, priority_share=0.6)
    meta, events = make_day(centre, profile, "high", seed, closed={"q02", "q04"})
    policy = msgspec.structs.replace(centre.policy, auto_ready=False, calls_before_no_show=1, no_show_returns=0)
    return meta, events, msgspec.structs.replace(centre, id=f"crowded-{seed}", policy=policy)


class Explained:
    """What the event log alone says at each call: who stood where, and what the discipline makes of it."""

    def __init__(self, centre: Centre) -> None:
        self._centre = centre
        self._standing: dict[str, Mapping[str, Any]] = {}
        self._means = {service.id: service.mean_service_s * 1000.0 for service in centre.services}
        self._promise = {rule.id: rule.promise_s for rule in centre.policy.classes}
        self.longest_priority_wait_ms = 0.0
        self.calls = 0

    def see(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "TicketCalled":
            self._judge(event)
        if "virtual_ms" in event:
            self._standing[event["ticket"]] = event
        elif event["type"] in ("TicketCalled", "TicketCancelled", "TicketExpired"):
            self._standing.pop(event["ticket"], None)
        if event.get("mean_ms") is not None:
            self._means[event["service"]] = event["mean_ms"]

    def _counted(self, entry: Mapping[str, Any], service: str, counter: str, now_ms: int) -> float:
        policy = self._centre.policy
        ratio = self._promise["standard"] / self._promise[entry["class"]]
        level = self._centre.counter(counter).level(service) or 1
        waited = now_ms - entry["virtual_ms"]
        return ratio * waited - policy.handicap_s * 1000 * (level - 1) - policy.kappa * self._means[service]

    def _judge(self, event: Mapping[str, Any]) -> None:
        why, counter, now_ms = event["why"], event["counter"], event["at_ms"]
        if why["rule"] not in ("own", "oldest", "only"):
            return
        self.calls += 1
        serves = {line.service for line in self._centre.counter(counter).serves}
        candidates = [
            (self._counted(entry, service, counter, now_ms), id, entry)
            for id, entry in self._standing.items()
            for service in entry.get("lines") or [entry["service"]]
            if service in serves
        ]
        best, oldest, _ = min(candidates, key=lambda row: (-row[0], row[2]["order"]))
        called = self._standing[event["ticket"]]
        counted = self._counted(called, event["service"], counter, now_ms)

        # The explanation is what the log says.
        assert why["class"] == called["class"]
        assert why["waited_ms"] == now_ms - called["virtual_ms"]
        assert why["counted_ms"] == pytest.approx(counted, abs=1)
        if why["rule"] == "own" and event["ticket"] != oldest:
            assert why["oldest_counted_ms"] == pytest.approx(best, abs=1)
            assert best - counted <= why["window_ms"] + 1
        else:
            assert counted == pytest.approx(best, abs=1)

        # Nobody is passed for ever: docs/allocation.md, "No starvation".
        policy = self._centre.policy
        window = max(policy.window_s.counter, policy.window_s.cluster, policy.window_s.department) * 1000
        levels = [line.level for line in self._centre.counter(counter).serves]
        slack = window + policy.kappa * max(self._means.values()) + policy.handicap_s * 1000 * (max(levels) - 1)
        ratio = self._promise["standard"] / self._promise["priority"]
        if called["class"] == "priority":
            self.longest_priority_wait_ms = max(self.longest_priority_wait_ms, now_ms - called["virtual_ms"])
        for _, _, passed in candidates:
            if passed["class"] == "standard":
                waited = now_ms - passed["virtual_ms"]
                if called["class"] == "priority":
                    assert now_ms - called["virtual_ms"] >= (waited - slack) / ratio - 1
                else:
                    assert called["virtual_ms"] - passed["virtual_ms"] <= slack + 1


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_call_is_explained_by_the_log_and_nobody_starves(seed):
    """From the events alone: explanations are true, and calls keep the bound, even when priority overloads the hall."""
    meta, events, centre = crowded(seed)
    explained = Explained(centre)
    async with private_core() as (dispatch, clock):
        await Replay(meta, events, dispatch, clock, centre).run()
        seq = 0
        while page := await dispatch.store.read_events(centre.id, seq, 1000):
            seq = page[-1]["seq"]
            for event in page:
                explained.see(event)

    assert explained.calls > 100
    assert explained.longest_priority_wait_ms > 600_000  # crowded indeed
