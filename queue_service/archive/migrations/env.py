"""Alembic's way in: it works on the connection and in the transaction that `archive.py` hands over."""

from alembic import context

from queue_service.archive.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
