"""A search small enough to be killed hundreds of times: everything of it can be named from another process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from dspex.clients.budget import Budget
from dspex.configuration.runtimes import RuntimeSettings, runtime
from dspex.evaluation.dataset import Dataset
from dspex.hosting.building import Wanted
from dspex.hosting.handle import Run
from dspex.hosting.isolation import Isolation
from dspex.hosting.preparing import prepare_run
from dspex.kernel.ports import Metric
from dspex.kernel.program import Program
from dspex.kernel.signature import Example
from dspex.kernel.state import State
from dspex.kernel.variables import Demos, Text
from dspex.optimization.options import SearchOptions
from dspex.storage import programs
from dspex.storage.database import Database
from tests.optimization.simulators import program, rows

KEY = "ORACLE_KEY"
"""The variable whose value tells the oracle who sends."""
REFERENCE = "colours@production"


def same_label(example: Example, state: State) -> float:
    """1.0 for the right label."""
    return float(example.values["label"] == state["label"])


class Changes(TypedDict, total=False):
    """What a test has otherwise than the search that most share."""

    calls: int
    budget: Budget
    """Instead of one in calls."""
    concurrency: int
    ahead: float
    seed: int
    retries: int
    metric: Metric
    isolation: Isolation | None
    more: RuntimeSettings
    """Settings of its runtime."""
    outage: Mapping[str, Any]
    """Options of the search about outages."""
    answer: int
    """Tokens of every answer at most, which budgets of dollars need."""
    strategy: str
    schedule: str | None
    program: Program
    model: str
    teacher: str
    train: int
    """Examples to learn from."""
    mark: str
    """Where acts that leave a mark leave it."""
    acts: Mapping[int, str]
    """What the metric is to do on examples of val, by their number: see `tests.hosting.hazards`."""


def wanted(base_url: str, **changes: Unpack[Changes]) -> Wanted:
    """The search, on a model server at `base_url`."""
    limit: dict[str, Any] = {"max_tokens": changes["answer"]} if "answer" in changes else {}
    acts = changes.get("acts", {})
    val = Dataset.of(
        {**item.values, **({"act": acts[number], "mark": changes.get("mark", "")} if number in acts else {})}
        for number, item in enumerate(rows(20, 1000))
    )
    settings: RuntimeSettings = {
        "cache": "none", "retries": changes.get("retries", 3),
        "providers": {"oracle": {"base_url": base_url, "key_env": KEY}},
    }  # fmt: skip
    settings.update(changes.get("more", {}))
    ready = runtime(changes.get("model", "oracle/colours"), file="none", **settings)
    return Wanted(
        program=changes.get("program") or program(instructions=Text(), demos=Demos(2), **limit),
        splits={"train": rows(changes.get("train", 12)), "val": val, "confirm": rows(16, 2000)},
        metric=changes.get("metric", same_label),
        runtime=ready,
        strategy=changes.get("strategy", "auto"),
        schedule=changes.get("schedule"),
        budget=changes.get("budget") or Budget(calls=changes.get("calls", 130)),
        seed=changes.get("seed", 3),
        # Draws of the headroom test look like calls paid twice; what is sent ahead of its round depends on timing.
        options=SearchOptions(
            concurrency=changes.get("concurrency", 8),
            headroom=False,
            ahead=changes.get("ahead", 0.0),
            proposer_settings=limit,
            teacher_model=changes.get("teacher") or None,
            **changes.get("outage", {}),
        ),
        isolation=changes.get("isolation"),
    )


async def prepared(database: Database, store: str, base_url: str, **changes: Unpack[Changes]) -> Run:
    """A queued run of a stored program whose label the result may take over."""
    given = wanted(base_url, **changes)

    def stored(connection: Any) -> None:
        version = programs.add(connection, given.program)
        if programs.labelled(connection, given.program.name, "production") is None:
            programs.promote(connection, version, expected=None)

    await database.write(stored)
    return await prepare_run(database, store, given, reference=REFERENCE)
