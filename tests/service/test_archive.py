"""The service and its second memory: a hall that goes on without it."""

from __future__ import annotations

from pathlib import Path

from service_world import a_hall, a_house


async def test_a_hall_goes_on_while_the_archive_is_away(redis_url: str, tmp_path: Path, cheap_passwords: None):
    """A worker starts without it, numbers are taken and called, and whoever watches is told."""
    away = f"postgresql://queue:geheim@/queue?host={tmp_path / 'nobody'}"
    async with a_house(redis_url, tmp_path, a_hall(), database_url=away) as house:
        number = (await house.kiosk.issue())["number"]
        await house.lan.at("q01", "open")
        assert number == (await house.lan.at("q01", "call-next")).ticket["number"]

        ready = await house.nobody.get("/health/ready")
        assert (200, "ready") == (ready.status, ready.value["status"])
        assert ready.value["archive"].startswith("away")
        assert b"geheim" not in ready.raw
        assert "queue_archive_up 0.0" in (await house.nobody.get("/metrics")).raw.decode()
