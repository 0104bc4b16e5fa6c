"""
What stands on a terminal: the desk, a question, a form, as rows of pieces of text with a style.

Pure: a Sight in, rows out; every row is exactly as wide as the terminal, whatever letters it holds.  Colours never say
anything that a word does not say as well.  `console` puts the rows on the glass.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

import msgspec

from counters.building import Building
from counters.press import Button, CounterView, MessageView, TicketView, Why, primary, rings_left
from queue_service.texts import Language, refused, t, tn
from queue_service.tickets import State

SMALLEST = (80, 24)
MOST_ASIDE = 3
WALK_S = (60, 180)
"""A visitor who has been called needs a minute to walk; after three something is wrong."""

Piece = tuple[str, str]
"""Style class and text."""

Row = list[Piece]

KEYS: tuple[tuple[Button, str], ...] = (
    (Button.RECALL, "F4 +"),
    (Button.NO_SHOW, "F8 -"),
    (Button.PARK, "/"),
    (Button.TRANSFER, "F10 *"),
    (Button.COMPLETE, "F9"),
    (Button.NOTE, "Ins"),
)
"""The legend of the presses that have a key of their own, as on the page."""

UNDO = {
    "call-next": "console.undo-call",
    "call": "console.undo-call",
    "resume": "console.undo-call",
    "complete": "console.undo-complete",
    "no-show": "console.undo-no-show",
    "park": "console.undo-park",
    "transfer": "console.undo-transfer",
    "start": "console.undo-start",
}

COUNTED = {"own", "oldest", "only"}
"""Rules of a call by counted wait, in which a class counts."""

WHY = {*COUNTED, "ready", "chosen", "resumed"}


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """
    Everything that can be seen at a counter.

    Args:
        now_ms: the service's time.
        typed: digits of a number to call; *meant* are the numbers that they may mean, *chosen* the one that is.
        on_its_way: the press in hand, once one can notice it.
        why: of the call in hand; *reason* is what the officer who chose it said.
        screens: on how many boards the call in hand was confirmed, and of how many.
        notes: time and sentence, newest first.
        practice: invented people.
    """

    language: Language
    building: Building
    view: CounterView
    officer: str
    counter: int
    now_ms: int
    live: frozenset[Button] = frozenset()
    typed: str = ""
    meant: tuple[str, ...] = ()
    chosen: str | None = None
    on_its_way: Button | None = None
    unanswered: bool = False
    lost_since_ms: int | None = None
    live_refused: bool = False
    why: Why | None = None
    reason: str = ""
    screens: tuple[int, int] = (0, 0)
    notes: tuple[tuple[int, str], ...] = ()
    message: str = ""
    practice: bool = False


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something to be chosen or typed.

    Args:
        choices: mark, label and hint of each.
        field: what the line for typing is called; empty: there is none.
        is_secret: what is typed is not shown, not even how long it is.
        turn: what is turned to beside the choices, with its keys: *turns* are what there is, *turned* where it stands.
    """

    title: str
    lines: tuple[str, ...] = ()
    choices: tuple[tuple[str, str, str], ...] = ()
    at: int = 0
    field: str = ""
    typed: str = ""
    is_secret: bool = False
    turn: str = ""
    turn_keys: frozenset[str] = frozenset()
    turns: tuple[str, ...] = ()
    turned: int = 0
    trouble: str = ""
    hint: str = ""


# ── letters and cells ────────────────────────────────────────────────────────────────────────────────────────────────


