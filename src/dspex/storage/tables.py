"""The tables. JSON is kept as text, times are seconds since the epoch, ids are made by the caller."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA_VERSION = 4
"""What this DSPEx reads and writes; a database of a higher one is refused."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column of type INTEGER.
_Serial = BigInteger().with_variant(Integer, "sqlite")

store = Table(
    "store",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schema_version", Integer, nullable=False),
    Column("created", Float, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

programs = Table(
    "programs",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("created", Float, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("program", String(200), ForeignKey("programs.name", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("hash", String(64), nullable=False),
    Column("parent", Integer),
    Column("data", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("run", String(40)),
    Column("score", Float),
    Column("score_low", Float),
    Column("score_high", Float),
    Column("created", Float, nullable=False),
    Index(None, "hash"),
)

labels = Table(
    "labels",
    metadata,
    Column("program", String(200), ForeignKey("programs.name", ondelete="CASCADE"), primary_key=True),
    Column("label", String(100), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("changed", Float, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("size", Integer, nullable=False),
    Column("created", Float, nullable=False),
)

examples = Table(
    "examples",
    metadata,
    Column("dataset", String(64), ForeignKey("datasets.hash", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("example", String(200), nullable=False),
    Column("data", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("program", String(200)),
    Column("base_version", Integer),
    Column("parent", String(40)),
    Column("state", String(20), nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("spec", Text, nullable=False),
    Column("budget", Text, nullable=False),
    Column("strategy", String(100), nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("owner", Text, nullable=False, server_default=""),
    Column("heartbeat", Float),
    Column("lease_until", Float),
    Column("restarts", Integer, nullable=False, server_default="0"),
    Column("progress", Text, nullable=False, server_default="{}"),
    Column("result", Text),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Index(None, "created"),
)

candidates = Table(
    "candidates",
    metadata,
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("data", Text, nullable=False),
    UniqueConstraint("run", "position"),
)

evaluations = Table(
    "evaluations",
    metadata,
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("candidate", String(64), primary_key=True),
    Column("example", String(200), primary_key=True),
    Column("sample", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("score", Float, nullable=False),
    Column("data", Text, nullable=False),
    Column("trace", Text),
    Index(None, "run", "round"),
    sqlite_with_rowid=False,
)
"""Scored pairs; the first write of a pair wins."""

failures = Table(
    "failures",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("candidate", String(64), nullable=False),
    Column("example", String(200), nullable=False),
    Column("sample", Integer, nullable=False),
    Column("round", Integer, nullable=False),
    Column("data", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index(None, "run"),
)
"""Attempts that infrastructure failed: they say nothing of the candidate."""

calls = Table(
    "calls",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("run", String(40), primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("state", String(10), nullable=False),
    Column("sends", Integer, nullable=False),
    Column("model", Text, nullable=False),
    Column("completion", Text),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("usd", Float),
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("most_tokens", BigInteger),
    Column("most_usd", Float),
    CheckConstraint("state IN ('intent', 'done', 'unknown')", name="state"),
    Index(None, "run", "state", "sends"),
)
"""Calls of models, by request and by the run that sent it. `most_*`: what a sending takes at most, where that is known.

They lie in the order in which they began: by key, which is random, each would take its own page.
"""

rounds = Table(
    "rounds",
    metadata,
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("folded", Float),
)

commands = Table(
    "commands",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("data", Text, nullable=False, server_default="{}"),
    Column("created", Float, nullable=False),
    Column("handled", Float),
    Column("outcome", Text),
    Index(None, "run", "handled"),
)

events = Table(
    "events",
    metadata,
    Column("sequence", _Serial, primary_key=True, autoincrement=True),
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(60), nullable=False),
    Column("data", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index(None, "run", "sequence"),
)
"""Append-only; the sequence grows over all runs of the store."""

executions = Table(
    "executions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("program", String(200)),
    Column("hash", String(64), nullable=False),
    Column("data", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index(None, "program", "created"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("run", String(40), ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("candidate", String(64), primary_key=True),
    Column("example", String(200), primary_key=True),
    Column("kills", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("period", Float, nullable=False),
    Column("used", Float, nullable=False),
    Column("data", Text, nullable=False, server_default="{}"),
)
"""Amounts shared by all runs of a store, taken in chunks: requests and tokens of a minute, dollars of a budget."""

commits = Table(
    "commits",
    metadata,
    Column("writer", String(40), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", Float, nullable=False),
)
"""On a server: the last transaction of each that writes, so that one whose answer was lost can be asked for."""
