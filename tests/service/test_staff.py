"""Accounts, signing in and the audit, on a real store and both kinds of archive."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from queue_service import audit as audit_module
from queue_service import metrics
from queue_service.archive.archive import Archive
from queue_service.audit import Audit
from queue_service.authority import ASKED_FROM, EVERYWHERE, NOBODY, Account, AuditEntry, AuditSearch, By, Identity
from queue_service.errors import (
    ArchiveAway,
    Conflict,
    Malformed,
    NewPasswordRequired,
    NotAllowed,
    NotFound,
    SecondFactorMissing,
    SecondFactorRequired,
    TooMany,
    WrongPassword,
)
from queue_service.identity import Identities
from queue_service.passwords import Passwords
from queue_service.second_factor import STEP_MS, code_at, new_secret
from queue_service.staff import ONE_TIME_MS, SignIn, Staff
from service_world import until

NOW = 1_795_000_000_000
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
RIGHT = "right password"
ADMIN = frozenset({"admin"})


def an_admin(name: str, *centres: str) -> By:
    return By(Identity(name=name, roles=ADMIN, centres=frozenset(centres), kind="staff"), NOW)


ROOT = an_admin("root", EVERYWHERE)
CHIEF = an_admin("chief", "demo-xa")
FOREIGN = an_admin("foreign", "demo-tinh")


class Watch:
    """A monotonic clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Office:
    """The staff of an installation, and everything they rest on."""

    def __init__(self, archive: Archive, client: Redis, watch: Watch) -> None:
        self.watch = watch
        self.archive = archive
        self.identities = Identities(client, tag=secrets.token_hex(8), monotonic=watch)
        self.audit = Audit(archive, b"k" * 32)
        self.passwords = Passwords(watch)
        self.staff = Staff(archive, self.identities, self.passwords, self.audit)

    async def sign_in(self, password: str = RIGHT, *, name: str = "lan", **given: Any) -> str:
        """The token of a new session."""
        address, now_ms = given.pop("address", HERE), given.pop("now_ms", NOW)
        token, _ = await self.staff.sign_in(SignIn(name, password, **given), address, now_ms)
        return token

    async def who(self, token: str) -> Identity:
        """Who *token* is when what was believed is asked again."""
        self.watch.now_s += 2.0
        return await self.identities.authenticate(token, NOW)

    async def trace(self, centre: str = "demo-xa", **asked: Any) -> list[AuditEntry]:
        """What the audit says, oldest first."""
        await self.audit.flush()
        return [entry for _, entry in await self.audit.search(AuditSearch(centre=centre, after=0, **asked))]


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0)) as client:
        yield client


@pytest.fixture
async def office(tmp_path: Path, client: Redis, cheap_passwords: None) -> AsyncIterator[Office]:
    archive = await Archive.open(f"sqlite:///{tmp_path / 'archive.db'}")
    office = Office(archive, client, Watch())
    yield office
    office.passwords.close()
    await archive.close()


@pytest.fixture
async def with_lan(office: Office) -> Office:
    """The same, with the officer Lan in it."""
    await office.staff.create(
        "lan",
        password="right password",
        roles={"officer"},
        centres={"demo-xa"},
        display_name="Nguyễn Thị Lan",
        by=CHIEF,
    )
    return office


# Accounts


async def test_an_account_is_the_same_in_both_kinds_of_archive(database_url, client, cheap_passwords):
    """Made, found, listed, changed, audited and removed: on SQLite and on PostgreSQL."""
    archive = await Archive.open(database_url)
    office = Office(archive, client, Watch())
    made, password = await office.staff.create(
        "minh", roles={"desk", "officer"}, centres={"demo-xa"}, home_department="cax", display_name="Minh Ễ", by=CHIEF
    )
    await office.staff.create("root", password="long enough", roles=ADMIN, centres={EVERYWHERE}, by=ROOT)
    changed = await office.staff.change("minh", ROOT, centres=frozenset({"demo-xa", "demo-tinh"}), is_disabled=True)

    assert changed == await office.staff.get("minh")
    assert made.created_at_ms == changed.created_at_ms
    assert (True, "cax", {"desk", "officer"}) == (changed.is_disabled, changed.home_department, changed.roles)
    assert [changed] == await office.staff.list_all(CHIEF.identity, "demo-xa")
    assert ["minh", "root"] == [one.name for one in await office.staff.list_all(ROOT.identity, "demo-tinh")]
    assert ["minh", "root"] == [one.name for one in await office.staff.list_all(ROOT.identity)]
    assert ["create-user", "change-user"] == [entry.action for entry in await office.trace()]
    assert {"centres": ["demo-tinh", "demo-xa"], "is_disabled": True} == (await office.trace())[1].detail
    assert ["change-user"] == [entry.action for entry in await office.trace("demo-tinh", q="IS_DISABLED")]
    await office.staff.remove("minh", ROOT)
    assert await office.staff.get("minh") is None
    assert password not in str(await office.trace())
    office.passwords.close()
    await archive.close()


