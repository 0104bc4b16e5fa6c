"""
What stands before every door: who asks, whether the request may enter now, and how a refusal looks.

One middleware, in the order of its lines: admit or refuse at once, identify, check the origin, count, hand on, and turn
whatever went wrong into a problem document that shows nothing of the inside.  It holds no rule of the queue and knows
operations only as declared in `contract`.  Fed by aiohttp; feeds handlers with `request[IDENTITY]`, and the metrics
with one call per answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from queue_service.authority import ASKED_FROM, NOBODY, STAFF_ROLES, Identity
from queue_service.clock import Clock
from queue_service.contract import ADDRESS, IDENTITY, SECURITY_HEADERS, Operation, operation_of, problem
from queue_service.errors import (
    BadRequest,
    Broken,
    Forbidden,
    ForeignOrigin,
    Malformed,
    MethodNotAllowed,
    NotFound,
    NotSignedIn,
    Overloaded,
    QueueError,
    SignInRequired,
    StoreAway,
    TooLarge,
    TooMany,
    UnsupportedType,
)
from queue_service.identity import ABSOLUTE_LIMIT_MS, Identities, store_away

COOKIE: Final = "qs_staff"
SECURE_COOKIE: Final = f"__Host-{COOKIE}"
"""Used where we are reached by https; browsers then keep it to this very host."""
TOKEN_PROTOCOL: Final = "queue.token."  # noqa: S105 - what stands before a token
"""A browser's WebSocket cannot send headers: it offers the token as a subprotocol beside the real one."""


class _OursOnly(logging.Filter):
    """Lets pass what went wrong on our side; what is no HTTP is the sender's affair, and may hold a secret of his."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


_server_log = logging.getLogger(f"{__name__}.server")
_server_log.addFilter(_OursOnly())

RUNNER_OPTIONS: Final[Mapping[str, Any]] = {
    "access_log": None,  # 30 µs a request; metrics and sampled logs say more
    "logger": _server_log,
    "auto_decompress": False,  # packed bodies are refused; unpacking one first could fail before any door sees it
    "keepalive_timeout": 30.0,  # also ends a connection whose head does not arrive: the slow-loris limit
    "lingering_time": 2.0,
    "max_line_size": 4096,
    "max_field_size": 4096,
    "max_headers": 64,
    "tcp_keepalive": True,
}
"""For `Runner(app, **RUNNER_OPTIONS)`."""


class _Connection(web.RequestHandler):
    """One connection: what is no HTTP, or longer than we read, gets a problem document like any other refusal."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Say what is wrong in our words; the library's quote what was sent."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        response = problem(BadRequest("This is no HTTP request, or its address or a header is longer than is read."))
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner, whose connections refuse as the guard does."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server
        return server


SITE_OPTIONS: Final[Mapping[str, Any]] = {"backlog": 4096}
"""For the site: with the default of 128 a storm of screens takes twice as long."""

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
Observe = Callable[[str, int, float], None]
"""Told of each answer: operation (or `other`), status, seconds."""

_SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """
    How much may enter.

    Args:
        in_flight: requests in hand at once; streams are not counted, they have limits of their own.
        device_share, public_share: the part of `in_flight` that devices and the public may fill, so that officers
            go before kiosks and kiosks before public look-up.
        issue_per_min, issue_burst: tickets handed out by one kiosk, desk or address.
        public_per_s, public_burst: requests of one address without a sign-in; a miss (404, 401) costs ten.
        request_s: the longest that a request may take, its body included.
    """

    in_flight: int = 512
    device_share: float = 0.8
    public_share: float = 0.5
    issue_per_min: float = 60.0
    issue_burst: int = 60
    public_per_s: float = 30.0
    public_burst: int = 300
    request_s: float = 10.0


