"""Events and cursors."""

import sqlalchemy as sa
from alembic import op

from queue_service.archive.tables import Document

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make what this version adds."""
    op.create_table(
        "cursors",
        sa.Column("centre", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("centre", name="pk_cursors"),
    )
    op.create_table(
        "events",
        sa.Column("centre", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("ticket", sa.Text),
        sa.Column("counter", sa.Text),
        sa.Column("actor", sa.Text),
        sa.Column("body", Document, nullable=False),
        sa.PrimaryKeyConstraint("centre", "epoch", "seq", name="pk_events"),
    )
    op.create_index("ix_events_centre_day", "events", ["centre", "day"])
    op.create_index("ix_events_centre_ticket", "events", ["centre", "ticket"])