async def test_a_name_is_given_once(with_lan):
    """And the first password stays."""
    with pytest.raises(Conflict, match="lan exists"):
        await with_lan.staff.create("lan", password="another password", roles=ADMIN, centres={"demo-xa"}, by=CHIEF)

    assert {"officer"} == (await with_lan.who(await with_lan.sign_in())).roles


async def test_a_repeated_press_makes_no_second_account(office):
    """Its answer was lost with the password in it: there is one account, one entry, and a password that works."""
    by = CHIEF._replace(press_id="press-0001")
    wish: dict[str, Any] = {"roles": {"desk"}, "centres": {"demo-xa"}, "by": by}
    _, lost = await office.staff.create("minh", **wish)
    _, password = await office.staff.create("minh", **wish)

    with pytest.raises(WrongPassword):
        await office.sign_in(lost, name="minh", new_password="my own password")
    await office.sign_in(password, name="minh", new_password="my own password")
    assert ["create-user"] == [entry.action for entry in await office.trace(action="create-user")]
    with pytest.raises(Conflict):  # somebody has signed in: this is no repeat any more
        await office.staff.create("minh", **wish)


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
        {"roles": {"kiosk"}},
        {"centres": set()},
    ],
)
async def test_a_malformed_account_is_not_made(office, fault):
    """A name can never look like a device's, and no person has a device's role."""
    good: dict[str, Any] = {"name": "minh", "password": "long enough", "roles": {"desk"}, "centres": {"demo-xa"}}
    with pytest.raises(Malformed):
        await office.staff.create(**(good | fault), by=ROOT)

    assert [] == await office.staff.list_all(ROOT.identity)
    assert [] == await office.trace()


async def test_nobody_has_power_over_another_centre(with_lan):
    """Neither to see its people, nor to change them, nor to send somebody there, nor over the whole installation."""
    staff = with_lan.staff
    await staff.create("thu", password="long enough", roles={"desk"}, centres={"demo-xa", "demo-tinh"}, by=ROOT)
    for name, by, refusal in [("lan", FOREIGN, NotFound), ("thu", FOREIGN, NotAllowed), ("nobody", CHIEF, NotFound)]:
        for attempt in (
            lambda name=name, by=by: staff.change(name, by, is_disabled=True),
            lambda name=name, by=by: staff.reset_password(name, by),
            lambda name=name, by=by: staff.end_sessions(name, by),
            lambda name=name, by=by: staff.remove(name, by),
        ):
            with pytest.raises(refusal):
                await attempt()
    for centres in ({"demo-tinh"}, {EVERYWHERE}, {"demo-xa", EVERYWHERE}):
        with pytest.raises(NotAllowed):
            await staff.create("evil", roles=ADMIN, centres=centres, by=CHIEF)
        with pytest.raises(NotAllowed):
            await staff.change("lan", CHIEF, centres=frozenset(centres))

    assert {"demo-xa"} == (await staff.get("lan")).centres
    assert await staff.get("evil") is None
    assert not (await staff.get("thu")).is_disabled


async def test_nobody_takes_power_from_themselves(office):
    """The last administrator cannot lock everybody out by a slip."""
    await office.staff.create("chief", password="long enough", roles=ADMIN, centres={"demo-xa"}, by=ROOT)
    for changes in ({"is_disabled": True}, {"roles": frozenset({"desk"})}):
        with pytest.raises(Conflict):
            await office.staff.change("chief", CHIEF, **changes)

    assert "Chief" == (await office.staff.change("chief", CHIEF, display_name="Chief")).display_name


@pytest.mark.parametrize(
    "changes", [{"is_disabled": True}, {"roles": frozenset({"desk"})}, {"centres": frozenset({"demo-tinh"})}]
)
async def test_what_moves_power_ends_sessions(with_lan, changes):
    """Also when it is repeated, because the first try may have come no further than the archive."""
    tokens = [await with_lan.sign_in()]
    await with_lan.staff.change("lan", ROOT, **changes)
    if "is_disabled" not in changes:
        tokens.append(await with_lan.sign_in())
        await with_lan.staff.change("lan", ROOT, **changes)

    assert {NOBODY} == {await with_lan.who(token) for token in tokens}