class Buckets:
    """
    One token bucket per key, each a single number: when it will be full again.

    Args:
        rate_per_s: how fast a bucket fills.
        burst: how much it holds.
    """

    MOST_KEYS: Final = 20_000

    def __init__(self, rate_per_s: float, burst: float, monotonic: Callable[[], float]) -> None:
        self._cost_s = 1.0 / rate_per_s
        self._depth_s = burst / rate_per_s
        self._monotonic = monotonic
        self._full_at: dict[str, float] = {}

    def take(self, key: str, cost: int = 1) -> float:
        """Take *cost* from the bucket of *key*: 0.0, or seconds to wait when there is not enough (nothing taken)."""
        now = self._monotonic()
        full_at = max(now, self._full_at.get(key, now)) + cost * self._cost_s
        wait_s = full_at - now - self._depth_s
        if wait_s > 0:
            return wait_s
        if len(self._full_at) >= self.MOST_KEYS:
            self._full_at = {known: at for known, at in self._full_at.items() if at > now}
        self._full_at[key] = full_at
        return 0.0

    def charge(self, key: str, cost: int) -> None:
        """Take *cost*, as far as there is any: what was done cannot be refused any more."""
        now = self._monotonic()
        self._full_at[key] = min(max(now, self._full_at.get(key, now)) + cost * self._cost_s, now + self._depth_s)


def session_cookie(token: str | None, *, is_secure: bool) -> dict[str, str]:
    """The header that gives a browser its session, or takes it away (None)."""
    name = SECURE_COOKIE if is_secure else COOKIE
    max_age_s = ABSOLUTE_LIMIT_MS // 1000 if token else 0
    secure = "; Secure" if is_secure else ""
    return {"Set-Cookie": f"{name}={token or ''}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}"}


