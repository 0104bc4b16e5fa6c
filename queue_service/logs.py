"""
What a program of the house writes on standard error: lines of JSON for collectors, or coloured ones for people.

Set up once, by whoever is started; the rooms only ask structlog or logging for a logger.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def write_logs(form: str = "json") -> None:
    """Write the log as *form*: ``json`` or ``console``."""
    # Plain stacks: the pretty ones take seconds, in which nothing else happens, and show what variables hold.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else console
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
