"""The books of copies from platform to platform: the tables of migrations' books, under names of their own."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

CODE = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TEXT = sa.Text()
MOMENT = sa.TIMESTAMP().with_variant(sa.Text(), "sqlite")
COUNT = sa.BigInteger()


def upgrade() -> None:
    """Create the four tables with their keys, reference and index."""
    op.create_table(
        "copy_snapshot",
        sa.Column("snapshot_id", CODE, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("sha256", CODE, nullable=False),
        sa.Column("taken_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", name="copy_snapshot_pkey"),
    )
    op.create_table(
        "copy_batch",
        sa.Column("entity", CODE, nullable=False),
        sa.Column("batch", CODE, nullable=False),
        sa.Column("snapshot_id", CODE, nullable=False),
        sa.Column("source_rows", COUNT, nullable=False),
        sa.Column("loaded", COUNT, nullable=False),
        sa.Column("rejected", COUNT, nullable=False),
        sa.Column("excluded", COUNT, nullable=False),
        sa.Column("repaired", COUNT, nullable=False),
        sa.Column("control_totals", TEXT, nullable=False),
        sa.Column("content_digest", CODE, nullable=False),
        sa.Column("policies", TEXT, nullable=False),
        sa.Column("policies_digest", CODE, nullable=False),
        sa.Column("loaded_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("entity", "batch", name="copy_batch_pkey"),
        sa.ForeignKeyConstraint(["snapshot_id"], ["copy_snapshot.snapshot_id"], name="copy_batch_snapshot_id_fkey"),
    )
    op.create_table(
        "copy_batch_row",
        sa.Column("entity", CODE, nullable=False),
        sa.Column("target_key", CODE, nullable=False),
        sa.Column("batch", CODE, nullable=False),
        sa.PrimaryKeyConstraint("entity", "target_key", name="copy_batch_row_pkey"),
    )
    op.create_table(
        "copy_defect",
        sa.Column("entity", CODE, nullable=False),
        sa.Column("batch", CODE, nullable=False),
        sa.Column("source_key", TEXT),
        sa.Column("source_row_id", COUNT),
        sa.Column("action", CODE, nullable=False),
        sa.Column("reason", CODE, nullable=False),
        sa.Column("reasons", TEXT),
        sa.Column(sa.quoted_name("column", True), TEXT),
        sa.Column("old_value", TEXT),
        sa.Column("new_value", TEXT),
        sa.Column("source_row", TEXT),
    )
    op.create_index("copy_defect_entity_batch", "copy_defect", ["entity", "batch"])


def downgrade() -> None:
    """Drop them, children before parents; who runs this has seen that they hold no record."""
    for table in ("copy_defect", "copy_batch_row", "copy_batch", "copy_snapshot"):
        op.drop_table(table)
