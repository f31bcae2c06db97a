"""What a sending takes at most, so that one whose answer is lost counts as that much and never as too little."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("most_tokens", sa.BigInteger(), nullable=True))
    op.add_column("calls", sa.Column("most_usd", sa.Float(), nullable=True))