def width(text: str) -> int:
    """How many cells *text* takes: none for a mark on a letter, two for a wide one."""
    return sum(_cells(letter) for letter in text)


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf", "Cc"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def clean(text: str) -> str:
    """*text* as one line that steers no terminal: composed, without controls and turned directions."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(letter for letter in composed if unicodedata.category(letter)[0] != "C")


def cut(text: str, cells: int) -> str:
    """*text* in at most *cells*; what is left out is an ellipsis."""
    if width(text) <= cells:
        return text
    kept, used = [], 0
    for letter in text:
        used += _cells(letter)
        if used > cells - 1:
            break
        kept.append(letter)
    return "".join(kept) + "…" if cells > 0 else ""


def fit(row: Iterable[Piece], cells: int, style: str = "") -> Row:
    """*row* cut or filled to exactly *cells*."""
    fitted: Row = []
    left = cells
    for name, text in row:
        if left <= 0:
            break
        piece = cut(text, left)
        fitted.append((name, piece))
        left -= width(piece)
    if left > 0:
        fitted.append((style, " " * left))
    return fitted


def apart(left: Iterable[Piece], right: Iterable[Piece], cells: int, style: str = "") -> Row:
    """*left* and *right* at the two ends of *cells*; the right end has its room first."""
    end = list(right)
    room = max(0, cells - sum(width(text) for _, text in end))
    return fit([*fit(left, room, style), *end], cells, style)


def wrap(text: str, cells: int) -> list[str]:
    """*text* in lines of at most *cells*, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if width(longer) > cells and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return [cut(line, cells) for line in lines]


