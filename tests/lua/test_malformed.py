"""Calls that no process of ours makes: each is refused, by a code or by an error, and none changes anything."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.exceptions import ResponseError

from builders import Hall, a_centre
from queue_service.codec import pack, unpack
from queue_service.commands import CallNext
from queue_service.keys import centre_keys

ENVELOPE = {"press_id": "press-0000", "actor": "staff:lan", "now_ms": 1, "over": False, "new_ticket": "t9"}

CALLS = [
    ("qs_issue_ticket", {}),
    ("qs_issue_ticket", {"service": 7, "class": "standard"}),
    ("qs_issue_ticket", {"service": "a", "class": ["standard"]}),
    ("qs_issue_ticket", {"service": "a/standard", "class": "standard"}),
    ("qs_call_next", {}),
    ("qs_call_next", {"counter": {"q01": 1}}),
    ("qs_call_chosen", {"counter": "q01"}),
    ("qs_call_chosen", {"counter": "q01", "ticket": {}}),
    ("qs_resume", {"counter": "q01"}),
    ("qs_transfer", {"counter": "q02", "service": {}}),
    ("qs_transfer", {"counter": "q02", "to_counter": []}),
    ("qs_cancel", {}),
    ("qs_cancel", {"ticket": []}),
    ("qs_expire", {"ticket": "../../day"}),
    ("qs_revive", {}),
    ("qs_assign", {}),
    ("qs_assign", {"counter": "q01", "reason": "no centre with it"}),
    ("qs_assign", {"counter": "policy", "reason": "asked"}),
    ("qs_set_place", {}),
    ("qs_set_place", {"ticket": "t1", "reason": {}, "after": 0}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "after": -1}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "after": 0.5}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "after": "1"}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "after": {}}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "before": {}}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "before": "t2", "service": {}}),
    ("qs_set_place", {"ticket": "t1", "reason": "asked", "at_ms": "noon"}),
    ("qs_publish", {}),
    ("qs_publish", {"fact": "ready"}),
    ("qs_publish", {"fact": {"code": "X-1", "state": "ready"}}),
    ("qs_publish", {"fact": {"code": "X-1", "step": 1}}),
    ("qs_publish", {"fact": {"state": "ready", "step": 1}}),
    ("qs_publish", {"fact": {"code": "X-1", "state": "ready", "step": "1"}}),
    ("qs_mark_late", {}),
    ("qs_mark_printed", {"ticket": {}}),
    ("qs_open", {}),
    ("qs_pause", {"counter": "policy"}),
    ("qs_close", {"counter": ""}),
    ("qs_undo", {}),
    ("qs_note", {}),
    ("qs_transfer", {"counter": "q02", "to_officer": {}}),
    ("qs_complete", {"counter": []}),
    ("qs_park", {}),
    ("qs_ask_help", {}),
    ("qs_answer_help", {"counter": []}),
    ("qs_send_message", {}),
    ("qs_send_message", {"text": {}}),
    ("qs_send_message", {"text": "a", "to": [[]]}),
    ("qs_send_message", {"text": "a", "to": "q01"}),
    ("qs_mark_read", {}),
    ("qs_mark_read", {"message": "1"}),
    ("qs_advance_day", {}),
    ("qs_advance_day", {"day": "2026-13"}),
    ("qs_advance_day", {"day": {}}),
    ("qs_forget", {}),
    ("qs_renew_epoch", {}),
    ("qs_renew_epoch", {"epoch": {}}),
    ("qs_configure", {}),
    ("qs_configure", {"new_version": "v", "day": "d", "epoch": "e", "pieces": {}}),
    ("qs_configure", {"new_version": "v", "day": "d", "epoch": "e", "pieces": {"policy": "no msgpack"}}),
    ("qs_configure", {"day": "d", "epoch": "e", "pieces": {"policy": b"\x80"}}),
    ("qs_switch_issuing", {}),
    ("qs_switch_issuing", {"open": True, "text": {}}),
]


async def send(hall: Hall, function: str, keys: list[str], *args: bytes) -> Any:
    """A call as bytes, past everything that checks it."""
    return await cast(Any, hall.client.execute_command("FCALL", function, len(keys), *keys, *args))


async def a_busy_hall(hall_of: Any) -> Hall:
    """Somebody waits at the first counter, somebody is in hand at the second."""
    hall: Hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    await hall.issue()
    await hall.issue()
    await hall.press(CallNext(counter="q02"))
    return hall


@pytest.mark.parametrize(("function", "wish"), CALLS, ids=lambda part: str(part)[:40])
async def test_a_malformed_call_changes_nothing(hall_of, function, wish):
    """An error before the first write leaves no half of a change."""
    hall = await a_busy_hall(hall_of)
    keys = centre_keys(hall.centre.id).as_list()
    envelope = pack({**ENVELOPE, "fingerprint": b"0" * 16, "version": hall.centre.version})
    before = await hall.picture()

    try:
        reply = unpack(await send(hall, function, keys, pack(wish), envelope))
    except ResponseError:
        reply = {"refused": "by the server"}

    assert "refused" in reply
    assert before == await hall.picture()


@pytest.mark.parametrize("bad", ["", "no keys", "no envelope", "no map", "bare envelope", "no fingerprint", "no key"])
async def test_a_call_that_is_not_one_changes_nothing(hall_of, bad):
    """Too few keys, too few arguments, other bytes."""
    hall = await a_busy_hall(hall_of)
    keys = centre_keys(hall.centre.id).as_list()
    envelope = pack({**ENVELOPE, "fingerprint": b"0" * 16, "version": hall.centre.version})
    wish = pack({"counter": "q01"})
    calls: dict[str, tuple[list[str], list[bytes]]] = {
        "": (keys, []),
        "no keys": ([], [wish, envelope]),
        "no envelope": (keys, [wish]),
        "no map": (keys, [b"\xc1", envelope]),
        "bare envelope": (keys, [wish, pack({})]),
        "no fingerprint": (keys, [wish, pack({**ENVELOPE, "version": hall.centre.version})]),
        "no key": (keys, [wish, envelope.replace(b"press_id", b"pressing")]),
    }
    before = await hall.picture()

    with pytest.raises(ResponseError):
        await send(hall, "qs_call_next", calls[bad][0], *calls[bad][1])

    assert before == await hall.picture()
