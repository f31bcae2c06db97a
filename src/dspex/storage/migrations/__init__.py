"""Alembic's environment: how a database is brought to the present schema."""
