"""What pages look up: the address for phones, and a procedure with its texts."""

from __future__ import annotations

import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from queue_service.app import EXAMPLES, Service
from queue_service.centre import to_json
from queue_service.settings import Settings
from queue_service.store import CENTRES_KEY
from service_world import Caller, House, a_hall

PUBLIC_URL = "https://so.example.vn"


@pytest.fixture
async def visitor(redis_url: str, tmp_path: Path) -> AsyncIterator[Caller]:
    """Somebody at a service that stands behind a proxy; its centre has the example commune's catalogue."""
    centre = a_hall()
    file = tmp_path / f"{centre.id}.json"
    file.write_bytes(to_json(centre))
    shutil.copy(EXAMPLES / "demo-xa-procedures.json", tmp_path / f"{centre.id}-procedures.json")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = Settings(port=port, redis_url=redis_url, data_dir=tmp_path, centres=(file,), public_url=PUBLIC_URL)
    async with Redis.from_url(redis_url) as redis, Service(settings).running(), ClientSession() as session:
        yield Caller(session, f"http://127.0.0.1:{port}", centre.id)
        await redis.srem(CENTRES_KEY, centre.id)


async def test_phones_come_under_the_public_address(visitor: Caller) -> None:
    assert (await visitor.get()).value["public_url"] == PUBLIC_URL


async def test_without_a_public_address_phones_come_under_the_one_that_was_asked(house: House) -> None:
    answer = await house.nobody.get(headers={"Host": "so.example.vn:8443"})

    assert answer.value["public_url"] == "http://so.example.vn:8443"


@pytest.mark.parametrize(
    ("language", "fee", "time"), [("vi", "Không thu phí", "ngày làm việc"), ("en", "No fee", "working day")]
)
async def test_a_procedure_says_time_and_fee_as_the_list_does(
    visitor: Caller, language: str, fee: str, time: str
) -> None:
    asked = {"language": language, "limit": "100"}
    found = (await visitor.get("procedures", params=asked)).value["procedures"]
    listed = next(one for one in found if one["fee_text"] == fee and time in one["time_text"])

    read = (await visitor.get(f"procedures/{listed['code']}", params={"language": language})).value

    assert {name: read[name] for name in ("time_text", "fee_text")} == {
        "time_text": listed["time_text"],
        "fee_text": fee,
    }
    assert read["documents"]


async def test_a_procedure_is_told_in_vietnamese_unless_asked(visitor: Caller) -> None:
    code = (await visitor.get("procedures")).value["procedures"][0]["code"]

    assert (await visitor.get(f"procedures/{code}")).value == (
        await visitor.get(f"procedures/{code}", params={"language": "vi"})
    ).value


async def test_a_procedure_that_is_not_there_is_refused(visitor: Caller) -> None:
    assert (await visitor.get("procedures/9.999999")).code == "UNKNOWN_PROCEDURE"