async def test_another_display_name_ends_nothing(with_lan):
    token = await with_lan.sign_in()
    await with_lan.staff.change("lan", CHIEF, display_name="Lan", home_department="cax")

    assert "lan" == (await with_lan.who(token)).name


async def test_an_administrator_ends_all_sessions_of_a_name(with_lan):
    tokens = [await with_lan.sign_in() for _ in range(2)]
    await with_lan.staff.end_sessions("lan", CHIEF)

    assert [NOBODY, NOBODY] == [await with_lan.who(token) for token in tokens]
    await with_lan.sign_in()


async def test_an_account_that_is_removed_leaves_nothing_to_a_namesake(with_lan):
    token = await with_lan.sign_in()
    await with_lan.staff.remove("lan", CHIEF)
    await with_lan.staff.create("lan", password="another password", roles=ADMIN, centres={"demo-xa"}, by=CHIEF)

    assert NOBODY == await with_lan.who(token)


# Signing in


async def test_the_right_password_opens_a_session(with_lan):
    token = await with_lan.sign_in()
    identity = await with_lan.identities.authenticate(token, NOW)

    assert ("lan", "staff", "Nguyễn Thị Lan") == (identity.name, identity.kind, identity.display_name)
    assert token != await with_lan.sign_in()


@pytest.mark.parametrize(("name", "password"), [("lan", "wrong password"), ("nobody-here", "right password")])
async def test_unknown_name_and_wrong_password_get_the_same_answer(with_lan, name, password):
    with pytest.raises(WrongPassword, match=r"^Name or password is wrong\.$"):
        await with_lan.sign_in(password, name=name)


async def test_unknown_name_and_wrong_password_cost_the_same_work(with_lan, monkeypatch):
    """One check with the same memory and time, or the clock would tell which names exist."""
    checked = []
    hasher = with_lan.passwords._hasher
    monkeypatch.setattr(
        with_lan.passwords,
        "_hasher",
        type("Spy", (), {"verify": lambda _, hashed, word: checked.append(hashed) or hasher.verify(hashed, word)})(),
    )
    for name in ("lan", "nobody-here"):
        with pytest.raises(WrongPassword):
            await with_lan.sign_in("wrong password", name=name)

    assert 2 == len(checked)
    assert 1 == len({hashed.rsplit("$", 2)[0] for hashed in checked})
    assert 1 == len({len(hashed) for hashed in checked})


async def test_a_password_may_be_typed_composed_or_not(office):
    await office.staff.create("minh", password="mật khẩu ở xã", roles={"desk"}, centres={"demo-xa"}, by=CHIEF)

    await office.sign_in("ma\u0323\u0302t kha\u0302\u0309u o\u031b\u0309 xa\u0303", name="minh")


async def test_a_disabled_account_gets_the_same_answer(with_lan):
    await with_lan.staff.change("lan", CHIEF, is_disabled=True)
    with pytest.raises(WrongPassword, match=r"^Name or password is wrong\.$"):
        await with_lan.sign_in()

    await with_lan.staff.change("lan", CHIEF, is_disabled=False)
    await with_lan.sign_in()


async def test_an_administrators_password_is_good_for_one_sign_in(with_lan):
    """It opens no session by itself: a password of one's own comes with it, and all sessions of before are over."""
    before = await with_lan.sign_in()
    _, once = await with_lan.staff.reset_password("lan", CHIEF)
    with pytest.raises(WrongPassword):
        await with_lan.sign_in("right password")
    with pytest.raises(NewPasswordRequired):
        await with_lan.sign_in(once)
    for new_password in ("short", once):
        with pytest.raises(Malformed):
            await with_lan.sign_in(once, new_password=new_password)
    after = await with_lan.sign_in(once, new_password="my own password")

    assert (NOBODY, "lan") == (await with_lan.who(before), (await with_lan.who(after)).name)
    with pytest.raises(WrongPassword):
        await with_lan.sign_in(once, new_password="another password")
    await with_lan.sign_in("my own password")


async def test_an_administrators_password_is_not_good_for_ever(with_lan):
    _, once = await with_lan.staff.reset_password("lan", CHIEF)
    with pytest.raises(WrongPassword):
        await with_lan.sign_in(once, new_password="my own password", now_ms=NOW + ONE_TIME_MS + 1)


