"""
Signing in by an identity server: to it, and back with a code that is exchanged for a token.

What belongs to one attempt travels in a cookie of the browser that began it, so any worker may finish what another
began.  Documents of the server are fetched when they are needed, bounded in size and time; its keys again when a token
names an unknown one.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
import time
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from msgspec import Meta, Struct

from queue_service.clock import Clock
from queue_service.contract import operation
from queue_service.errors import Malformed, NotFound, QueueError, WrongPassword
from queue_service.guard import session_cookie
from queue_service.http_api.words import Body
from queue_service.oidc import IS_INSTALLED, Attempt, UnknownKey, claims_of
from queue_service.staff import Staff

START: Final = "/api/v1/oidc/start"
CALLBACK: Final = "/api/v1/oidc/callback"
COOKIE: Final = "qs_oidc"
ATTEMPT_S: Final = 600
FETCH_S: Final = 5.0
MOST_BYTES: Final = 256 * 1024
KEYS_AGAIN_S: Final = 10.0
"""How often the keys may be fetched because a token names an unknown one."""
PAGE: Final = r"/(?![/\\])[A-Za-z0-9/_.~?=&%+-]*"
"""An address of this host; nothing that a browser takes for another one."""
REFUSED: Final = "#sign-in=refused"

Word = Annotated[str, Meta(max_length=2048)]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """
    The identity server, and what it knows us by.

    Args:
        issuer: its address, as its tokens say it.
        claim: which word of a token is the name of an account.
    """

    issuer: str
    client: str
    secret: str | None
    claim: str


class StartQuery(Body, frozen=True):
    """The page to come back to, of this host."""

    next: Annotated[str, Meta(max_length=500, pattern=rf"\A{PAGE}\Z")] = "/"


class CallbackQuery(Body, frozen=True):
    """What identity servers send back: the answer, and words that we do not need."""

    state: Word = ""
    code: Word | None = None
    error: Word | None = None
    error_description: Word | None = None
    error_uri: Word | None = None
    iss: Word | None = None
    session_state: Word | None = None
    scope: Word | None = None


class WaysReply(Struct, frozen=True):
    """How one may sign in."""

    password: bool
    oidc: str | None
    """Where a browser goes to sign in by the identity server, with ``?next=`` the page to come back to."""


class Oidc:
    """Signing in by an identity server; without one there is no way there."""

    def __init__(
        self, server: Server | None, staff: Staff, clock: Clock, *, public_url: str | None, is_secure: bool
    ) -> None:
        self._server = server if IS_INSTALLED and public_url is not None else None
        if server is not None and self._server is None:
            _log.warning("no sign-in by the identity server: install queue-service[oidc], set QUEUE_PUBLIC_URL")
        self._staff, self._clock, self._is_secure = staff, clock, is_secure
        self._redirect = f"{public_url}{CALLBACK}"
        self._documents: dict[str, dict[str, Any]] = {}
        self._keys_at = -KEYS_AGAIN_S
        self._few = asyncio.Semaphore(8)

    @operation("GET", "/api/v1/session/ways", summary="How to sign in", answers={200: WaysReply}, tags=("session",))
    async def ways(self) -> WaysReply:
        """Whether there is an identity server to sign in by."""
        return WaysReply(True, START if self._server is not None else None)

    @operation(
        "GET",
        START,
        summary="To the identity server",
        query=StartQuery,
        answers={302: None},
        refusals=(NotFound,),
        tags=("session",),
    )
    async def oidc_start(self, query: StartQuery) -> web.Response:
        """For browsers: a redirection, with a cookie that binds the answer to this browser."""
        server = self._there()
        attempt = Attempt.begun(query.next)
        endpoint = _address(await self._discovered(server), "authorization_endpoint")
        asked = {
            "response_type": "code",
            "client_id": server.client,
            "redirect_uri": self._redirect,
            "scope": "openid profile",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": attempt.challenge,
            "code_challenge_method": "S256",
        }
        there = f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"
        return web.Response(status=302, headers={"Location": there, "Set-Cookie": self._cookie(attempt)})

    @operation(
        "GET",
        CALLBACK,
        summary="Back from the identity server",
        query=CallbackQuery,
        answers={302: None},
        refusals=(NotFound,),
        tags=("session",),
    )
    async def oidc_callback(self, query: CallbackQuery, request: web.Request) -> web.Response:
        """For browsers: a session, and a redirection to the page that one came from; refused, that page says so."""
        server = self._there()
        attempt = _attempt(request.cookies.get(COOKIE, ""))
        if attempt is None or not hmac.compare_digest(attempt.state.encode(), query.state.encode()):
            raise Malformed("This sign-in was not begun in this browser, or too long ago. Begin again.")
        answer = web.Response(status=302, headers={"Location": attempt.next})
        answer.headers.add("Set-Cookie", self._cookie(None))
        try:
            if query.code is None or query.iss not in (None, server.issuer):
                raise WrongPassword("The identity server did not say who this is.")
            name = await self._name(server, attempt, query.code)
            token, _ = await self._staff.sign_in_as(name, self._clock.now_ms())
        except QueueError as refusal:
            _log.warning("a sign-in by the identity server was refused", code=refusal.code, why=refusal.detail)
            answer.headers["Location"] = attempt.next + REFUSED
            return answer
        answer.headers.add("Set-Cookie", session_cookie(token, is_secure=self._is_secure)["Set-Cookie"])
        return answer

    def _there(self) -> Server:
        if self._server is None:
            raise NotFound("There is no identity server here.")
        return self._server

    async def _name(self, server: Server, attempt: Attempt, code: str) -> str:
        """The account that the identity server has seen."""
        discovered = await self._discovered(server)
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "client_id": server.client,
            "code_verifier": attempt.verifier,
        }
        answer = await self._fetch(_address(discovered, "token_endpoint"), form=form, server=server)
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise WrongPassword("The identity server did not say who this is.")
        for keys in (await self._keys(discovered), None):
            try:
                claims = claims_of(
                    token,
                    keys if keys is not None else await self._keys(discovered, again=True),
                    issuer=server.issuer,
                    client=server.client,
                    nonce=attempt.nonce,
                    now_ms=self._clock.now_ms(),
                )
            except UnknownKey:
                continue
            name = claims.get(server.claim)
            if not isinstance(name, str) or len(name) > 64:
                raise WrongPassword(f"The identity server's token has no {server.claim}.")
            return name
        raise WrongPassword("The identity server's token is signed by a key that it does not show.")

    async def _discovered(self, server: Server) -> dict[str, Any]:
        """The server's own description, which must be about itself (no other server's may be put in its place)."""
        url = f"{server.issuer.rstrip('/')}/.well-known/openid-configuration"
        if url not in self._documents:
            found = await self._fetch(url)
            if found.get("issuer") != server.issuer:
                raise WrongPassword("The identity server says that it is another one; look at QUEUE_OIDC_ISSUER.")
            self._documents[url] = found
        return self._documents[url]

    async def _keys(self, discovered: dict[str, Any], *, again: bool = False) -> dict[str, Any]:
        url = _address(discovered, "jwks_uri")
        if url not in self._documents or (again and time.monotonic() - self._keys_at >= KEYS_AGAIN_S):
            self._keys_at = time.monotonic()
            found = await self._fetch(url)
            if not isinstance(found.get("keys"), list):
                raise WrongPassword("The identity server shows no keys.")
            self._documents[url] = found
        return self._documents[url]

    async def _fetch(
        self, url: str, *, form: dict[str, str] | None = None, server: Server | None = None
    ) -> dict[str, Any]:
        """A JSON object from the identity server."""
        headers = {}
        if server is not None and server.secret is not None:
            proof = f"{quote(server.client, safe='')}:{quote(server.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(proof.encode()).decode()}"
        try:
            async with (
                self._few,
                ClientSession(timeout=ClientTimeout(total=FETCH_S)) as session,
                session.request(
                    "GET" if form is None else "POST", url, data=form, headers=headers, allow_redirects=False
                ) as answer,
            ):
                body = bytearray()
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > MOST_BYTES:
                        raise ValueError("too long")
                found = json.loads(body) if answer.status == 200 else None
        except (ClientError, TimeoutError, OSError, ValueError) as trouble:
            raise WrongPassword("The identity server does not answer as it should.") from trouble
        if not isinstance(found, dict):
            raise WrongPassword("The identity server does not answer as it should.")
        return found

    def _cookie(self, attempt: Attempt | None) -> str:
        value = base64.urlsafe_b64encode(msgspec.json.encode(attempt)).decode() if attempt is not None else ""
        age_s = ATTEMPT_S if attempt is not None else 0
        secure = "; Secure" if self._is_secure else ""
        # Lax: the way back begins at another site.
        return f"{COOKIE}={value}; Path={CALLBACK}; Max-Age={age_s}; HttpOnly; SameSite=Lax{secure}"


def _attempt(cookie: str) -> Attempt | None:
    try:
        attempt = Attempt(*msgspec.json.decode(base64.urlsafe_b64decode(cookie), type=tuple[str, str, str, str]))
    except (ValueError, msgspec.DecodeError):
        return None
    return attempt if re.fullmatch(PAGE, attempt.next) else None


def _address(discovered: dict[str, Any], name: str) -> str:
    """An address of the description: by https, or on this machine."""
    url = discovered.get(name)
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is None or not (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))
    ):
        raise WrongPassword(f"The identity server has no usable {name}.")
    return str(url)
