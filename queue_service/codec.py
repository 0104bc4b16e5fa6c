"""
Bytes to and from commands, replies, records and configuration pieces: msgpack between processes.

The field names on both sides are the same words, so a record is a map read by name.  Knows no transport and no rule.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final

import msgpack
import msgspec

from queue_service.centre import Centre, Counter, clusters
from queue_service.commands import Command
from queue_service.events import Event
from queue_service.tickets import Ticket

FINGERPRINT_BYTES: Final = 16
"""Stored in front of every answer; lua/20_hall.lua cuts at the same place."""

MEAN_WEIGHT: Final = 8
"""A configured mean service time counts as this many services.  Source: docs/allocation.md, "Service times"."""
MEAN_MEMORY: Final = 60
"""After that many services each further one moves the mean by 1/60."""
MEAN_OF_UNKNOWN_SERVICE_MS: Final = 600_000
APPOINTMENT_LEAD_MS: Final = 300_000
APPOINTMENT_GRACE_MS: Final = 900_000


Reply = dict[str, Any]
"""What a Function answers: epoch, seq, day, now_ms, and by command ticket, counter, ahead, issuing, forgotten."""


def pack(value: object) -> bytes:
    """*value* as msgpack.  Bytes travel as text: the msgpack inside Redis knows no binary type."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def unpack(data: bytes) -> Any:
    """A msgpack value from our own store: text is text, keys are strings."""
    return msgpack.unpackb(data, strict_map_key=False)


def pack_command(command: Command) -> bytes:
    """*command* as the map the Lua functions read."""
    return pack(msgspec.to_builtins(command, builtin_types=(bytes,)))


def fingerprint(operation: str, packed_command: bytes) -> bytes:
    """What a press id was used for: a digest of the operation and all its fields."""
    return blake2b(packed_command, digest_size=FINGERPRINT_BYTES, person=operation.encode()[:16]).digest()


def read_ticket(record: dict[str, Any]) -> Ticket:
    """A ticket record or reply as a Ticket.  Fields that only the core needs are left out."""
    lists = {
        name: () for name in ("counters", "lines", "needs") if not record.get(name)
    }  # an empty table leaves Lua as a map
    return msgspec.convert({**record, **lists}, Ticket)


def read_record(data: bytes) -> dict[str, Any]:
    """A packed ticket or counter record as a map."""
    record: dict[str, Any] = unpack(data)
    return record


def read_event(data: bytes) -> Event:
    """An event as recorded."""
    event: Event = unpack(data)
    return event


def centre_pieces(centre: Centre) -> dict[str, bytes]:
    """
    The configuration as the Functions read it: one packed piece per service and counter, and the policy.

    Times are milliseconds.  What the configuration alone decides (order of counters, clusters) is decided here, once.
    """
    policy = centre.policy
    pieces: dict[str, object] = {
        "policy": {
            "classes": [cls.id for cls in policy.classes],
            "promise_ms": {cls.id: cls.promise_s * 1000 for cls in policy.classes},
            "handicap_ms": policy.handicap_s * 1000,
            "kappa": policy.kappa,
            "window_ms": {mode: policy.window(mode) * 1000 for mode in ("counter", "cluster", "department")},
            "calls_before_no_show": policy.calls_before_no_show,
            "no_show_back_places": policy.no_show_back_places,
            "no_show_returns": policy.no_show_returns,
            "late_back_places": policy.late_back_places,
            "undo_ms": policy.undo_s * 1000,
            "auto_ready": policy.auto_ready,
            "transfer_age_cap_ms": policy.transfer_age_cap_s * 1000,
            "appointment_lead_ms": APPOINTMENT_LEAD_MS,
            "appointment_grace_ms": APPOINTMENT_GRACE_MS,
            "mean_weight": MEAN_WEIGHT,
            "mean_memory": MEAN_MEMORY,
            "mean_default_ms": MEAN_OF_UNKNOWN_SERVICE_MS,
        }
    }
    position = {counter.id: place for place, counter in enumerate(centre.counters, 1)}
    lines = {counter.id: _lines(centre, counter) for counter in centre.counters}
    for service in centre.services:
        department = centre.department_of(service.id)
        entries = []
        for counter in centre.counters_of(service.id):
            own = next(line for line in lines[counter.id] if line["service"] == service.id)
            entry: dict[str, object] = {
                "id": counter.id,
                "level": own["level"],
                "lines": len(counter.serves),
                "position": position[counter.id],
                "clusters": [
                    {"group": line["group"], "members": line["cluster"]}
                    for line in lines[counter.id]
                    if "cluster" in line
                ],
            }
            if "group" in own:
                entry["group"] = own["group"]
            entries.append(entry)
        pieces[f"service:{service.id}"] = {
            "department": {"id": department.id, "letter": department.letter, "cap": department.daily_cap},
            "mode": department.mode,
            "mean_ms": service.mean_service_s * 1000,
            "counters": entries,
            "clusters": [[counter.id for counter in run] for run in clusters(centre, service.id)],
        }
    for counter in centre.counters:
        pieces[f"counter:{counter.id}"] = {"number": counter.number, "zone": counter.zone, "lines": lines[counter.id]}
    return {name: pack(piece) for name, piece in pieces.items()}


def _lines(centre: Centre, counter: Counter) -> list[dict[str, Any]]:
    """The lines *counter* may call from, its own work first, with the group that its slips name."""
    lines = []
    for serves in sorted(counter.serves, key=lambda line: line.level):
        mode = centre.department_of(serves.service).mode
        line: dict[str, Any] = {"service": serves.service, "level": serves.level, "mode": mode}
        if mode == "counter":
            line["group"] = counter.id
        elif mode == "cluster":
            for n, run in enumerate(clusters(centre, serves.service), 1):
                if counter in run:
                    line |= {"group": f"{serves.service}.{n}", "cluster": [other.id for other in run]}
        lines.append(line)
    return lines
