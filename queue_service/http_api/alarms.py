"""
What somebody should look at, in words.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from queue_service.alarms import Alarm, Kind
from queue_service.centre import Centre
from queue_service.contract import operation
from queue_service.dispatch import Dispatch
from queue_service.errors import NotFound
from queue_service.http_api.words import BASE, SUPERVISORS
from queue_service.texts import Language, t

SENTENCES: Final = {
    Kind.ARCHIVE_AWAY: ("alarm.archive-away", "alarm.archive-away-do"),
    Kind.HELP_ASKED: ("alarm.help-asked", "alarm.help-asked-do"),
    Kind.LINE_UNATTENDED: ("alarm.line-unattended", "alarm.line-unattended-do"),
    Kind.LINE_LATE: ("alarm.line-late", "alarm.line-late-do"),
    Kind.BOARD_DARK: ("alarm.board-dark", "alarm.board-dark-do"),
    Kind.KIOSK_SILENT: ("alarm.kiosk-silent", "alarm.kiosk-silent-do"),
    Kind.COUNTER_IDLE: ("alarm.counter-idle", "alarm.counter-idle-do"),
    Kind.TICKET_LONG: ("alarm.ticket-long", "alarm.ticket-long-do"),
    Kind.COUNTER_PAUSED: ("alarm.counter-paused", "alarm.counter-paused-do"),
    Kind.LINE_WARNED: ("alarm.line-warned", "alarm.line-warned-do"),
    Kind.COUNTER_READY: ("alarm.counter-ready", "alarm.counter-ready-do"),
}
"""Kind -> what is wrong, and what to do."""


class Words(Struct, frozen=True):
    """One sentence in the languages of staff."""

    vi: str
    en: str


class AlarmView(Struct, frozen=True, kw_only=True):
    """One thing to look at."""

    kind: Kind
    since_ms: int
    counter: str | None
    service: str | None
    device: str | None
    says: Words
    do: Words


class AlarmsReply(Struct, frozen=True):
    """What is wrong now, the gravest first."""

    now_ms: int
    alarms: tuple[AlarmView, ...]


class Alarms:
    """What somebody should look at."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    @operation(
        "GET",
        BASE + "/alarms",
        summary="What to look at",
        roles=SUPERVISORS,
        answers={200: AlarmsReply},
        tags=("centre",),
    )
    async def read_alarms(self, centre: str) -> AlarmsReply:
        """
        Lines over their promise, counters idle or away too long, visitors who take long, calls for help, trouble.
        """
        configured, found, now_ms = await self._dispatch.alarms(centre)
        return AlarmsReply(now_ms, tuple(_view(configured, alarm) for alarm in found))


def _view(centre: Centre, alarm: Alarm) -> AlarmView:
    says, do = SENTENCES[alarm.kind]
    return AlarmView(
        kind=alarm.kind,
        since_ms=alarm.since_ms,
        counter=alarm.counter,
        service=alarm.service,
        device=alarm.device,
        says=Words(_said(centre, alarm, "vi", says), _said(centre, alarm, "en", says)),
        do=Words(_said(centre, alarm, "vi", do), _said(centre, alarm, "en", do)),
    )


def _said(centre: Centre, alarm: Alarm, language: Language, key: str) -> str:
    values = dict(alarm.values)
    if alarm.counter is not None:
        try:
            values["counter"] = centre.counter(alarm.counter).number
        except NotFound:  # taken out of the configuration since
            values["counter"] = alarm.counter
    if alarm.device is not None:
        places = centre.boards if alarm.kind is Kind.BOARD_DARK else centre.kiosks
        values["device"] = next(place.name for place in places if place.id == alarm.device)
    if alarm.service is not None:
        service = centre.service(alarm.service)
        values["service"] = service.name_en if language == "en" else service.name
    return t(language, key, **values)
