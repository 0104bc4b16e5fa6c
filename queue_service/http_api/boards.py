"""
The boards of a centre: what each shows, changed while it runs; and the pictures and films they may show.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import Struct

from queue_service.authority import Identity, actor_of
from queue_service.boards import BoardBook, Entry
from queue_service.centre import Board, BoardSettings
from queue_service.clock import Clock
from queue_service.contract import operation
from queue_service.errors import Malformed, MediaInUse, TooLarge, UnknownBoard, UnsupportedType
from queue_service.http_api.words import BASE, SUPERVISORS
from queue_service.media import Media


class BoardsReply(Struct, frozen=True):
    """Every board of a centre, and the files they may show."""

    boards: tuple[Entry, ...]
    media: tuple[str, ...]
    build: str
    """The pages that the service hands out."""
    now_ms: int


class BoardReply(Struct, frozen=True):
    """One board as it is now."""

    board: Board


class MediaReply(Struct, frozen=True):
    """A file that boards may show, by the name it is known under."""

    file: str


class BoardDoor:
    """The boards of a centre, for those who answer for them."""

    def __init__(self, book: BoardBook, media: Media, build: str, clock: Clock) -> None:
        self._book = book
        self._media = media
        self._build = build
        self._clock = clock

    @operation(
        "GET", BASE + "/boards", summary="All boards", roles=SUPERVISORS, answers={200: BoardsReply}, tags=("boards",)
    )
    async def read_boards(self, centre: str) -> BoardsReply:
        """What each shows, who changed it, and how its screens are doing."""
        boards = tuple(await self._book.read(centre))
        return BoardsReply(boards, tuple(self._media.files(centre)), self._build, self._clock.now_ms())

    @operation(
        "GET",
        BASE + "/boards/{board}/settings",
        summary="What a board shows",
        roles=SUPERVISORS,
        answers={200: BoardReply},
        refusals=(UnknownBoard,),
        tags=("boards",),
    )
    async def read_board_settings(self, centre: str, board: str) -> BoardReply:
        """As the centre's file has it, or as it was changed since."""
        return BoardReply(await self._book.board(centre, board))

    @operation(
        "PUT",
        BASE + "/boards/{board}/settings",
        summary="Change what a board shows",
        roles=SUPERVISORS,
        body=BoardSettings,
        answers={200: BoardReply},
        refusals=(UnknownBoard, Malformed),
        tags=("boards",),
    )
    async def change_board(self, centre: str, board: str, body: BoardSettings, identity: Identity) -> BoardReply:
        """All settings at once, on all its screens at once; repeating it changes nothing."""
        return BoardReply(await self._book.change(centre, board, body, actor_of(identity)))

    @operation(
        "DELETE",
        BASE + "/boards/{board}/settings",
        summary="Let a board show what the file says",
        roles=SUPERVISORS,
        answers={200: BoardReply},
        refusals=(UnknownBoard,),
        tags=("boards",),
    )
    async def reset_board(self, centre: str, board: str, identity: Identity) -> BoardReply:
        """Takes back what was changed while it ran."""
        return BoardReply(await self._book.change(centre, board, None, actor_of(identity)))

    @operation(
        "POST",
        BASE + "/media",
        summary="Bring a picture or a film",
        roles=SUPERVISORS,
        answers={201: MediaReply},
        refusals=(TooLarge, UnsupportedType),
        tags=("boards",),
        stream=True,
    )
    async def bring_media(self, centre: str, request: web.Request, identity: Identity) -> web.Response:
        """PNG, JPEG, WebP, MP4 or WebM, known by its content, as the body itself; the same file again is the same."""
        await self._book.read(centre)  # there is such a centre
        name = await self._media.keep(centre, request.content)
        self._book.note_media(centre, "bring-media", name, actor_of(identity))
        return web.json_response({"file": name}, status=201, headers={"Cache-Control": "no-store"})

    @operation(
        "DELETE",
        BASE + "/media/{file}",
        summary="Remove a picture or a film",
        roles=SUPERVISORS,
        answers={204: None},
        refusals=(MediaInUse,),
        tags=("boards",),
    )
    async def remove_media(self, centre: str, file: str, identity: Identity) -> None:
        """For good; only what no board shows now or would show when it goes back to the centre's file."""
        await self._book.require_unused(centre, file)
        await self._media.remove(centre, file)
        self._book.note_media(centre, "remove-media", file, actor_of(identity))


def setup(app: web.Application, media: Media) -> None:
    """Add the address under which boards fetch their pictures and films; what hangs in a hall is no secret."""

    async def serve(request: web.Request) -> web.StreamResponse:
        path = media.path(request.match_info["centre"], request.match_info["file"])
        if path is None:
            raise web.HTTPNotFound
        return web.FileResponse(path, headers=_HEADERS)

    app.router.add_get("/media/{centre}/{file}", serve)


_HEADERS: dict[str, Any] = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
