"""Accounts of staff, where they work, and the audit."""

import sqlalchemy as sa
from alembic import op

from queue_service.archive.tables import Document

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make what this version adds."""
    op.create_table(
        "accounts",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("display_name", sa.String(120), nullable=False),
        sa.Column("roles", Document, nullable=False),
        sa.Column("home_department", sa.String(64)),
        sa.Column("is_disabled", sa.Boolean, nullable=False),
        sa.Column("password", sa.String(128), nullable=False),
        sa.Column("password_at_ms", sa.BigInteger, nullable=False),
        sa.Column("must_change_password", sa.Boolean, nullable=False),
        sa.Column("second_factor", sa.String(32)),
        sa.Column("second_factor_step", sa.BigInteger),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by_press", sa.String(300)),
        sa.PrimaryKeyConstraint("name", name="pk_accounts"),
    )
    op.create_table(
        "workplaces",
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("centre", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("account", "centre", name="pk_workplaces"),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name="fk_workplaces_account", ondelete="CASCADE"),
    )
    op.create_index("ix_workplaces_centre", "workplaces", ["centre"])
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("centre", sa.String(64)),
        sa.Column("actor", sa.String(128), nullable=False),
        sa.Column("place", sa.String(32)),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("object", sa.String(128), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("detail", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_centre_id", "audit", ["centre", "id"])
