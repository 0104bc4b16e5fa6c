"""
Two pictures of one hall, in the same words: what the store holds, and what the reference model thinks.

``expected_picture(model) == actual_picture(await hall.picture())`` holds after every press.
"""

from __future__ import annotations

from collections import Counter as Bag
from typing import Any

import pytest

from builders import DAY
from queue_service.assignments import Assignments
from reference_model import ReferenceModel, parts


def tidy(value: Any) -> Any:
    """Nothing that is not there: no None, no empty list, and no table of nothing else."""
    if isinstance(value, dict):
        tidied = {name: tidy(one) for name, one in value.items()}
        return {name: one for name, one in tidied.items() if one is not None and one not in ([], {})}
    if isinstance(value, list | tuple):
        return [tidy(one) for one in value]
    return value


def live(record: dict[str, Any]) -> dict[str, Any]:
    """What must agree of a counter's record; what it keeps of a call only while the ticket is in hand."""
    names = ["id", "state", "since_ms", "idle_since", "officer", "reason", "ready", "ticket", "call", "has_left"]
    if record.get("ticket"):
        names += ["called_at_ms", "mean_at_call", "service"]
    last = record.get("last")
    return {name: record.get(name) for name in names} | {"last": last and (last["press"], last["until_ms"])}


def expected_picture(model: ReferenceModel) -> Any:
    waiting = model.waiting()
    place = {ticket["id"]: (ticket["class"], ticket["virtual_ms"], parts(ticket), ticket["id"]) for ticket in waiting}
    groups = {ticket["group"] for ticket in waiting}
    return tidy(
        {
            "day": {
                "epoch": model.epoch,
                "seq": str(len(model.events)),
                "day": model.day,
                "version": model.centre.version,
                "orders": str(model.orders),
                "issuing": "open" if model.issuing["open"] else "closed",
                "issuing_text": model.issuing["text"],
                "assigned": Assignments(DAY, model.assigned).text() or None,
            },
            "lengths": dict(Bag(service for ticket in waiting for service in ticket["lines"])),
            "means": model.means,
            "counters": {id_: live(record) for id_, record in model.counters.items() if was_touched(record)},
            "groups": {group: pytest.approx(model.work(group), abs=1) for group in groups},
            "tickets": model.tickets,
            "sequences": model.sequences,
            "numbers": model.numbers,
            "messages": model.messages,
            "waiting": sorted((service, *place[ticket["id"]]) for ticket in waiting for service in ticket["lines"]),
            "announced": sorted((one["announced_for"], one["group"], *place[one["id"]]) for one in waiting),
            "events": [],
        }
    )


def was_touched(record: dict[str, Any]) -> bool:
    """The model makes a record of a counter when it looks at it, the store when it is first opened."""
    return bool(record["since_ms"] or record["officer"] or record["ticket"] or record["last"])


def actual_picture(picture: dict[str, Any]) -> Any:
    def place(member: list[str]) -> tuple[Any, ...]:
        *front, virtual, order, id_ = member
        return *front, int(virtual), tuple(order.split(":")), id_

    day = dict(picture["day"])
    lengths = {name.partition(":")[2]: int(day.pop(name)) for name in list(day) if name.startswith("waiting:")}
    means = {name.partition(":")[2]: day.pop(name).split() for name in list(day) if name.startswith("mean:")}
    del day["clock"]
    return tidy(
        picture
        | {
            "events": [],
            "day": day,
            "lengths": {service: n for service, n in lengths.items() if n},
            "means": {service: (float(ms), int(n)) for service, (ms, n) in means.items()},
            "counters": {id_: live(record) for id_, record in picture["counters"].items()},
            "waiting": [place(member) for member in picture["waiting"]],
            "announced": [place(member) for member in picture["announced"]],
        }
    )
