"""
The displays as a process of their own: feed, hub and door, for halls whose screens should not share a process with
presses.

It knows the service by its protocol only: who may look at a board is asked over HTTP with the screen's own token, and
asked again every few seconds, so that a revoked device loses its screens.  The events come from the store.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import msgspec
from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from displays.feed import Feed, open_client
from displays.hub import Hub
from displays.screen import Identity
from displays.screen_door import Door, offered_token, setup
from displays.speech import PACKS, load_packs
from displays.synthesis import Sounds, Synthesis
from displays.voice import Voices
from queue_service.centre import Centre
from queue_service.clock import Clock, SystemClock
from queue_service.errors import CODES, Later, NotAllowed, QueueError, SignInRequired, StoreAway

ASK_AGAIN_S: Final = 3.0
"""How often the service is asked whether a token is still good: revoked screens are closed within five seconds."""
ANSWER_S: Final = 2.0
BACKLOG: Final = 4096
"""Screens of many halls come back in the same second; a backlog of 128 doubles the time that takes."""
SHUTDOWN_S: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    How this process runs.

    Args:
        redis_url: the store that holds the events.
        service_url: the service that knows who may look, without a slash at the end.
        cluster: the store is a Redis Cluster.
        data_dir: folder of finished sounds, of recordings, and of further languages.
    """

    redis_url: str
    service_url: str
    host: str = "127.0.0.1"
    port: int = 8090
    cluster: bool = False
    data_dir: Path = Path("var")


@dataclass(eq=False, slots=True)
class Doorkeeper:
    """Asks the service who a token belongs to, and remembers for ASK_AGAIN_S."""

    service_url: str
    client: aiohttp.ClientSession
    _known: dict[tuple[str, str, str], tuple[float, Identity]] = field(default_factory=dict)

    async def authorize(self, request: web.Request, centre: str, board: str) -> Identity:
        """Who looks at *board*, in the words of the service."""
        token = offered_token(request)
        if token is None:
            raise SignInRequired("this board needs the token of a screen")
        asked_at, identity = self._known.get((token, centre, board), (0.0, None))
        if identity is None or time.monotonic() - asked_at > ASK_AGAIN_S:
            identity = await self._ask(token, centre, board)
            self._known[token, centre, board] = time.monotonic(), identity
        return identity

    async def centre(self, centre: str) -> Centre:
        """The configuration of *centre*, as the service shows it to everybody."""
        body = await self._get(f"/api/v1/centres/{quote(centre, safe='')}", {})
        known = {field.encode_name for field in msgspec.structs.fields(Centre)}
        try:
            return msgspec.convert({name: value for name, value in body.items() if name in known}, Centre)
        except msgspec.ValidationError as error:
            raise StoreAway(f"the service speaks of a centre we do not understand: {error}", retry_after_s=2) from error

    async def watch(self, hub: Hub) -> None:
        """Ask again about everybody who looks, for as long as the process runs."""
        while True:
            await asyncio.sleep(ASK_AGAIN_S)
            looking = {screen.identity.id for screen in hub.screens()}
            for (token, centre, board), (_, identity) in list(self._known.items()):
                if identity.id not in looking:
                    del self._known[token, centre, board]
                    continue
                try:
                    await self._ask(token, centre, board)
                except Later:  # the service is away: nobody is turned out for that
                    continue
                except QueueError as error:
                    log.info("a screen of %s is closed: %s", centre, error.code)
                    del self._known[token, centre, board]
                    hub.close_identity(identity.id)

    async def _ask(self, token: str, centre: str, board: str) -> Identity:
        """One question to the service."""
        path = f"/api/v1/centres/{quote(centre, safe='')}/boards/{quote(board, safe='')}"
        body = await self._get(path, {"Authorization": f"Bearer {token}"})
        return Identity(hashlib.sha256(token.encode()).hexdigest(), board, body["board"])

    async def _get(self, path: str, headers: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            async with self.client.get(self.service_url + path, headers=headers) as answer:
                body: Mapping[str, Any] = await answer.json(content_type=None)
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise StoreAway("the service that knows this screen does not answer; try again", retry_after_s=2) from error
        if status == 200:
            return body
        refusal = CODES.get(str(body.get("code")), NotAllowed if status < 500 else StoreAway)
        raise refusal(str(body.get("detail", "the service refuses this screen")))


@asynccontextmanager
async def running(options: Options, clock: Clock | None = None) -> AsyncIterator[tuple[str, Hub]]:
    """
    The whole process, from the first connection to the last.

    Yields:
        The address it listens on, and the hub.
    """
    clock = clock or SystemClock()
    hub = Hub(Feed(open_client(options.redis_url, cluster=options.cluster), clock), clock)
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        keeper = Doorkeeper(options.service_url, client)
        sounds = Sounds(options.data_dir / "sounds", Synthesis())
        packs = load_packs(PACKS, options.data_dir / "languages")
        voices = Voices(hub, clock, keeper.centre, packs, sounds, options.data_dir / "clips")
        await sounds.synthesis.start()
        app = web.Application()
        setup(app, Door(hub, keeper.authorize, clock, voices=voices))
        _add_health(app, hub, voices)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await hub.start()
        watching = asyncio.create_task(keeper.watch(hub), name="displays doorkeeper")
        try:
            await runner.setup()
            await web.TCPSite(runner, options.host, options.port, backlog=BACKLOG).start()
            host, port = runner.addresses[0][:2]
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}", hub
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await runner.cleanup()
            await voices.stop()
            await hub.stop()


async def run(options: Options) -> None:
    """Serve until the process is asked to stop."""
    stop_signal = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_signal.set)
    async with running(options) as (address, _):
        log.info("the displays listen on %s", address)
        await stop_signal.wait()


def _add_health(app: web.Application, hub: Hub, voices: Voices) -> None:
    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def ready(_: web.Request) -> web.Response:
        if hub.is_closing:
            return web.json_response({"status": "stopping"}, status=503)
        if hub.stale_since_ms is not None:
            return web.json_response({"status": "the store cannot be read", "since_ms": hub.stale_since_ms}, status=503)
        return web.json_response({"status": "ready", "voice": voices.words()})

    async def metrics(_: web.Request) -> web.Response:
        page = await asyncio.to_thread(generate_latest)  # 70 ms with many series: not while screens wait
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/metrics", metrics)