async def test_people_change_their_own_password(with_lan):
    """The old one is asked for; every other session ends."""
    other, mine = await with_lan.sign_in(), await with_lan.sign_in()
    lan = await with_lan.who(mine)
    with pytest.raises(WrongPassword):
        await with_lan.staff.change_own_password(lan, "wrong password", "my own password", HERE, NOW)
    for new_password in ("short", "right password"):
        with pytest.raises(Malformed):
            await with_lan.staff.change_own_password(lan, "right password", new_password, HERE, NOW)
    token, _ = await with_lan.staff.change_own_password(lan, "right password", "my own password", HERE, NOW)

    assert [NOBODY, NOBODY, lan] == [await with_lan.who(one) for one in (other, mine, token)]
    await with_lan.sign_in("my own password")


async def test_a_second_factor_is_asked_for_and_each_code_is_good_once(with_lan):
    lan, secret = await with_lan.who(await with_lan.sign_in()), new_secret()
    step = NOW // STEP_MS
    with pytest.raises(WrongPassword, match="code"):
        await with_lan.staff.set_second_factor(lan, "right password", secret, "000000", HERE, NOW)
    await with_lan.staff.set_second_factor(lan, "right password", secret, code_at(secret, step), HERE, NOW)

    assert (await with_lan.staff.get("lan")).has_second_factor
    with pytest.raises(SecondFactorRequired):
        await with_lan.sign_in()
    with pytest.raises(WrongPassword):  # it was used to set the factor up
        await with_lan.sign_in(code=code_at(secret, step))
    with pytest.raises(WrongPassword):  # and a good code does not help a wrong password
        await with_lan.sign_in("wrong password", code=code_at(secret, step + 1))
    await with_lan.sign_in(code=code_at(secret, step + 1))
    with pytest.raises(WrongPassword):
        await with_lan.sign_in(code=code_at(secret, step + 1))
    assert secret not in str(await with_lan.trace())


async def test_where_a_second_factor_is_wanted_whoever_has_none_can_only_set_one_up(with_lan):
    """Nothing opens before a secret has come with its code; then it is asked for; a reset begins anew."""

    async def wants(account: Account) -> bool:
        return "officer" in account.roles

    office, step, secret = with_lan, NOW // STEP_MS, new_secret()
    office.staff = Staff(office.archive, office.identities, office.passwords, office.audit, wants)
    for given in ({}, {"code": code_at(secret, step)}):
        with pytest.raises(SecondFactorMissing):
            await office.sign_in(**given)
    with pytest.raises(SecondFactorRequired):
        await office.sign_in(secret=secret)
    with pytest.raises(WrongPassword):
        await office.sign_in(secret=secret, code=code_at(new_secret(), step))
    with pytest.raises(WrongPassword):
        await office.sign_in("wrong password", secret=secret, code=code_at(secret, step))
    assert not (await office.staff.get("lan")).has_second_factor

    token = await office.sign_in(secret=secret, code=code_at(secret, step))
    assert "lan" == (await office.who(token)).name
    assert ["set-second-factor"] == [one.action for one in await office.trace(action="set-second-factor")]
    with pytest.raises(SecondFactorRequired):
        await office.sign_in()
    other = new_secret()
    with pytest.raises(WrongPassword):  # another secret does not take the place of the first
        await office.sign_in(secret=other, code=code_at(other, step + 1))
    await office.sign_in(code=code_at(secret, step + 1))

    _, once = await office.staff.reset_password("lan", CHIEF, forget_second_factor=True)
    with pytest.raises(SecondFactorMissing):
        await office.sign_in(once, new_password="my own password")
    with pytest.raises(NewPasswordRequired):
        await office.sign_in(once, secret=secret, code=code_at(secret, step))
    await office.sign_in(once, secret=secret, code=code_at(secret, step), new_password="my own password")


