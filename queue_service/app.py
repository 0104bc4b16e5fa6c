"""
The roof: builds everything in order, and takes it down in the other.

Knows everybody and holds no rule.  One process is API worker, display hub and sweeper at once; in production several of
them share one store and one port, and none keeps a state that another needs.
"""

from __future__ import annotations

import asyncio
import faulthandler
import hashlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from displays import feed as display_feed
from displays.hall import STAFF
from displays.hub import Hub
from displays.screen import Identity as Viewer
from displays.screen_door import Door
from displays.speech import PACKS, load_packs
from displays.synthesis import Sounds, Synthesis
from displays.voice import Voices
from queue_service import demo as demo_identities
from queue_service import metrics, pages
from queue_service.archive.archive import Archive
from queue_service.archive.dossiers import DossierStore
from queue_service.archive.history import History
from queue_service.archiver import Archiver
from queue_service.audit import Audit
from queue_service.authority import NOBODY, Identity, require
from queue_service.boards import BoardBook
from queue_service.centre import Centre, load_centre, to_json
from queue_service.channel import Channel
from queue_service.clock import Clock, SystemClock
from queue_service.contract import IDENTITY, openapi, register
from queue_service.devices import Devices
from queue_service.dispatch import Dispatch
from queue_service.embedded import EmbeddedServer, EmbeddedServerError
from queue_service.errors import ArchiveAway, NotFound, QueueError, StoreAway
from queue_service.guard import RUNNER_OPTIONS, SITE_OPTIONS, Guard, Runner, credential
from queue_service.http_api import boards as board_door
from queue_service.http_api.alarms import Alarms
from queue_service.http_api.audit import Audit as AuditDoor
from queue_service.http_api.counters import Counters
from queue_service.http_api.devices import Devices as DeviceDoor
from queue_service.http_api.dossiers import Dossiers, Track
from queue_service.http_api.halls import Halls
from queue_service.http_api.health import Health
from queue_service.http_api.lookups import Centres
from queue_service.http_api.messages import Messages
from queue_service.http_api.oidc import Oidc, Server
from queue_service.http_api.plans import Plans
from queue_service.http_api.sessions import Sessions
from queue_service.http_api.tickets import Tickets
from queue_service.http_api.users import Users
from queue_service.http_api.words import READERS
from queue_service.identity import Identities
from queue_service.media import Media
from queue_service.mirrors import Mirrors
from queue_service.passwords import Passwords
from queue_service.procedures import Catalogue
from queue_service.registry import Registry
from queue_service.relay import Relay
from queue_service.settings import Settings
from queue_service.slip_key import SlipKey
from queue_service.slips import Slips
from queue_service.staff import Staff
from queue_service.store import TicketStore
from queue_service.sweeper import Sweeper

THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1"})
PLAN_S: Final = 600
STORE_TIMEOUT_S: Final = 2.0
OLDEST_REDIS: Final = (7, 0)
EXAMPLES: Final = Path(__file__).parent / "examples"
ASK_AGAIN_S: Final = 2.0
"""With the two seconds that an answer about a token is believed: a revoked screen is dark within five."""
FORGET_LOOKER_S: Final = 60.0
SWEEP_SESSIONS_S: Final = 3600.0
STOP_WITHIN_S: Final = 15.0
"""A stop takes two seconds, and ten more where a server of our own is slow; what hangs longer is logged and left."""
BOARD_READERS: Final = frozenset({"board", "kiosk", *READERS})

_log = structlog.get_logger(__name__)


class StoreUnusable(Exception):
    """The store cannot be used; the text says why in one sentence."""

    exit_code: Final = 4


def connect(url: str) -> Redis:
    """A client that repeats nothing by itself, waits a little for a free connection, and decodes nothing."""
    pool = BlockingConnectionPool.from_url(
        url,
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=STORE_TIMEOUT_S,
        socket_connect_timeout=STORE_TIMEOUT_S,
        max_connections=16,
        timeout=1,
        health_check_interval=0,
    )
    return Redis.from_pool(pool)  # which closes the pool with the client


