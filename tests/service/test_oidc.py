"""Signing in by an identity server: a real one on this machine, and every token that proves nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from aiohttp import ClientSession, CookieJar, DummyCookieJar, web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from redis.asyncio import Redis

from queue_service.app import Service
from queue_service.centre import to_json
from queue_service.clock import SystemClock
from queue_service.guard import COOKIE
from queue_service.http_api import oidc as door
from queue_service.identity import Identities
from queue_service.oidc import Attempt
from queue_service.settings import Settings
from queue_service.store import CENTRES_KEY
from service_world import House, a_hall

CLIENT, SECRET = "queue-service", "a secret: with / signs"
GOOD = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
NEXT_KEY = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})


class IdentityServer:
    """What a province runs, as far as we see it; `spoil` makes its tokens bad."""

    def __init__(self) -> None:
        self.keys: list[Any] = [GOOD]
        self.key: Any = GOOD
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "one"}
        self.spoil: dict[str, Any] = {}
        self.answer: Any = None
        self.asked: dict[str, Any] = {}
        self.keys_fetched = 0
        self.others_issuer: str | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._describe)
        app.router.add_get("/keys", self._keys)
        app.router.add_post("/token", self._token)
        self.server = TestServer(app)
        await self.server.start_server()
        self.issuer = f"http://127.0.0.1:{self.server.port}"

    async def _describe(self, _: web.Request) -> web.Response:
        return web.json_response(
            {
                "issuer": self.others_issuer or self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }
        )

    async def _keys(self, _: web.Request) -> web.Response:
        self.keys_fetched += 1
        return web.json_response(KeySet(self.keys).as_dict(private=False))

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        scheme, _, proof = request.headers["Authorization"].partition(" ")
        assert ("Basic", b"queue-service:a%20secret%3A%20with%20%2F%20signs") == (scheme, base64.b64decode(proof))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(str(form["code_verifier"]).encode()).digest())
        assert self.asked["code_challenge"] == challenge.rstrip(b"=").decode()
        assert self.asked["redirect_uri"] == form["redirect_uri"]
        if self.answer is not None:
            return web.Response(**self.answer)
        now_s = SystemClock().now_ms() // 1000
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "exp": now_s + 300,
            "iat": now_s,
            "nonce": self.asked["nonce"],
            "preferred_username": self.user,
        } | self.spoil
        claims = {name: value for name, value in claims.items() if value is not None}
        algorithms = [self.header["alg"]]
        token = jwt.encode(self.header, claims, self.key, algorithms=algorithms)
        return web.json_response({"id_token": token, "access_token": "unused", "token_type": "Bearer"})

    user = ""


class Scene:
    """A hall whose staff may sign in by the identity server, and one browser."""

    def __init__(self, house: House, server: IdentityServer, browser: ClientSession) -> None:
        self.house, self.server, self.browser = house, server, browser

    async def begin(self, next: str = "/admin/x?tab=own") -> str:
        """To the identity server; its state, as the browser brings it back."""
        url = f"{self.house.service.base}{door.START}"
        async with self.browser.get(url, params={"next": next}, allow_redirects=False) as answer:
            assert 302 == answer.status, await answer.text()
            there = urlsplit(answer.headers["Location"])
        assert there.geturl().startswith(f"{self.server.issuer}/authorize?")
        self.server.asked = {name: values[0] for name, values in parse_qs(there.query).items()}
        return str(self.server.asked["state"])

    async def come_back(self, **query: str) -> tuple[int, str, bool]:
        """Status, where to, and whether this answer signs somebody in."""
        url = f"{self.house.service.base}{door.CALLBACK}"
        async with self.browser.get(url, params=query, allow_redirects=False) as answer:
            session = answer.cookies.get(COOKIE)
            return answer.status, answer.headers.get("Location", ""), session is not None and bool(session.value)

    async def sign_in(self) -> tuple[str, bool]:
        """The whole way."""
        status, where, is_in = await self.come_back(state=await self.begin(), code="a-code")
        assert 302 == status
        return where, is_in


@pytest.fixture
async def scene(redis_url: str, tmp_path: Path, cheap_passwords: None, unused_tcp_port: int) -> AsyncIterator[Scene]:
    server = IdentityServer()
    await server.start()
    centre = a_hall()
    (tmp_path / "centre.json").write_bytes(to_json(centre))
    settings = Settings(
        port=unused_tcp_port,
        redis_url=redis_url,
        data_dir=tmp_path,
        centres=(tmp_path / "centre.json",),
        public_url=f"http://127.0.0.1:{unused_tcp_port}",
        oidc_issuer=server.issuer,
        oidc_client=CLIENT,
        oidc_secret=SECRET,
    )
    async with (
        Redis.from_url(redis_url) as redis,
        Service(settings).running() as service,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser,
        ClientSession(cookie_jar=DummyCookieJar()) as session,
    ):
        house = House(service, session, Identities(redis), redis, centre)
        await house.meet()
        server.user = house.lan.name
        yield Scene(house, server, browser)
        await redis.srem(CENTRES_KEY, centre.id)
    await server.server.close()


async def test_whom_the_identity_server_knows_is_signed_in_and_back_on_the_page(scene: Scene) -> None:
    """A new session, the page that one came from, and an entry in the audit."""
    assert ("/admin/x?tab=own", True) == await scene.sign_in()
    async with scene.browser.get(f"{scene.house.service.base}/api/v1/session") as session:
        assert scene.house.lan.name == (await session.json())["user"]["name"]
    await scene.house.service._audit.flush()
    found = (await scene.house.chief.get("audit", params={"action": "sign-in-oidc"})).value["entries"]
    assert [(f"staff:{scene.house.lan.name}", "done")] == [(entry["actor"], entry["outcome"]) for entry in found]
    ways = (await scene.house.nobody.get("/api/v1/session/ways")).value
    assert {"password": True, "oidc": door.START} == ways


NOW_S = SystemClock().now_ms() // 1000


BAD_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://another.example"},
    {"iss": None},
    {"aud": "another-client"},
    {"aud": None},
    {"aud": []},
    {"aud": 7},
    {"aud": [CLIENT, "another"]},
    {"aud": [CLIENT, "another"], "azp": "another"},
    {"azp": "another"},
    {"exp": NOW_S - 3600},
    {"exp": None},
    {"exp": "tomorrow"},
    {"exp": True},
    {"iat": NOW_S - 3600},
    {"iat": NOW_S + 3600},
    {"iat": None},
    {"nbf": NOW_S + 3600},
    {"nbf": "now"},
    {"nonce": "of another attempt"},
    {"nonce": None},
    {"nonce": 7},
    {"preferred_username": None},
    {"preferred_username": ["lan"]},
    {"preferred_username": "x" * 65},
    {"preferred_username": "somebody-without-an-account"},
]


async def test_a_token_that_proves_nothing_signs_nobody_in(scene: Scene) -> None:
    for claims in BAD_CLAIMS:
        scene.server.spoil = claims
        assert ("/admin/x?tab=own#sign-in=refused", False) == await scene.sign_in(), claims
    scene.server.spoil = {}
    assert (await scene.sign_in())[1]


async def test_several_audiences_are_fine_if_we_are_the_one_that_asked(scene: Scene) -> None:
    scene.server.spoil = {"aud": ["another", CLIENT], "azp": CLIENT}
    assert (await scene.sign_in())[1]


async def test_a_token_that_somebody_else_signed_signs_nobody_in(scene: Scene) -> None:
    """Another key under the same name; our public key as a shared secret; no signature at all."""
    scene.server.key = OTHER
    assert not (await scene.sign_in())[1]
    for algorithm, secret in (("HS256", GOOD.as_pem(private=False)), ("none", b"")):
        await scene.begin()
        now_s = SystemClock().now_ms() // 1000
        claims = {"iss": scene.server.issuer, "aud": CLIENT, "exp": now_s + 300, "iat": now_s}
        claims |= {"nonce": scene.server.asked["nonce"], "preferred_username": scene.server.user}
        head = {"alg": algorithm, "kid": "one"}
        text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, claims))
        mark = base64.urlsafe_b64encode(hmac.digest(secret, text, "sha256")).rstrip(b"=") if secret else b""
        scene.server.answer = {"body": json.dumps({"id_token": (text + b"." + mark).decode()})}
        assert not (await scene.come_back(state=scene.server.asked["state"], code="a-code"))[2], algorithm


async def test_keys_that_were_changed_are_fetched_again_and_not_without_end(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await scene.sign_in())[1]
    assert 1 == scene.server.keys_fetched
    scene.server.key, scene.server.keys = NEXT_KEY, [NEXT_KEY]
    scene.server.header = {"alg": "ES256", "kid": "two"}
    monkeypatch.setattr(door, "KEYS_AGAIN_S", 0.0)
    assert (await scene.sign_in())[1]
    assert 2 == scene.server.keys_fetched
    monkeypatch.setattr(door, "KEYS_AGAIN_S", 3600.0)
    scene.server.header = {"alg": "ES256", "kid": "three"}
    scene.browser.cookie_jar.clear()
    for _ in range(3):
        assert not (await scene.sign_in())[1]
    assert 2 == scene.server.keys_fetched


BAD_ANSWERS: list[dict[str, Any]] = [
    {"status": 400, "text": '{"error":"invalid_grant"}'},
    {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    {"text": "no JSON"},
    {"text": "[]"},
    {"text": "{}"},
    {"text": '{"id_token": 7}'},
    {"text": '{"id_token": "a.b"}'},
    {"text": '{"id_token": "ä.b.c"}'},
    {"text": '{"id_token": "' + "A" * 300_000 + '"}'},
]


async def test_a_server_that_answers_nonsense_signs_nobody_in(scene: Scene) -> None:
    for answer in BAD_ANSWERS:
        scene.server.answer = answer
        assert ("/admin/x?tab=own#sign-in=refused", False) == await scene.sign_in(), answer


async def test_an_answer_belongs_to_the_browser_that_asked(scene: Scene) -> None:
    """Another state, none, a cookie that was edited, and the same answer twice: nobody is signed in by them."""
    await scene.begin()
    for query in ({"state": "another", "code": "a-code"}, {"code": "a-code"}, {"state": "", "code": "a-code"}):
        assert (400, "", False) == await scene.come_back(**query)
    state = await scene.begin()
    scene.browser.cookie_jar.clear()
    assert (400, "", False) == await scene.come_back(state=state, code="a-code")
    for edited in (Attempt(state, "n", "v", "https://evil.example"), Attempt(state, "n", "v", "//evil.example")):
        cookie = base64.urlsafe_b64encode(msgspec.json.encode(edited)).decode()
        answer = await scene.house.nobody.get(
            door.CALLBACK,
            params={"state": state, "code": "a-code"},
            headers={"Cookie": f"{door.COOKIE}={cookie}"},
            allow_redirects=False,
        )
        assert (400, "MALFORMED") == (answer.status, answer.code)
    state = await scene.begin()
    assert (302, "/admin/x?tab=own", True) == await scene.come_back(state=state, code="a-code")
    assert (400, "", False) == await scene.come_back(state=state, code="a-code")


async def test_a_refusal_of_the_identity_server_leads_back(scene: Scene) -> None:
    state = await scene.begin()
    back = await scene.come_back(state=state, error="access_denied", error_description="no")
    assert (302, "/admin/x?tab=own#sign-in=refused", False) == back
    state = await scene.begin()
    assert not (await scene.come_back(state=state, code="a-code", iss="https://another.example"))[2]


async def test_nobody_is_led_to_another_host(scene: Scene) -> None:
    for next in ("https://evil.example", "//evil.example", "/\\evil.example", "/a\nb", "javascript:x", ""):
        answer = await scene.house.nobody.get(door.START, params={"next": next}, allow_redirects=False)
        assert (400, "MALFORMED") == (answer.status, answer.code), next


async def test_a_server_that_says_it_is_another_one_is_not_asked(scene: Scene) -> None:
    scene.server.others_issuer = "https://another.example"
    answer = await scene.house.nobody.get(door.START, allow_redirects=False)
    assert (401, "WRONG_PASSWORD") == (answer.status, answer.code)


async def test_whoever_is_disabled_is_not_let_in_by_this_way_either(scene: Scene) -> None:
    await scene.house.service._staff.change(scene.house.lan.name, scene.house.operator, is_disabled=True)
    assert not (await scene.sign_in())[1]


async def test_without_an_identity_server_there_is_no_such_way(house: House) -> None:
    assert {"password": True, "oidc": None} == (await house.nobody.get("/api/v1/session/ways")).value
    for path in (door.START, door.CALLBACK):
        assert (404, "NOT_FOUND") == ((answer := await house.nobody.get(path)).status, answer.code)
