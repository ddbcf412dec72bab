"""When a call counts as arrived, by which it is ordered; null in the rows of before: at received_at."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("calls", sa.Column("arrived_at_us", sa.BigInteger(), nullable=True))
