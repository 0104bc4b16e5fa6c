"""Sessions and device tokens, on a real server."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,
)

from queue_service.authority import EVERYWHERE, NOBODY, Identity, allow, require
from queue_service.errors import (
    Malformed,
    NotAllowed,
    SignInRequired,
    StoreAway,
)
from queue_service.identity import (
    ABSOLUTE_LIMIT_MS,
    IDLE_LIMIT_MS,
    SEEN_EVERY_MS,
    TRUST_S,
    Identities,
    store_away,
)

NOW = 1_795_000_000_000
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Watch:
    """A monotonic clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0)) as client:
        yield client


@pytest.fixture
def identities(client: Redis, watch: Watch) -> Identities:
    return Identities(client, tag=secrets.token_hex(8), monotonic=watch)


LAN = Identity(
    name="lan", roles=frozenset({"officer"}), centres=frozenset({"demo-xa"}), kind="staff", display_name="Lan"
)


async def sign_in(identities: Identities, now_ms: int = NOW) -> str:
    """A session of the officer Lan, who has proven who she is."""
    return await identities.sessions.create(LAN, await identities.sessions.generation("lan"), now_ms)


# Sessions


async def test_a_session_is_who_it_was_made_for(identities):
    token = await sign_in(identities)

    assert LAN == await identities.authenticate(token, NOW)


async def test_no_token_is_kept(identities, client):
    """Neither a session's nor a device's stands anywhere in the store."""
    token = await sign_in(identities)
    _, device_token = await identities.devices.create(role="kiosk", centre="demo-xa", now_ms=NOW)
    kept = b""
    async for key in client.scan_iter(match=identities._hashes.devices.replace("devices", "*")):
        kept += msgspec.msgpack.encode(await client.hgetall(key))

    assert b"lan" in kept
    for secret in (token, token[4:], device_token, device_token.rsplit(".", 1)[1]):
        assert secret.encode() not in kept


async def test_a_session_that_begins_while_all_are_ended_is_ended_too(identities):
    """The generation is read before the account: what an administrator does in between reaches the new session."""
    generation = await identities.sessions.generation("lan")
    await identities.sessions.end_all("lan")
    token = await identities.sessions.create(LAN, generation, NOW)

    assert NOBODY == await identities.authenticate(token, NOW)


async def test_the_key_of_places_is_made_once(identities):
    keys = [await identities.key_of_places() for _ in range(2)]

    assert 32 == len(keys[0])
    assert keys[0] == keys[1]


async def test_a_session_ends_when_it_is_not_used(identities, watch):
    """Use is written down at most once a minute, and counts."""
    token = await sign_in(identities)
    used = NOW + IDLE_LIMIT_MS - 1
    assert "lan" == (await identities.authenticate(token, used)).name
    watch.now_s += TRUST_S
    assert "lan" == (await identities.authenticate(token, used + IDLE_LIMIT_MS - 1)).name
    watch.now_s += TRUST_S
    assert NOBODY == await identities.authenticate(token, NOW + ABSOLUTE_LIMIT_MS)


async def test_an_unused_session_is_over(identities):
    token = await sign_in(identities)

    assert NOBODY == await identities.sessions.resolve(token, NOW + IDLE_LIMIT_MS)
    assert NOBODY == await identities.sessions.resolve(token, NOW)


async def test_last_use_is_written_once_a_minute(identities, client):
    token = await sign_in(identities)
    written = []
    for at in (NOW + SEEN_EVERY_MS - 1, NOW + SEEN_EVERY_MS):
        await identities.sessions.resolve(token, at)
        written.extend(await client.hvals(identities.sessions._hashes.sessions_seen))

    assert [str(NOW).encode(), str(NOW + SEEN_EVERY_MS).encode()] == written


async def test_a_clock_that_goes_back_ends_no_session(identities):
    token = await sign_in(identities)

    assert "lan" == (await identities.sessions.resolve(token, NOW - 3_600_000)).name


