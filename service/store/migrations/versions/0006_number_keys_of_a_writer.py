"""Beside every process that writes the keys of the hash of numbers that it holds."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("writers", sa.Column("number_keys", sa.Text(), nullable=True))
