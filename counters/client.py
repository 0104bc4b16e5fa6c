"""
A counter, or a kiosk, as a Python object: one method per press, over the service's public HTTP interface.

Every press carries an ``Idempotency-Key`` made once; when the line breaks, the service says 503, or no answer comes in
time, the same key is sent again after a jittered pause until a deadline.  So a press that got lost on either side of
the store still has one effect. Knows addresses and refusals (``queue_service.errors``), no rule of the hall; `press`
says which presses are live.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from counters.press import Button, CounterView, PressReply, TicketView, new_key
from queue_service.commands import PressId
from queue_service.errors import CODES, BadRequest, Broken, Forbidden, Later, NotFound, NotSignedIn, QueueError

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
_BY_STATUS: dict[int, type[QueueError]] = {401: NotSignedIn, 403: Forbidden, 404: NotFound}


class Unanswered(ConnectionError):
    """
    No answer until the deadline: whether the press took effect is unknown.  Repeat it with the same *key*.

    Args:
        key: the press id to repeat.
        attempts: how often it was sent.
    """

    def __init__(self, key: str, attempts: int, last: str) -> None:
        super().__init__(f"no answer after {attempts} attempts ({last}); repeat with the same key {key}")
        self.key = key
        self.attempts = attempts


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it went over the wire, for who records a history.  Times are of ``time.monotonic_ns``."""

    key: str
    path: str
    body: bytes
    number: int
    sent_ns: int
    done_ns: int
    status: int
    """HTTP status; 0 when no answer came."""
    answer: bytes
    """The answer's body, or the name of what went wrong."""


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    retry_after_s: float


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""
    detail: str = ""
    title: str = ""


class _TicketAnswer(msgspec.Struct, frozen=True):
    ticket: TicketView


class _SessionAnswer(msgspec.Struct, frozen=True):
    token: str


