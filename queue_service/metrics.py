"""
Every Prometheus object of the service, named and explained in one place.

Labels are ids of the configuration and words of the code, never of a visitor, so their number is bounded.  Feeds
``/metrics``, which ``http_api`` renders off the event loop.  The boards have their own objects in
``displays/metrics.py``.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # one series less for each child; nobody watches them

QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

PRESSES: Final = Counter(
    "queue_presses_total",
    "Presses answered, by command and outcome: done, or the code of the refusal.",
    ("press", "outcome"),
)
PRESS_SECONDS: Final = Histogram(
    "queue_press_seconds", "Time from a parsed press to its answer.", ("press",), buckets=QUICK
)
STORE_SECONDS: Final = Histogram(
    "queue_store_seconds", "Time of one Function call, seen from the service.", buckets=QUICK
)
STORE_UP: Final = Gauge("queue_store_up", "1 while the store answers, 0 while it does not.")
STORE_FSYNC_ALWAYS: Final = Gauge(
    "queue_store_fsync_always",
    "1 if an answered press has been synced to disk, 0 if a power cut may lose the last second.",
)
STORE_CLOCK_SKEW_SECONDS: Final = Gauge("queue_store_clock_skew_seconds", "Clock of the store's machine minus ours.")
STORE_MEMORY_BYTES: Final = Gauge("queue_store_memory_bytes", "Memory the store uses.")
ARCHIVE_UP: Final = Gauge("queue_archive_up", "1 while the archive answers, 0 while it does not.")
ARCHIVE_LAG_EVENTS: Final = Gauge(
    "queue_archive_lag_events", "Events that are not in the archive yet, as the process knows that copies them."
)
ARCHIVE_LAG_SECONDS: Final = Gauge("queue_archive_lag_seconds", "Age of the oldest event that is not in the archive.")
ARCHIVED_EVENTS: Final = Counter("queue_archived_events_total", "Events copied into the archive.")
ARCHIVE_MISSED_EVENTS: Final = Counter(
    "queue_archive_missed_events_total", "Events that the store had forgotten before they were copied."
)
DOSSIERS: Final = Gauge(
    "queue_dossiers",
    "Open dossiers, counted every half a minute by the worker that relays.",
    ("centre", "department", "state"),
)
LATE_DOSSIERS: Final = Gauge(
    "queue_late_dossiers", "Open dossiers whose promise has passed; counted with them.", ("centre", "department")
)
OUTBOX_FACTS: Final = Gauge(
    "queue_dossier_outbox_facts", "Changes of dossiers that the events do not have yet; counted with them."
)
ARCHIVE_FAILURES: Final = Counter(
    "queue_archive_failures_total", "Rounds of copying that store or archive did not let finish."
)
WAITING: Final = Gauge("queue_waiting_tickets", "Tickets that wait.", ("centre", "department"))
OLDEST_WAIT_SECONDS: Final = Gauge(
    "queue_oldest_wait_seconds", "Time the first in line has waited.", ("centre", "department")
)
WORST_OVERTAKING_SECONDS: Final = Gauge(
    "queue_worst_overtaking_seconds",
    "The most by which a ticket called today had begun to wait after one of its line and class that was left waiting.",
    ("centre",),
)
ALARMS: Final = Gauge("queue_alarms", "What somebody should look at, by kind (GET …/alarms).", ("centre", "kind"))
DEVICE_SILENT_SECONDS: Final = Gauge(
    "queue_device_silent_seconds",
    "Time since a kiosk or a board was last heard; one that never was is left out.",
    ("centre", "kind", "device"),
)
OPEN_COUNTERS: Final = Gauge("queue_open_counters", "Counters by state.", ("centre", "state"))
TICKETS_ENDED: Final = Counter(
    "queue_tickets_ended_total", "Tickets that left the hall, by how.", ("centre", "department", "end")
)
WAIT_SECONDS: Final = Histogram(
    "queue_wait_seconds",
    "Time a ticket had waited when it was called, from its virtual arrival.",
    ("centre", "department"),
    buckets=(60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200),
)
SERVICE_SECONDS: Final = Histogram(
    "queue_service_seconds",
    "Time from the call to completion.",
    ("centre", "department"),
    buckets=(60, 120, 180, 300, 420, 600, 900, 1200, 1800, 3600),
)
REFUSED_SIGN_INS: Final = Counter("queue_refused_sign_ins_total", "Sign-ins with a wrong name, password or code.")
AUDIT_DROPS: Final = Counter(
    "queue_audit_drops_total", "Entries of the audit that were lost because the archive was away too long."
)
REQUESTS: Final = Counter(
    "queue_http_requests_total", "HTTP requests answered, by operation and class of status.", ("operation", "status")
)
REQUEST_SECONDS: Final = Histogram(
    "queue_http_request_seconds", "Time of one HTTP request in the service.", ("operation",), buckets=QUICK
)
EVENT_LOOP_LAG_SECONDS: Final = Histogram(
    "queue_event_loop_lag_seconds", "How late a timer of the event loop rings.", buckets=QUICK
)

# Children by their labels, remembered: to look one up costs more than to count.
presses = cache(PRESSES.labels)
press_seconds = cache(PRESS_SECONDS.labels)
requests = cache(REQUESTS.labels)
request_seconds = cache(REQUEST_SECONDS.labels)
