"""Programs, runs, ledgers and calls in SQL: tables, migrations, repositories (SQLite embedded, PostgreSQL by URL)."""
