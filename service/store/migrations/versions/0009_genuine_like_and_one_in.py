"""How much a call looks like the centre's genuine calls, and how rare those are; null in the rows of before."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("calls", sa.Column("genuine_like", sa.Float(), nullable=True))
    op.add_column("calls", sa.Column("one_in", sa.Integer(), nullable=True))
