"""Visits that are over, and gaps in the history."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make what this version adds."""
    op.create_table(
        "gaps",
        sa.Column("centre", sa.Text, nullable=False),
        sa.Column("epoch", sa.Text, nullable=False),
        sa.Column("first_seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("noticed_at_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("centre", "epoch", "first_seq", name="pk_gaps"),
    )
    op.create_table(
        "visits",
        sa.Column("centre", sa.Text, nullable=False),
        sa.Column("ticket", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("department", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("class", sa.Text, nullable=False),
        sa.Column("ground", sa.Text),
        sa.Column("procedure", sa.Text),
        sa.Column("end", sa.Text, nullable=False),
        sa.Column("counter", sa.Text),
        sa.Column("officer", sa.Text),
        sa.Column("issued_at_ms", sa.BigInteger, nullable=False),
        sa.Column("called_at_ms", sa.BigInteger),
        sa.Column("started_at_ms", sa.BigInteger),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("rings", sa.Integer, nullable=False),
        sa.Column("no_shows", sa.Integer, nullable=False),
        sa.Column("transfers", sa.Integer, nullable=False),
        sa.Column("waited_ms", sa.BigInteger, nullable=False),
        sa.Column("served_ms", sa.BigInteger, nullable=False),
        sa.Column("announced_low_ms", sa.BigInteger),
        sa.Column("announced_high_ms", sa.BigInteger),
        sa.PrimaryKeyConstraint("centre", "ticket", name="pk_visits"),
    )
    op.create_index("ix_visits_centre_day", "visits", ["centre", "day"])