def stopwatch(seconds: float) -> str:
    """7 → "0:07", 3700 → "1:01:40"."""
    whole = max(0, int(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def sentence(language: Language, code: str) -> str:
    """What a refusal says to an officer."""
    return t(language, "console.not-your-seat") if code == "NOT_YOUR_SEAT" else refused(language, code)


def label(language: Language, button: Button) -> str:
    """What a press is called; the same as on the page."""
    if button is Button.NOTE:
        return t(language, "console.note-do")
    if button is Button.ANSWER_HELP:
        return t(language, "console.help-over")
    return t(language, f"console.{button}")


# ── the desk ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def desk(sight: Sight, columns: int, rows: int) -> list[Row]:
    """The desk on a terminal of *columns* by *rows*."""
    left_cells = columns * 21 // 40
    right_cells = columns - left_cells - 3
    foot = _foot(sight, columns)
    height = rows - 2 - len(foot)
    left = [*_now(sight, left_cells), [], *_beside(sight, left_cells)]
    right = _next(sight, right_cells)
    body = [
        [
            *fit([("", " "), *(left[n] if n < len(left) else [])], left_cells),
            ("line", " │ "),
            *fit(right[n] if n < len(right) else [], right_cells),
        ]
        for n in range(height)
    ]
    under: Row = [("line", "─" * columns)]
    if sight.practice:
        under = fit([("warn", f" {t(sight.language, 'console.practice-banner')}")], columns)
    return [_head(sight, columns), under, *body, *foot]


def _head(sight: Sight, columns: int) -> Row:
    language, seat = sight.language, sight.view.counter
    state = f" {t(language, 'console.counter', number=sight.counter)} · {t(language, f'console.state-{seat.state}')}"
    if seat.state == "paused":
        state += f" · {clean(seat.reason or '')} · {t(language, 'console.since', time=_time(sight, seat.since_ms))}"
    right: Row = [("head", f" {clean(sight.officer)}  {_time(sight, sight.now_ms)} ")]
    if sight.lost_since_ms is not None and not sight.live_refused:
        lost = t(language, "console.lost-since", time=_time(sight, sight.lost_since_ms))
        return apart([("lost", f" ! {lost} "), ("head", state)], right, columns, "head")
    if sight.live_refused:
        return apart(
            [("head", f"{state}  "), ("lost", f" ! {t(language, 'console.live-refused')} ")], right, columns, "head"
        )
    return apart([("head", state)], right, columns, "head")


def _now(sight: Sight, cells: int) -> list[Row]:
    """Who is at the counter, or why nobody is."""
    ticket = sight.view.ticket
    return _nobody(sight, cells) if ticket is None else _visitor(sight, ticket, cells)


def _nobody(sight: Sight, cells: int) -> list[Row]:
    language, seat = sight.language, sight.view.counter
    waiting = sum(line.waiting for line in sight.view.lines)
    match seat.state:
        case "paused":
            title = t(language, "console.paused-title")
            hint = t(language, "console.paused-hint", time=_time(sight, seat.since_ms))
        case "closed":
            title, hint = t(language, "console.closed-title"), t(language, "console.closed-hint")
        case _ if seat.ready:
            title, hint = t(language, "console.ready-title"), t(language, "console.ready-hint")
        case _ if waiting:
            title = tn(language, "console.somebody-waits", waiting)
            hint = t(language, "console.somebody-waits-hint")
        case _:
            title, hint = t(language, "console.nobody-waits"), t(language, "console.nobody-waits-hint")
    return [[("title", title)], [], *[[("", line)] for line in wrap(hint, cells - 1)]]


def _visitor(sight: Sight, ticket: TicketView, cells: int) -> list[Row]:
    language, building = sight.language, sight.building
    is_serving = ticket.state is State.SERVING
    since_ms = ticket.started_at_ms if is_serving else ticket.called_at_ms
    seconds = max(0.0, (sight.now_ms - (since_ms or sight.now_ms)) / 1000)
    service = building.service(ticket.service)
    pace = _pace(seconds, (service.mean_service_s, 2 * service.mean_service_s) if is_serving else WALK_S)
    kind = "serving" if is_serving else "called"
    clock = stopwatch(seconds)
    if pace != "ok":
        clock += f" ! {t(language, f'console.pace-{kind}-{pace}')}"
    rows: list[Row] = [
        apart([("title", t(language, f"console.{kind}"))], [(pace, clock), ("", " ")], cells - 1),
        [],
        [("", "  "), ("hero", f"   {ticket.number}   ")],
        [],
    ]
    marks = []
    if ticket.cls != "standard":
        ground = building.ground(ticket.ground)
        marks.append(
            f"* {t(language, f'console.class-{ticket.cls}')}" + (f" · {clean(ground.says(language))}" if ground else "")
        )
    if ticket.language != "vi":
        marks.append(f"* {t(language, 'console.speaks-english')}")
    rows += [[("mark", mark)] for mark in marks]
    rows.append([("", clean(service.says(language)))])
    if ticket.procedure:
        rows.append([("", t(language, "console.procedure", code=clean(ticket.procedure)))])
    if ticket.note:
        rows += [[("mark", line)] for line in wrap(t(language, "console.note", note=clean(ticket.note)), cells - 1)]
    issued = t(language, "console.issued-at", time=_time(sight, ticket.issued_at_ms))
    if sight.why is not None:
        issued += f" · {because(language, sight.why, sight.reason)}"
    rows += [[("fine", line)] for line in wrap(issued, cells - 1)]
    needed = building.policy.calls_before_no_show
    rings = tn(language, "console.rings", ticket.rings, needed=needed)
    shown, of = sight.screens
    if shown:
        rings += f" · {tn(language, 'console.screens', of, shown=shown)}"
    rows += [[("fine", line)] for line in wrap(rings, cells - 1)]
    return rows


def because(language: Language, why: Why, reason: str = "") -> str:
    """Why this visitor was called; the same as on the page."""
    minutes = max(0, round(why.waited_ms / 60_000))
    if why.rule == "chosen" and reason and reason != t("vi", "console.call-reason"):
        return t(language, "console.why-chosen-for", reason=clean(reason), minutes=minutes)
    if why.placed is not None and why.rule not in ("chosen", "resumed"):
        return t(language, "console.why-placed", reason=clean(why.placed.reason), minutes=minutes)
    if why.rule in COUNTED and why.cls == "priority":
        return t(language, "console.why-priority", minutes=minutes, ratio=round(why.ratio))
    if why.rule in COUNTED and why.cls == "appointment":
        return t(language, "console.why-appointment", minutes=minutes)
    return t(language, f"console.why-{why.rule if why.rule in WHY else 'waited'}", minutes=minutes)


def _pace(seconds: float, limits: tuple[float, float]) -> str:
    warn, late = limits
    return "late" if seconds >= late else "warn" if seconds >= warn else "ok"


def _next(sight: Sight, cells: int) -> list[Row]:
    """Who is next, the lines against their limit, and the number being typed."""
    language, building, view = sight.language, sight.building, sight.view
    rows: list[Row] = [[("title", t(language, "console.next-title"))]]
    if view.next is None:
        rows.append([("fine", t(language, "console.nobody-next"))])
    else:
        cls = f"{t(language, f'console.class-{view.next.cls}')} · " if view.next.cls != "standard" else ""
        since = t(language, "console.since", time=_time(sight, view.next.issued_at_ms))
        rows.append([("number", view.next.number), ("", f"  {cls}{since}")])
        if view.next.placed is not None:
            rows.append([("fine", t(language, "console.next-placed"))])
        rows.append([("fine", clean(building.service(view.next.service).says(language)))])
    rows += [[], [("title", t(language, "console.lines"))]]
    limit_s = building.limit_s
    for line in sorted(view.lines, key=lambda line: line.level):
        service = building.service(line.service)
        letter = building.department(line.department).letter
        helping = f" ({t(language, 'console.help')})" if line.level > 1 else ""
        count = str(line.waiting)
        rows.append(
            apart(
                [("number", f"{letter} "), ("", clean(service.says(language)) + helping)],
                [("number", f" {count}")],
                cells,
            )
        )
        if not line.waiting or line.oldest_at_ms is None:
            continue
        seconds = max(0.0, (sight.now_ms - line.oldest_at_ms) / 1000)
        pace = _pace(seconds, (limit_s * 0.75, limit_s))
        says = t(language, "console.oldest", minutes=int(seconds // 60), limit=round(limit_s / 60))
        if pace != "ok":
            says += f" · {t(language, f'console.limit-{pace}')}"
        if line.priority:
            says += f" · {tn(language, 'console.priority-waiting', line.priority)}"
        if line.appointments:
            says += f" · {tn(language, 'console.appointments-waiting', line.appointments)}"
        rows += [[(pace, f"  {part}")] for part in wrap(says, cells - 2)]
    rows += [[], [("", f"{t(language, 'console.call-number')}: "), ("number", sight.typed or "…")]]
    if sight.chosen:
        rows.append([("number", f"Enter {t(language, 'console.call-this', number=sight.chosen)}")])
        if len(sight.meant) > 1:
            rows.append([("fine", f". {' '.join(sight.meant)}")])
    return rows


def _beside(sight: Sight, cells: int) -> list[Row]:
    """The step that can be taken back, parked visitors, what the hall says, and what was done today."""
    language, view = sight.language, sight.view
    rows: list[Row] = []
    undo = view.counter.undo
    if undo is not None and undo.until_ms > sight.now_ms:
        left = t(language, "console.seconds", n=-(-(undo.until_ms - sight.now_ms) // 1000))
        rows.append([("", f"Del {t(language, UNDO.get(undo.press, 'console.undo'))} · {left}")])
    if view.help is not None:
        asked = t(language, "console.help-asked", time=_time(sight, view.help.since_ms), text=view.help.text or "")
        rows += [[("warn", line)] for line in wrap(f"! {clean(asked)}", cells - 1)]
    for letter in view.messages[-2:]:
        said = f"! {_time(sight, letter.at_ms)} {_said_by(sight, letter)}"
        rows += [[("mark", line)] for line in wrap(clean(said), cells - 1)]
    if view.parked:
        rows.append([("title", f"{t(language, 'console.parked')} {len(view.parked)} (PgDn)")])
        rows += [_aside(sight, ticket) for ticket in view.parked[:MOST_ASIDE]]
    rows += [[("", f"{_time(sight, at)} {clean(note)}")] for at, note in sight.notes[:2]]
    today = " · ".join(f"{ticket.number} {t(language, f'console.ended-{ticket.state}')}" for ticket in view.recent[:4])
    if today:
        rows.append([("fine", f"{t(language, 'console.today')}: {today}")])
    return rows


def _said_by(sight: Sight, letter: MessageView) -> str:
    name = sight.view.names.get(letter.sender, letter.sender)
    if letter.text:
        return t(sight.language, "console.message-from", name=name, text=letter.text)
    return t(sight.language, "console.help-coming", name=name)


def _aside(sight: Sight, ticket: TicketView) -> Row:
    """Somebody who was set aside, when they mean to be back, and why."""
    row: Row = [("number", f" {ticket.number} ")]
    if ticket.park_until_ms:
        is_due = ticket.park_until_ms <= sight.now_ms
        key = "console.park-due" if is_due else "console.park-until"
        due = t(sight.language, key, time=_time(sight, ticket.park_until_ms))
        row.append(("late", f"! {due} ") if is_due else ("", f"{due} "))
    return [*row, ("fine", clean(ticket.park_reason or ""))]


def _foot(sight: Sight, columns: int) -> list[Row]:
    """What must be read, the press on its way, and the keys; always of the same height, so that nothing moves."""
    language = sight.language
    said: list[Row] = [[("alert", line)] for line in wrap(sight.message, columns - 2)] if sight.message else []
    if sight.on_its_way is not None:
        key = "console.kept" if sight.unanswered or sight.lost_since_ms is not None else "console.on-its-way"
        way = t(language, key, what=label(language, sight.on_its_way))
        if sight.unanswered:
            way += f" Esc {t(language, 'console.withdraw')}."
        said = [[("alert", line)] for line in wrap(way, columns - 2)]
    said = [*said, [], [], []][:3]
    first = primary(sight.view)
    enter = "Enter F2" if first is Button.CALL_NEXT else "Enter"
    keys = [
        (enter, label(language, first), not sight.on_its_way),
        *((key, label(language, button), button in sight.live) for button, key in KEYS),
        ("Tab", t(language, "console.menu"), True),
    ]
    missing = rings_left(sight.view, sight.building.policy.calls_before_no_show)
    pieces = []
    for key, what, is_live in keys:
        shown = what if is_live else "–" * width(what)
        if key == "F8 -" and missing:
            shown = f"{what} ({tn(language, 'console.rings-left', missing)})"
        pieces.append((key, shown))
    return [
        [("line", "─" * columns)],
        *(fit([("", " "), *row], columns) for row in said),
        fit([("line", "─" * columns)], columns),
        *_legend(pieces, columns),
    ]


def _legend(keys: Sequence[tuple[str, str]], columns: int) -> list[Row]:
    """Two rows of keys and what they do."""
    rows: list[Row] = [[]]
    used = 0
    for key, what in keys:
        needed = width(key) + width(what) + 3
        if used + needed > columns and len(rows) < 2:
            rows.append([])
            used = 0
        rows[-1] += [("", " "), ("key", key), ("", f" {what} ")]
        used += needed
    return [fit(row, columns) for row in [*rows, []][:2]]


def _flow(pieces: Iterable[str], cells: int) -> list[Row]:
    """*pieces* one after the other, in rows that break between them."""
    rows: list[Row] = [[]]
    for piece in pieces:
        if rows[-1] and sum(width(text) for _, text in rows[-1]) + width(piece) > cells:
            rows.append([("", "  ")])
        rows[-1].append(("", f"{piece} "))
    return rows


def _time(sight: Sight, ms: int | None) -> str:
    return sight.building.clock(ms)


# ── questions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def question(asked: Question, head: str, columns: int, rows: int) -> list[Row]:
    """A question on a terminal of *columns* by *rows*; the choice that Enter takes stays in sight."""
    inner = columns - 4
    top: list[Row] = [fit([("head", f" {clean(head)}")], columns, "head"), []]
    top += [[("title", f"  {line}")] for line in wrap(asked.title, inner)]
    top += [[("", f"  {line}")] for said in asked.lines for line in wrap(said, inner)]
    top.append([])
    if asked.turns:
        turns = [f"[{clean(what)}]" if n == asked.turned else f" {clean(what)} " for n, what in enumerate(asked.turns)]
        top += [*_flow([f"  {asked.turn}:", *turns], inner), []]
    if asked.field:
        shown = "" if asked.is_secret else clean(asked.typed)
        top.append([("", f"  {asked.field}: "), ("field", f"{shown}_")])
    bottom: list[Row] = [[("alert", f"  {line}")] for line in wrap(asked.trouble, inner)] if asked.trouble else []
    bottom += [[("fine", f"  {line}")] for line in wrap(asked.hint, inner)]
    room = max(1, rows - len(top) - len(bottom) - 1)
    first = max(0, min(asked.at - room // 2, len(asked.choices) - room))
    choices: list[Row] = []
    for n, (mark, what, hint) in list(enumerate(asked.choices))[first : first + room]:
        style, arrow, key = ("chosen", ">", "chosen") if n == asked.at else ("", " ", "key")
        pieces = [(style, f"  {arrow} "), (key, f"{mark:>3} "), (style, clean(what)), ("fine", f"  {clean(hint)}")]
        choices.append(fit(pieces, inner))
    blank: list[Row] = [[] for _ in range(max(0, rows - len(top) - len(choices) - len(bottom)))]
    return [fit(row, columns) for row in (top + choices + blank + bottom)[:rows]]
