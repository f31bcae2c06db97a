"""A search small enough to be killed hundreds of times: everything of it can be named from another process."""

from __future__ import annotations

from typing import Any

from dspex.clients.budget import Budget
from dspex.configuration.runtimes import RuntimeSettings, runtime
from dspex.hosting.building import Wanted
from dspex.hosting.handle import Run
from dspex.hosting.hosts import prepare_run
from dspex.kernel.signature import Example
from dspex.kernel.variables import Demos, Text
from dspex.optimization.ports import SearchOptions
from dspex.storage import programs
from dspex.storage.database import Database
from tests.optimization.simulators import program, rows

KEY = "ORACLE_KEY"
"""The variable whose value tells the oracle who sends."""
REFERENCE = "colours@production"


def same_label(gold: Example, prediction: Any) -> float:
    """1.0 for the right label."""
    return float(gold.values["label"] == prediction["label"])


def wanted(
    base_url: str,
    *,
    calls: int = 130,
    concurrency: int = 8,
    seed: int = 3,
    retries: int = 3,
    more: RuntimeSettings | None = None,
) -> Wanted:
    """The search, on a model server at `base_url`; `more` are settings of its runtime."""
    settings: RuntimeSettings = {
        "cache": "none", "retries": retries, "providers": {"oracle": {"base_url": base_url, "key_env": KEY}},
    }  # fmt: skip
    settings.update(more or {})
    ready = runtime("oracle/colours", file="none", **settings)
    return Wanted(
        program=program(instructions=Text(), demos=Demos(2)),
        splits={"train": rows(12), "val": rows(20, 1000), "confirm": rows(16, 2000)},
        metric=same_label,
        runtime=ready,
        strategy="auto",
        budget=Budget(calls=calls),
        seed=seed,
        options=SearchOptions(concurrency=concurrency, headroom=False),  # its draws look like calls paid twice
    )


async def prepared(database: Database, store: str, base_url: str, **changes: Any) -> Run:
    """A queued run of a stored program whose label the result may take over."""
    given = wanted(base_url, **changes)

    def stored(connection: Any) -> None:
        version = programs.add(connection, given.program)
        if programs.labelled(connection, given.program.name, "production") is None:
            programs.promote(connection, version, expected=None)

    await database.write(stored)
    return await prepare_run(database, store, given, reference=REFERENCE)
