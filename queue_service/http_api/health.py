"""
For whoever watches the service.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from queue_service.contract import Answer, operation


class Health:
    """For whoever watches the service."""

    def __init__(self, ready: Callable[[], Awaitable[dict[str, str]]]) -> None:
        self._ready = ready

    @operation("GET", "/health/live", summary="The process runs", answers={200: dict[str, str]}, tags=("health",))
    async def live(self) -> dict[str, str]:
        """Always answers while the event loop turns."""
        return {"status": "live"}

    @operation(
        "GET",
        "/health/ready",
        summary="The service can answer",
        answers={200: dict[str, str], 503: dict[str, str]},
        tags=("health",),
    )
    async def ready(self) -> Answer:
        """Which part is not ready, and the durability in force."""
        parts = await self._ready()
        return Answer(parts, status=200 if parts["status"] == "ready" else 503)
