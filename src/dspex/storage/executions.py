"""Executions of stored programs: what each was asked, what it gave, and what that took."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from dspex.kernel.ports import JSON, Usage
from dspex.storage.programs import Version
from dspex.storage.statements import packed, unpacked
from dspex.storage.tables import executions


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one execution. `outputs` are those of the steps that were performed, all of them without `error`."""

    inputs: Mapping[str, JSON]
    outputs: Mapping[str, JSON]
    usage: Usage
    seconds: float
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """A row: one execution of one version."""

    id: str
    program: str
    version: int
    hash: str
    outcome: Outcome
    created: float


def add(connection: Connection, version: Version, outcome: Outcome) -> str:
    """Keep an execution; returns its id."""
    usage = outcome.usage
    figures = [
        usage.calls, usage.input_tokens, usage.output_tokens, usage.usd, usage.cached_calls, usage.retries,
    ]  # fmt: skip
    data = [version.number, outcome.inputs, outcome.outputs, figures, outcome.seconds, outcome.error]
    id = secrets.token_hex(8)
    row = {"id": id, "program": version.program, "hash": version.hash, "data": packed(data), "created": time.time()}
    connection.execute(executions.insert().values(row))
    return id


def listed(connection: Connection, program: str, limit: int = 100) -> list[Execution]:
    """Executions of every version of a program, newest first."""
    query = select(executions).where(executions.c.program == program)
    rows = connection.execute(query.order_by(executions.c.created.desc(), executions.c.id).limit(limit))
    found: list[Execution] = []
    for row in rows:
        version, inputs, outputs, figures, seconds, error = unpacked(row.data)
        outcome = Outcome(inputs, outputs, Usage(*figures), seconds, error)
        found.append(Execution(row.id, row.program, version, row.hash, outcome, row.created))
    return found