def refusal(status: int, body: bytes, retry_after_s: float = 1.0) -> QueueError:
    """The typed error for a refused request; a body that is no problem document is judged by its status alone."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem()
    detail = problem.detail or problem.title or f"the service answered {status}"
    kind = CODES.get(problem.code)
    if kind is None:
        kind = _BY_STATUS.get(status, Broken if status >= 500 else BadRequest)
    return kind(detail, retry_after_s) if issubclass(kind, Later) else kind(detail)


def _said(**wish: Any) -> dict[str, Any]:
    """What of a wish is said."""
    return {name: value for name, value in wish.items() if value is not None}


class Link:
    """
    One identity on one HTTP session: sends requests, repeats what is safe to repeat, turns refusals into errors.

    Args:
        base_url: ``http://127.0.0.1:8080``.
        token: device token or staff bearer; ``sign_in`` gets the latter.
        session: shared with others; without one the link opens its own and closes it.
        deadline_s: how long a press may take, all attempts together.
        timeout_s: how long one attempt may take.
        on_attempt: told of every changing request that was sent.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: str | None = None,
        session: aiohttp.ClientSession | None = None,
        deadline_s: float = 30.0,
        timeout_s: float = 5.0,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> None:
        self._api = base_url.rstrip("/") + "/api/v1"
        self._token = token
        self._session = session
        self._owns_session = session is None
        self._deadline_s = deadline_s
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._on_attempt = on_attempt

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session, if it is our own."""
        if self._owns_session and self._session is not None:
            await self._session.close()

    async def sign_in(
        self, name: str, password: str, *, code: str | None = None, new_password: str | None = None
    ) -> None:
        """
        Become the officer *name*; later presses are theirs.

        Args:
            code: of the authenticator, where the account has one.
            new_password: in place of one that an administrator made.

        Raises:
            WrongPassword: name, password or code is wrong.
            SecondFactorRequired: send the code, too.  NewPasswordRequired: send a password of one's own, too.
        """
        proof = _said(name=name, password=password, code=code, new_password=new_password)
        body = msgspec.json.encode(proof | {"bearer": True})
        self._token = msgspec.json.decode(
            await self._until_answered("POST", "/session", body), type=_SessionAnswer
        ).token

    async def sign_out(self) -> None:
        """End the session, everywhere."""
        await self._until_answered("DELETE", "/session")
        self._token = None

    def identity(self) -> dict[str, str]:
        """The headers that say who is asking."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def token(self) -> str | None:
        """The bearer of who has signed in, or of the device."""
        return self._token

    def url(self, path: str) -> str:
        """The whole address of *path* (below ``/api/v1``)."""
        return self._api + path

    def act_as(self, other: Link) -> None:
        """Be the same person as *other*, who has signed in already."""
        self._token = other._token

    async def read(self, path: str) -> bytes:
        """
        The JSON at *path* (below ``/api/v1``).

        Raises:
            QueueError: as refused.  Unanswered: no answer until the deadline.
        """
        return await self._until_answered("GET", path)

    async def change(self, path: str, body: Mapping[str, Any], key: PressId | None = None) -> bytes:
        """
        Post *body* to *path* under *key* (a new one by default) until it is answered.

        Raises:
            QueueError: as refused.  Unanswered: no answer until the deadline; repeat with its key.
        """
        return await self._until_answered("POST", path, msgspec.json.encode(body), key or new_key())

    async def _until_answered(self, method: str, path: str, body: bytes = b"", key: str = "") -> bytes:
        """Send, and send again while the outcome is unknown or the service asks for patience."""
        end_s = time.monotonic() + self._deadline_s
        pause_s = FIRST_PAUSE_S
        number = 0
        while True:
            number += 1
            answer = await self._once(method, path, body, key, number)
            if 200 <= answer.status < 300:
                return answer.body
            if answer.status and answer.status not in (429, 502, 503, 504):
                raise refusal(answer.status, answer.body)
            # Full jitter, so that forty consoles cut off together do not come back together.
            wait_s = answer.retry_after_s + random.uniform(0, pause_s)
            if time.monotonic() + wait_s >= end_s:
                if answer.status:
                    raise refusal(answer.status, answer.body, answer.retry_after_s)
                raise Unanswered(key, number, answer.body.decode(errors="replace"))
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _once(self, method: str, path: str, body: bytes, key: str, number: int) -> _Answer:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        headers = self.identity()
        if method == "POST":
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        sent_ns = time.monotonic_ns()
        try:
            async with self._session.request(
                method, self._api + path, data=body or None, headers=headers, timeout=self._timeout
            ) as response:
                content = await response.read()
                answer = _Answer(response.status, content, _seconds(response.headers.get("Retry-After")))
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
            answer = _Answer(0, f"{type(error).__name__}: {error}".encode(), 0.0)
        if key and self._on_attempt is not None:
            self._on_attempt(
                Attempt(
                    key=key,
                    path=path,
                    body=body,
                    number=number,
                    sent_ns=sent_ns,
                    done_ns=time.monotonic_ns(),
                    status=answer.status,
                    answer=answer.body,
                )
            )
        return answer


def _seconds(retry_after: str | None) -> float:
    """`Retry-After` in seconds; its date form is rare enough to be read as one second."""
    if retry_after is None:
        return 0.0
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return 1.0


