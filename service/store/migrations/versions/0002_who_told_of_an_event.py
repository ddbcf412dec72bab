"""Beside every event the name of the access key by which it was told."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("events", sa.Column("told_by", sa.Text(), nullable=True))
