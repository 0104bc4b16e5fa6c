"""How long a follower stays away: short while nobody is there, longer each time when it is asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import aiohttp
import pytest

from queue_service import follower
from queue_service.follower import Follower


class Gone(AbstractAsyncContextManager[Any]):
    """A connection that does not come about."""

    def __init__(self, why: Exception) -> None:
        self._why = why

    async def __aenter__(self) -> Any:
        raise self._why

    async def __aexit__(self, *_: object) -> None:
        raise AssertionError("it was never entered")


class Closing(AbstractAsyncContextManager[Any]):
    """A connection that the service closes with a code."""

    def __init__(self, code: int) -> None:
        self.close_code = code

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send_str(self, _: str) -> None:
        pass

    async def receive(self, **_: object) -> Any:
        return aiohttp.WSMessage(aiohttp.WSMsgType.CLOSE, self.close_code, None)


class Service:
    """Answers one attempt after the other as told."""

    def __init__(self, *answers: AbstractAsyncContextManager[Any]) -> None:
        self._answers: Iterator[AbstractAsyncContextManager[Any]] = iter(answers)

    def ws_connect(self, *_: object, **__: object) -> AbstractAsyncContextManager[Any]:
        return next(self._answers)


async def pauses(monkeypatch: pytest.MonkeyPatch, *answers: AbstractAsyncContextManager[Any]) -> list[float]:
    """The longest that each pause could have been, in seconds."""
    longest: list[float] = []

    def least(_: float, most: float) -> float:
        longest.append(most)
        return 0.0

    monkeypatch.setattr(follower.random, "uniform", least)
    session = cast("aiohttp.ClientSession", Service(*answers, Gone(OSError())))
    messages = Follower(session, "http://127.0.0.1/stream", token=lambda: None, screen="here").messages()
    for _ in range(len(answers) + 1):
        assert (await anext(messages))["type"] == "lost"
    await messages.aclose()
    return longest


async def test_a_restart_is_waited_for_five_seconds_at_a_time(monkeypatch: pytest.MonkeyPatch):
    """Nobody is there, again and again: whoever comes back finds its screens within five seconds."""
    away = [Gone(ConnectionRefusedError()) for _ in range(5)]

    assert [5.0] * 6 == await pauses(monkeypatch, Closing(1012), *away)


@pytest.mark.parametrize("answer", [Closing(1013), Closing(4001), Closing(4429), Gone(TimeoutError())])
async def test_a_service_with_too_much_to_do_is_left_alone_for_longer(monkeypatch: pytest.MonkeyPatch, answer: Any):
    """Each time twice as long, thirty seconds at most."""
    assert [5.0, 10.0, 20.0, 30.0] == await pauses(monkeypatch, answer, answer, answer, answer)
