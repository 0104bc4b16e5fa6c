"""
The benchmark in one command: a private service on a free port, the scenarios one after the other, a table, and nothing
left behind.

Each scenario runs on a service of its own, so that the numbers handed out by one do not limit the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from loadtest.access import Access, Refused, read_access

START_WITHIN_S = 40.0
STOP_WITHIN_S = 15.0


@asynccontextmanager
async def private_service() -> AsyncIterator[tuple[Access, int]]:
    """
    ``queue-service run`` in a folder of its own; what it lets us do, and its process id.

    Raises:
        Refused: it did not start; its last words are in the sentence.
    """
    with tempfile.TemporaryDirectory(prefix="queue-bench-") as folder:
        data = Path(folder)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUEUE_")}
        environment |= {"QUEUE_PORT": str(_free_port()), "QUEUE_DATA_DIR": folder}
        with (data / "service.log").open("wb") as log:
            service = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "queue_service", "run", env=environment, stdout=log, stderr=log
            )
        try:
            yield await _started(service, data), service.pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                service.terminate()
            try:
                await asyncio.wait_for(service.wait(), STOP_WITHIN_S)
            except TimeoutError:
                service.kill()
                await service.wait()


async def _started(service: asyncio.subprocess.Process, data: Path) -> Access:
    """Wait for demo.json, which the service writes when it is ready."""
    access_file = data / "demo.json"
    try:
        async with asyncio.timeout(START_WITHIN_S):
            while not access_file.exists():
                if service.returncode is not None:
                    raise Refused(f"the service did not start:\n{_last_words(data)}")
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise Refused(f"the service was not ready within {START_WITHIN_S:g} s:\n{_last_words(data)}") from None
    return read_access(access_file)


def _last_words(data: Path) -> str:
    return "\n".join((data / "service.log").read_text(errors="replace").splitlines()[-10:])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
