"""When what is known of a call was last said of it once more."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("calls", sa.Column("heard_at_us", sa.BigInteger(), nullable=False, server_default="0"))
