"""Dossiers, their steps, papers and people, codes, the outbox, answers."""

import sqlalchemy as sa
from alembic import op

from queue_service.archive.tables import Document

revision = "0003"
down_revision = "0002"

CODE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make what this version adds."""
    op.create_table(
        "dossiers",
        sa.Column("code", CODE, nullable=False),
        sa.Column("centre", sa.Text, nullable=False),
        sa.Column("department", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("procedure", sa.Text, nullable=False),
        sa.Column("procedure_name", sa.Text, nullable=False),
        sa.Column("procedure_version", sa.Text, nullable=False),
        sa.Column("agency", sa.Text),
        sa.Column("return_place", sa.Text),
        sa.Column("ticket", sa.Text),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("fee_vnd", sa.BigInteger),
        sa.Column("fee_paid", sa.Boolean, nullable=False),
        sa.Column("received_ms", sa.BigInteger, nullable=False),
        sa.Column("clock_started_ms", sa.BigInteger),
        sa.Column("limit_unit", sa.Text, nullable=False),
        sa.Column("limit_value", sa.Integer, nullable=False),
        sa.Column("promised_ms", sa.BigInteger),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("warn_ms", sa.BigInteger),
        sa.Column("paused_ms", sa.BigInteger),
        sa.Column("left", sa.Integer),
        sa.Column("step_due_ms", sa.BigInteger),
        sa.Column("supplements", sa.Integer, nullable=False),
        sa.Column("extensions", sa.Integer, nullable=False),
        sa.Column("was_late", sa.Boolean, nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("late_department", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.Column("ended_ms", sa.BigInteger),
        sa.Column("returned_ms", sa.BigInteger),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("secret", sa.LargeBinary),
        sa.PrimaryKeyConstraint("code", name="pk_dossiers"),
    )
    op.create_index("ix_dossiers_centre_state_due_ms", "dossiers", ["centre", "state", "due_ms"])
    op.create_index("ix_dossiers_returned_ms", "dossiers", ["returned_ms"])
    op.create_table(
        "dossier_steps",
        sa.Column("code", CODE, nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("was", sa.Text),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("department", sa.Text, nullable=False),
        sa.Column("title", sa.Text),
        sa.Column("receiver", sa.Text),
        sa.Column("due_ms", sa.BigInteger),
        sa.Column("on_time", sa.Boolean),
        sa.Column("reason", sa.Text),
        sa.Column("missing", Document, nullable=False),
        sa.Column("note", sa.Text),
        sa.PrimaryKeyConstraint("code", "n", name="pk_dossier_steps"),
    )
    op.create_table(
        "dossier_papers",
        sa.Column("code", CODE, nullable=False),
        sa.Column("n", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("originals", sa.Integer, nullable=False),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("code", "n", name="pk_dossier_papers"),
    )
    op.create_table(
        "dossier_people",
        sa.Column("code", CODE, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("phone", sa.Text),
        sa.Column("identity_end", sa.Text),
        sa.Column("identity", sa.LargeBinary),
        sa.PrimaryKeyConstraint("code", name="pk_dossier_people"),
    )
    op.create_index("ix_dossier_people_identity", "dossier_people", ["identity"])
    op.create_table(
        "procedure_versions",
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("body", Document, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_procedure_versions"),
    )
    op.create_table(
        "code_sequences",
        sa.Column("prefix", CODE, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("prefix", name="pk_code_sequences"),
    )
    op.create_table(
        "dossier_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("centre", sa.Text, nullable=False),
        sa.Column("code", CODE, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("fact", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dossier_outbox"),
    )
    op.create_table(
        "dossier_answers",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("answer", Document),
        sa.Column("day", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_dossier_answers"),
    )
    op.create_index("ix_dossier_answers_day", "dossier_answers", ["day"])
