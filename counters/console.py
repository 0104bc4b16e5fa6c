"""
The terminal console: an officer's whole day in a terminal of 80 by 24, by function keys and keypad.

Sign in, choose a counter, work; every question is awaited where it is asked.  It holds no rule of the hall: `press`
says which presses are live, `desk` keeps the counter current and the press in hand, `picture` says what stands where.
The library prompt_toolkit reads keys and writes only the cells that have changed, so nothing flickers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import quote

import aiohttp
import msgspec
from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth, Output
from prompt_toolkit.styles import Style

from counters import picture
from counters.asking import MOST_LISTED, Asking, Recording
from counters.building import Building, Procedure
from counters.client import CounterClient, Unanswered
from counters.desk import Desk, Hall, Link, link_of, read_building
from counters.memory import Held, Keep
from counters.picture import Question, Sight
from counters.practice import OFFICER, PracticeHall
from counters.press import Button, PressReply, SeatView, numbers_meant, primary, rings_left
from queue_service.clock import SystemClock
from queue_service.errors import (
    Later,
    Malformed,
    NewPasswordRequired,
    NotSignedIn,
    QueueError,
    SeatTaken,
    SecondFactorRequired,
    SignInRequired,
    WrongPassword,
)
from queue_service.follower import FIRST_RETURN_S
from queue_service.texts import LANGUAGES, Language, t

SAME_STRIKE_S: Final = 0.6
"""A second strike within this time is the same strike, whatever the key has come to mean meanwhile."""
NOTICEABLE_MS: Final = 500
"""A press is "on its way" only when one can notice it."""
RETRY_S: Final = 3.0
SEATS_EVERY_S: Final = 10.0
SEARCH_AFTER_S: Final = 0.2
PRIMARY: Final = "primary"

KEYS: Final[Mapping[str, str]] = {
    "enter": PRIMARY,
    "f2": Button.CALL_NEXT,
    "f4": Button.RECALL,
    "f8": Button.NO_SHOW,
    "f9": Button.COMPLETE,
    "f10": Button.TRANSFER,
    "+": Button.RECALL,
    "-": Button.NO_SHOW,
    "*": Button.TRANSFER,
    "/": Button.PARK,
    "insert": Button.NOTE,
    "delete": Button.UNDO,
    "home": Button.ASK_HELP,
    "pagedown": Button.RESUME,
}
"""Key -> press, or PRIMARY; the same as on the page.  No letter is a key: Vietnamese input methods rewrite letters."""

PARK_REASONS: Final = ("console.park-papers", "console.park-fee", "console.park-signature", "console.park-away")
PARK_MINUTES: Final = (0, 15, 30, 60)
HELP_REASONS: Final = ("console.help-decide", "console.help-machine", "console.help-visitor", "console.help-language")
PAUSE_REASONS: Final = (
    "console.pause-break",
    "console.pause-paperwork",
    "console.pause-meeting",
    "console.pause-machine",
)

STYLE: Final = Style.from_dict(
    {
        "head": "reverse bold",
        "lost": "reverse bold ansired",
        "title": "bold",
        "hero": "reverse bold",
        "number": "bold",
        "mark": "bold",
        "warn": "bold ansiyellow",
        "late": "bold ansired",
        "alert": "bold",
        "key": "bold",
        "chosen": "reverse",
        "field": "bold",
    }
)

PRACTICE: Final = "practice"
Left = Literal["seats", "signed-out", "taken", "sign-out", "practice"]
"""Why somebody leaves a desk."""


class KeysNotUnderstood(ValueError):
    """The map of keys cannot be understood; the text says which part."""


def keys_of(text: str) -> dict[str, str]:
    """
    KEYS with what *text* changes: ``"f13=primary f14=recall"``, for pads with keys of their own.

    Raises:
        KeysNotUnderstood: a part is no key, or no press.
    """
    names = {str(key.value) for key in Keys} | set("+-*/=,;'`[]\\")
    known = dict(KEYS)
    for part in text.split():
        key, _, what = part.partition("=")
        if key not in names or what not in (PRIMARY, *Button):
            raise KeysNotUnderstood(f"{part!r}: write a key such as f13, =, and {PRIMARY} or a press such as recall")
        known[key] = what
    return known


class Console:
    """
    One officer at one terminal.

    Args:
        client: of the centre; its counter is chosen here.
        name, password: for a first sign-in without asking; empty: they are asked for.
        keys: key -> press, as `keys_of` gives it.
        practice: only practise; no service is asked for anything.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        centre: str,
        keep: Keep,
        *,
        token: str | None = None,
        name: str = "",
        password: str = "",
        counter: str = "",
        language: Language | None = None,
        keys: Mapping[str, str] = KEYS,
        color_depth: ColorDepth | None = None,
        input: Input | None = None,
        output: Output | None = None,
        first_return_s: float = FIRST_RETURN_S,
        practice: bool = False,
    ) -> None:
        memory = keep.read()
        self._session, self._base_url, self._centre, self._keep = session, base_url, centre, keep
        self._token, self._name, self._password = token, name or memory.name, password
        self._counter = counter or memory.counter
        self._language: Language = language or memory.language or "vi"
        self._keys, self._first_return_s = keys, first_return_s
        self._building: Building | None = None
        self._asking: Asking | None = None
        self._desk: Desk | None = None
        self._left: asyncio.Future[Left] | None = None
        self._message = ""
        self._loading = ""
        self._typed, self._letter = "", 0
        self._struck_s = self._primary_since_s = -SAME_STRIKE_S
        self._primary: Button | None = None
        self._closed_by: tuple[str, float] = "", 0.0
        self._opened_by: tuple[str, float] = "", 0.0
        self._after_close: Left | None = None
        self._is_practice = practice
        self._rung_for: set[str] = set()
        self._names: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._searching: asyncio.Task[None] | None = None
        bindings = KeyBindings()
        bindings.add("<any>")(self._on_key)
        window = Window(
            FormattedTextControl(self._fragments, focusable=True, show_cursor=False), always_hide_cursor=True
        )
        self._app: Application[None] = Application(
            Layout(window),
            key_bindings=bindings,
            style=STYLE,
            full_screen=True,
            color_depth=color_depth,
            input=input,
            output=output,
            refresh_interval=1.0,  # the clock and the stopwatch
        )
        self._app.ttimeoutlen = 0.1  # Esc alone is a key here, and it does not wait for half a second

    async def run(self) -> None:
        """
        An officer's day, until they leave.

        Raises:
            QueueError: the service has no such centre.
        """
        self._app.pre_run_callables.append(lambda: self._spawn(self._day()))
        try:
            await self._app.run_async()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._desk is not None:
                await self._desk.stop()

    # ── the day ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _day(self) -> None:
        if self._is_practice:
            await self._practise()
            return self._app.exit()
        client = self._client("")
        self._building = await self._patiently(lambda: read_building(client))
        why = ""
        while True:
            officer = await self._officer(client, why)
            if officer is None:
                return self._app.exit()
            why, left = "", "seats"
            seat = self._counter if await self._holds(client, self._counter, officer) else ""
            while left in ("seats", "taken", "practice"):
                seat = seat or await self._choose_seat(client, officer) or ""
                if not seat:
                    left = "sign-out"
                    break
                if seat != PRACTICE:
                    self._counter = seat
                    self._remember(counter=seat)
                    there = self._at(client, seat)
                    left = await self._sit(
                        there, link_of(there, self._session, self._first_return_s), officer, self._keep
                    )
                if PRACTICE in (seat, left):
                    await self._practise()
                seat = self._counter if left == PRACTICE else ""
            if left == "sign-out":
                await self._sign_out(client)
            else:
                why = t(self._language, "console.signed-out")

    def _client(self, counter: str) -> CounterClient:
        """A client whose requests are tried once: what is repeated, and how long, is decided here."""
        return CounterClient(
            self._base_url, self._centre, counter, session=self._session, token=self._token, deadline_s=0.0
        )

    async def _patiently(self, ask: Callable[[], Awaitable[Building]]) -> Building:
        """Ask until somebody answers."""
        while True:
            try:
                return await ask()
            except (Unanswered, Later):
                self._loading = t(self._language, "console.connecting")
                self._app.invalidate()
                await asyncio.sleep(RETRY_S)

    async def _officer(self, client: CounterClient, why: str) -> str | None:
        """Who sits here: by the token that was given, by name and password, or by asking; None: nobody any more."""
        trouble = why
        while True:
            try:
                if client.token() is None or trouble:
                    name, password = self._name, self._password
                    if not (name and password):
                        asked = await self._ask_name(trouble)
                        if asked is None:
                            return None
                        name, password = asked
                    self._password = ""  # tried once; a wrong one is not tried again and again
                    self._name = name
                    self._loading = t(self._language, "console.connecting")
                    if not await self._prove(client, name, password):
                        trouble = ""
                        continue
                    self._remember(name=name)
                user = msgspec.json.decode(await client.read("/session"), type=_SessionView).user
                self._names[user.name] = user.display_name or user.name
                return user.name
            except WrongPassword:
                trouble = t(self._language, "shared.wrong-password")
            except SignInRequired:
                trouble = t(self._language, "console.signed-out")
            except (Unanswered, Later):
                trouble = t(self._language, "shared.no-answer")
            except QueueError as refusal:
                trouble = self._sentence(refusal)

    async def _ask_name(self, trouble: str) -> tuple[str, str] | None:
        title = t(self._language, "console.sign-in")
        hint = t(self._language, "terminal.sign-in-keys")
        name = await self._ask(
            Question(
                title=title,
                field=t(self._language, "shared.user-name"),
                typed=self._name,
                trouble=trouble,
                hint=hint,
            )
        )
        if name is None:
            return None
        password = await self._ask(
            Question(
                title=title,
                lines=(f"{t(self._language, 'shared.user-name')}: {name}",),
                field=t(self._language, "shared.password"),
                is_secret=True,
                hint=t(self._language, "terminal.password-hidden"),
            )
        )
        return await self._ask_name("") if password is None else (name, password)

    async def _prove(self, client: CounterClient, name: str, password: str) -> bool:
        """Sign in, with whatever the service asks for besides; whether the officer went on to the end."""
        code = new_password = None
        while True:
            try:
                await client.sign_in(name, password, code=code, new_password=new_password)
            except SecondFactorRequired:
                code = await self._ask_code("")
                if code is None:
                    return False
            except NewPasswordRequired:
                new_password = await self._ask_new_password("")
                if new_password is None:
                    return False
            except WrongPassword:
                if code is None:
                    raise
                code = await self._ask_code(t(self._language, "shared.wrong-code"))
                if code is None:
                    return False
            except Malformed:
                if new_password is None:
                    raise
                new_password = await self._ask_new_password(t(self._language, "shared.password-form"))
                if new_password is None:
                    return False
            else:
                return True

    async def _ask_code(self, trouble: str) -> str | None:
        code = await self._ask(
            Question(
                title=t(self._language, "console.sign-in"),
                lines=(t(self._language, "shared.code-hint"),),
                field=t(self._language, "shared.code"),
                trouble=trouble,
                hint=t(self._language, "terminal.code-keys"),
            )
        )
        return None if code is None else str(code)

    async def _ask_new_password(self, trouble: str) -> str | None:
        """A password of one's own, typed twice, in place of the one that an administrator made."""
        while True:
            words: list[str] = []
            for field_key in ("shared.new-password", "shared.new-password-again"):
                word = await self._ask(
                    Question(
                        title=t(self._language, "shared.new-password-why"),
                        lines=(t(self._language, "shared.new-password-hint"),),
                        field=t(self._language, field_key),
                        is_secret=True,
                        trouble=trouble,
                        hint=t(self._language, "terminal.password-hidden"),
                    )
                )
                if word is None:
                    return None
                words.append(word)
                trouble = ""
            if words[0] == words[1]:
                return words[0]
            trouble = t(self._language, "shared.passwords-differ")

    async def _sign_out(self, client: CounterClient) -> None:
        with suppress(QueueError, Unanswered):  # the session ends by itself, too
            await client.sign_out()
        self._token = None

    async def _holds(self, client: CounterClient, counter: str, officer: str) -> bool:
        """Whether *officer* sits at *counter* already, so that nothing has to be chosen."""
        if not counter:
            return False
        try:
            return (await self._at(client, counter).view()).counter.officer == officer
        except (QueueError, Unanswered):
            return False

    def _at(self, client: CounterClient, counter: str) -> CounterClient:
        there = self._client(counter)
        there.act_as(client)
        return there

    async def _choose_seat(self, client: CounterClient, officer: str) -> str | None:
        """The plan of the hall; a taken seat asks before it changes hands."""
        trouble = ""
        while True:
            seats = await self._seats(client)
            asking = self._put(
                Question(
                    title=t(self._language, "console.choose-counter", name=self._called(officer)),
                    choices=self._seat_choices(seats, officer),
                    at=next((n for n, seat in enumerate(seats) if seat.id == self._counter), 0),
                    field=t(self._language, "terminal.find-counter"),
                    trouble=trouble,
                    hint=t(self._language, "terminal.choose-keys"),
                ),
                [*(seat.id for seat in seats), PRACTICE],
                searches=True,
            )
            refreshing = asyncio.create_task(self._refresh_seats(client, officer, asking))
            try:
                counter = await self._await(asking)
            finally:
                refreshing.cancel()
            if counter is None:
                return None
            if counter == PRACTICE:
                return PRACTICE
            holder = next((seat.officer for seat in await self._seats(client) if seat.id == counter), None)
            take_over = holder is not None and holder != officer
            if take_over and not await self._ask_take_over(counter, holder):
                continue
            try:
                await self._at(client, counter).open(take_over=take_over)
            except SeatTaken:
                if not await self._ask_take_over(counter, None):
                    continue
                trouble = await self._take_over(client, counter)
                if not trouble:
                    return str(counter)
            except (Unanswered, Later):
                trouble = t(self._language, "shared.no-answer")
            except NotSignedIn:
                return None
            except QueueError as refusal:
                trouble = self._sentence(refusal)
            else:
                return str(counter)

    async def _take_over(self, client: CounterClient, counter: str) -> str:
        """Take the seat; what went wrong, if anything."""
        try:
            await self._at(client, counter).open(take_over=True)
        except (Unanswered, Later):
            return t(self._language, "shared.no-answer")
        except QueueError as refusal:
            return self._sentence(refusal)
        return ""

    async def _ask_take_over(self, counter: str, holder: str | None) -> bool:
        number = self._number(counter)
        says = (
            t(self._language, "console.take-over-somebody")
            if holder is None
            else t(self._language, "console.take-over-from", name=self._called(holder))
        )
        return bool(
            await self._choose(
                t(self._language, "console.take-over-title", number=number),
                [(t(self._language, "console.stay-away"), False), (t(self._language, "console.take-over"), True)],
                lines=(says,),
            )
        )

    async def _seats(self, client: Hall) -> tuple[SeatView, ...]:
        try:
            answer = await client.read(f"/centres/{self._centre}/counters")
        except (QueueError, Unanswered):
            return self._seats_without_answer()
        seen = msgspec.json.decode(answer, type=_SeatsView)
        self._names |= seen.names
        return seen.counters

    def _called(self, account: str) -> str:
        """What the owner of *account* is called, as far as the service has said."""
        return self._names.get(account, account)

    def _seats_without_answer(self) -> tuple[SeatView, ...]:
        """Nobody says who sits where: the counters are those of the centre, and opening one will tell."""
        counters = self._building.counters if self._building is not None else ()
        return tuple(SeatView(id=counter.id, number=counter.number, state="closed") for counter in counters)

    async def _refresh_seats(self, client: CounterClient, officer: str, asking: Asking) -> None:
        while True:
            await asyncio.sleep(SEATS_EVERY_S)
            seats = await self._seats(client)
            asking.offer(self._seat_choices(seats, officer), [*(seat.id for seat in seats), PRACTICE])
            self._app.invalidate()

    def _seat_choices(self, seats: Sequence[SeatView], officer: str) -> tuple[tuple[str, str, str], ...]:
        """The seats, and the practice hall below them."""
        rows = ((str(seat.number), self._work_of(seat.id), self._holder(seat, officer)) for seat in seats)
        return (*rows, ("", t(self._language, "console.practice-try"), ""))

    def _work_of(self, counter: str) -> str:
        assert self._building is not None
        place = self._building.counter(counter)
        lines = [line for line in place.serves if line.level == 1] if place is not None else []
        return " · ".join(self._building.service(line.service).says(self._language) for line in lines)

    def _holder(self, seat: SeatView, officer: str) -> str:
        if seat.officer == officer:
            said = t(self._language, "console.seat-yours")
        elif seat.officer is not None:
            said = t(self._language, "console.seat-held", name=self._called(seat.officer))
        else:
            said = t(self._language, "console.seat-free")
        return f"{said} · {t(self._language, 'console.seat-last')}" if seat.id == self._counter else said

    async def _practise(self) -> None:
        """Work in an invented hall until the officer has had enough; nothing of it is remembered."""
        was, kept, counter = self._building, self._is_practice, self._counter
        hall = PracticeHall(SystemClock())
        self._building, self._is_practice, self._counter = hall.building, True, hall.counter
        try:
            await self._sit(hall, hall, OFFICER, None)
        finally:
            self._building, self._is_practice, self._counter = was, kept, counter

    # ── at the desk ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _sit(self, hall: Hall, link: Link, officer: str, keep: Keep | None) -> Left:
        """Work at the counter of *hall* until the officer leaves, is signed out, or somebody takes the seat over."""
        assert self._building is not None
        self._left = asyncio.get_running_loop().create_future()
        self._message, self._typed, self._primary = "", "", None
        self._desk = desk = Desk(
            hall,
            link,
            self._building,
            officer,
            keep,
            changed=self._on_change,
            refused=self._on_refusal,
            done=self._on_done,
        )
        desk.start(self._fail)
        try:
            left = await self._left
        finally:
            await desk.stop()
            self._desk = None
            if self._asking is not None:
                self._asking.take("escape", "")
        if left == "taken":
            await self._choose(
                t(
                    self._language,
                    "console.seat-lost",
                    name=self._called(desk.lost_to or ""),
                    number=self._number(hall.counter),
                ),
                [(t(self._language, "console.change-counter"), None)],
                lines=(t(self._language, "console.seat-lost-hint"),),
            )
        return left

    def _leave(self, left: Left) -> None:
        if self._left is not None and not self._left.done():
            self._left.set_result(left)

    def _on_change(self) -> None:
        desk = self._desk
        if desk is None:
            return
        self._building = desk.building
        if desk.is_signed_out:
            self._leave("signed-out")
        elif desk.lost_to is not None:
            self._leave("taken")
        if desk.view is not None:
            self._names |= desk.view.names
            now = primary(desk.view)
            if self._primary is not None and now is not self._primary:
                self._primary_since_s = time.monotonic()
            self._primary = now
        called = desk.called
        if called is not None and called.why.rule == "ready":
            self._ring_for(called.ticket)
        for ticket in desk.view.parked if desk.view is not None else ():
            if ticket.park_until_ms and ticket.park_until_ms <= desk.now_ms:
                self._ring_for(f"{ticket.id} {ticket.park_until_ms}")
        self._app.invalidate()

    def _ring_for(self, what: str) -> None:
        """Ring once for each."""
        if what not in self._rung_for:
            self._rung_for.add(what)
            self._app.output.bell()

    def _on_done(self, held: Held, _: PressReply) -> None:
        if held.button == Button.CLOSE and self._after_close is not None:
            self._leave(self._after_close)
        self._after_close = None

    def _on_refusal(self, held: Held, refusal: QueueError) -> None:
        what = picture.label(self._language, Button(held.button))
        self._message = t(self._language, "console.not-done", what=what, why=self._sentence(refusal))
        self._after_close = None

    def _sentence(self, refusal: QueueError) -> str:
        said = picture.sentence(self._language, refusal.code)
        return said if refusal.code in said else f"{said} ({refusal.code})"

    def _strike(self, button: Button, body: dict[str, Any] | None = None) -> None:
        """A finger came down on *button*; what it needs to know is asked first."""
        desk = self._desk
        if desk is None or desk.view is None or desk.held is not None:
            return
        if time.monotonic() - self._struck_s < SAME_STRIKE_S:
            return
        missing = rings_left(desk.view, desk.building.policy.calls_before_no_show)
        if button is Button.NO_SHOW and missing:
            self._say(t(self._language, "console.no-show-early", n=missing))
            return
        if button is Button.ASK_HELP and body is None and Button.ANSWER_HELP in desk.live:
            button = Button.ANSWER_HELP
        if button not in desk.live:
            return
        if body is None and (ask := self._question_of(desk, button)) is not None:
            self._spawn(ask())
            return
        self._struck_s = time.monotonic()
        self._message = ""
        desk.strike(button, body or {})

    def _question_of(self, desk: Desk, button: Button) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """What has to be said before this press can be sent."""
        if button is Button.COMPLETE and desk.building.policy.record == "off":
            return None
        questions: dict[Button, Callable[[], Coroutine[Any, Any, None]]] = {
            Button.TRANSFER: self._transfer,
            Button.PARK: self._park,
            Button.PAUSE: self._pause,
            Button.COMPLETE: self._complete,
            Button.NOTE: self._note_down,
            Button.RESUME: self._resume,
            Button.ASK_HELP: self._help,
        }
        return questions.get(button)

    def _settle(self, button: Button, body: dict[str, Any]) -> None:
        """The answer to a question is the press itself."""
        self._struck_s = -SAME_STRIKE_S
        self._strike(button, body)

    def _strike_primary(self) -> None:
        desk = self._desk
        if desk is None or desk.view is None:
            return
        if self._typed:
            self._call_typed(desk)
        elif time.monotonic() - self._primary_since_s >= SAME_STRIKE_S:
            button = primary(desk.view)
            # Enter completes at once where the centre leaves it to the officer what to say; F9 asks.
            at_once = button is Button.COMPLETE and desk.building.policy.record != "required"
            self._strike(button, {} if at_once else None)

    def _call_typed(self, desk: Desk) -> None:
        chosen = self._chosen(desk)
        if chosen is None:
            self._say(t(self._language, "console.number-unclear"))
        elif Button.CALL not in desk.live:
            is_busy = desk.view is not None and desk.view.ticket is not None
            self._say(t(self._language, "shared.refused-counter-busy" if is_busy else "shared.refused-counter-closed"))
        else:
            self._strike(Button.CALL, {"ticket": chosen, "reason": t("vi", "console.call-reason")})
            self._typed = ""

    def _meant(self, desk: Desk) -> tuple[str, ...]:
        return numbers_meant(self._typed, desk.building.letters(desk.client.counter))

    def _chosen(self, desk: Desk) -> str | None:
        meant = self._meant(desk)
        return meant[self._letter % len(meant)] if meant else None

    def _say(self, text: str) -> None:
        self._message = text
        self._app.invalidate()

    # ── questions at the desk ────────────────────────────────────────────────────────────────────────────────────

    async def _park(self) -> None:
        """Why, with one digit; and before that, if it is known, when the visitor means to be back."""
        desk = self._desk
        if desk is None:
            return
        reasons = [t(self._language, key) for key in PARK_REASONS]
        times = [t(self._language, "console.park-minutes", n=minutes) for minutes in PARK_MINUTES[1:]]
        asking = self._put(
            Question(
                title=t(self._language, "console.park-title", number=self._in_hand()),
                choices=tuple((str(n), reason, "") for n, reason in enumerate(reasons, 1)),
                field=t(self._language, "console.other-reason"),
                turn=f"{t(self._language, 'console.park-back')} (/)",
                turn_keys=frozenset({"/"}),
                turns=(t(self._language, "console.park-no-time"), *times),
                hint=t(self._language, "terminal.pick-keys"),
            ),
            reasons,
        )
        reason = await self._await(asking)
        if reason:
            minutes = PARK_MINUTES[asking.asked.turned]
            until = {"until_ms": desk.now_ms + minutes * 60_000} if minutes else {}
            self._settle(Button.PARK, {"reason": reason, **until})

    async def _complete(self) -> None:
        """What was done: procedures and dossiers of each, and the outcome."""
        desk = self._desk
        if desk is None or desk.view is None or desk.view.ticket is None:
            return
        policy, ticket = desk.building.policy, desk.view.ticket
        asking = Recording(
            asked=Question(
                title=t(self._language, "console.record-title", number=ticket.number),
                field=t(self._language, "console.record-search"),
                turn=f"{t(self._language, 'console.record-outcome')} (*)",
                turn_keys=frozenset({"*", "f10"}),
                turns=tuple(outcome.says(self._language) for outcome in policy.outcomes),
                hint=t(self._language, "terminal.record-keys"),
            ),
            search=lambda words: self._search(desk, asking, words),
            said=lambda count: t(self._language, "console.record-dossiers", n=count),
            needs_one=policy.record == "required",
            refusal=t(self._language, "shared.refused-record-missing"),
        )
        self._asking = asking
        self._search(desk, asking, "", first=ticket.procedure)
        done = await self._await(asking)
        if done is not None:
            outcome = {"outcome": policy.outcomes[asking.asked.turned].id} if policy.outcomes else {}
            self._settle(Button.COMPLETE, ({"done": done} if done else {}) | outcome)

    def _search(self, desk: Desk, asking: Recording, words: str, *, first: str | None = None) -> None:
        """Look for procedures, once the typing has paused; nothing typed: the usual ones of this counter."""
        if self._searching is not None:
            self._searching.cancel()

        async def look() -> None:
            if words:
                await asyncio.sleep(SEARCH_AFTER_S)
            centre, query = f"/centres/{desk.client.centre}", f"language={self._language}"
            path = (
                f"{centre}/procedures?q={quote(words)}&limit={MOST_LISTED}&{query}"
                if words
                else f"{desk.client.path}/procedures?{query}"
            )
            try:
                found = msgspec.json.decode(await desk.client.read(path), type=_ProceduresView).procedures
            except (QueueError, Unanswered):
                key = "record-unread-required" if asking.needs_one else "record-unread"
                asking.complain(t(self._language, f"console.{key}"))
            else:
                asking.found(found)
                if first:
                    asking.add(first)
            self._app.invalidate()

        self._searching = asyncio.create_task(look())
        self._watch(self._searching)

    async def _note_down(self) -> None:
        """A word about the visitor in hand; nothing takes the note away."""
        view = self._desk.view if self._desk is not None else None
        if view is None or view.ticket is None:
            return
        text = await self._ask(
            Question(
                title=t(self._language, "console.note-title", number=view.ticket.number),
                field=t(self._language, "console.note-label"),
                typed=view.ticket.note or "",
                hint=t(self._language, "terminal.note-keys"),
            )
        )
        if text is not None and (text or view.ticket.note):
            self._settle(Button.NOTE, {"text": text} if text else {})

    async def _pause(self) -> None:
        await self._ask_reason(Button.PAUSE, t(self._language, "console.pause-title"), PAUSE_REASONS)

    async def _ask_reason(self, button: Button, title: str, keys: Sequence[str], field: str = "reason") -> None:
        reasons = [t(self._language, key) for key in keys]
        reason = await self._choose(
            title, [(reason, reason) for reason in reasons], field=t(self._language, "console.other-reason")
        )
        if reason:
            self._settle(button, {field: reason})

    async def _transfer(self) -> None:
        """Where to?  One search over services, counters and officers; then a note, which may be left out."""
        desk = self._desk
        if desk is None or desk.view is None or desk.view.ticket is None:
            return
        building, ticket = desk.building, desk.view.ticket
        choices: list[tuple[str, str, str]] = []
        wishes: list[dict[str, str]] = []
        for service in building.services:
            if service.id != ticket.service:
                department = building.department(service.department)
                name, of = service.says(self._language), department.says(self._language)
                choices.append((department.letter, name, of if of != name else ""))
                wishes.append({"service": service.id})
        for counter in building.counters:
            if counter.id != desk.client.counter:
                name = t(self._language, "console.to-counter", number=counter.number)
                choices.append((str(counter.number), name, self._work_of(counter.id)))
                wishes.append({"counter": counter.id})
        for seat in await self._seats(desk.client):
            if seat.officer is not None and seat.state != "closed" and seat.id != desk.client.counter:
                name = t(self._language, "console.to-officer", name=self._called(seat.officer))
                choices.append(
                    (str(seat.number), name, t(self._language, "console.to-officer-now", number=seat.number))
                )
                wishes.append({"officer": seat.officer})
        wish = await self._ask(
            Question(
                title=t(self._language, "console.transfer-title", number=ticket.number),
                choices=tuple(choices),
                field=t(self._language, "console.transfer-search"),
                hint=t(self._language, "terminal.choose-keys"),
            ),
            wishes,
            searches=True,
        )
        if wish is None:
            return
        to = choices[wishes.index(wish)][1]
        note = await self._ask(
            Question(
                title=t(self._language, "console.transfer-do", number=ticket.number, to=to),
                field=t(self._language, "console.transfer-note"),
                hint=t(self._language, "terminal.note-keys"),
            )
        )
        if note is not None:
            self._settle(Button.TRANSFER, wish | ({"note": note} if note else {}))

    async def _resume(self) -> None:
        desk = self._desk
        if desk is None or desk.view is None or not desk.view.parked:
            return
        parked = desk.view.parked
        ticket = await self._choose(
            t(self._language, "console.resume-title"),
            [(f"{one.number}  {one.park_reason or ''}", one.id) for one in parked],
        )
        if ticket is not None:
            self._settle(Button.RESUME, {"ticket": ticket})

    async def _close(self) -> None:
        desk = self._desk
        if desk is None or desk.view is None:
            return
        ticket = desk.view.ticket
        says = (
            t(self._language, "console.close-busy", number=ticket.number)
            if ticket is not None
            else t(self._language, "console.close-hint")
        )
        choices = [(t(self._language, "console.close"), "close"), (t(self._language, "console.stay"), "stay")]
        if desk.view.counter.state != "draining":
            choices.insert(1, (t(self._language, "console.close-drain"), "drain"))
        number = self._number(desk.client.counter)
        how = await self._choose(t(self._language, "console.close-title", number=number), choices, lines=(says,))
        if how in ("close", "drain"):
            self._settle(Button.CLOSE, {"drain": True} if how == "drain" else {})

    async def _ask_sign_out(self) -> None:
        desk = self._desk
        if desk is None or desk.view is None or Button.CLOSE not in desk.live:
            return self._leave("sign-out")
        ticket = desk.view.ticket
        says = (
            t(self._language, "console.sign-out-busy", number=ticket.number)
            if ticket is not None
            else t(self._language, "console.sign-out-open")
        )
        how = await self._choose(
            t(self._language, "shared.sign-out"),
            [
                (t(self._language, "console.sign-out-close"), "close"),
                (t(self._language, "console.sign-out-only"), "only"),
            ],
            lines=(says,),
        )
        if how == "close":
            self._after_close = "sign-out"
            self._settle(Button.CLOSE, {})
        elif how == "only":
            self._leave("sign-out")
        return None

    async def _help(self) -> None:
        await self._ask_reason(Button.ASK_HELP, t(self._language, "console.help-title"), HELP_REASONS, "text")

    async def _menu(self) -> None:
        """Everything that has no key of its own."""
        desk = self._desk
        if desk is None or desk.view is None:
            return
        live, view = desk.live, desk.view
        choices: list[tuple[str, Callable[[], Any]]] = []

        def offer(when: object, text: str, do: Callable[[], Any]) -> None:
            if when:
                choices.append((text, do))

        undo = picture.UNDO.get(view.counter.undo.press, "console.undo") if view.counter.undo else "console.undo"
        offer(Button.UNDO in live, t(self._language, undo), lambda: self._settle(Button.UNDO, {}))
        offer(Button.RESUME in live, t(self._language, "terminal.resume"), self._resume)
        offer(Button.PAUSE in live, t(self._language, "console.pause"), self._pause)
        offer(
            view.ticket is not None and Button.OPEN in live,
            t(self._language, "console.open"),
            lambda: self._settle(Button.OPEN, {}),
        )
        offer(Button.CLOSE in live, t(self._language, "console.close"), self._close)
        offer(Button.NOTE in live, t(self._language, "console.note-do"), self._note_down)
        is_asked = Button.ANSWER_HELP in live
        offer(Button.ASK_HELP in live and not is_asked, t(self._language, "console.ask-help"), self._help)
        offer(is_asked, t(self._language, "console.help-over"), lambda: self._settle(Button.ANSWER_HELP, {}))
        offer(view.messages, t(self._language, "terminal.mark-read"), lambda: self._mark_read(desk))
        offer(not self._is_practice, t(self._language, "console.change-counter"), lambda: self._leave("seats"))
        offer(True, t(self._language, "console.keys"), self._show_keys)
        for other, name in LANGUAGES.items():
            offer(other != self._language, name, partial(self._speak, other))
        if self._is_practice:
            offer(True, t(self._language, "console.practice-leave"), lambda: self._leave("seats"))
        else:
            offer(True, t(self._language, "console.practice"), lambda: self._leave(PRACTICE))
            offer(True, t(self._language, "shared.sign-out"), self._ask_sign_out)
        do = await self._choose(t(self._language, "console.menu"), choices)
        if do is not None:
            done = do()
            if asyncio.iscoroutine(done):
                await done

    async def _mark_read(self, desk: Desk) -> None:
        """Put the messages away, one after the other; what is not answered stays and can be put away again."""
        try:
            for letter in desk.view.messages if desk.view is not None else ():
                await desk.client.mark_read(letter.message)
        except (Unanswered, Later):
            self._say(t(self._language, "shared.no-answer"))
        except QueueError as refusal:
            self._say(self._sentence(refusal))
        desk.look()

    async def _show_keys(self) -> None:
        names = {key: [] for key in (*Button, PRIMARY)}  # type: dict[str, list[str]]
        for key, what in self._keys.items():
            names[what].append(key.upper() if len(key) > 1 else key)
        lines = [f"{' '.join(names[PRIMARY]):<10} {t(self._language, 'console.key-primary')}"]
        lines += [
            f"{' '.join(keys):<10} {picture.label(self._language, Button(what))}"
            for what, keys in names.items()
            if keys and what != PRIMARY
        ]
        lines += [
            f"{'0–9 ENTER':<10} {t(self._language, 'console.key-number')}",
            f"{'.':<10} {t(self._language, 'console.key-letter')}",
            f"{'TAB':<10} {t(self._language, 'console.menu')}",
            f"{'ESC':<10} {t(self._language, 'console.key-escape')}",
            f"{'CTRL-C':<10} {t(self._language, 'terminal.key-leave')}",
        ]
        await self._choose(
            t(self._language, "console.keys"), [(t(self._language, "console.understood"), None)], lines=tuple(lines)
        )

    def _speak(self, language: Language) -> None:
        self._language = language
        self._remember(language=language)

    def _in_hand(self) -> str:
        view = self._desk.view if self._desk is not None else None
        return view.ticket.number if view is not None and view.ticket is not None else ""

    def _number(self, counter: str) -> int:
        place = self._building.counter(counter) if self._building is not None else None
        return place.number if place is not None else 0

    def _remember(self, **changed: Any) -> None:
        try:
            self._keep.change(**changed)
        except OSError as error:
            self._message = t(self._language, "terminal.not-remembered", why=error.strerror or str(error))

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _choose(
        self, title: str, choices: Sequence[tuple[str, Any]], *, lines: tuple[str, ...] = (), field: str = ""
    ) -> Any:
        """One of a few, by digit or arrows; None: Esc."""
        marked = tuple((str(n), text, "") for n, (text, _) in enumerate(choices, 1))
        asked = Question(
            title=title,
            lines=lines,
            choices=marked,
            field=field,
            hint=t(self._language, "terminal.pick-keys"),
        )
        return await self._ask(asked, [value for _, value in choices])

    async def _ask(self, asked: Question, values: Sequence[Any] = (), *, searches: bool = False) -> Any:
        return await self._await(self._put(asked, values, searches=searches))

    def _put(self, asked: Question, values: Sequence[Any] = (), *, searches: bool = False) -> Asking:
        self._asking = Asking(asked=asked, values=values, searches=searches)
        self._app.invalidate()
        return self._asking

    async def _await(self, asking: Asking) -> Any:
        try:
            return await asking.answered
        finally:
            if self._asking is asking:
                self._asking = None
            self._app.invalidate()

    # ── keys and glass ───────────────────────────────────────────────────────────────────────────────────────────

    def _on_key(self, event: KeyPressEvent) -> None:
        press = event.key_sequence[0]
        sent = press.key.value if isinstance(press.key, Keys) else press.key
        key = _NAMES.get(sent, sent)
        is_text = press.key is Keys.BracketedPaste or (len(key) == 1 and key.isprintable())
        text = picture.clean(press.data) if press.key is Keys.BracketedPaste else press.data if is_text else ""
        now_s = time.monotonic()
        if key == "c-c":
            return self._app.exit()
        if self._asking is not None:
            asking = self._asking
            opened_by, at_s = self._opened_by
            if opened_by == key and now_s - at_s < SAME_STRIKE_S:  # held down: the strike that asked is not the answer
                self._opened_by = key, now_s
                return None
            asking.take(key, text)
            if asking.answered.done():
                self._closed_by = key, now_s
        elif self._closed_by[0] != key or now_s - self._closed_by[1] >= SAME_STRIKE_S:
            self._opened_by = key, now_s
            self._on_desk_key(key)
        self._app.invalidate()
        return None

    def _on_desk_key(self, key: str) -> None:
        desk = self._desk
        if desk is None:
            return
        what = self._keys.get(key)
        if what == PRIMARY:
            self._strike_primary()
        elif what is not None:
            self._strike(Button(what))
        elif key in ("tab", "end"):
            self._spawn(self._menu())
        elif key.isdecimal() and len(key) == 1 and len(self._typed) < 4:
            self._typed += key
        elif key == ".":
            self._letter += 1
        elif key == "backspace":
            self._typed = self._typed[:-1]
        elif key == "escape":
            if self._typed:
                self._typed = ""
            elif self._message:
                self._message = ""
            elif desk.unanswered_since_ms is not None:
                desk.withdraw()

    def _fragments(self) -> StyleAndTextTuples:
        size = self._app.output.get_size()
        rows = self._rows(size.columns, size.rows)
        fragments: StyleAndTextTuples = []
        for n, row in enumerate(rows):
            if n:
                fragments.append(("", "\n"))
            fragments += [(f"class:{name}" if name else "", text) for name, text in row]
        return fragments

    def _rows(self, columns: int, rows: int) -> list[picture.Row]:
        fewest_columns, fewest_rows = picture.SMALLEST
        if columns < fewest_columns or rows < fewest_rows:
            return [[("", t(self._language, "terminal.too-small", columns=fewest_columns, rows=fewest_rows))]]
        name = self._building.says(self._language) if self._building is not None else self._centre
        if self._asking is not None:
            return picture.question(self._asking.asked, name, columns, rows)
        sight = self._sight()
        if sight is not None:
            return picture.desk(sight, columns, rows)
        trouble = self._desk.trouble if self._desk is not None else None
        said = self._sentence(trouble) if trouble is not None else self._loading
        return picture.question(Question(title=said), name, columns, rows)

    def _sight(self) -> Sight | None:
        desk = self._desk
        if desk is None or desk.view is None:
            return None
        view, held, now_ms = desk.view, desk.held, desk.now_ms
        is_noticed = held is not None and now_ms - desk.offset_ms - held.at_ms > NOTICEABLE_MS
        called = desk.called if view.ticket is not None and desk.called is not None else None
        is_told = called is not None and view.ticket is not None and called.ticket == view.ticket.id
        return Sight(
            language=self._language,
            building=desk.building,
            view=view,
            officer=t(self._language, "console.practice") if self._is_practice else self._called(desk.officer),
            counter=self._number(desk.client.counter),
            now_ms=now_ms,
            live=desk.live if held is None else frozenset(),
            typed=self._typed,
            meant=self._meant(desk),
            chosen=self._chosen(desk),
            on_its_way=Button(held.button) if held is not None and is_noticed else None,
            unanswered=desk.unanswered_since_ms is not None,
            lost_since_ms=None if desk.lost_since_ms is None else desk.lost_since_ms + desk.offset_ms,
            live_refused=desk.live_refused,
            why=called.why if called is not None and is_told else None,
            reason=called.reason if called is not None and is_told else "",
            screens=desk.screens if is_told else (0, 0),
            notes=tuple((note.at_ms, self._note(note.event)) for note in desk.notes),
            message=self._message,
            practice=self._is_practice,
        )

    def _note(self, event: Mapping[str, Any]) -> str:
        if event["type"] == "TicketTransferred":
            return t(self._language, "console.note-transfer", number=event["number"], note=event["note"])
        if event["open"]:
            return t(self._language, "console.note-issuing-on")
        return t(self._language, "console.note-issuing-off", text=event.get("text") or "")

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._watch(asyncio.create_task(work))

    def _watch(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """What cannot be helped here ends the console, with its reason; the press in hand is on the disk."""
        if self._app.is_running and not self._app.is_done:
            self._app.exit(exception=error)


_NAMES: Final = {"c-m": "enter", "c-j": "enter", "c-i": "tab", "c-h": "backspace"}
"""What a terminal sends for a key -> what it is called here."""


class _User(msgspec.Struct, frozen=True):
    name: str
    display_name: str = ""


class _SessionView(msgspec.Struct, frozen=True):
    user: _User


class _SeatsView(msgspec.Struct, frozen=True):
    counters: tuple[SeatView, ...]
    names: dict[str, str] = {}


class _ProceduresView(msgspec.Struct, frozen=True):
    procedures: tuple[Procedure, ...]
