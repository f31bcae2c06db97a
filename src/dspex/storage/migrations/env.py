"""Alembic runs this file. The connection and its transaction come from `opening.upgrade`, which holds the lock."""

from __future__ import annotations

from alembic import context

from dspex.storage.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