async def test_signing_out_is_at_once_here(identities):
    token = await sign_in(identities)
    await identities.authenticate(token, NOW)
    await identities.sign_out(token)

    assert NOBODY == await identities.authenticate(token, NOW)


async def test_an_ended_session_does_not_come_back_by_a_late_use(identities, client):
    """The note of last use stands apart from the session."""
    token = await sign_in(identities)
    await identities.sessions.end(token)
    await client.hset(identities.sessions._hashes.sessions_seen, "whatever", NOW)

    assert NOBODY == await identities.sessions.resolve(token, NOW)


async def test_an_administrator_ends_all_sessions_of_a_name(identities, watch):
    tokens = [await sign_in(identities) for _ in range(2)]
    await identities.sessions.end_all("lan")
    watch.now_s += TRUST_S

    assert [NOBODY, NOBODY] == [await identities.authenticate(token, NOW) for token in tokens]


async def test_sessions_that_are_over_are_swept(identities, client):
    for number in range(250):
        await sign_in(identities, NOW + (number % 2) * IDLE_LIMIT_MS)

    assert 125 == await identities.sessions.sweep(NOW + IDLE_LIMIT_MS)
    assert 0 == await identities.sessions.sweep(NOW + IDLE_LIMIT_MS)
    assert (
        125
        == await client.hlen(identities.sessions._hashes.sessions)
        == await client.hlen(identities.sessions._hashes.sessions_seen)
    )


# Devices


async def test_a_kiosk_is_what_its_token_says(identities):
    device, token = await identities.devices.create(
        role="kiosk", centre="demo-xa", device="k1", label="Kiosk at the door", now_ms=NOW
    )
    identity = await identities.authenticate(token, NOW)

    assert (
        Identity(
            name=f"device:{device.id}",
            roles=frozenset({"kiosk"}),
            centres=frozenset({"demo-xa"}),
            kind="device",
            device="k1",
            display_name="Kiosk at the door",
        )
        == identity
    )


async def test_a_revoked_token_is_dead_within_seconds(identities, watch):
    """Other processes believe an answer for TRUST_S; promised are five seconds."""
    device, token = await identities.devices.create(role="board", centre="demo-xa", now_ms=NOW)
    assert "board" in (await identities.authenticate(token, NOW)).roles

    assert await identities.devices.revoke(device.id)
    assert not await identities.devices.revoke(device.id)
    watch.now_s += TRUST_S
    assert NOBODY == await identities.authenticate(token, NOW)
    assert identities.remembered(token) is None
    assert TRUST_S <= 5


async def test_last_use_of_a_device_is_written_once_a_minute(identities, watch):
    device, token = await identities.devices.create(role="kiosk", centre="demo-xa", now_ms=NOW)
    seen = []
    for at in (NOW, NOW + SEEN_EVERY_MS - 1, NOW + SEEN_EVERY_MS):
        await identities.authenticate(token, at)
        seen.append(await identities.devices.seen([device.id, "unknown"]))
        watch.now_s += TRUST_S

    assert [{device.id: NOW}, {device.id: NOW}, {device.id: NOW + SEEN_EVERY_MS}] == seen
    await identities.devices.revoke(device.id)
    assert {} == await identities.devices.seen([device.id])


async def test_half_a_token_is_no_token(identities):
    """The id finds the record; only the whole token fits it."""
    device, token = await identities.devices.create(role="kiosk", centre="demo-xa", now_ms=NOW)

    for wrong in (
        f"qsd.{device.id}.{'A' * 43}",
        token[:-1],
        f"{token} ",
        f"qsd.{device.id}.",
        device.id,
        "",
        "qss." + "A" * 43,
    ):
        assert NOBODY == await identities.authenticate(wrong, NOW)


async def test_devices_are_listed_by_centre(identities):
    made = [
        (await identities.devices.create(role="kiosk", centre=centre, now_ms=NOW + number))[0]
        for number, centre in enumerate(["demo-xa", "demo-tinh", "demo-xa"])
    ]

    assert made == await identities.devices.list()
    assert [made[0], made[2]] == await identities.devices.list("demo-xa")


