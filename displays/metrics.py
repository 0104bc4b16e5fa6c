"""
Every gauge, counter and histogram of the displays, named and explained in one place.

Labels are bounded: a board's label is taken from the centre's configuration and, past a limit, counted as ``other``.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from displays.frames import Close, Wire

BOARD_LABELS_LIMIT: Final = 200

SCREENS = Gauge("displays_screens", "Connections that are open, by board and wire format.", ["board", "wire"])
HALLS = Gauge("displays_halls", "Centres whose events this process follows.")
LAG_EVENTS = Gauge("displays_lag_events", "Events that the screen farthest behind has not been given yet.")
FRAMES_SENT = Counter("displays_frames_sent_total", "Events, ticks and snapshots handed to sockets.", ["kind"])
CLOSED = Counter("displays_closed_total", "Connections closed by us, by close code.", ["code"])
OUTBOX_DROPS = Counter("displays_outbox_drops_total", "Screens cut because their outbox was full.")
JOINS = Counter("displays_joins_total", "Screens that got their start, by how.", ["how"])
ACKS = Counter("displays_acks_total", "Calls that screens confirmed, by what they confirmed.", ["kind"])
UNCONFIRMED = Counter(
    "displays_unconfirmed_total", "Calls that a board of their zone did not confirm in time, by board.", ["board"]
)
ASIDE_LOST = Counter("displays_aside_lost_total", "Words to the other processes that could not be said.")
PRESS_TO_BOARD = Histogram(
    "displays_press_to_board_seconds",
    "From the press of a call to a screen's word that it is displayed.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FEED_EVENTS = Counter(
    "displays_feed_events_total", "Events read, by how they came: bell, or log (missed by the bell).", ["source"]
)
FEED_RECONNECTS = Counter("displays_feed_reconnects_total", "Times a link of the feed to Redis broke.", ["link"])
FEED_RESETS = Counter("displays_feed_resets_total", "Times a centre's event order began anew or had a hole.")
FEED_REPAIRS = Counter("displays_feed_repairs_total", "Views that differed from the store and were replaced.")
FEED_CENTRES = Gauge("displays_feed_centres", "Centres that the feed reads.")
FEED_STALE = Gauge("displays_feed_stale", "1 while the feed cannot read the store.")
VOICE_TURNS = Counter("displays_voice_turns_total", "Turns of the voice, by what was said.", ["form"])
VOICE_SKIPPED = Counter("displays_voice_skipped_total", "Rings that were shown and not spoken, by why.", ["reason"])
VOICE_FAILED = Counter("displays_voice_failed_total", "Sounds that did not reach the hall, by why.", ["reason"])
VOICE_LAG = Histogram(
    "displays_voice_lag_seconds",
    "From the press of a call to the beginning of its announcement.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 45, 90, 300),
)
VOICE_CLIPS_MISSING = Counter("displays_voice_clips_missing_total", "Phrases that recordings could not say.")
VOICE_RESTARTS = Counter("displays_voice_restarts_total", "Times the process of the voice was started again.")
VOICE_READY = Gauge("displays_voice_ready", "1 while something can speak that nobody has recorded.")
VOICE_KEPT_BYTES = Gauge("displays_voice_kept_bytes", "Sounds kept on the disk.")

# The agent for panels is a process of its own; port and panel are ids of its settings file.
PANELS_LINK = Gauge("displays_panels_link", "1 while the agent for panels knows what is true.")
PANEL_PORT_UP = Gauge("displays_panel_port_up", "1 while the port is open.", ["port"])
PANEL_PORT_LOSSES = Counter("displays_panel_port_losses_total", "Times a port was lost or did not open.", ["port"])
PANEL_FRAMES = Counter(
    "displays_panel_frames_total",
    "Frames sent to a panel, by what came of it: acknowledged, refused, silent, or told where panels never answer.",
    ["panel", "outcome"],
)

# Children are looked up once: .labels() costs more than the increment.
SENT_EVENTS = FRAMES_SENT.labels("event")
SENT_TICKS = FRAMES_SENT.labels("tick")
SENT_SNAPSHOTS = FRAMES_SENT.labels("snapshot")
SENT_RESUMED = FRAMES_SENT.labels("resumed")
JOINED_BY_SNAPSHOT = JOINS.labels("snapshot")
JOINED_BY_CURSOR = JOINS.labels("cursor")
ACKS_SHOWN = ACKS.labels("shown")
ACKS_SPOKEN = ACKS.labels("spoken")
FROM_BELL = FEED_EVENTS.labels("bell")
FROM_LOG = FEED_EVENTS.labels("log")
BELL_LOST = FEED_RECONNECTS.labels("bell")
READ_LOST = FEED_RECONNECTS.labels("read")
CLOSED_BY = {code: CLOSED.labels(str(int(code))) for code in Close}

_board_labels: set[str] = set()


def _label(board: str) -> str:
    if board not in _board_labels:
        if len(_board_labels) >= BOARD_LABELS_LIMIT:
            return "other"
        _board_labels.add(board)
    return board


def screens(board: str, wire: Wire) -> Gauge:
    """The gauge that counts the connections of *board*."""
    return SCREENS.labels(_label(board), wire.value)


def unconfirmed(board: str) -> Counter:
    """The counter of calls that *board* did not confirm."""
    return UNCONFIRMED.labels(_label(board))