async def test_codes_cannot_be_guessed_by_asking_without_one_in_between(with_lan):
    """A sign-in without a code is no right one: the wrong codes before it still count."""
    lan, secret = await with_lan.who(await with_lan.sign_in()), new_secret()
    await with_lan.staff.set_second_factor(lan, "right password", secret, code_at(secret, NOW // STEP_MS), HERE, NOW)
    answers = []
    for _ in range(10):
        for code in ("000000", None):
            try:
                await with_lan.sign_in(code=code)
            except (WrongPassword, SecondFactorRequired, TooMany) as refusal:
                answers.append(type(refusal))

    assert 4 == answers.count(WrongPassword)
    assert answers[-1] is TooMany


async def test_an_administrator_helps_somebody_who_lost_the_phone(with_lan):
    lan, secret = await with_lan.who(await with_lan.sign_in()), new_secret()
    await with_lan.staff.set_second_factor(lan, "right password", secret, code_at(secret, NOW // STEP_MS), HERE, NOW)
    account, once = await with_lan.staff.reset_password("lan", CHIEF, forget_second_factor=True)

    assert not account.has_second_factor
    await with_lan.sign_in(once, new_password="my own password")


async def test_whom_an_identity_server_knows_needs_an_account_that_is_not_disabled(with_lan):
    token, identity = await with_lan.staff.sign_in_as("lan", NOW)

    assert identity == await with_lan.identities.authenticate(token, NOW)
    await with_lan.staff.change("lan", CHIEF, is_disabled=True)
    for name in ("lan", "somebody"):
        with pytest.raises(WrongPassword, match="no account"):
            await with_lan.staff.sign_in_as(name, NOW)


# Guessing


async def test_a_thousand_wrong_tries_slow_down_and_the_right_one_works_from_elsewhere(with_lan):
    """Guessing from one place is answered without work; the owner of the name gets in from another."""
    answers = []
    for _ in range(1000):
        try:
            await with_lan.sign_in("wrong password")
        except (WrongPassword, TooMany) as refusal:
            answers.append(type(refusal))
        with_lan.watch.now_s += 0.01

    assert answers.count(WrongPassword) < 10
    assert answers[-1] is TooMany
    await with_lan.sign_in(address=ELSEWHERE)
    with pytest.raises(TooMany) as refusal:
        await with_lan.sign_in()
    assert 0 < refusal.value.retry_after_s <= 60


async def test_many_tries_at_once_are_no_way_around(with_lan):
    """A volley counts before it is answered."""
    tries = [with_lan.sign_in("wrong password") for _ in range(40)]
    answers = [type(answer) for answer in await asyncio.gather(*tries, return_exceptions=True)]

    assert 4 == answers.count(WrongPassword)
    assert 36 == answers.count(TooMany)


async def test_a_volley_of_many_names_waits_in_a_short_line(with_lan):
    """At most 32 checks wait for the two threads."""
    tries = [with_lan.sign_in("wrong password", name=f"name-{n}", address=f"10.0.0.{n}") for n in range(40)]
    answers = [type(answer) for answer in await asyncio.gather(*tries, return_exceptions=True)]

    assert (32, 8) == (answers.count(WrongPassword), answers.count(TooMany))


async def test_the_delay_ends(with_lan):
    for _ in range(4):
        with pytest.raises(WrongPassword):
            await with_lan.sign_in("wrong password")
    with pytest.raises(TooMany) as refusal:
        await with_lan.sign_in()
    with_lan.watch.now_s += refusal.value.retry_after_s

    await with_lan.sign_in()
    with pytest.raises(WrongPassword):  # and the slate is clean
        await with_lan.sign_in("wrong password")


async def test_a_name_tried_from_everywhere_is_slow_and_not_shut(with_lan):
    """Nobody can keep Lan out by guessing from a hundred places."""
    for number in range(12):
        with pytest.raises(WrongPassword):
            await with_lan.sign_in("wrong password", address=f"10.0.0.{number}")

    assert 0 < with_lan.passwords._names.wait_s("lan") <= 2.0
    async with asyncio.timeout(5):
        await with_lan.sign_in(address=ELSEWHERE)


# The audit


async def test_the_audit_says_who_did_what_and_holds_no_secret(with_lan):
    """Sign-ins and changes, each with its outcome; no password, no code, no address."""
    ASKED_FROM.set(lambda: HERE)
    token = await with_lan.sign_in()
    with pytest.raises(WrongPassword):
        await with_lan.sign_in("wrong password")
    with pytest.raises(WrongPassword):
        await with_lan.sign_in("right password", name="my-password-by-mistake")
    await with_lan.staff.reset_password("lan", CHIEF._replace(press_id="press-0007"))
    await with_lan.staff.sign_out(token, (await with_lan.staff.get("lan")).identity(), NOW)
    trace = await with_lan.trace()

    assert [
        ("staff:chief", "create-user", "done"),
        ("staff:chief", "reset-password", "done"),
        ("staff:lan", "sign-in", "done"),
        ("nobody", "sign-in", "WRONG_PASSWORD"),
        ("staff:lan", "sign-out", "done"),
    ] == [(entry.actor, entry.action, entry.outcome) for entry in trace]
    assert {"press": "press-0007"} == trace[1].detail
    assert 1 == len({entry.place for entry in trace[1:]})
    everything = await with_lan.trace(with_installation=True)
    assert len(everything) == len(trace) + 1
    said = str(everything)
    for secret in (HERE, "right password", "wrong password", "by-mistake", token, "Nguyễn"):
        assert secret not in said


async def test_the_audit_is_searched_by_field_by_time_by_letters_and_in_pages(office):
    for n in range(10):
        office.audit.note(
            office.audit.entry(
                NOW + n, actor=f"staff:a{n % 2}", action="press", object=f"q{n:02}", centre="demo-xa", number="100%_x"
            )
        )
    office.audit.note(office.audit.entry(NOW, actor="staff:a1", action="press", object="q99", centre="demo-tinh"))

    async def objects(**asked: Any) -> list[str]:
        await office.audit.flush()
        return [entry.object for _, entry in await office.audit.search(AuditSearch(centre="demo-xa", **asked))]

    assert ["q09", "q08", "q07"] == await objects(limit=3)
    first_page = await office.audit.search(AuditSearch(centre="demo-xa", limit=4))
    assert ["q05", "q04"] == await objects(before=first_page[-1][0], limit=2)
    assert ["q00", "q01"] == await objects(after=0, limit=2)
    assert ["q09", "q07", "q05", "q03", "q01"] == await objects(actor="staff:a1")
    assert ["q04"] == await objects(object="q04", action="press")
    assert ["q06", "q05"] == await objects(since_ms=NOW + 5, until_ms=NOW + 7)
    assert ["q03"] == await objects(q="Q03")
    assert 10 == len(await objects(q="0%_X"))
    assert [] == await objects(q="100_")
    assert [] == await objects(q="q99")


async def test_what_is_noted_waits_for_the_archive_and_is_counted_when_lost(office, monkeypatch):
    """A press never waits for it: the list is bounded, the oldest entry gives way."""
    monkeypatch.setattr(audit_module, "MOST_NOTED", 3)
    monkeypatch.setattr(audit_module, "RETRY_S", 0.01)
    before = metrics.AUDIT_DROPS._value.get()
    begin, is_away = office.archive.begin, True

    def away_or_not() -> Any:
        if is_away:
            raise ArchiveAway("the archive does not answer")
        return begin()

    monkeypatch.setattr(office.archive, "begin", away_or_not)
    writing = asyncio.create_task(office.audit.run())
    for n in range(5):
        office.audit.note(office.audit.entry(NOW, actor="x", action="press", object=f"q{n}", centre="demo-xa"))
    await asyncio.sleep(0)
    is_away = False
    await until(lambda: not office.audit._noted, "everything is written")
    await until(lambda: not office.audit._is_noted.is_set(), "and nothing is under way")
    writing.cancel()

    assert ["q2", "q3", "q4"] == [entry.object for entry in await office.trace()]
    assert 2 == metrics.AUDIT_DROPS._value.get() - before


async def test_what_is_noted_when_the_service_stops_is_written(office):
    office.audit.note(office.audit.entry(NOW, actor="x", action="press", object="q1", centre="demo-xa"))
    await office.audit.close()

    assert ["q1"] == [entry.object for entry in await office.trace()]


async def test_an_entry_that_cannot_be_written_does_not_hold_up_the_next(office, monkeypatch):
    before = metrics.AUDIT_DROPS._value.get()
    broken = office.audit.entry(NOW, actor="x", action="press", object="q1", centre="demo-xa", strange=object())
    office.audit.note(broken)
    await office.audit.flush()
    office.audit.note(office.audit.entry(NOW, actor="x", action="press", object="q2", centre="demo-xa"))

    assert ["q2"] == [entry.object for entry in await office.trace()]
    assert 1 == metrics.AUDIT_DROPS._value.get() - before


# Without the archive


async def test_without_the_archive_nobody_signs_in_and_everybody_goes_on(with_lan, monkeypatch):
    token = await with_lan.sign_in()

    def away() -> Any:
        raise ArchiveAway("the archive does not answer; repeat with the same key")

    monkeypatch.setattr(with_lan.archive, "read", away)
    monkeypatch.setattr(with_lan.archive, "begin", away)
    with pytest.raises(ArchiveAway):
        await with_lan.sign_in()

    assert "lan" == (await with_lan.who(token)).name
    assert 0.0 == with_lan.passwords._pairs.wait_s(("lan", HERE))
