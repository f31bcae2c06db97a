"""A row of its own for each run that sends a request, so that a sending whose process was killed is not another's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NAMES = "key, run, epoch, state, sends, model, completion, input_tokens, output_tokens, usd, started, finished"


def upgrade() -> None:
    op.execute("UPDATE calls SET run = '' WHERE run IS NULL")
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("calls", "run", nullable=False)
        op.drop_constraint(op.f("pk_calls"), "calls")
        op.create_primary_key(op.f("pk_calls"), "calls", ["key", "run"])
        return
    # SQLite cannot change a key: the table is written anew, its rows in the order in which they began.
    op.create_table(
        "calls_by_run",
        sa.Column("key", sa.String(length=80), nullable=False),
        sa.Column("run", sa.String(length=40), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("completion", sa.Text(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("usd", sa.Float(), nullable=True),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("finished", sa.Float(), nullable=True),
        sa.CheckConstraint("state IN ('intent', 'done', 'unknown')", name=op.f("ck_calls_state")),
        sa.PrimaryKeyConstraint("key", "run", name=op.f("pk_calls")),
    )
    op.execute(f"INSERT INTO calls_by_run ({_NAMES}) SELECT {_NAMES} FROM calls ORDER BY started")
    op.drop_table("calls")
    op.rename_table("calls_by_run", "calls")
    op.create_index(op.f("ix_calls_run_state_sends"), "calls", ["run", "state", "sends"], unique=False)
