"""
The pages: built files handed out, each page under its address.

Knows no rule and no data; every page fetches what it shows from the API.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from queue_service.contract import SECURITY_HEADERS

PAGES: Final[Mapping[str, str]] = {
    "/": "start",
    "/docs": "docs",
    "/kiosk/{centre}/{device}": "kiosk",
    "/board/{centre}/{device}": "board",
    "/console/{centre}": "console",
    "/admin/{centre}": "admin",
    "/supervisor/{centre}": "supervisor",
    "/boards/{centre}": "boards",
    "/t/{centre}/{ticket}": "phone",
    "/track": "track",
}
"""Address -> name of the built page."""

YEAR: Final = "public, max-age=31536000, immutable"
"""Assets carry a digest in their name, so they never change."""


def static_folder() -> Path:
    """Where the built pages are: beside this module, in a checkout and in the wheel alike."""
    return Path(str(files("queue_service"))) / "static"


def build_of(folder: Path) -> str:
    """Twelve hexadecimal digits that change whenever any of the built pages does."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.html")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def setup(app: web.Application, folder: Path) -> None:
    """Add the pages' routes to *app*."""
    for address, name in PAGES.items():
        app.router.add_get(address, _page(folder / f"{name}.html"))
    app.router.add_get("/assets/{name}", _Assets(folder / "assets").serve)
    app.router.add_get("/favicon.ico", _page(folder / "favicon.svg"))


def _page(file: Path) -> Any:
    async def serve(_: web.Request) -> web.StreamResponse:
        if not file.is_file():
            raise web.HTTPNotFound
        return web.FileResponse(file, headers={**SECURITY_HEADERS, "Cache-Control": "no-cache"})

    return serve


class _Assets:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def serve(self, request: web.Request) -> web.StreamResponse:
        file = self._folder / request.match_info["name"]
        try:
            is_there = file.parent == self._folder and file.is_file()
        except OSError:  # no name a file could have
            is_there = False
        if not is_there:
            raise web.HTTPNotFound
        return web.FileResponse(file, headers={**SECURITY_HEADERS, "Cache-Control": YEAR})