class Guard:
    """
    The middleware and what it remembers.

    Args:
        identities: knows tokens.
        clock: Unix milliseconds, for sessions.
        public_url: under which browsers reach us, if that differs from the Host they send.
        trusted_proxies: addresses whose X-Forwarded-For is believed.
        observe: is told of each answer; must be quick.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        identities: Identities,
        clock: Clock,
        *,
        public_url: str | None = None,
        trusted_proxies: frozenset[str] = frozenset(),
        limits: Limits | None = None,
        observe: Observe | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self.in_flight = 0
        self._least_room = self.limits.in_flight * min(self.limits.public_share, self.limits.device_share)
        self._identities, self._clock, self._observe, self._monotonic = identities, clock, observe, monotonic
        self._public_host = urlsplit(public_url).netloc.lower() if public_url else None
        self.is_secure = public_url is not None and public_url.startswith("https:")
        self._trusted_proxies = trusted_proxies
        self._issuing = Buckets(self.limits.issue_per_min / 60.0, self.limits.issue_burst, monotonic)
        self._public = Buckets(self.limits.public_per_s, self.limits.public_burst, monotonic)
        self._started: dict[asyncio.Task[Any], float] = {}  # in order of start: the sweep looks at the oldest first
        self._overdue: set[asyncio.Task[Any]] = set()

    def install(self, app: web.Application) -> None:
        """Stand before all doors of *app*."""
        app.middlewares.append(self.middleware)
        app.cleanup_ctx.append(self._sweep_overdue)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Next) -> web.StreamResponse:
        """Let *request* through to *handler*, or refuse it."""
        started = self._monotonic()
        op = operation_of(request.match_info.handler)
        try:
            token, is_ambient = credential(request)
            # Nearly always known: then no coroutine is made, and no wall clock read.
            identity = self._identities.trusted(token) if token is not None else NOBODY
            is_counted = op is None or not op.stream
            task = self._enter(token, identity, started) if is_counted else None
            try:
                if identity is None and token is not None:
                    identity = await self._identities.authenticate(token, self._clock.now_ms())
                self._welcome(request, op, identity or NOBODY, token, is_ambient)
                response = await handler(request)
            except asyncio.CancelledError:
                if task not in self._overdue:
                    raise
                raise self._late(request, task) from None
            finally:
                if task is not None:
                    self._leave(task)
        except QueueError as refusal:
            response = self._refuse(request, refusal)
        except web.HTTPException as fault:
            if fault.status < 400:
                fault.headers.update(SECURITY_HEADERS)
                raise
            response = self._refuse(request, _translated(fault), _kept(fault))
        except Exception as fault:  # noqa: BLE001 - the last line before the network: nothing of it may show
            response = self._refuse(request, self._unexpected(request, fault))
        if not response.prepared:
            headers = response.headers
            if "X-Content-Type-Options" not in headers:
                headers.update(SECURITY_HEADERS)
                if request.path.startswith("/api/"):
                    headers["Cache-Control"] = "no-store"
            if self.is_secure:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        if self._observe is not None:
            self._observe(op.name if op is not None else "other", response.status, self._monotonic() - started)
        return response

    async def is_still_welcome(self, request: web.Request) -> bool:
        """Whether the credential that a long stream began with still holds; ask every two seconds or so."""
        token, _ = credential(request)
        began_as = request.get(IDENTITY, NOBODY)
        return token is None or began_as == await self._identities.authenticate(token, self._clock.now_ms())

    def _enter(self, token: str | None, identity: Identity | None, started: float) -> asyncio.Task[Any]:
        """Count a request in, with a deadline that costs two dictionary operations instead of a timer (3.6 µs)."""
        if self.in_flight >= self._least_room and self.in_flight >= self._room_for(token, identity):
            raise Overloaded("More people ask than we can answer at this moment. Nothing was done; ask again.")
        task = asyncio.current_task()
        assert task is not None
        self.in_flight += 1
        self._started[task] = started
        return task

    def _leave(self, task: asyncio.Task[Any]) -> None:
        self.in_flight -= 1
        del self._started[task]
        self._overdue.discard(task)

    def _late(self, request: web.Request, task: asyncio.Task[Any]) -> QueueError:
        """What a caller is told whose deadline has passed."""
        task.uncancel()
        if not request.content.is_eof():
            return Malformed("The body did not arrive in time. Nothing was done.")
        return StoreAway("This took too long. Unknown: repeat with the same key.")

    def _room_for(self, token: str | None, identity: Identity | None) -> float:
        limits = self.limits
        if token is None:
            return limits.in_flight * limits.public_share
        known = identity or self._identities.remembered(token)
        if known is None or known.roles.isdisjoint(STAFF_ROLES):
            return limits.in_flight * limits.device_share
        return limits.in_flight

    def _welcome(
        self, request: web.Request, op: Operation | None, identity: Identity, token: str | None, is_ambient: bool
    ) -> None:
        """Check the origin, count, and put identity and address on the request."""
        request[IDENTITY] = identity
        ASKED_FROM.set(lambda: network(self.address_of(request)))
        if (is_ambient or token is None) and (request.method not in _SAFE or hdrs.UPGRADE in request.headers):
            self._check_origin(request)
        if op is None:
            return
        if identity is NOBODY or "address" in op.wants:
            request[ADDRESS] = self.address_of(request)
        if identity is NOBODY:
            wait_s = self._public.take(network(request[ADDRESS]))
            if wait_s > 0:
                raise TooMany("Too many requests from this address. Nothing was done; ask again later.", wait_s)
            # A page cannot read why a handshake was refused: a stream's door completes it and closes with 4401.
            if token is not None and not is_ambient and not (op.stream and hdrs.UPGRADE in request.headers):
                raise SignInRequired("This token is not, or no longer, valid.")
        if op.issues and "integrator" not in identity.roles:
            wait_s = self._issuing.take(identity.name if identity is not NOBODY else network(request[ADDRESS]))
            if wait_s > 0:
                raise TooMany("Too many tickets from one place. Nothing was done; wait a little.", wait_s)

    def _check_origin(self, request: web.Request) -> None:
        """A browser says on whose behalf it presses; programs say nothing, and have no cookie that could be abused."""
        headers = request.headers
        origin = headers.get(hdrs.ORIGIN)
        is_foreign = headers.get("Sec-Fetch-Site") == "cross-site"
        if origin is not None:
            try:
                host = urlsplit(origin).netloc.lower()
            except ValueError:  # brackets without an address in them
                host = ""
            is_foreign = is_foreign or not host or host not in (request.host.lower(), self._public_host)
        if is_foreign:
            raise ForeignOrigin("This page is not one of ours. Nothing was done.")

    def _refuse(
        self, request: web.Request, refusal: QueueError, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        if isinstance(refusal, NotFound | NotSignedIn) and ADDRESS in request and request.get(IDENTITY) is NOBODY:
            self._public.charge(network(request[ADDRESS]), 9)  # guessing is slow
        response = problem(refusal, headers)
        if not request.content.is_eof() or request.content.exception() is not None:
            response.force_close()  # what is left of the body must not be read as the next request
        return response

    def _unexpected(self, request: web.Request, fault: Exception) -> QueueError:
        if (refusal := store_away(fault)) is not None:
            return refusal
        if request.transport is None:
            return Broken("The caller went away.")
        op = operation_of(request.match_info.handler)
        # As text: renderers of exceptions like to show local variables, and ours hold tokens.
        story = "".join(traceback.format_exception(fault))
        _log.error("request failed", operation=op.name if op is not None else "other", story=story)
        return Broken("This is a mistake of ours, and it is written down. Repeat with the same key.")

    def address_of(self, request: web.Request) -> str:
        """Where *request* comes from: the peer, or whoever a trusted proxy says it speaks for."""
        remote = request.remote or "local"
        if remote in self._trusted_proxies:
            for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
                if hop.strip() and hop.strip() not in self._trusted_proxies:
                    return hop.strip()[:64]
        return remote

    async def _sweep_overdue(self, _app: web.Application) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(min(1.0, self.limits.request_s / 4))
                latest = self._monotonic() - self.limits.request_s
                for task, started in list(self._started.items()):
                    if started > latest:
                        break
                    if task not in self._overdue:
                        self._overdue.add(task)
                        task.cancel()

        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()


def credential(request: web.Request) -> tuple[str | None, bool]:
    """The token of a request, and whether a browser sent it without being asked (a cookie)."""
    headers = request.headers
    authorization = headers.get(hdrs.AUTHORIZATION)
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise SignInRequired("Send `Authorization: Bearer <token>`.")
        return token.strip(), False
    offered = headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL)
    if offered is not None:
        for protocol in offered.split(","):
            if protocol.strip().startswith(TOKEN_PROTOCOL):
                return protocol.strip().removeprefix(TOKEN_PROTOCOL), False
    if hdrs.COOKIE in headers:
        cookies = request.cookies
        session = cookies.get(SECURE_COOKIE) or cookies.get(COOKIE)
        if session:
            return session, True
    return None, False


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that one IPv6 subscriber has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


_TRANSLATIONS: Final[dict[int, QueueError]] = {
    401: SignInRequired("Sign in, or send the token of a device."),
    403: Forbidden("This is not for you."),
    404: NotFound("There is nothing at this address."),
    405: MethodNotAllowed("This address knows other methods; see the header Allow."),
    413: TooLarge("The body is too long."),
    415: UnsupportedType("We do not read this type of body."),
}


def _translated(fault: web.HTTPException) -> QueueError:
    """aiohttp's own refusal in our words."""
    if fault.status >= 500:
        return Broken("This is a mistake of ours.")
    known = _TRANSLATIONS.get(fault.status)
    return type(known)(known.detail) if known is not None else BadRequest("The request cannot be understood.")


def _kept(fault: web.HTTPException) -> dict[str, str]:
    return {hdrs.ALLOW: fault.headers[hdrs.ALLOW]} if hdrs.ALLOW in fault.headers else {}
