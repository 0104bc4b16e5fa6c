"""Words among staff over HTTP: the officer at the counter, the supervisor in the control room."""

from __future__ import annotations

from typing import Any

from service_world import Caller, House


async def desk(caller: Caller, counter: str = "q01") -> dict[str, Any]:
    """What the officer at *counter* sees of help and messages."""
    seen = (await caller.get(f"counters/{counter}")).value
    return {"help": seen["help"], "messages": seen["messages"]}


async def room(caller: Caller) -> Any:
    """What the control room sees."""
    return (await caller.get("messages")).value


async def test_help_is_asked_seen_and_answered(house: House) -> None:
    await house.lan.at("q01", "open")
    watcher = await house.chief.socket("events/stream")
    await house.lan.at("q01", "ask-help", text="máy in  hỏng")

    asked = await watcher.sees("HelpAsked")
    assert ("q01", "máy in  hỏng", f"staff:{house.lan.name}") == (asked["counter"], asked["text"], asked["actor"])
    (call,) = (await room(house.chief))["help"]
    assert ("q01", 1, house.lan.name, asked["seq"]) == (
        call["counter"],
        call["counter_number"],
        call["officer"],
        call["message"],
    )
    assert call == (await desk(house.lan))["help"]

    await house.chief.at("q01", "answer-help", text="tôi đến ngay")
    seen = await desk(house.lan)
    assert seen["help"] is None
    (message,) = seen["messages"]
    assert (house.chief.name, "tôi đến ngay", asked["seq"]) == (message["sender"], message["text"], message["answers"])
    assert [] == (await room(house.chief))["help"]
    await watcher.leave()


async def test_a_message_is_shown_until_it_is_read(house: House) -> None:
    await house.lan.at("q01", "open")
    sent = await house.lan.press("messages", {"text": "hết giấy in", "counter": "q01"})
    (message,) = (await room(house.chief))["messages"]
    assert (house.lan.name, "q01", "hết giấy in", sent.value["message"]) == (
        message["sender"], message["counter"], message["text"], message["message"]
    )  # fmt: skip
    await house.chief.press("messages/read", {"message": message["message"]})
    assert [] == (await room(house.chief))["messages"]

    await house.chief.press("messages", {"text": "họp lúc 16 giờ", "to": ["q02", "q01", "q01"]})
    (message,) = (await desk(house.lan))["messages"]
    assert "họp lúc 16 giờ" == message["text"]
    await house.lan.press("messages/read", {"message": message["message"], "counter": "q01"})
    assert [] == (await desk(house.lan))["messages"]
    assert 1 == len((await desk(house.chief, "q02"))["messages"])


async def test_an_officer_writes_for_the_own_counter_and_to_supervisors_only(house: House) -> None:
    await house.lan.at("q01", "open")
    refused = {
        "to another counter": {"text": "a", "to": ["q02"], "counter": "q01"},
        "from nowhere": {"text": "a"},
        "from another counter": {"text": "a", "counter": "q02"},
    }
    codes = {what: (await house.lan.press("messages", body)).code for what, body in refused.items()}
    assert {
        "to another counter": "NOT_ALLOWED",
        "from nowhere": "NOT_ALLOWED",
        "from another counter": "NOT_YOUR_SEAT",
    } == codes
    assert "NOT_ALLOWED" == (await house.lan.press("messages/read", {"message": 1})).code
    assert {"messages": [], "help": [], "names": {}} == await room(house.chief)


async def test_words_are_clean_and_few(house: House) -> None:
    bodies = ({"text": ""}, {"text": "  "}, {"text": "x" * 501}, {"text": "a\u202eb"}, {"text": "a", "to": ["Q 1"]})
    assert {"MALFORMED"} == {(await house.chief.press("messages", body)).code for body in bodies}
    assert "UNKNOWN_COUNTER" == (await house.chief.press("messages", {"text": "a", "to": ["q99"]})).code


async def test_a_repeat_sends_once(house: House) -> None:
    first, again = [await house.chief.press("messages", {"text": "a", "to": ["q01"]}, key="same-key") for _ in "ab"]
    assert first.raw == again.raw
    assert 1 == len((await desk(house.chief))["messages"])