async def check_server(client: Redis) -> dict[str, str]:
    """
    Whether the store is one we can trust, and how durable it is.

    Returns:
        server, version, durability: words for ``/health/ready`` and the log.

    Raises:
        StoreUnusable: it does not answer, is too old, or forgets tickets when memory is short.
    """
    try:
        info = await client.info("server")
        persistence = await client.info("persistence")
        memory = await client.info("memory")
    except (RedisError, OSError) as trouble:
        raise StoreUnusable(
            f"The store does not answer ({trouble}). Check QUEUE_REDIS_URL and that the server runs."
        ) from trouble
    version = str(info.get("valkey_version") or info["redis_version"])
    if tuple(int(part) for part in str(info["redis_version"]).split(".")[:2]) < OLDEST_REDIS:
        raise StoreUnusable(f"The store is Redis {version}; Functions need Redis 7.0 or Valkey 7.2 at least.")
    if memory.get("maxmemory_policy", "noeviction") != "noeviction":
        raise StoreUnusable("The store forgets keys when memory is short; set maxmemory-policy noeviction.")
    durability = "none: a restart of the store loses everything"
    if persistence.get("aof_enabled"):
        durability = "append-only file, sync policy unknown"
        with suppress(ResponseError):  # CONFIG may be forbidden to us
            policy = (await client.config_get("appendfsync"))["appendfsync"]
            durability = f"append-only file, fsync {policy}"
            if policy == "everysec":
                durability += ": a power cut may lose the last second"
    metrics.STORE_FSYNC_ALWAYS.set("fsync always" in durability)
    return {"store": f"{'valkey' if 'valkey_version' in info else 'redis'} {version}", "durability": durability}


async def prepare(store: TicketStore) -> None:
    """
    Load the Function library.

    Raises:
        StoreUnusable: the store takes no Functions, or none from us.
    """
    try:
        await store.prepare()
    except (QueueError, RedisError, OSError) as trouble:
        raise StoreUnusable(
            f"The store does not take our Functions ({trouble}). "
            "Check that it is no replica and that our user may load them."
        ) from trouble


@dataclass(eq=False)
class Boards(Door):
    """The boards' door, with the streams that the HTTP door hands on, and an eye on who may still look."""

    _welcomed: dict[str, tuple[web.Request, float]] = field(default_factory=dict)
    """By credential: a request that brought it, and when."""

    async def staff_stream(self, request: web.Request, centre: str, identity: Identity) -> web.StreamResponse:
        """The staff form of the feed, over the same protocol."""

        async def viewer() -> Viewer:
            return self.viewer(request, identity)

        return await self.stream(request, STAFF, centre, "staff", viewer)

    def viewer(self, request: web.Request, identity: Identity, board: Any = None) -> Viewer:
        """Whoever looks, known by the credential of *request*: that is what a revocation takes away."""
        token, _ = credential(request)
        id = hashlib.sha256((token or "").encode("utf-8", "surrogateescape")).hexdigest()
        self._welcomed[id] = request, time.monotonic()
        name = identity.display_name or identity.name
        return Viewer(id=id, name=name, board=board, is_board="kiosk" not in identity.roles)

    async def part_with_revoked(self, is_welcome: Callable[[web.Request], Awaitable[bool]]) -> None:
        """Ask every two seconds about each credential that a stream was opened with, and end what it opened."""
        while True:
            await asyncio.sleep(ASK_AGAIN_S)
            looking = {screen.identity.id for screen in self.hub.screens()}
            for id, (request, welcomed_at) in list(self._welcomed.items()):
                if id not in looking:
                    if time.monotonic() - welcomed_at > FORGET_LOOKER_S:
                        del self._welcomed[id]
                    continue
                try:
                    if not await is_welcome(request):
                        self.hub.close_identity(id)
                except QueueError:  # without the store nobody is turned away
                    break
                except Exception:  # noqa: BLE001 - the next round asks again
                    _log.exception("asking about an open stream failed")


