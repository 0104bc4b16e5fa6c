"""`python -m displays`: the hub as a process of its own."""

from __future__ import annotations

import logging
import sys

import click
import uvloop

from displays.app import Options, run

CANNOT_START = 3
"""The exit code of a start that failed."""


@click.command(context_settings={"show_default": True})
@click.option("--redis-url", envvar="QUEUE_REDIS_URL", required=True, help="The store that holds the events.")
@click.option("--service-url", envvar="DISPLAYS_SERVICE_URL", required=True, help="The service that knows the screens.")
@click.option("--host", envvar="DISPLAYS_HOST", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", envvar="DISPLAYS_PORT", default=8090, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--cluster", envvar="DISPLAYS_CLUSTER", is_flag=True, help="The store is a Redis Cluster.")
def main(redis_url: str, service_url: str, host: str, port: int, *, cluster: bool) -> None:
    """Push the events of all centres to hall screens."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    service_url = service_url.rstrip("/")
    options = Options(redis_url=redis_url, service_url=service_url, host=host, port=port, cluster=cluster)
    try:
        uvloop.run(run(options))
    except (OSError, ValueError) as error:
        print(f"The displays cannot start: {error}", file=sys.stderr)
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
