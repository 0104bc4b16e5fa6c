"""Words among staff: help asked for and answered, messages sent and put away."""

from __future__ import annotations

import pytest

from builders import NEXT_DAY, START_MS, Hall, a_centre
from queue_service.commands import AdvanceDay, AnswerHelp, AskHelp, CallNext, MarkRead, SendMessage
from queue_service.events import public_form

BOSS = {"actor": "staff:boss", "over": True}


@pytest.fixture
async def hall(hall_of) -> Hall:
    """Two counters; lan sits at both."""
    hall: Hall = await hall_of(a_centre(2))
    await hall.open("q01", "q02")
    return hall


async def lying(hall: Hall) -> dict[str, list[str]]:
    """What lies in the inboxes, as words."""
    boxes = (await hall.picture())["messages"]
    return {box: [one.get("text", "") for one in lie] for box, lie in boxes.items() if box != "help"}


async def test_a_call_for_help_stands_until_somebody_comes(hall):
    """It carries who asked and since when; the visitor in hand stays in the answer."""
    await hall.issue()
    await hall.press(CallNext(counter="q01"))

    change = await hall.change(AskHelp(counter="q01", text="the printer"))

    call = {"message": 6, "at_ms": START_MS, "actor": "staff:lan", "text": "the printer"}
    assert {"messages.help": {"q01": call}} == change.state
    assert [{"type": "HelpAsked", "counter": "q01", "text": "the printer"}] == [
        {name: fact[name] for name in ("type", "counter", "text")} for fact in change.facts
    ]
    assert "t1" == change.reply["ticket"]["id"]


async def test_asking_again_changes_the_words_and_not_the_time(hall):
    """And the same words change nothing."""
    await hall.press(AskHelp(counter="q01"))
    hall.clock.advance(60_000)
    await hall.press(AskHelp(counter="q01"))
    await hall.press(AskHelp(counter="q01", text="hurry"))

    call = (await hall.picture())["messages"]["help"]["q01"]
    assert (START_MS, "hurry") == (call["at_ms"], call["text"])
    assert ["HelpAsked", "HelpAsked"] == (await hall.told())[-2:]


async def test_an_answer_ends_the_call_and_tells_the_counter(hall):
    """By the seq of the call."""
    await hall.press(AskHelp(counter="q01"))
    change = await hall.change(AnswerHelp(counter="q01", text="coming"), **BOSS)

    told = {"answers": 4, "text": "coming", "message": 5, "at_ms": START_MS, "actor": "staff:boss"}
    assert {"messages.help": None, "messages.counter:q01": [told]} == change.state
    assert ["HelpAnswered"] == change.told


async def test_whoever_asked_may_withdraw(hall):
    """Then nobody is told."""
    await hall.press(AskHelp(counter="q01"))
    change = await hall.change(AnswerHelp(counter="q01"))

    assert {"messages.help": None} == change.state
    assert ["HelpAnswered"] == change.told


async def test_an_answer_to_nobody_is_an_answer(hall):
    """Two supervisors answered at once."""
    change = await hall.change(AnswerHelp(counter="q01"), **BOSS)

    assert ({}, []) == (change.state, change.facts)


async def test_only_whoever_sits_there_asks(hall):
    """Somebody else's counter is not one's own."""
    assert "NOT_YOUR_SEAT" == await hall.refuses(AskHelp(counter="q01"), actor="staff:minh")
    assert "NOT_YOUR_SEAT" == await hall.refuses(AnswerHelp(counter="q01"), actor="staff:minh")
    assert "UNKNOWN_COUNTER" == await hall.refuses(AskHelp(counter="q09"))


async def test_an_officer_writes_to_the_supervisors(hall):
    """Whose inbox is one."""
    change = await hall.change(SendMessage(text="no paper", counter="q02"))

    (message,) = change.state["messages.supervisors"]
    assert ("q02", "no paper", "staff:lan") == (message["counter"], message["text"], message["actor"])
    assert change.reply["message"] == message["message"] == 4


async def test_a_supervisor_says_to_which_counters(hall):
    """To nobody would be to the own inbox, also from a counter where somebody else sits."""
    assert "MALFORMED" == await hall.refuses(SendMessage(text="hello"), **BOSS)
    assert "MALFORMED" == await hall.refuses(SendMessage(text="hello", counter="q01"), **BOSS)

    assert {} == await lying(hall)


async def test_a_supervisor_writes_to_counters(hall):
    """One event, a copy in each inbox."""
    change = await hall.change(SendMessage(text="close at four", to=("q01", "q02")), **BOSS)

    assert ["MessageSent"] == change.told
    assert {"counter:q01": ["close at four"], "counter:q02": ["close at four"]} == await lying(hall)


async def test_a_message_needs_words_and_somebody(hall):
    """Nothing is sent to some when one does not exist."""
    assert "MALFORMED" == await hall.refuses(SendMessage(text=""), **BOSS)
    assert "UNKNOWN_COUNTER" == await hall.refuses(SendMessage(text="a", to=("q01", "q09")), **BOSS)
    assert "NOT_YOUR_SEAT" == await hall.refuses(SendMessage(text="a", counter="q01"), actor="staff:minh")


async def test_an_inbox_holds_fifty(hall):
    """Then the sender is told, and so is who would answer help."""
    for n in range(50):
        await hall.press(SendMessage(text=str(n), to=("q01",)), **BOSS)
        await hall.press(SendMessage(text=str(n), counter="q01"))
    await hall.press(AskHelp(counter="q01"))

    assert "INBOX_FULL" == await hall.refuses(SendMessage(text="one more", to=("q02", "q01")), **BOSS)
    assert "INBOX_FULL" == await hall.refuses(SendMessage(text="one more", counter="q02"))
    assert "INBOX_FULL" == await hall.refuses(AnswerHelp(counter="q01"), **BOSS)


async def test_a_message_is_put_away_once(hall):
    """By its name; the other stays, and twice is once."""
    first = (await hall.press(SendMessage(text="first", to=("q01",)), **BOSS))["message"]
    await hall.press(SendMessage(text="second", to=("q01",)), **BOSS)

    change = await hall.change(MarkRead(message=first, counter="q01"))
    again = await hall.change(MarkRead(message=first, counter="q01"))

    assert ["MessageRead"] == change.told
    assert ([], {"counter:q01": ["second"]}) == (again.told, await lying(hall))


async def test_the_control_room_has_its_own_inbox(hall):
    """And nobody reads another counter's."""
    message = (await hall.press(SendMessage(text="a", counter="q01")))["message"]
    await hall.press(MarkRead(message=message, counter="q01"))
    assert {"supervisors": ["a"]} == await lying(hall)

    await hall.press(MarkRead(message=message), **BOSS)

    assert {} == await lying(hall)
    assert "NOT_YOUR_SEAT" == await hall.refuses(MarkRead(message=message, counter="q01"), actor="staff:minh")


async def test_words_end_with_the_day_and_never_leave_the_house(hall):
    """The public form has the place in the order and nothing else."""
    await hall.press(AskHelp(counter="q01", text="secret"))
    await hall.press(SendMessage(text="secret", to=("q01",)), **BOSS)

    assert not any("secret" in str(public_form(event)) for event in await hall.events())
    await hall.press(AdvanceDay(day=NEXT_DAY), actor="system")
    assert {} == (await hall.picture())["messages"]
