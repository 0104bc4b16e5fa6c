"""``python -m queue_service`` is ``queue-service``."""

from queue_service.cli import main

main()
