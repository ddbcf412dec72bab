"""Marks of erased callers."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.create_table(
        "tombstones",
        sa.Column("mark", sa.LargeBinary(), nullable=False),
        sa.Column("erased_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )
