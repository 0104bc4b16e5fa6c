"""qs_renew_epoch: another order of events."""

from __future__ import annotations

from builders import a_centre
from queue_service.commands import RenewEpoch


async def test_another_epoch_begins(hall_of):
    """Event and reply carry it; the sequence goes on."""
    hall = await hall_of(a_centre())

    change = await hall.change(RenewEpoch(epoch="epoch-2"))

    assert {"day.epoch": "epoch-2"} == change.state
    assert ["EpochRenewed"] == change.told
    assert ("epoch-2", 2) == (change.reply["epoch"], change.reply["seq"])
    assert ["epoch-1", "epoch-2"] == [event["epoch"] for event in await hall.events()]
