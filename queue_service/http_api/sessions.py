"""
Signing in and out.
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from queue_service import metrics
from queue_service.clock import Clock
from queue_service.contract import Answer, operation
from queue_service.errors import (
    WrongPassword,
)
from queue_service.guard import credential, session_cookie
from queue_service.http_api.words import Body
from queue_service.identity import Identities, Identity


class SignIn(Body, frozen=True):
    """A name, a password, and whether to answer with a bearer token instead of a cookie."""

    name: Annotated[str, Meta(max_length=64)]
    password: Annotated[str, Meta(max_length=200)]
    bearer: bool = False


class User(Struct, frozen=True):
    """Whoever is signed in."""

    name: str
    display_name: str
    roles: tuple[str, ...]
    centres: tuple[str, ...]


class SessionReply(Struct, frozen=True, omit_defaults=True):
    """A session."""

    user: User
    token: str | None = None


class Sessions:
    """Signing in and out."""

    def __init__(self, identities: Identities, clock: Clock, *, is_secure: bool) -> None:
        self._identities = identities
        self._clock = clock
        self._is_secure = is_secure

    @operation(
        "POST",
        "/api/v1/session",
        summary="Sign in",
        body=SignIn,
        answers={200: SessionReply},
        refusals=(WrongPassword,),
        tags=("session",),
    )
    async def sign_in(self, body: SignIn, address: str) -> Answer:
        """Answers with a cookie for browsers, or with a token for programs that ask for a bearer."""
        try:
            token, identity = await self._identities.sign_in(body.name, body.password, address, self._clock.now_ms())
        except WrongPassword:
            metrics.REFUSED_SIGN_INS.inc()
            raise
        if body.bearer:
            return Answer(SessionReply(_user(identity), token))
        return Answer(SessionReply(_user(identity)), headers=session_cookie(token, is_secure=self._is_secure))

    @operation(
        "GET",
        "/api/v1/session",
        summary="Who is signed in",
        roles=("officer", "desk", "supervisor", "admin", "integrator"),
        answers={200: SessionReply},
        tags=("session",),
    )
    async def who(self, identity: Identity) -> SessionReply:
        """The account of the cookie or bearer token."""
        return SessionReply(_user(identity))

    @operation("DELETE", "/api/v1/session", summary="Sign out", answers={204: None}, tags=("session",))
    async def sign_out(self, request: web.Request) -> Answer:
        """Ends the session everywhere."""
        token, _ = credential(request)
        if token is not None:
            await self._identities.sign_out(token)
        return Answer(None, headers=session_cookie(None, is_secure=self._is_secure))


def _user(identity: Identity) -> User:
    return User(identity.name, identity.display_name, tuple(sorted(identity.roles)), tuple(sorted(identity.centres)))
