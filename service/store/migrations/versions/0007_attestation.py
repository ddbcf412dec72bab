"""What the network says of the number a call shows."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Bring the tables to this version."""
    op.add_column("calls", sa.Column("attestation", sa.Text(), nullable=True))