class CounterClient(Link):
    """
    One counter, seen by the officer who sits there.

    Example::

        async with CounterClient("http://127.0.0.1:8080", "demo-xa", "q01") as counter:
            await counter.sign_in("lan", password)
            await counter.open()
            reply = await counter.call_next()
            if reply.ticket is not None:          # None: nobody waits
                await counter.start()
                await counter.complete()

    Every press takes ``key``: give the same one to repeat a press whose answer was lost.
    """

    def __init__(self, base_url: str, centre: str, counter: str, **link: Any) -> None:
        super().__init__(base_url, **link)
        self.centre = centre
        self.counter = counter
        self.path = f"/centres/{centre}/counters/{counter}"

    async def view(self) -> CounterView:
        """What the officer sees now: seat, ticket, lines, parked tickets."""
        return msgspec.json.decode(await self.read(self.path), type=CounterView)

    async def press(
        self, button: Button, body: Mapping[str, Any] | None = None, key: PressId | None = None
    ) -> PressReply:
        """Press *button*.  The methods below say what each one takes."""
        return msgspec.json.decode(await self.change(f"{self.path}/{button}", body or {}, key), type=PressReply)

    async def open(self, *, take_over: bool = False, key: PressId | None = None) -> PressReply:
        """
        Take the seat, or end a pause.

        Raises:
            SeatTaken: another officer sits there; *take_over* takes the seat from them.
        """
        return await self.press(Button.OPEN, {"take_over": True} if take_over else {}, key)

    async def pause(self, reason: str, *, key: PressId | None = None) -> PressReply:
        """Stop calling for a while; the visitor at the counter stays."""
        return await self.press(Button.PAUSE, {"reason": reason}, key)

    async def close_counter(self, *, key: PressId | None = None) -> PressReply:
        """Stop calling and leave the seat."""
        return await self.press(Button.CLOSE, {}, key)

    async def call_next(self, *, key: PressId | None = None) -> PressReply:
        """
        Call whoever is due; ``ticket`` is None when nobody waits.

        Raises:
            CounterBusy: a ticket is already at the counter.  CounterClosed, CounterPaused: open it first.
        """
        return await self.press(Button.CALL_NEXT, {}, key)

    async def call(self, ticket: str, *, reason: str | None = None, key: PressId | None = None) -> PressReply:
        """Call a chosen ticket, by id or printed number, out of turn and on record."""
        return await self.press(Button.CALL, _said(ticket=ticket, reason=reason), key)

    async def recall(self, *, key: PressId | None = None) -> PressReply:
        """Announce the called ticket again, everywhere."""
        return await self.press(Button.RECALL, {}, key)

    async def start(self, *, key: PressId | None = None) -> PressReply:
        """The visitor has sat down."""
        return await self.press(Button.START, {}, key)

    async def complete(
        self, done: Mapping[str, int] | None = None, outcome: str | None = None, *, key: PressId | None = None
    ) -> PressReply:
        """
        The visitor is served.

        Args:
            done: procedure -> dossiers of it.
            outcome: of the centre's list.

        Raises:
            RecordMissing: the centre wants to know what was done.  UnknownProcedure: not in its catalogue.
        """
        items = [{"procedure": code, "dossiers": dossiers} for code, dossiers in (done or {}).items()]
        return await self.press(Button.COMPLETE, _said(done=items or None, outcome=outcome), key)

    async def no_show(self, *, key: PressId | None = None) -> PressReply:
        """
        Called and absent.

        Raises:
            TooEarlyNoShow: call again first, as often as the centre's policy asks.
        """
        return await self.press(Button.NO_SHOW, {}, key)

    async def park(self, reason: str, *, until_ms: int | None = None, key: PressId | None = None) -> PressReply:
        """Set the visitor aside, who fetches a paper and means to be back at *until_ms*."""
        return await self.press(Button.PARK, _said(reason=reason, until_ms=until_ms), key)

    async def resume(self, ticket: str, *, key: PressId | None = None) -> PressReply:
        """Call a parked ticket back."""
        return await self.press(Button.RESUME, {"ticket": ticket}, key)

    async def transfer(
        self,
        *,
        service: str | None = None,
        counter: str | None = None,
        officer: str | None = None,
        note: str | None = None,
        key: PressId | None = None,
    ) -> PressReply:
        """
        Send the visitor on to another service, to one counter or to an officer, with number and age.

        Raises:
            OfficerNotSeated: who is meant sits at no counter now.
        """
        wish = _said(service=service, counter=counter, officer=officer, note=note)
        return await self.press(Button.TRANSFER, wish, key)

    async def note(self, text: str | None, *, key: PressId | None = None) -> PressReply:
        """Keep *text* on the ticket in hand, for staff; None takes the note away."""
        return await self.press(Button.NOTE, _said(text=text), key)

    async def ask_help(self, text: str | None = None, *, key: PressId | None = None) -> PressReply:
        """Ask a supervisor to come; asking again changes the words."""
        return await self.press(Button.ASK_HELP, _said(text=text), key)

    async def answer_help(self, text: str | None = None, *, key: PressId | None = None) -> PressReply:
        """Nobody is needed any more; or, as a supervisor, say who comes."""
        return await self.press(Button.ANSWER_HELP, _said(text=text), key)

    async def send_message(self, text: str, *, key: PressId | None = None) -> None:
        """
        Write to the supervisors.

        Raises:
            InboxFull: too much lies there that they have not read.
        """
        await self.change(f"/centres/{self.centre}/messages", {"text": text, "counter": self.counter}, key)

    async def mark_read(self, message: int, *, key: PressId | None = None) -> None:
        """Put a message away."""
        body = {"message": message, "counter": self.counter}
        await self.change(f"/centres/{self.centre}/messages/read", body, key)

    async def undo(self, *, key: PressId | None = None) -> PressReply:
        """
        Take back the last step of this counter.

        Raises:
            UndoExpired: its seconds are over.  NothingToUndo: there is none.
        """
        return await self.press(Button.UNDO, {}, key)