class Service:
    """
    One process of the queue service.

    Args:
        settings: where to listen and where the data are.
        with_demo: make demo identities and write ``demo.json``.
        clock: tells the time of presses.
    """

    def __init__(self, settings: Settings, *, with_demo: bool = False, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.demo: demo_identities.Demo | None = None
        self.base = ""
        self._with_demo = with_demo
        self._embedded = None if settings.redis_url else EmbeddedServer(settings.data_dir)
        self.store_words: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._phase = "starting"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Service]:
        """Everything started; stopped on leaving, in the other order, however far the start came."""
        async with AsyncExitStack() as stack:
            url = self.settings.redis_url or await self._started_embedded(stack)
            client = connect(url)
            stack.push_async_callback(client.aclose)
            self._archive = await Archive.open(self.settings.archive_url)
            stack.push_async_callback(self._archive.close)
            self.store_words = await check_server(client)
            if self.settings.replicas:
                self.store_words["durability"] += f"; answered when {self.settings.replicas} replicas have it"
            channel = Channel(
                client.connection_pool.make_connection, timeout_s=STORE_TIMEOUT_S, replicas=self.settings.replicas
            )
            stack.push_async_callback(channel.close)
            store = TicketStore(channel, client)
            source = display_feed.Feed(display_feed.open_client(url), self.clock)
            hub = Hub(source, self.clock, self._showing, pages.build_of(pages.static_folder()))
            stack.push_async_callback(hub.stop)
            mirrors = Mirrors(store, hub.listen)
            stack.push_async_callback(mirrors.close)
            catalogues: dict[str, Catalogue] = {}
            await prepare(store)
            self._identities = Identities(client)
            self._audit = Audit(self._archive, await self._identities.key_of_places())
            stack.push_async_callback(self._audit.close)
            passwords = Passwords()
            stack.callback(passwords.close)
            self._dispatch = Dispatch(store, self.clock, mirrors.read, catalogues, self._audit)
            wants = self._dispatch.wants_second_factor
            self._staff = Staff(self._archive, self._identities, passwords, self._audit, wants)
            self._book = BoardBook(self._dispatch, self._audit)
            centres = await self._centres(catalogues)
            dossiers = DossierStore(self._archive)
            relay = Relay(self._dispatch, dossiers)
            slips = Slips(SlipKey.of(self.settings).read())
            self._registry = Registry(dossiers, self._dispatch, catalogues, slips, relay.wake, self._audit)
            await hub.start()
            data_dir = self.settings.data_dir
            sounds = Sounds(data_dir / "sounds", Synthesis())
            packs = load_packs(PACKS, data_dir / "languages")
            self._voices = Voices(hub, self.clock, self._in_force, packs, sounds, data_dir / "clips")
            stack.push_async_callback(self._voices.stop)
            waking = asyncio.create_task(sounds.synthesis.start())  # a second on a slow machine, beside everything else
            runner = Runner(self._application(hub), **RUNNER_OPTIONS, shutdown_timeout=3)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            site = web.TCPSite(
                runner,
                self.settings.host,
                self.settings.port,
                reuse_port=not self._with_demo,  # workers share a port; two demos on one port would be a riddle
                **SITE_OPTIONS,
            )
            await site.start()
            self.base = self._address(runner)
            if self._with_demo:
                data_dir = self.settings.data_dir.absolute()
                data_dir.mkdir(parents=True, exist_ok=True)
                examples = {file.stem for file in EXAMPLES.glob("*.toml")}  # nobody's own centre gets dossiers
                with_dossiers = {id: catalogue for id, catalogue in catalogues.items() if id in examples}
                self.demo = await demo_identities.prepare(
                    self._staff, self._identities, self._registry, with_dossiers, centres, data_dir, self.base
                )
            stack.push_async_callback(self._end_tasks)
            self._tasks = [
                asyncio.create_task(Sweeper(self._dispatch).run()),
                asyncio.create_task(Archiver(self._dispatch, History(self._archive), self.settings.keep_ms).run()),
                asyncio.create_task(relay.run()),
                asyncio.create_task(self._boards.part_with_revoked(self._guard.is_still_welcome)),
                asyncio.create_task(self._audit.run()),
                asyncio.create_task(self._sweep_sessions()),
                asyncio.create_task(_watch_loop()),
            ]
            if self._embedded is not None:
                self._tasks.append(asyncio.create_task(self._keep_embedded(self._embedded)))
            await waking
            self._phase = "ready"
            yield self

    @property
    def voice(self) -> str:
        """What can be spoken in the halls."""
        return self._voices.words()

    async def _sweep_sessions(self) -> None:
        """Forget sessions that nobody ended, once an hour."""
        while True:
            await asyncio.sleep(SWEEP_SESSIONS_S)
            with suppress(StoreAway):
                await self._identities.sessions.sweep(self.clock.now_ms())

    async def _end_tasks(self) -> None:
        self._phase = "stopping"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _started_embedded(self, stack: AsyncExitStack) -> str:
        assert self._embedded is not None
        stack.push_async_callback(self._embedded.stop)
        return await self._embedded.start()

    async def _keep_embedded(self, server: EmbeddedServer) -> None:
        """Start the embedded server again whenever it dies; its append-only file has everything that was answered."""
        while True:
            await server.wait_dead()
            _log.warning("the embedded server is gone; starting it again")
            while True:
                try:
                    await server.start()
                    break
                except (EmbeddedServerError, OSError):
                    _log.exception("the embedded server does not start")
                    await asyncio.sleep(1)

    async def _centres(self, catalogues: dict[str, Catalogue]) -> list[Centre]:
        """Put the centre files in force, and read the *catalogues* of all centres of the installation."""
        files = self.settings.centres or (
            (EXAMPLES / "demo-tinh.toml", EXAMPLES / "demo-xa.toml") if self._with_demo else ()
        )
        for file in files:
            await self._dispatch.configure(load_centre(file))
        for id in await self._dispatch.store.centre_ids():
            await self._dispatch.pack_again(id)
        centres = [await self._dispatch.centre(id) for id in await self._dispatch.store.centre_ids()]
        folders = {EXAMPLES, *(file.parent for file in self.settings.centres)}
        for centre in centres:
            for folder in folders:
                if (file := folder / f"{centre.id}-procedures.json").is_file():
                    catalogues[centre.id] = Catalogue.load(file)
        return centres

    def _application(self, hub: Hub) -> web.Application:
        self._guard = guard = Guard(
            self._identities,
            self.clock,
            public_url=self.settings.public_url,
            trusted_proxies=self.settings.trusted_proxies,
            observe=_observe,
        )
        app = web.Application(client_max_size=64 * 1024)
        guard.install(app)
        self._boards = boards = Boards(
            hub,
            self._authorize,
            self.clock,
            origin_allowed=lambda _: True,
            address=guard.address_of,
            voices=self._voices,
        )
        installation = urlsplit(self.settings.public_url or "").hostname or "queue-service"
        media = Media(self.settings.data_dir / "media")
        board_door.setup(app, media)
        register(
            app,
            Sessions(self._staff, self.clock, is_secure=guard.is_secure, installation=installation),
            Oidc(
                self._identity_server(),
                self._staff,
                self.clock,
                public_url=self.settings.public_url,
                is_secure=guard.is_secure,
            ),
            Users(self._staff, self._dispatch),
            DeviceDoor(Devices(self._identities, self._dispatch, self._audit), self._dispatch),
            AuditDoor(self._audit, self._dispatch),
            Centres(self._dispatch, self.settings.public_url),
            Tickets(self._dispatch, boards),
            Counters(self._dispatch, self._identities.sessions.names),
            Halls(self._dispatch, boards, self._identities.sessions.names),
            Messages(self._dispatch, self._identities.sessions.names),
            Alarms(self._dispatch),
            board_door.BoardDoor(self._book, media, hub.build, self.clock),
            Plans(self._dispatch, play_plan),
            Dossiers(self._registry, self.settings.public_url),
            Track(self._registry),
            Health(self._ready),
        )
        document = cache(lambda: msgspec.json.encode(openapi(app)))  # made when somebody asks: no start waits for it

        async def serve_openapi(_: web.Request) -> web.Response:
            return web.Response(body=await asyncio.to_thread(document), content_type="application/json")

        async def serve_metrics(request: web.Request) -> web.Response:
            if guard.address_of(request) not in THIS_MACHINE:
                require(request.get(IDENTITY, NOBODY), ("integrator", "admin"))
            body = await asyncio.to_thread(generate_latest)
            return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

        async def serve_demo(request: web.Request) -> web.Response:
            if self.demo is None or guard.address_of(request) not in THIS_MACHINE:  # it holds passwords
                raise NotFound("This is no demo.")
            return web.Response(body=msgspec.json.encode(self.demo), content_type="application/json")

        app.router.add_get("/openapi.json", serve_openapi)
        app.router.add_get("/metrics", serve_metrics)
        app.router.add_get("/api/v1/demo", serve_demo)
        pages.setup(app, pages.static_folder())

        async def close_streams(_: web.Application) -> None:
            await hub.close_all()

        app.on_shutdown.append(close_streams)
        return app

    def _identity_server(self) -> Server | None:
        settings = self.settings
        if settings.oidc_issuer is None:
            return None
        return Server(settings.oidc_issuer, settings.oidc_client, settings.oidc_secret, settings.oidc_claim)

    async def _showing(self, centre: str, counter: str) -> Mapping[str, str]:
        """Which boards should show a call at *counter*."""
        return await self._book.showing(centre, counter)

    async def _authorize(self, request: web.Request, centre: str, board: str) -> Viewer:
        """Who looks at *board*: its own device, another screen of the centre, or staff."""
        if request.path.endswith("/stream"):  # many come at once, and ask only whether there is such a board
            configured = (await self._dispatch.centre(centre)).board(board)
        else:
            await self._dispatch.in_force(centre)
            configured = await self._book.board(centre, board)
        identity = request.get(IDENTITY, NOBODY)
        require(identity, BOARD_READERS, centre)
        return self._boards.viewer(request, identity, msgspec.to_builtins(configured))

    async def _in_force(self, centre: str) -> Centre:
        """The configuration that presses are made under now."""
        configured, _ = await self._dispatch.in_force(centre)
        return configured

    async def _ready(self) -> dict[str, str]:
        """An archive that is away makes nobody unready: numbers are taken and called without it."""
        store, archive = await asyncio.gather(self._store_status(), self._archive_status())
        return {**self.store_words, "archive": archive, "voice": self.voice, "status": store}

    async def _store_status(self) -> str:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._dispatch.store.centre_ids()
        except (QueueError, TimeoutError):
            return "the store does not answer"
        return self._phase

    async def _archive_status(self) -> str:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_S):
                await self._archive.check()
        except (ArchiveAway, TimeoutError):
            return "away: the hall goes on, what is remembered beyond the day waits"
        return self._archive.words

    def _address(self, runner: web.AppRunner) -> str:
        host, port = runner.addresses[0][:2]
        return self.settings.public_url or f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def play_plan(centre: Centre, plan: Mapping[str, Any]) -> bytes:
    """
    Play a what-if in a process of its own.

    Raises:
        TimeoutError: it took too long.
        ValueError: it failed.
    """
    words = ["--level", plan["level"], "--days", str(plan["days"]), "--seed", str(plan["seed"])]
    words += [word for counter in plan["close"] for word in ("--close", counter)]
    words += [word for counter in plan["open"] for word in ("--open", counter)]
    words += [
        word
        for counter, services in plan["serve"].items()
        for service, level in services.items()
        for word in ("--serve", f"{counter}:{service}={level}")
    ]
    with TemporaryDirectory(prefix="plan-") as folder:
        file = Path(folder) / "centre.json"
        file.write_bytes(to_json(centre))
        profile = "commune" if centre.level == "commune" else "province"
        command = [sys.executable, "-m", "loadtest", "whatif", "--json", "--centre", str(file), "--profile", profile]
        process = await asyncio.create_subprocess_exec(*command, *words, stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(PLAN_S):
                out, _ = await process.communicate()
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
    if process.returncode:
        raise ValueError(f"the plan ended with {process.returncode}")
    return out


def _observe(operation: str, status: int, seconds: float) -> None:
    metrics.request_seconds(operation).observe(seconds)
    metrics.requests(operation, f"{status // 100}xx").inc()


async def _watch_loop() -> None:
    """How late the event loop is."""
    while True:
        planned = time.perf_counter() + 0.5
        await asyncio.sleep(0.5)
        metrics.EVENT_LOOP_LAG_SECONDS.observe(max(0.0, time.perf_counter() - planned))


async def serve(
    settings: Settings, say: Callable[[str], None], *, with_demo: bool, demo_speed: float | None = None
) -> None:
    """Run until told to stop by SIGINT or SIGTERM."""
    stop_signal = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop_signal.set)
    async with Service(settings, with_demo=with_demo).running() as service:
        say(_greeting(service))
        crowd = await _start_crowd(service, demo_speed) if demo_speed else None
        await stop_signal.wait()
        say("\nStopping…")
        faulthandler.dump_traceback_later(STOP_WITHIN_S, exit=True)
        if crowd is not None:
            with suppress(ProcessLookupError):
                crowd.terminate()
            await crowd.wait()


def _greeting(service: Service) -> str:
    words = service.store_words
    lines = [f"Queue service at {service.base}   store: {words['store']}; {words['durability']}"]
    lines += [f"  Voice          {service.voice}", ""]
    if service.demo is not None:
        lines += [
            demo_identities.addresses(service.demo),
            "",
            f"  All sign-ins: {service.settings.data_dir / demo_identities.FILE}",
        ]
    lines.append("  Ctrl-C stops everything.")
    return "\n".join(lines)


async def _start_crowd(service: Service, speed: float) -> asyncio.subprocess.Process:
    """Simulated visitors and officers, as a process of their own that speaks HTTP like everybody."""
    file = str(service.settings.data_dir.absolute() / demo_identities.FILE)
    command = [
        sys.executable,
        "-m",
        "loadtest",
        "demo",
        "--base",
        service.base,
        "--speed",
        str(speed),
        "--demo-json",
        file,
    ]
    return await asyncio.create_subprocess_exec(*command)