@pytest.mark.parametrize("role", ["officer", "admin", "root", ""])
async def test_no_device_gets_the_power_of_a_person(identities, role):
    with pytest.raises(Malformed):
        await identities.devices.create(role=role, centre="demo-xa", now_ms=NOW)


async def test_a_crowd_with_one_token_asks_the_store_once(identities, monkeypatch):
    _, token = await identities.devices.create(role="kiosk", centre="demo-xa", now_ms=NOW)
    asked = []
    resolve = identities.devices.resolve
    monkeypatch.setattr(
        identities.devices, "resolve", lambda token, now_ms: asked.append(token) or resolve(token, now_ms)
    )
    answers = await asyncio.gather(*(identities.authenticate(token, NOW) for _ in range(50)))

    assert [token] == asked
    assert 1 == len(set(answers))


async def test_what_is_remembered_is_bounded(identities, watch):
    tokens = [(await identities.devices.create(role="kiosk", centre="demo-xa", now_ms=NOW))[1] for _ in range(3)]
    identities._clean_at = 2
    for token in tokens[:2]:
        await identities.authenticate(token, NOW)
    watch.now_s += TRUST_S
    await identities.authenticate(tokens[2], NOW)

    assert [tokens[2]] == list(identities._trusted)


# Authority


@pytest.mark.parametrize(
    ("roles", "centre", "answer"),
    [
        ({"officer"}, "demo-xa", True),
        ({"officer", "admin"}, "demo-xa", True),
        ({"officer"}, "demo-tinh", False),
        ({"admin"}, "demo-xa", False),
        ({"officer"}, None, True),
        (set(), "demo-tinh", True),
    ],
)
def test_a_role_counts_in_its_centre(roles, centre, answer):
    lan = Identity(name="lan", roles=frozenset({"officer"}), centres=frozenset({"demo-xa"}), kind="staff")

    assert answer == allow(lan, roles, centre)
    if not answer:
        with pytest.raises(NotAllowed):
            require(lan, roles, centre)


def test_somebody_may_be_everywhere():
    root = Identity(name="root", roles=frozenset({"admin"}), centres=frozenset({EVERYWHERE}), kind="staff")

    require(root, {"admin"}, "demo-tinh")


def test_nobody_is_asked_to_sign_in():
    with pytest.raises(SignInRequired):
        require(NOBODY, {"officer"}, "demo-xa")


# Without the store


@pytest.mark.parametrize(
    ("fault", "is_away"),
    [
        (ConnectionError("x"), True),
        (TimeoutError("x"), True),
        (BusyLoadingError("x"), True),
        (ReadOnlyError("x"), True),
        (OutOfMemoryError("x"), True),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (ResponseError("MISCONF Errors writing to the AOF file"), True),
        (ResponseError("BUSY Redis is busy running a script."), True),
        (ResponseError("WRONGTYPE Operation against a key"), False),
        (ValueError("x"), False),
    ],
)
def test_what_counts_as_away(fault, is_away):
    assert is_away == isinstance(store_away(fault), StoreAway)


async def test_without_the_store_nobody_is_anybody(watch):
    """A token is neither believed nor refused: 503, come back with the same key."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with Redis(port=port, retry=Retry(NoBackoff(), 0)) as client:
        identities = Identities(client, monotonic=watch)
        with pytest.raises(StoreAway, match="repeat with the same key"):
            await identities.authenticate("qss." + "A" * 43, NOW)
        with pytest.raises(StoreAway):
            await identities.sessions.generation("lan")


async def test_a_fault_that_is_no_absence_is_not_hidden(identities, client):
    """A key of the wrong type is a mistake of ours, and shows as one."""
    await client.set(identities._hashes.devices, "no hash")
    with pytest.raises(ResponseError):
        await identities.devices.list()
