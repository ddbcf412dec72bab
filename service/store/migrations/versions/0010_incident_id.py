"""The incident that a call was about, as its disposition names it; null where none was named."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("calls", sa.Column("incident_id", sa.Text(), nullable=True))