class KioskClient(Link):
    """
    A kiosk or a guidance desk: hands out tickets and marks what happened to the slip.

    Example::

        async with KioskClient("http://127.0.0.1:8080", "demo-xa", token=device_token) as kiosk:
            ticket = await kiosk.issue("tpht", cls="priority", ground="elderly")
            print(ticket.number, ticket.ahead)
            await kiosk.printed(ticket.id)
    """

    def __init__(self, base_url: str, centre: str, **link: Any) -> None:
        super().__init__(base_url, **link)
        self.centre = centre
        self._path = f"/centres/{centre}/tickets"

    async def issue(
        self,
        service: str,
        *,
        cls: str | None = None,
        ground: str | None = None,
        language: str | None = None,
        procedure: str | None = None,
        key: PressId | None = None,
    ) -> TicketView:
        """
        A place in the line of *service*.

        Raises:
            IssuingClosed: tickets are not issued now.  NumbersExhausted: the department's numbers of today are used up.
        """
        wish = _said(service=service, ground=ground, language=language, procedure=procedure)
        return await self._ticket("", wish | ({} if cls is None else {"class": cls}), key)

    async def printed(self, ticket: str, *, key: PressId | None = None) -> TicketView:
        """The slip is on paper."""
        return await self._ticket(f"/{ticket}/printed", {}, key)

    async def cancel(self, ticket: str, *, key: PressId | None = None) -> TicketView:
        """The visitor gives up the place."""
        return await self._ticket(f"/{ticket}/cancel", {}, key)

    async def revive(self, ticket: str, *, key: PressId | None = None) -> TicketView:
        """The visitor is back: the ticket waits again."""
        return await self._ticket(f"/{ticket}/revive", {}, key)

    async def late(self, ticket: str, *, key: PressId | None = None) -> TicketView:
        """The visitor will be late: some people pass."""
        return await self._ticket(f"/{ticket}/late", {}, key)

    async def look(self, ticket: str) -> TicketView:
        """The ticket as it stands; knowing its id is the right to see it."""
        return msgspec.json.decode(await self.read(f"{self._path}/{ticket}"), type=_TicketAnswer).ticket

    async def _ticket(self, path: str, body: Mapping[str, Any], key: PressId | None) -> TicketView:
        return msgspec.json.decode(await self.change(self._path + path, body, key), type=_TicketAnswer).ticket
