"""
Words among staff: from officers to the control room and back.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from queue_service import commands, views
from queue_service.authority import Identity, actor_of, allow
from queue_service.contract import clean_text, operation
from queue_service.dispatch import Dispatch
from queue_service.errors import InboxFull, NotAllowed, NotYourSeat, UnknownCounter
from queue_service.http_api.words import BASE, OFFICERS, SUPERVISORS, Body, Names, Slug


class MessageBody(Body, frozen=True):
    """What to say, and to whom."""

    text: Annotated[str, clean_text(500, 1)]
    to: Annotated[tuple[Slug, ...], Meta(max_length=400)] = ()
    """Counters; nobody named: the supervisors, from the counter where the sender sits."""
    counter: Slug | None = None
    """Where the sender sits."""


class ReadBody(Body, frozen=True):
    """Which message."""

    message: Annotated[int, Meta(ge=1, le=2**53)]
    counter: Slug | None = None
    """Whose inbox; that of the control room when none is named."""


class Messages:
    """Words among staff."""

    def __init__(self, dispatch: Dispatch, names: Names) -> None:
        self._dispatch, self._names = dispatch, names

    @operation(
        "POST",
        BASE + "/messages",
        summary="Send a message",
        roles=OFFICERS,
        press=True,
        body=MessageBody,
        answers={200: views.MessageReply},
        refusals=(UnknownCounter, NotYourSeat, InboxFull),
        tags=("messages",),
    )
    async def send_message(
        self, centre: str, body: MessageBody, press_id: str, identity: Identity
    ) -> views.MessageReply:
        """
        An officer names the own counter and writes to the supervisors; a supervisor says to which counters.
        """
        if body.to or body.counter is None:
            _only_supervisors(identity, centre)
        to = tuple(sorted(set(body.to))) or None
        command = commands.SendMessage(text=body.text, to=to, counter=body.counter)
        return await self._press(centre, command, press_id, identity)

    @operation(
        "POST",
        BASE + "/messages/read",
        summary="Put a message away",
        roles=OFFICERS,
        press=True,
        body=ReadBody,
        answers={200: views.MessageReply},
        refusals=(UnknownCounter, NotYourSeat),
        tags=("messages",),
    )
    async def mark_read(self, centre: str, body: ReadBody, press_id: str, identity: Identity) -> views.MessageReply:
        """For everybody who reads this inbox.  It may have been put away before."""
        if body.counter is None:
            _only_supervisors(identity, centre)
        command = commands.MarkRead(message=body.message, counter=body.counter)
        return await self._press(centre, command, press_id, identity)

    @operation(
        "GET",
        BASE + "/messages",
        summary="What the control room has not read yet",
        roles=SUPERVISORS,
        answers={200: views.MessagesReply},
        tags=("messages",),
    )
    async def read_messages(self, centre: str) -> views.MessagesReply:
        """And which counters ask for help."""
        configured = await self._dispatch.centre(centre)
        messages, calls = await self._dispatch.store.read_messages(centre, None)
        letters, asking = views.message_views(configured, messages), views.help_views(configured, calls)
        people = {letter.sender for letter in letters} | {call.officer for call in asking}
        return views.MessagesReply(messages=letters, help=asking, names=await self._names(people))

    async def _press(
        self, centre: str, command: commands.Command, press_id: str, identity: Identity
    ) -> views.MessageReply:
        over = allow(identity, SUPERVISORS, centre)
        reply = await self._dispatch.press(centre, command, actor=actor_of(identity), press_id=press_id, over=over)
        return views.MessageReply(message=reply["message"], **views.anchor(reply))


def _only_supervisors(identity: Identity, centre: str) -> None:
    if not allow(identity, SUPERVISORS, centre):
        raise NotAllowed("An officer writes from the own counter to the supervisors.")
