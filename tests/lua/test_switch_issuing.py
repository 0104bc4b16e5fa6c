"""qs_switch_issuing: numbers, or none."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import SwitchIssuing


async def test_issuing_is_switched_off_and_on(hall_of):
    """With a text for the kiosks; the same again changes nothing."""
    hall = await hall_of(a_centre())

    change = await hall.change(SwitchIssuing(open=False, text="come at one"))

    assert {"day.issuing": "closed", "day.issuing_text": "come at one"} == change.state
    assert [{"type": "IssuingSwitched", "open": False, "text": "come at one"}] == change.facts
    assert {"open": False, "text": "come at one"} == change.reply["issuing"]
    assert ({}, []) == (await hall.change(SwitchIssuing(open=False, text="come at one")))[1:]
    assert {"day.issuing": "open", "day.issuing_text": ""} == (await hall.change(SwitchIssuing(open=True))).state
