"""
A question that stands on the glass, key by key until it is answered.

`console` puts it there and awaits the answer; `picture` says what it looks like.  It knows no press and no hall.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from counters import picture
from counters.building import Procedure
from counters.picture import Question
from queue_service.procedures import fold

LONGEST_TEXT: Final = 200
MOST_LISTED: Final = 9
MOST_DOSSIERS: Final = 999


@dataclass(eq=False, kw_only=True)
class Asking:
    """
    A question that stands on the glass.

    Args:
        values: what each choice stands for.
        searches: typing narrows the choices; otherwise a digit picks one and other letters are an answer of one's own.
    """

    asked: Question
    values: Sequence[Any] = ()
    searches: bool = False
    answered: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def __post_init__(self) -> None:
        self._all = list(zip(self.asked.choices, self.values, strict=True))

    def offer(self, choices: Sequence[tuple[str, str, str]], values: Sequence[Any]) -> None:
        """Other choices; the finger stays on the one where it was."""
        here = self.values[self.asked.at] if self.values else None
        self._all = list(zip(choices, values, strict=True))
        self._narrow()
        at = list(self.values).index(here) if here in self.values else 0
        self.asked = msgspec.structs.replace(self.asked, at=at)

    def take(self, key: str, text: str) -> None:
        """One key."""
        asked = self.asked
        match key:
            case _ if key in asked.turn_keys and not (asked.typed and text):
                self._turn()
            case "escape":
                self._answer(None)
            case "up" | "down" if asked.choices:
                step = 1 if key == "down" else -1
                self.asked = msgspec.structs.replace(asked, at=(asked.at + step) % len(asked.choices))
            case "enter":
                if asked.choices and (self.searches or not asked.typed.strip()):
                    self._answer(self.values[asked.at])
                elif asked.field and not self.searches:
                    self._answer(asked.typed if asked.is_secret else picture.clean(asked.typed))
            case "backspace" | "delete":
                self._type(asked.typed[:-1])
            case _ if not self.searches and not asked.typed and text.isdecimal() and asked.choices:
                if 0 < int(text) <= len(asked.choices):
                    self._answer(self.values[int(text) - 1])
            case _ if text and asked.field:
                self._type((asked.typed + text)[:LONGEST_TEXT])

    def _turn(self) -> None:
        turned = (self.asked.turned + 1) % max(1, len(self.asked.turns))
        self.asked = msgspec.structs.replace(self.asked, turned=turned)

    def _type(self, typed: str) -> None:
        self.asked = msgspec.structs.replace(self.asked, typed=typed, at=0 if self.searches else self.asked.at)
        if self.searches:
            self._narrow()

    def _narrow(self) -> None:
        words = fold(self.asked.typed).split()
        found = [(choice, value) for choice, value in self._all if self._fits(choice, words)]
        self.asked = msgspec.structs.replace(self.asked, choices=tuple(choice for choice, _ in found))
        self.values = [value for _, value in found]

    def _fits(self, choice: tuple[str, str, str], words: list[str]) -> bool:
        if not self.searches or not words:
            return True
        mark, what, hint = choice
        return (len(words) == 1 and fold(mark) == words[0]) or all(word in fold(f"{what} {hint}") for word in words)

    def _answer(self, answer: Any) -> None:
        if not self.answered.done():
            self.answered.set_result(answer)


@dataclass(eq=False, kw_only=True)
class Recording(Asking):
    """
    What was done: a digit adds a dossier of the procedure that has it, ``-`` takes the last away, letters search, Enter
    or F9 completes.

    Args:
        search: told of what is typed; whoever finds something says so with `found`.
        said: how many dossiers, in words.
        needs_one: completing without any procedure is not accepted, once there are any to choose from.
        refusal: the sentence that says so.
    """

    search: Callable[[str], None]
    said: Callable[[int], str]
    needs_one: bool = False
    refusal: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._counts: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._listed: tuple[Procedure, ...] = ()

    def found(self, found: Sequence[Procedure]) -> None:
        """These procedures have the digits now."""
        self._listed = tuple(found[:MOST_LISTED])
        self._names |= {one.code: one.name for one in self._listed}
        self._show()

    def add(self, code: str) -> None:
        """One more dossier of the procedure *code*."""
        self._counts[code] = min(MOST_DOSSIERS, self._counts.get(code, 0) + 1)
        self._show()

    def complain(self, trouble: str) -> None:
        """Say what went wrong."""
        self.asked = msgspec.structs.replace(self.asked, trouble=trouble)

    def take(self, key: str, text: str) -> None:
        """One key."""
        match key:
            case "enter" | "f9":
                if self.needs_one and self._listed and not self._counts:
                    return self.complain(self.refusal)
                done = [{"procedure": code, "dossiers": count} for code, count in self._counts.items()]
                self._answer(done)
            case _ if key in self.asked.turn_keys:
                self._turn()
            case "-" if self._counts:
                last = list(self._counts)[-1]
                self._counts[last] -= 1
                if not self._counts[last]:
                    del self._counts[last]
                self._show()
            case _ if len(text) == 1 and text in "123456789":
                if int(text) <= len(self._listed):
                    self.add(self._listed[int(text) - 1].code)
            case "up" | "down":
                pass
            case _:
                super().take(key, text)
        return None

    def _type(self, typed: str) -> None:
        self.asked = msgspec.structs.replace(self.asked, typed=typed)
        self.search(picture.clean(typed))

    def _show(self) -> None:
        """What was chosen elsewhere stays in sight; what can be chosen now has a digit."""
        digits = {one.code: str(n) for n, one in enumerate(self._listed, 1)}
        codes = [*(code for code in self._counts if code not in digits), *digits]
        choices = tuple((digits.get(code, "x"), self._names.get(code, code), self._said(code)) for code in codes)
        self.asked = msgspec.structs.replace(self.asked, choices=choices, at=-1, trouble="")

    def _said(self, code: str) -> str:
        return self.said(self._counts[code]) if code in self._counts else ""
