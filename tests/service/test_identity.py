"""Accounts, sessions and device tokens, on a real server."""

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

from queue_service.errors import (
    Conflict,
    Malformed,
    NotAllowed,
    NotFound,
    SignInRequired,
    StoreAway,
    TooMany,
    WrongPassword,
)
from queue_service.identity import (
    ABSOLUTE_LIMIT_MS,
    EVERYWHERE,
    IDLE_LIMIT_MS,
    NOBODY,
    SEEN_EVERY_MS,
    TRUST_S,
    Brake,
    Identities,
    Identity,
    allow,
    require,
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
async def identities(client: Redis, watch: Watch) -> AsyncIterator[Identities]:
    made = Identities(client, tag=secrets.token_hex(8), monotonic=watch)
    yield made
    made.close()


@pytest.fixture
async def lan(identities: Identities) -> Identities:
    """The same, with the officer Lan in it."""
    await identities.accounts.create(
        "lan", "right password", roles={"officer"}, centres={"demo-xa"}, now_ms=NOW, display_name="Nguyễn Thị Lan"
    )
    return identities


# Accounts


async def test_the_right_password_opens_a_session(lan):
    token, identity = await lan.sign_in("lan", "right password", HERE, NOW)

    assert identity == await lan.authenticate(token, NOW)
    assert ("lan", "staff", "Nguyễn Thị Lan") == (identity.name, identity.kind, identity.display_name)


@pytest.mark.parametrize(("name", "password"), [("lan", "wrong password"), ("nobody-here", "right password")])
async def test_unknown_name_and_wrong_password_get_the_same_answer(lan, name, password):
    with pytest.raises(WrongPassword, match=r"^Name or password is wrong\.$"):
        await lan.sign_in(name, password, HERE, NOW)


async def test_unknown_name_and_wrong_password_cost_the_same_work(lan, monkeypatch):
    """One check with the same memory and time, or the clock would tell which names exist."""
    checked = []
    hasher = lan.accounts._hasher
    monkeypatch.setattr(
        lan.accounts,
        "_hasher",
        type("Spy", (), {"verify": lambda _, hashed, word: checked.append(hashed) or hasher.verify(hashed, word)})(),
    )
    for name in ("lan", "nobody-here"):
        with pytest.raises(WrongPassword):
            await lan.sign_in(name, "wrong password", HERE, NOW)

    assert 2 == len(checked)
    assert 1 == len({hashed.rsplit("$", 2)[0] for hashed in checked})
    assert 1 == len({len(hashed) for hashed in checked})


async def test_a_password_may_be_typed_composed_or_not(identities):
    await identities.accounts.create("minh", "mật khẩu ở xã", roles={"desk"}, centres={"demo-xa"}, now_ms=NOW)

    await identities.sign_in("minh", "ma\u0323\u0302t kha\u0302\u0309u o\u031b\u0309 xa\u0303", HERE, NOW)


async def test_a_disabled_account_gets_the_same_answer_and_loses_its_sessions(lan, watch):
    token, _ = await lan.sign_in("lan", "right password", HERE, NOW)
    account = await lan.accounts.get("lan")
    await lan.accounts.replace(msgspec.structs.replace(account, is_disabled=True))
    watch.now_s += TRUST_S

    assert NOBODY == await lan.authenticate(token, NOW)
    with pytest.raises(WrongPassword):
        await lan.sign_in("lan", "right password", HERE, NOW)


async def test_a_name_is_given_once(lan):
    """And the first password stays."""
    with pytest.raises(Conflict, match="lan exists"):
        await lan.accounts.create("lan", "another password", roles={"admin"}, centres={EVERYWHERE}, now_ms=NOW)

    _, identity = await lan.sign_in("lan", "right password", HERE, NOW)
    assert {"officer"} == identity.roles


@pytest.mark.parametrize(
    "fault",
    [
        {"name": ""},
        {"name": "Lan"},
        {"name": "device:x"},
        {"name": "a" * 65},
        {"password": "short"},
        {"password": "x" * 129},
        {"roles": set()},
        {"roles": {"root"}},
    ],
)
async def test_a_malformed_account_is_not_made(identities, fault):
    """A name can never look like a device's."""
    good = {"name": "minh", "password": "long enough", "roles": {"desk"}, "centres": {"demo-xa"}, "now_ms": NOW}
    with pytest.raises(Malformed):
        await identities.accounts.create(**(good | fault))

    assert [] == await identities.accounts.list()


async def test_a_new_password_ends_all_sessions(lan, watch):
    token, _ = await lan.sign_in("lan", "right password", HERE, NOW)
    await lan.accounts.set_password("lan", "another password")
    watch.now_s += TRUST_S

    assert NOBODY == await lan.authenticate(token, NOW)
    with pytest.raises(WrongPassword):
        await lan.sign_in("lan", "right password", HERE, NOW)
    await lan.sign_in("lan", "another password", HERE, NOW)


async def test_an_account_that_is_removed_leaves_nothing_to_a_namesake(lan, watch):
    token, _ = await lan.sign_in("lan", "right password", HERE, NOW)
    await lan.accounts.remove("lan")
    await lan.accounts.create("lan", "another password", roles={"admin"}, centres={EVERYWHERE}, now_ms=NOW)
    watch.now_s += TRUST_S

    assert NOBODY == await lan.authenticate(token, NOW)


async def test_what_is_not_there_cannot_be_changed(lan):
    account = await lan.accounts.get("lan")
    with pytest.raises(NotFound):
        await lan.accounts.set_password("minh", "long enough")
    with pytest.raises(NotFound):
        await lan.accounts.replace(msgspec.structs.replace(account, name="minh"))

    assert ["lan"] == [account.name for account in await lan.accounts.list()]


async def test_no_secret_is_kept(lan, client):
    """Neither password nor token stands anywhere in the store."""
    token, _ = await lan.sign_in("lan", "right password", HERE, NOW)
    _, device_token = await lan.devices.create(role="kiosk", centre="demo-xa", now_ms=NOW)
    kept = b""
    async for key in client.scan_iter(match=lan.accounts._hashes.accounts.replace("accounts", "*")):
        kept += msgspec.msgpack.encode(await client.hgetall(key))

    assert b"lan" in kept
    for secret in ("right password", token, token[4:], device_token, device_token.rsplit(".", 1)[1]):
        assert secret.encode() not in kept


# Guessing


async def test_a_thousand_wrong_tries_slow_down_and_the_right_one_works_from_elsewhere(lan, watch):
    """Guessing from one place is answered without work; the owner of the name gets in from another."""
    answers = []
    for _ in range(1000):
        try:
            await lan.sign_in("lan", "wrong password", HERE, NOW)
        except (WrongPassword, TooMany) as refusal:
            answers.append(type(refusal))
        watch.now_s += 0.01

    assert answers.count(WrongPassword) < 10
    assert answers[-1] is TooMany
    await lan.sign_in("lan", "right password", ELSEWHERE, NOW)
    with pytest.raises(TooMany) as refusal:
        await lan.sign_in("lan", "right password", HERE, NOW)
    assert 0 < refusal.value.retry_after_s <= 60


async def test_many_tries_at_once_are_no_way_around(lan):
    """A volley counts before it is answered."""
    tries = [lan.sign_in("lan", "wrong password", HERE, NOW) for _ in range(40)]
    answers = [type(answer) for answer in await asyncio.gather(*tries, return_exceptions=True)]

    assert 4 == answers.count(WrongPassword)
    assert 36 == answers.count(TooMany)


async def test_a_volley_of_many_names_waits_in_a_short_line(lan):
    """At most 32 checks wait for the two threads."""
    tries = [lan.sign_in(f"name-{number}", "wrong password", f"10.0.0.{number}", NOW) for number in range(40)]
    answers = [type(answer) for answer in await asyncio.gather(*tries, return_exceptions=True)]

    assert (32, 8) == (answers.count(WrongPassword), answers.count(TooMany))


async def test_the_delay_ends(lan, watch):
    for _ in range(4):
        with pytest.raises(WrongPassword):
            await lan.sign_in("lan", "wrong password", HERE, NOW)
    with pytest.raises(TooMany) as refusal:
        await lan.sign_in("lan", "right password", HERE, NOW)
    watch.now_s += refusal.value.retry_after_s

    await lan.sign_in("lan", "right password", HERE, NOW)
    with pytest.raises(WrongPassword):  # and the slate is clean
        await lan.sign_in("lan", "wrong password", HERE, NOW)


async def test_a_name_tried_from_everywhere_is_slow_and_not_shut(lan):
    """Nobody can keep Lan out by guessing from a hundred places."""
    for number in range(12):
        with pytest.raises(WrongPassword):
            await lan.sign_in("lan", "wrong password", f"10.0.0.{number}", NOW)

    assert 0 < lan.accounts._names.wait_s("lan") <= 2.0
    async with asyncio.timeout(5):
        await lan.sign_in("lan", "right password", ELSEWHERE, NOW)


def test_a_brake_doubles_up_to_its_most_and_forgets(watch):
    brake = Brake(free=1, first_s=1.0, most_s=5.0, monotonic=watch)
    waits = []
    for _ in range(6):
        brake.wrong("a")
        waits.append(brake.wait_s("a"))
    watch.now_s += Brake.FORGET_S + 6
    brake.wrong("a")

    assert [0.0, 1.0, 2.0, 4.0, 5.0, 5.0] == waits
    assert 0.0 == brake.wait_s("a")


def test_a_brake_remembers_a_bounded_number(watch, monkeypatch):
    monkeypatch.setattr(Brake, "MOST_KEYS", 3)
    brake = Brake(free=0, first_s=1.0, most_s=5.0, monotonic=watch)
    for key in "abcad":
        brake.wrong(key)

    assert [0.0, 1.0, 2.0, 1.0] == [brake.wait_s(key) for key in "bcad"]


# Sessions


async def test_a_session_ends_when_it_is_not_used(lan, watch):
    """Use is written down at most once a minute, and counts."""
    token, _ = await lan.sign_in("lan", "right password", HERE, NOW)
    used = NOW + IDLE_LIMIT_MS - 1
    assert "lan" == (await lan.authenticate(token, used)).name
    watch.now_s += TRUST_S
    assert "lan" == (await lan.authenticate(token, used + IDLE_LIMIT_MS - 1)).name
    watch.now_s += TRUST_S
    assert NOBODY == await lan.authenticate(token, NOW + ABSOLUTE_LIMIT_MS)


async def test_an_unused_session_is_over(lan):
    token = await lan.sessions.create("lan", NOW)

    assert NOBODY == await lan.sessions.resolve(token, NOW + IDLE_LIMIT_MS)
    assert NOBODY == await lan.sessions.resolve(token, NOW)


async def test_last_use_is_written_once_a_minute(lan, client):
    token = await lan.sessions.create("lan", NOW)
    written = []
    for at in (NOW + SEEN_EVERY_MS - 1, NOW + SEEN_EVERY_MS):
        await lan.sessions.resolve(token, at)
        written.extend(await client.hvals(lan.sessions._hashes.sessions_seen))

    assert [str(NOW).encode(), str(NOW + SEEN_EVERY_MS).encode()] == written


async def test_a_clock_that_goes_back_ends_no_session(lan):
    token = await lan.sessions.create("lan", NOW)

    assert "lan" == (await lan.sessions.resolve(token, NOW - 3_600_000)).name


async def test_signing_out_is_at_once_here(lan):
    token, _ = await lan.sign_in("lan", "right password", HERE, NOW)
    await lan.authenticate(token, NOW)
    await lan.sign_out(token)

    assert NOBODY == await lan.authenticate(token, NOW)


async def test_an_ended_session_does_not_come_back_by_a_late_use(lan, client):
    """The note of last use stands apart from the session."""
    token = await lan.sessions.create("lan", NOW)
    await lan.sessions.end(token)
    await client.hset(lan.sessions._hashes.sessions_seen, "whatever", NOW)

    assert NOBODY == await lan.sessions.resolve(token, NOW)


async def test_an_administrator_ends_all_sessions_of_a_name(lan, watch):
    tokens = [(await lan.sign_in("lan", "right password", HERE, NOW))[0] for _ in range(2)]
    await lan.accounts.end_sessions("lan")
    watch.now_s += TRUST_S

    assert [NOBODY, NOBODY] == [await lan.authenticate(token, NOW) for token in tokens]


async def test_sessions_that_are_over_are_swept(lan, client):
    for number in range(250):
        await lan.sessions.create("lan", NOW + (number % 2) * IDLE_LIMIT_MS)

    assert 125 == await lan.sessions.sweep(NOW + IDLE_LIMIT_MS)
    assert 0 == await lan.sessions.sweep(NOW + IDLE_LIMIT_MS)
    assert (
        125 == await client.hlen(lan.sessions._hashes.sessions) == await client.hlen(lan.sessions._hashes.sessions_seen)
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
    monkeypatch.setattr(identities.devices, "resolve", lambda token: asked.append(token) or resolve(token))
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
            await identities.sign_in("lan", "right password", HERE, NOW)
        assert 0.0 == identities.accounts._pairs.wait_s(("lan", HERE))
        identities.close()


async def test_a_fault_that_is_no_absence_is_not_hidden(identities, client):
    """A key of the wrong type is a mistake of ours, and shows as one."""
    await client.set(identities.accounts._hashes.devices, "no hash")
    with pytest.raises(ResponseError):
        await identities.devices.list()
